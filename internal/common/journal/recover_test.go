package journal_test

import (
	"bytes"
	"errors"
	"io"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/journal"
)

// at is a record and where it was found.
type at struct {
	journal.Position
	rec []byte
}

func recoverAll(t testing.TB, o journal.Options) (*journal.Log, []journal.Found, []at) {
	t.Helper()
	var recs []at
	l, found, err := journal.Recover(o, func(p journal.Position, rec []byte) error {
		recs = append(recs, at{p, bytes.Clone(rec)})
		return nil
	})
	require.NoError(t, err)
	return l, found, recs
}

// readAll reads the records of a segment by position, stepping over damage.
func readAll(t testing.TB, r *journal.Reader, segment uint64, end int64) (recs [][]byte, damaged int) {
	t.Helper()
	p := journal.Position{Segment: segment}
	for {
		rec, next, err := r.Read(p, end)
		switch {
		case err == nil:
			recs = append(recs, bytes.Clone(rec))
		case errors.Is(err, io.EOF):
			return recs, damaged
		default:
			var corrupt *journal.CorruptError
			require.ErrorAs(t, err, &corrupt)
			damaged++
			if next, err = r.Resync(p, end); errors.Is(err, io.EOF) {
				return recs, damaged
			}
			require.NoError(t, err)
			require.Greater(t, next, p.Offset)
		}
		p.Offset = next
	}
}

// TestReaderFollows: records of all sizes can be read at once, while others are
// appended, and by the positions that Recover tells.
func TestReaderFollows(t *testing.T) {
	o := options(vfs.NewMem(), true)
	l, _, _ := recoverAll(t, o)
	r := journal.NewReader(&o)
	defer r.Close()
	var want [][]byte
	p := journal.Position{Segment: 1}
	for i := range 400 {
		size := []int{0, 1, 100, 32<<10 - 7, 32 << 10, 100_000, 32<<10 - 20, 3, 32<<10 - 14, 5_000}[i%10]
		if i%50 == 49 {
			_, err := l.Rotate()
			require.NoError(t, err)
			p = journal.Position{Segment: l.Segment()}
		}
		rec := record(i, size)
		require.NoError(t, l.Append(rec))
		require.Equal(t, p.Segment, l.End().Segment)
		got, next, err := r.Read(p, l.End().Offset)
		require.NoError(t, err)
		require.True(t, bytes.Equal(rec, got), "record %d", i)
		require.Equal(t, l.End().Offset, next)
		p.Offset = next
		_, _, err = r.Read(p, l.End().Offset)
		require.ErrorIs(t, err, io.EOF)
		want = append(want, rec)
	}
	require.NoError(t, l.Close())

	_, found, recs := recoverAll(t, o)
	require.Len(t, found, 9)
	require.Len(t, recs, len(want))
	for i, rec := range recs {
		require.True(t, bytes.Equal(want[i], rec.rec))
		got, _, err := r.Read(rec.Position, found[rec.Segment-1].End)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[i], got))
	}
}

// TestRecoverWritesNothing: it works on a full disk, and where older segments
// are gone.
func TestRecoverWritesNothing(t *testing.T) {
	mem := vfs.NewMem()
	o := options(mem, true)
	l, _ := mustOpen(t, o, 0)
	for i := range 3 {
		require.NoError(t, l.Append(record(i, 10)))
		_, err := l.Rotate()
		require.NoError(t, err)
	}
	require.NoError(t, l.Remove(3))
	require.NoError(t, l.Close())

	o.FS = &faulty{FS: mem, room: 0, write: syscall.ENOSPC}
	l, found, recs := recoverAll(t, o)
	require.Len(t, found, 2)
	require.Len(t, recs, 1)
	require.Equal(t, uint64(3), recs[0].Segment)
	require.ErrorIs(t, l.Append([]byte("x")), journal.ErrFull)
	o.FS.(*faulty).room = -1
	require.NoError(t, l.Append([]byte("x")))
	require.Equal(t, uint64(5), l.Segment())
	require.NoError(t, l.Close())
	require.Equal(t, 2, count(t, o))
}

func count(t testing.TB, o journal.Options) int {
	t.Helper()
	l, _, recs := recoverAll(t, o)
	require.NoError(t, l.Close())
	return len(recs)
}

// TestQueueGoesOnAfterErrors: whatever fails, appends work again when it is
// over, and what they promised is there.
func TestQueueGoesOnAfterErrors(t *testing.T) {
	for name, fault := range map[string]func(*faulty){
		"write":     func(f *faulty) { f.room, f.write, f.partial = 10, syscall.EIO, true },
		"sync":      func(f *faulty) { f.sync = syscall.EIO },
		"full sync": func(f *faulty) { f.sync = syscall.ENOSPC },
		"full":      func(f *faulty) { f.room, f.write, f.partial = 100, syscall.ENOSPC, true },
	} {
		t.Run(name, func(t *testing.T) {
			fs := &faulty{FS: vfs.NewMem(), room: -1}
			o := options(fs, true)
			l, _, _ := recoverAll(t, o)
			require.NoError(t, l.Append([]byte("good")))
			fault(fs)
			for range 5 {
				require.Error(t, l.Append(record(1, 300)))
			}
			fs.room, fs.sync = -1, nil
			require.NoError(t, l.Append([]byte("good again")))
			require.LessOrEqual(t, l.Segment(), uint64(3), "no empty segments are left")
			require.NoError(t, l.Close())
			_, found, recs := recoverAll(t, o)
			for _, f := range found {
				require.Nil(t, f.Damage)
			}
			require.Len(t, recs, 2)
			require.Equal(t, "good again", string(recs[1].rec))
		})
	}
}

// TestRecoverFlipAnywhere: a damaged byte costs at most the record it is in, and
// is told with file and offset; a Reader sees the same records.
func TestRecoverFlipAnywhere(t *testing.T) {
	data, recs := segment(t, true, 64<<10)
	first := with(t, data)
	l, _, _ := recoverAll(t, options(first, true))
	require.NoError(t, l.Append([]byte("next")))
	require.NoError(t, l.Close())
	second := readFile(t, first, dir+"/00000002.log")

	for n := 0; n < len(data); n += stride() {
		damaged := bytes.Clone(data)
		damaged[n] ^= 1 << (n % 8)
		for _, segments := range [][][]byte{{damaged}, {damaged, second}} {
			o := options(with(t, segments...), true)
			l, found, got := recoverAll(t, o)
			require.Equal(t, 0, int(l.Size()))
			if !found[0].Torn {
				require.NotNil(t, found[0].Damage, "flip at %d", n)
				require.Equal(t, "/j/00000001.log", found[0].Damage.Path)
				require.LessOrEqual(t, found[0].Damage.Offset, int64(n))
			}
			want := recs
			if len(segments) == 2 {
				require.Equal(t, "next", string(got[len(got)-1].rec))
				got = got[:len(got)-1]
			}
			require.GreaterOrEqual(t, len(got), len(want)-1, "flip at %d", n)
			for i, j := 0, 0; i < len(got); i, j = i+1, j+1 {
				if !bytes.Equal(got[i].rec, want[j]) {
					j++ // the one that is damaged
				}
				require.True(t, bytes.Equal(got[i].rec, want[j]), "flip at %d", n)
			}
			r := journal.NewReader(&o)
			again, _ := readAll(t, r, 1, found[0].End)
			r.Close()
			require.Len(t, again, len(got), "flip at %d", n)
		}
	}
}

// TestRecoverCutAnywhere: what is there is read, with and without a segment
// behind the one that was cut.
func TestRecoverCutAnywhere(t *testing.T) {
	data, recs := segment(t, true, 64<<10)
	l, _, _ := recoverAll(t, options(with(t, data), true))
	require.NoError(t, l.Close())
	fs := with(t, data)
	l, _, _ = recoverAll(t, options(fs, true))
	require.NoError(t, l.Append([]byte("next")))
	require.NoError(t, l.Close())
	second := readFile(t, fs, dir+"/00000002.log")
	for n := 0; n < len(data); n += stride() {
		o := options(with(t, data[:n], second), true)
		_, found, got := recoverAll(t, o)
		require.NotNil(t, found[0].Damage, "cut at %d", n)
		require.Equal(t, "next", string(got[len(got)-1].rec))
		for i, rec := range got[:len(got)-1] {
			require.True(t, bytes.Equal(recs[i], rec.rec), "cut at %d", n)
		}
		require.Equal(t, len(got)+1, countAfterAppend(t, o))
	}
}

func countAfterAppend(t testing.TB, o journal.Options) int {
	t.Helper()
	l, _, _ := recoverAll(t, o)
	require.NoError(t, l.Append([]byte("more")))
	require.NoError(t, l.Close())
	return count(t, o)
}

func TestRecoverTellsOfMissingSegments(t *testing.T) {
	fs := vfs.NewMem()
	o := options(fs, true)
	l, _, _ := recoverAll(t, o)
	for i := range 4 {
		require.NoError(t, l.Append(record(i, 10)))
		_, err := l.Rotate()
		require.NoError(t, err)
	}
	require.NoError(t, l.Close())
	require.NoError(t, fs.Remove(dir+"/00000002.log"))
	require.NoError(t, fs.Remove(dir+"/00000003.log"))
	_, found, recs := recoverAll(t, o)
	require.Len(t, recs, 2)
	require.Len(t, found, 5)
	for i, f := range found {
		require.Equal(t, uint64(i+1), f.Number)
		require.Equal(t, i == 1 || i == 2, f.Damage != nil)
	}
}
