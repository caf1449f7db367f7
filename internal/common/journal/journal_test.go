package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/journal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/j"

// long asks for the whole of what else is sampled; make crash sets it.
var long = os.Getenv("GOMETHEUS_LONG") != ""

// stride is how many bytes apart files are damaged: every byte, or so that all
// offsets within chunks and pages come up.
func stride() int {
	if long {
		return 1
	}
	return 61
}

func options(fs vfs.FS, sync bool) journal.Options {
	return journal.Options{FS: fs, Dir: dir, Sync: sync, Log: zap.NewNop()}
}

// open opens the log and returns what it replayed.
func open(o journal.Options, from uint64) (*journal.Log, [][]byte, error) {
	var recs [][]byte
	l, err := journal.Open(o, from, func(_ string, _ int64, rec []byte) error {
		recs = append(recs, bytes.Clone(rec))
		return nil
	})
	return l, recs, err
}

func mustOpen(t testing.TB, o journal.Options, from uint64) (*journal.Log, [][]byte) {
	t.Helper()
	l, recs, err := open(o, from)
	require.NoError(t, err)
	return l, recs
}

func record(i, size int) []byte {
	rec := make([]byte, 0, size+8)
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	for len(rec) < size {
		rec = binary.LittleEndian.AppendUint64(rec, rng.Uint64())
	}
	return rec[:size]
}

func TestReplaysWhatWasAppended(t *testing.T) {
	o := options(vfs.NewMem(), false)
	var want [][]byte
	for round := range 4 {
		l, got := mustOpen(t, o, 0)
		require.Equal(t, want, got)
		require.Equal(t, uint64(round+1), l.Segment())
		for i, size := range []int{0, 1, 100, 32<<10 - 7, 32 << 10, 100_000, 32<<10 - 20, 3} {
			rec := record(100*round+i, size)
			require.NoError(t, l.Append(rec))
			want = append(want, rec)
		}
		require.Positive(t, l.Size())
		require.NoError(t, l.Close())
		require.Error(t, l.Append(nil))
	}
}

func TestRotateAndRemove(t *testing.T) {
	o := options(vfs.NewMem(), false)
	l, _ := mustOpen(t, o, 0)
	require.NoError(t, l.Append([]byte("one")))
	n, err := l.Rotate()
	require.NoError(t, err)
	require.Equal(t, uint64(2), n)
	require.Zero(t, l.Size())
	require.NoError(t, l.Append([]byte("two")))
	n, err = l.Rotate()
	require.NoError(t, err)
	require.NoError(t, l.Append([]byte("three")))
	require.NoError(t, l.Remove(2))
	require.NoError(t, l.Close())

	_, _, err = open(o, 1)
	var corrupt *journal.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, "/j/00000001.log", corrupt.Path)

	l, recs := mustOpen(t, o, 2)
	require.Equal(t, [][]byte{[]byte("two"), []byte("three")}, recs)
	require.NoError(t, l.Close())
	l, recs = mustOpen(t, o, n)
	require.Equal(t, [][]byte{[]byte("three")}, recs)
	require.NoError(t, l.Remove(100), "the current segment stays")
	require.NoError(t, l.Append([]byte("four")))
	require.NoError(t, l.Close())
}

func TestReplayErrorEndsOpen(t *testing.T) {
	o := options(vfs.NewMem(), false)
	l, _ := mustOpen(t, o, 0)
	require.NoError(t, l.Append([]byte("one")))
	require.NoError(t, l.Close())
	boom := errors.New("boom")
	_, err := journal.Open(o, 0, func(path string, offset int64, rec []byte) error {
		require.Equal(t, "/j/00000001.log", path)
		require.Equal(t, "one", string(rec))
		require.Positive(t, offset)
		return boom
	})
	require.ErrorIs(t, err, boom)
}

func readFile(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return data
}

// with is a file system that holds only the given segments.
func with(t testing.TB, segments ...[]byte) vfs.FS {
	t.Helper()
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll(dir, 0o755))
	for i, data := range segments {
		f, err := fs.Create(fmt.Sprintf("%s/%08d.log", dir, i+1), journal.DiskCategory)
		require.NoError(t, err)
		_, err = f.Write(bytes.Clone(data))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	return fs
}

// segment is a segment of about size bytes and its records.
func segment(t testing.TB, sync bool, size int) ([]byte, [][]byte) {
	t.Helper()
	fs := vfs.NewMem()
	l, _ := mustOpen(t, options(fs, sync), 0)
	var recs [][]byte
	for i := 0; l.Size() < int64(size); i++ {
		rec := record(i, 10+i*37%900)
		require.NoError(t, l.Append(rec))
		recs = append(recs, rec)
	}
	require.NoError(t, l.Close())
	return readFile(t, fs, dir+"/00000001.log"), recs
}

func requirePrefix(t testing.TB, all, got [][]byte) {
	t.Helper()
	require.LessOrEqual(t, len(got), len(all))
	for i := range got {
		if !bytes.Equal(all[i], got[i]) {
			t.Fatalf("record %d is not what was written", i)
		}
	}
}

// TestCutAnywhere: a last segment that ends anywhere holds a prefix of its
// records, the cut is logged, and the log goes on behind it.
func TestCutAnywhere(t *testing.T) {
	data, recs := segment(t, true, 64<<10)
	step := stride()
	last := -1
	for n := 0; n < len(data); n += step {
		fs := with(t, data[:n])
		l, got, err := open(options(fs, true), 0)
		require.NoError(t, err, "cut at %d", n)
		requirePrefix(t, recs, got)
		require.GreaterOrEqual(t, len(got), last, "more bytes, fewer records")
		last = len(got)
		require.NoError(t, l.Append([]byte("next")))
		require.NoError(t, l.Close())
		l, again := mustOpen(t, options(fs, true), 0)
		require.Equal(t, len(got)+1, len(again))
		require.NoError(t, l.Close())
	}
	require.GreaterOrEqual(t, last, len(recs)-2)
}

// TestFlipAnywhere: with any byte damaged either a prefix is replayed (the last
// record is taken for torn) or the log refuses to open and says where.
func TestFlipAnywhere(t *testing.T) {
	data, recs := segment(t, true, 64<<10)
	step := stride()
	for n := 0; n < len(data); n += step {
		damaged := bytes.Clone(data)
		damaged[n] ^= 1 << (n % 8)
		l, got, err := open(options(with(t, damaged), true), 0)
		if err != nil {
			var corrupt *journal.CorruptError
			require.ErrorAs(t, err, &corrupt, "flip at %d", n)
			require.Equal(t, "/j/00000001.log", corrupt.Path)
			require.LessOrEqual(t, corrupt.Offset, int64(n))
			continue
		}
		requirePrefix(t, recs, got)
		require.GreaterOrEqual(t, len(got), len(recs)-1, "flip at %d lost more than the last record", n)
		require.NoError(t, l.Close())
	}
}

// TestFlipBeforeAnotherSegment: damage in a segment with a successor is never a
// torn tail.
func TestFlipBeforeAnotherSegment(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs, true)
	l, _ := mustOpen(t, o, 0)
	for i := range 3 {
		require.NoError(t, l.Append(record(i, 50)))
	}
	_, err := l.Rotate()
	require.NoError(t, err)
	require.NoError(t, l.Append([]byte("after")))
	require.NoError(t, l.Close())
	first, second := readFile(t, fs, dir+"/00000001.log"), readFile(t, fs, dir+"/00000002.log")
	for n := range first {
		damaged := bytes.Clone(first)
		damaged[n] ^= 4
		_, _, err := open(options(with(t, damaged, second), true), 0)
		var corrupt *journal.CorruptError
		require.ErrorAs(t, err, &corrupt, "flip at %d", n)
		_, _, err = open(options(with(t, first[:n], second), true), 0)
		require.ErrorAs(t, err, &corrupt, "cut at %d", n)
	}
	l, recs := mustOpen(t, options(with(t, append(bytes.Clone(first), "never acknowledged"...), second), true), 0)
	require.Len(t, recs, 4, "what lies behind the valid part doesn't count")
	require.NoError(t, l.Close())
}

// TestHole: without Sync a power cut may leave pages of zeros with records
// behind them. That is a torn tail, and it is logged.
func TestHole(t *testing.T) {
	for _, sync := range []bool{false, true} {
		data, recs := segment(t, sync, 64<<10)
		clear(data[16<<10 : 20<<10])
		core, logs := observer.New(zap.WarnLevel)
		o := options(with(t, data), sync)
		o.Log = zap.New(core)
		l, got, err := open(o, 0)
		if sync {
			var corrupt *journal.CorruptError
			require.ErrorAs(t, err, &corrupt)
			continue
		}
		require.NoError(t, err)
		requirePrefix(t, recs, got)
		require.NotEmpty(t, got)
		require.Less(t, len(got), len(recs))
		require.Equal(t, 1, logs.Len())
		require.NoError(t, l.Close())
	}
}

// TestPowerCut drops unsynced bytes at random: what an Append with Sync returned
// for is there, in order, and at most the one that was under way besides.
func TestPowerCut(t *testing.T) {
	seeds := 300
	if long {
		seeds = 10_000
	}
	for seed := range seeds {
		rng := rand.New(rand.NewPCG(uint64(seed), 3))
		fs := vfs.NewCrashableMem()
		o := options(fs, true)
		l, _ := mustOpen(t, o, 0)
		var acked, all [][]byte
		cutAt := rng.IntN(20)
		var clone vfs.FS
		for i := range 20 {
			size := rng.IntN(6_000)
			if rng.IntN(20) == 0 {
				size *= 10
			}
			rec := record(seed*100+i, size)
			all = append(all, rec)
			if i == cutAt {
				// The cut comes while the record is written but not yet synced.
				o2 := o
				o2.FS = &cutter{FS: fs, cut: func() {
					if clone == nil {
						clone = fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
					}
				}}
				require.NoError(t, l.Close())
				l, _ = mustOpen(t, options(o2.FS, true), 0)
				o2.FS.(*cutter).armed = true
				require.NoError(t, l.Append(rec))
				break
			}
			require.NoError(t, l.Append(rec))
			acked = append(acked, rec)
			if rng.IntN(5) == 0 {
				_, err := l.Rotate()
				require.NoError(t, err)
			}
		}
		require.NotNil(t, clone)
		again, got, err := open(options(clone, true), 0)
		require.NoError(t, err, "seed %d", seed)
		requirePrefix(t, all, got)
		require.GreaterOrEqual(t, len(got), len(acked), "seed %d", seed)
		require.NoError(t, again.Close())
		require.NoError(t, l.Close())
	}
}

// cutter calls cut just before a sync of a segment.
type cutter struct {
	vfs.FS
	armed bool
	cut   func()
}

func (c *cutter) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, cat)
	return &cutterFile{f, c}, err
}

type cutterFile struct {
	vfs.File
	c *cutter
}

func (f *cutterFile) SyncData() error {
	if f.c.armed {
		f.c.cut()
	}
	return f.File.SyncData()
}

// faulty is a file system whose writes, syncs and creates fail on demand.
type faulty struct {
	vfs.FS
	room    int   // bytes until writes fail; negative: no limit
	write   error // what they fail with
	sync    error
	partial bool // a failing write writes what fits

	openSync error // what a sync of a file opened for reading fails with
}

func (f *faulty) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.Open(name, opts...)
	return &readOnly{file, f}, err
}

type readOnly struct {
	vfs.File
	f *faulty
}

func (r *readOnly) Sync() error { return errors.Join(r.f.openSync, r.File.Sync()) }

func (f *faulty) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	if f.room == 0 {
		return nil, f.write
	}
	file, err := f.FS.Create(name, cat)
	return &faultyFile{file, f}, err
}

type faultyFile struct {
	vfs.File
	f *faulty
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if f.f.room < 0 || len(p) <= f.f.room {
		if f.f.room >= 0 {
			f.f.room -= len(p)
		}
		return f.File.Write(p)
	}
	n := 0
	if f.f.partial {
		n, _ = f.File.Write(bytes.Clone(p[:f.f.room]))
	}
	f.f.room = 0
	return n, f.f.write
}

func (f *faultyFile) Sync() error     { return errors.Join(f.f.sync, f.File.Sync()) }
func (f *faultyFile) SyncData() error { return errors.Join(f.f.sync, f.File.SyncData()) }

func TestDiskFullAndBack(t *testing.T) {
	for room := 1; room < 3000; room += 37 {
		fs := &faulty{FS: vfs.NewMem(), room: -1, write: syscall.ENOSPC, partial: true}
		o := options(fs, false)
		l, _ := mustOpen(t, o, 0)
		fs.room = room
		var acked [][]byte
		full := 0
		for i := range 40 {
			rec := record(i, 200)
			switch err := l.Append(rec); {
			case err == nil:
				acked = append(acked, rec)
			default:
				require.ErrorIs(t, err, journal.ErrFull)
				if full++; full == 3 {
					fs.room = -1
				}
			}
		}
		require.Equal(t, 3, full)
		require.Equal(t, 37, len(acked))
		require.NoError(t, l.Close())
		l, got := mustOpen(t, o, 0)
		require.Equal(t, acked, got)
		require.NoError(t, l.Close())
	}
}

func TestOtherErrorsAreFinal(t *testing.T) {
	for name, fault := range map[string]func(*faulty){
		"write": func(f *faulty) { f.room, f.write = 10, syscall.EIO },
		"sync":  func(f *faulty) { f.sync = syscall.EIO },
		// The pages may be gone whatever the reason.
		"sync for space": func(f *faulty) { f.sync = syscall.ENOSPC },
	} {
		t.Run(name, func(t *testing.T) {
			fs := &faulty{FS: vfs.NewMem(), room: -1}
			l, _ := mustOpen(t, options(fs, true), 0)
			require.NoError(t, l.Append([]byte("good")))
			fault(fs)
			require.Error(t, l.Append([]byte("bad, and longer than what fits")))
			fs.room, fs.sync = -1, nil
			err := l.Append([]byte("later"))
			require.Error(t, err, "nobody knows which pages are on disk")
			require.NotErrorIs(t, err, journal.ErrFull)
			_, err = l.Rotate()
			require.Error(t, err)
			l2, recs := mustOpen(t, options(fs, true), 0)
			require.Equal(t, "good", string(recs[0]))
			require.NoError(t, l2.Close())
		})
	}
}
