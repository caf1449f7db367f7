package spool_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/spool"
	"github.com/gometheus/gometheus/pkg/client"
)

// cut is a crash: the file system that is left, and what the agent and the
// server knew at that moment.
type cut struct {
	fs      *vfs.MemFS
	kept    map[string]string
	order   []string
	applied map[string]string
}

// crashing takes a copy of the file system at the nth operation that changes
// it, before the operation takes effect.
type crashing struct {
	vfs.FS
	in   int
	take func()
}

func (c *crashing) step() {
	if c.in--; c.in == 0 {
		c.take()
	}
}

func (c *crashing) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	c.step()
	f, err := c.FS.Create(name, cat)
	return &crashingFile{f, c}, err
}

func (c *crashing) OpenReadWrite(name string, cat vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	c.step()
	f, err := c.FS.OpenReadWrite(name, cat, o...)
	return &crashingFile{f, c}, err
}

func (c *crashing) Remove(name string) error { c.step(); return c.FS.Remove(name) }

func (c *crashing) Rename(from, to string) error { c.step(); return c.FS.Rename(from, to) }

func (c *crashing) OpenDir(name string) (vfs.File, error) {
	f, err := c.FS.OpenDir(name)
	return &crashingFile{f, c}, err
}

type crashingFile struct {
	vfs.File
	c *crashing
}

func (f *crashingFile) Write(p []byte) (int, error) { f.c.step(); return f.File.Write(p) }

func (f *crashingFile) WriteAt(p []byte, at int64) (int, error) {
	f.c.step()
	return f.File.WriteAt(p, at)
}

func (f *crashingFile) Sync() error     { f.c.step(); return f.File.Sync() }
func (f *crashingFile) SyncData() error { f.c.step(); return f.File.SyncData() }

// work does n random things with the spool.
func (r *rig) work(rng *rand.Rand, n int) {
	var out []*spool.Lease
	for range n {
		switch rng.IntN(5) {
		case 0, 1:
			size := rng.IntN(3_000)
			if rng.IntN(10) == 0 {
				size *= 20
			}
			bs := r.batches(1+rng.IntN(4), size)
			err := r.Append(bs)
			if err == nil {
				r.keep(bs)
			} else {
				require.ErrorIs(r.t, err, spool.ErrFull)
			}
		case 2, 3:
			if st := r.Stats(); st.WaitingBatches > int64(len(out)) {
				out = append(out, r.lease())
			}
		default:
			if len(out) > 0 {
				i := rng.IntN(len(out))
				out[i].Ack()
				out = slices.Delete(out, i, i+1)
			}
		}
	}
}

// TestCrash crashes the spool at random moments, some of them in the middle of
// writes and syncs and some while it recovers, by kill (all written bytes are
// there) and by power cut (unsynced ones may be missing). What Append promised
// arrives exactly once, under its key and with its bytes.
func TestCrash(t *testing.T) {
	for _, power := range []bool{false, true} {
		t.Run(map[bool]string{false: "kill", true: "power cut"}[power], func(t *testing.T) {
			for seed := range many(50, 10_000) {
				crashOnce(t, uint64(seed), power)
			}
		})
	}
}

func crashOnce(t *testing.T, seed uint64, power bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	rng := rand.New(rand.NewPCG(seed, 9))
	mem := vfs.NewCrashableMem()
	var c cut
	var r *rig
	fs := &crashing{FS: mem}
	fs.take = func() {
		percent := 100
		if power {
			percent = rng.IntN(101)
		}
		c = cut{
			fs:   mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng}),
			kept: map[string]string{}, applied: map[string]string{},
		}
		if r != nil {
			c.kept, c.order, c.applied = maps.Clone(r.kept), slices.Clone(r.order), maps.Clone(r.applied)
		}
	}
	fs.in = 1 + rng.IntN(100)
	r = newRig(t, fs, func(o *spool.Options) { o.MaxSize = 1 << 20 })
	for crashes := range 4 {
		r.work(rng, 10+rng.IntN(60))
		if c.fs == nil { // between two operations
			fs.take()
		}
		require.NoError(t, r.Close())

		mem = c.fs
		fs.FS, fs.in = mem, 0
		if crashes < 3 && rng.IntN(2) == 0 {
			fs.in = 1 + rng.IntN(100)
		}
		r.kept, r.order, r.applied = c.kept, c.order, c.applied
		c = cut{}
		r.open()
	}
	require.Zero(t, r.Stats().LostBatches, "%v", r.logs.All())
	r.drain()
	r.complete()
	require.NoError(t, r.Close())
}

// small is a spool of about size bytes in two segments, some of it settled, and
// the rig that made it.
func small(t testing.TB, size int) *rig {
	r := newRig(t, vfs.NewMem(), func(o *spool.Options) { o.MaxSize = 1 << 20 })
	rng := rand.New(rand.NewPCG(3, 4))
	for total := 0; total < size; {
		n := 200 + rng.IntN(800)
		r.append(1+rng.IntN(3), n)
		total += 2 * n
	}
	for range 10 {
		r.lease().Ack()
	}
	r.lease()
	r.lease()
	require.NoError(t, r.Close())
	return r
}

// damaged opens a spool with damage and drains it. Whatever happened to the
// files, no key stands for two batches, what arrives is what was kept, new
// batches count, and nothing is missing without a word.
func damaged(t *testing.T, r *rig, fs vfs.FS, what string) (after *rig) {
	t.Helper()
	after = newRig(t, fs, func(o *spool.Options) { o.MaxSize = r.o.MaxSize })
	after.kept, after.order = maps.Clone(r.kept), slices.Clone(r.order)
	after.applied, after.made = maps.Clone(r.applied), r.made
	before := len(after.order)
	after.append(2, 100)
	after.drain()
	missing := 0
	for _, key := range after.order {
		if !has(after.applied, key) {
			missing++
		}
	}
	for _, key := range after.order[before:] {
		require.True(t, has(after.applied, key), "%s: a new batch is missing", what)
	}
	for key, body := range after.applied {
		require.Equal(t, after.kept[key], body, "%s: %s arrives with other bytes", what, key)
	}
	if missing > 0 {
		words := after.logs.FilterLevelExact(zap.WarnLevel).Len() + after.logs.FilterLevelExact(zap.ErrorLevel).Len()
		require.Positive(t, words, "%s: %d batches are missing without a word", what, missing)
	}
	require.NoError(t, after.Close())
	return after
}

// TestCutAndFlipAnywhere damages every file at every byte.
func TestCutAndFlipAnywhere(t *testing.T) {
	r := small(t, many(16<<10, 64<<10))
	names := slices.Sorted(maps.Keys(r.files()))
	require.Subset(t, names, []string{"00000001.log", "acks", "producer"})
	worst := map[string]int{}
	for _, name := range names {
		if name == "lock" {
			continue
		}
		data := read(t, r.fs, dir+"/"+name)
		step := 1
		if !long && len(data) > 2_000 {
			step = 37
		}
		for n := 0; n < len(data); n += step {
			for _, kind := range []string{"cut", "flip"} {
				bad := bytes.Clone(data)
				if kind == "cut" {
					bad = bad[:n]
				} else {
					bad[n] ^= 1 << (n % 8)
				}
				fs := clone(t, r.fs)
				write(t, fs, dir+"/"+name, bad)
				what := fmt.Sprintf("%s of %s at %d", kind, name, n)
				after := damaged(t, r, fs, what)
				lost := 0
				for _, key := range r.order {
					if !has(after.applied, key) {
						lost++
					}
				}
				worst[kind+" "+name] = max(worst[kind+" "+name], lost)
				if name == "acks" || name == "producer" {
					require.Zero(t, lost, what)
				}
				if kind == "flip" && strings.HasSuffix(name, ".log") {
					require.LessOrEqual(t, lost, 3, "%s costs more than the record it hits", what)
				}
			}
		}
	}
	t.Logf("batches lost at most: %v", worst)
}

// TestDamagedFileIsPutAside: file and offset are told, what is readable is
// sent, from before and behind the damage, and the file is kept.
func TestDamagedFileIsPutAside(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *spool.Options) { o.MaxSize = 1 << 20 })
	for range 40 {
		r.append(1, 5_000)
	}
	names, _ := r.segments()
	require.Greater(t, len(names), 2)
	require.NoError(t, r.Close())
	first := dir + "/" + names[0]
	data := read(t, r.fs, first)
	data[20_000] ^= 4
	write(t, r.fs, first, data)

	r.open()
	e := r.logs.FilterMessage("the spool is damaged; it goes on with what is readable").All()
	require.Len(t, e, 1)
	require.Contains(t, e[0].ContextMap()["error"], first)
	require.Regexp(t, `damaged at byte 1\d{4}`, e[0].ContextMap()["error"])
	require.Equal(t, 1, r.Stats().DamagedFiles)
	require.EqualValues(t, 1, r.Stats().LostBatches)
	r.append(1, 10)
	producer, seq := split(t, r.order[0])
	next, nextSeq := split(t, r.order[40])
	require.NotEqual(t, producer, next, "a new epoch")
	require.Equal(t, 1, seq)
	require.Equal(t, 1, nextSeq)
	r.drain()
	require.Len(t, r.applied, 40, "all but one")
	require.NoError(t, r.Close())
	var aside []string
	for name := range r.files() {
		if strings.HasPrefix(name, names[0]+".corrupt-") {
			aside = append(aside, name)
		}
	}
	require.Len(t, aside, 1)
	require.Equal(t, data, read(t, r.fs, dir+"/"+aside[0]))

	words := r.logs.Len()
	r.open()
	r.append(1, 10)
	next2, seq2 := split(t, r.order[41])
	require.Equal(t, next, next2)
	require.Equal(t, 2, seq2)
	r.drain()
	require.NoError(t, r.Close())
	require.Equal(t, words, r.logs.Len(), "nothing more to say: %v", r.logs.All())
}

// TestDamageWhileRunning: what can't be read any more is told and stepped over.
func TestDamageWhileRunning(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *spool.Options) { o.MaxSize = 1 << 20 })
	for range 40 {
		r.append(2, 2_500)
	}
	names, _ := r.segments()
	for _, name := range names[:2] {
		f, err := r.fs.OpenReadWrite(dir+"/"+name, vfs.WriteCategoryUnspecified)
		require.NoError(t, err)
		_, err = f.WriteAt([]byte("damage"), 30_000)
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	r.drain()
	require.Equal(t, 2, r.said("the spool is damaged; it goes on with what is readable"))
	st := r.Stats()
	require.EqualValues(t, 4, st.LostBatches)
	require.Len(t, r.applied, 76)
	require.NoError(t, r.Close())
}

func TestMissingFiles(t *testing.T) {
	for _, name := range []string{"producer", "acks", "00000001.log", "all but producer", "all but acks", "all but 00000001.log"} {
		t.Run(name, func(t *testing.T) {
			r := small(t, 100_000)
			fs := clone(t, r.fs)
			only, all := strings.CutPrefix(name, "all but ")
			for file := range r.files() {
				if file != "lock" && (file == only) != all {
					require.NoError(t, fs.Remove(dir+"/"+file))
				}
			}
			damaged(t, r, fs, name)
		})
	}
}

// TestNewEpochSurvivesAnIdleStart: a start that found something missing and was
// ended before it wrote a batch must not make the next one forget it, or the
// server would take new batches for ones that it has.
func TestNewEpochSurvivesAnIdleStart(t *testing.T) {
	for _, missing := range []string{"acks and batches", "acks"} {
		r := newRig(t, vfs.NewMem(), nil)
		r.append(10, 10)
		before, _, _ := strings.Cut(r.lease().Batch().Key, "/")
		fs := clone(t, r.fs)
		require.NoError(t, r.Close())
		require.NoError(t, fs.Remove(dir+"/acks"))
		if missing == "acks and batches" {
			require.NoError(t, fs.Remove(dir+"/00000001.log"))
		}
		for range 3 {
			s, err := spool.Open(spool.Options{FS: fs, Dir: dir, MaxSize: 100_000, MaxAge: time.Hour, Wall: time.Now, Log: zap.NewNop()})
			require.NoError(t, err)
			require.NoError(t, s.Close())
		}
		who := read(t, fs, dir+"/producer")
		require.NotContains(t, string(who), strings.Trim(before, `"`)+"\n", missing)
		s, err := spool.Open(spool.Options{FS: fs, Dir: dir, MaxSize: 100_000, MaxAge: time.Hour, Wall: time.Now, Log: zap.NewNop()})
		require.NoError(t, err)
		batches := []client.Batch{{Body: []byte("new"), Count: 1}}
		require.NoError(t, s.Append(batches))
		require.NotEqual(t, before, strings.SplitN(batches[0].Key, "/", 2)[0], missing)
		require.NoError(t, s.Close())
	}
}

// TestOlderNoteTakesOver: a torn write of one slot leaves the other.
func TestOlderNoteTakesOver(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.append(10, 10)
	for range 5 {
		r.lease().Ack()
	}
	fs := clone(t, r.fs)
	require.NoError(t, r.Close())
	data := read(t, fs, dir+"/acks")
	newest := 0
	if binary.LittleEndian.Uint64(data[4096+4:]) > binary.LittleEndian.Uint64(data[4:]) {
		newest = 4096
	}
	clear(data[newest+20 : newest+30])
	write(t, fs, dir+"/acks", data)
	r.reopen(fs)
	require.EqualValues(t, 6, r.Stats().WaitingBatches, "the last Ack is forgotten")
	r.drain()
	r.complete()
	require.NoError(t, r.Close())
}
