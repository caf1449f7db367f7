package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
)

const (
	db       = "/data/db.json"
	fullSize = 64 << 10 // of a file that is damaged at every byte
)

// files are the contents of a folder, by path.
type files map[string][]byte

// readAll reads a disk's files.
func readAll(t testing.TB, fs vfs.FS) files {
	t.Helper()
	out := files{}
	var walk func(dir string)
	walk = func(dir string) {
		names, err := fs.List(dir)
		require.NoError(t, err)
		for _, name := range names {
			p := path.Join(dir, name)
			info, err := fs.Stat(p)
			require.NoError(t, err)
			if info.IsDir() {
				walk(p)
				continue
			}
			f, err := fs.Open(p)
			require.NoError(t, err)
			data, err := io.ReadAll(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			out[p] = data
		}
	}
	walk("/data")
	return out
}

// disk is a new disk with the files; instead takes the place of one of them.
func (fl files) disk(name string, instead []byte) (vfs.FS, error) {
	fs := vfs.NewMem()
	if err := fs.MkdirAll(db+".journal", 0o755); err != nil {
		return nil, err
	}
	for p, data := range fl {
		if p == name {
			data = instead
		}
		f, err := fs.Create(p, vfs.WriteCategoryUnspecified)
		if err != nil {
			return nil, err
		}
		if _, err := f.Write(bytes.Clone(data)); err != nil { // it may be changed by the write
			return nil, err
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
	return fs, nil
}

func damageOptions(fs vfs.FS, log *zap.Logger) dump.Options {
	return dump.Options{FS: fs, Path: db, Interval: 0, Restore: true, Now: time.Now, Log: log}
}

// contents is all that a store holds, as one text by series.
func contents(s storage.Storage) (map[string]string, error) {
	out := map[string]string{}
	for m, err := range s.All(context.Background()) {
		if err != nil {
			return nil, err
		}
		out[string(m.AppendKey(nil))] = string(m.AppendJSON(nil))
	}
	return out, nil
}

// patient is a store's files and what they hold.
type patient struct {
	files
	name string // the file to be damaged
	// states are what the store held: before the first batch that only the
	// journal has, and after each of them.
	states []map[string]string
	// ends are, if the file is the journal, the sizes of the file with each state.
	ends []int
	// marks is how many batches of the producer are in each state.
	marks []int
	// unneeded: the store opens without the file.
	unneeded bool
}

func (p *patient) apply(t testing.TB, s *dump.Store, sequence int, ms ...metric.Metric) {
	_, err := s.Apply(context.Background(), &storage.Write{
		Mark: storage.Mark{Producer: "#p", Sequence: uint64(sequence)}, Metrics: ms, Minimal: true,
	})
	require.NoError(t, err)
}

func sample(i int) []metric.Metric {
	labels := metric.NewLabels("i", fmt.Sprint(i), "path", "/var/lib/"+strings.Repeat("<é\"\n> ", i%23))
	return []metric.Metric{
		{Kind: metric.Counter, Name: "c", Delta: int64(i + 1), Timestamp: int64(i + 1), Labels: labels},
		{Kind: metric.Gauge, Name: "g", Value: float64(i) / 7, Timestamp: int64(i + 1), Labels: labels},
		{Kind: metric.Counter, Name: "all", Delta: 1, Timestamp: int64(i + 1)},
	}
}

// withLargeSnapshot is a snapshot of about 64 KiB, another as its backup, and a
// few batches behind them.
func withLargeSnapshot(t testing.TB) *patient {
	fs := vfs.NewMem()
	s, err := dump.Open(damageOptions(fs, zap.NewNop()))
	require.NoError(t, err)
	p := &patient{name: db}
	n := 0
	next := func() { p.apply(t, s, n+1, sample(n)...); n++ }
	for range fullSize / 620 {
		next()
	}
	require.NoError(t, s.Snapshot())
	for range 5 {
		next()
	}
	require.NoError(t, s.Snapshot())
	for range 3 {
		next()
	}
	p.add(t, s, n)
	p.files = readAll(t, fs)
	require.InDelta(t, fullSize, len(p.files[db]), fullSize/4)
	require.NoError(t, s.Close())
	return p
}

func (p *patient) add(t testing.TB, s *dump.Store, marks int) {
	state, err := contents(s)
	require.NoError(t, err)
	p.states, p.marks = append(p.states, state), append(p.marks, marks)
}

// withLargeJournal is a small snapshot and a journal of about 64 KiB behind it.
func withLargeJournal(t testing.TB) *patient {
	fs := vfs.NewMem()
	s, err := dump.Open(damageOptions(fs, zap.NewNop()))
	require.NoError(t, err)
	n := 0
	for range 2 { // so that there is a backup, too
		p := &patient{}
		p.apply(t, s, n+1, sample(n)...)
		require.NoError(t, s.Snapshot())
		n++
	}
	p := &patient{name: db + ".journal/00000003.log"}
	size := func() int {
		info, err := fs.Stat(p.name)
		require.NoError(t, err)
		return int(info.Size())
	}
	p.add(t, s, n)
	p.ends = append(p.ends, size())
	for size() < fullSize {
		// The same few series, so that opening is quick, in records of all sizes.
		var ms []metric.Metric
		for i := range 1 + n%37 {
			ms = append(ms, sample(i)...)
		}
		for i := range ms {
			ms[i].Timestamp = int64(n)
		}
		p.apply(t, s, n+1, ms...)
		n++
		p.add(t, s, n)
		p.ends = append(p.ends, size())
	}
	p.files = readAll(t, fs)
	require.NoError(t, s.Close())
	return p
}

// outcome opens the store with the file changed. Its state is one of the
// patient's (which one), or it refused.
func (p *patient) outcome(data []byte) (state int, refused error, err error) {
	fs, err := p.disk(p.name, data)
	if err != nil {
		return 0, nil, err
	}
	core, logs := observer.New(zap.WarnLevel)
	s, refused := dump.Open(damageOptions(fs, zap.New(core)))
	if refused != nil {
		var corrupt *journal.CorruptError
		switch {
		case !errors.As(refused, &corrupt):
			return 0, nil, fmt.Errorf("refused without a file: %w", refused)
		case corrupt.Path != p.name:
			return 0, nil, fmt.Errorf("%s is damaged, but it says: %w", p.name, refused)
		}
		return 0, refused, nil
	}
	defer s.Close()
	got, err := contents(s)
	if err != nil {
		return 0, nil, err
	}
	for i, state := range slices.Backward(p.states) {
		if !maps.Equal(got, state) {
			continue
		}
		if err := p.known(s, p.marks[i]); err != nil {
			return 0, nil, fmt.Errorf("state %d: %w", i, err)
		}
		if logs.Len() == 0 && !p.unremarkable(data) {
			return 0, nil, fmt.Errorf("state %d of %d, and not a word about it", i, len(p.states)-1)
		}
		return i, nil, nil
	}
	return 0, nil, fmt.Errorf("silently wrong: %d series that the store never held so", len(got))
}

// unremarkable reports whether the damage need not be said: the file isn't
// needed, or is cut between two records, or before the first, and looks as if
// the rest had never been written.
func (p *patient) unremarkable(data []byte) bool {
	return p.unneeded || bytes.Equal(data, p.files[p.name]) || p.otherCase(data) ||
		p.ends != nil && (len(data) == 0 || slices.Contains(p.ends, len(data)))
}

// otherCase reports whether only the case of a letter in the name of the
// snapshot's checksum differs, which encoding/json doesn't mind. The checksum and
// all before it are whole.
func (p *patient) otherCase(data []byte) bool {
	const name = len(`crc32c":"00000000"}` + "\n")
	full := p.files[p.name]
	at := len(full) - name
	return p.name == db && len(data) == len(full) && bytes.Equal(data[:at], full[:at]) &&
		bytes.EqualFold(data[at:at+6], full[at:at+6]) && bytes.Equal(data[at+6:], full[at+6:])
}

// known checks that exactly the first n marks are known: the one before the
// last, the last, and not the next.
func (p *patient) known(s *dump.Store, n int) error {
	for _, sequence := range []int{n - 1, n, n + 1} {
		replayed, err := s.Apply(context.Background(), &storage.Write{
			Mark: storage.Mark{Producer: "#p", Sequence: uint64(sequence)}, Minimal: true,
		})
		if err != nil {
			return err
		}
		if replayed != (sequence <= n) {
			return fmt.Errorf("mark %d of %d: replayed is %v", sequence, n, replayed)
		}
	}
	return nil
}

// everywhere calls f for every step-th position, on two goroutines, until one
// fails.
func everywhere(t *testing.T, n, step int, f func(at int) error) {
	t.Helper()
	ctx := deadline(t)
	var next atomic.Int64
	var failed atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !failed.Load() {
				at := (int(next.Add(1)) - 1) * step
				if at >= n {
					return
				}
				err := f(at)
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					failed.Store(true)
					t.Errorf("at byte %d of %d: %v", at, n, err)
				}
			}
		})
	}
	wg.Wait()
}

// step is how far apart the damaged bytes are.
func step(few int) int { return count(few, 1) }

// TestDamagedSnapshot: with a snapshot cut or flipped at any byte the backup and
// the journal make the full state.
func TestDamagedSnapshot(t *testing.T) {
	p := withLargeSnapshot(t)
	full := p.files[db]
	last := len(p.states) - 1
	full1 := func(data []byte) error {
		state, refused, err := p.outcome(data)
		if err == nil {
			err = refused
		}
		if err == nil && state != last {
			err = fmt.Errorf("state %d instead of %d", state, last)
		}
		return err
	}
	require.NoError(t, full1(full))
	t.Run("cut", func(t *testing.T) {
		everywhere(t, len(full), step(499), func(at int) error { return full1(full[:at]) })
	})
	t.Run("flipped", func(t *testing.T) {
		everywhere(t, len(full), step(499), func(at int) error { return full1(flipped(full, at)) })
	})
}

// flipped is data with some bits of a byte flipped: one, all, or a few.
func flipped(data []byte, at int) []byte {
	out := bytes.Clone(data)
	out[at] ^= [...]byte{0x01, 0xff, 0x80, 0x20, 0x05, 0x40, 0x08}[at%7]
	return out
}

// TestDamagedSnapshotAlone: with neither a backup nor a way round it, a damaged
// snapshot is refused, whatever the byte.
func TestDamagedSnapshotAlone(t *testing.T) {
	p := withLargeSnapshot(t)
	delete(p.files, db+".bak")
	full := p.files[db]
	refuses := func(data []byte) error {
		state, refused, err := p.outcome(data)
		switch {
		case err != nil || refused == nil && p.otherCase(data):
			return err
		case refused == nil:
			return fmt.Errorf("opened with state %d", state)
		case !strings.Contains(refused.Error(), "at byte"):
			return fmt.Errorf("no offset: %w", refused)
		}
		return nil
	}
	t.Run("cut", func(t *testing.T) {
		// An empty file counts as one that is missing, and then it is the journal's
		// lack of a beginning that is named.
		everywhere(t, len(full)-1, step(499), func(at int) error { return refuses(full[:at+1]) })
	})
	t.Run("flipped", func(t *testing.T) {
		everywhere(t, len(full), step(499), func(at int) error { return refuses(flipped(full, at)) })
	})
	fs, err := p.disk(db, nil)
	require.NoError(t, err)
	_, err = dump.Open(damageOptions(fs, zap.NewNop()))
	var corrupt *journal.CorruptError
	require.ErrorAs(t, err, &corrupt, "an empty snapshot with a journal that begins later must not start empty")
}

// TestDamagedJournal: a journal cut anywhere holds what was complete by then;
// flipped anywhere, all but the last record, or it is refused.
func TestDamagedJournal(t *testing.T) {
	p := withLargeJournal(t)
	full := p.files[p.name]
	last := len(p.states) - 1
	t.Run("cut", func(t *testing.T) {
		everywhere(t, len(full)+1, step(257), func(at int) error {
			want := 0
			for want < last && p.ends[want+1] <= at {
				want++
			}
			state, refused, err := p.outcome(full[:at])
			if err == nil {
				err = refused
			}
			if err == nil && state != want {
				err = fmt.Errorf("state %d instead of %d", state, want)
			}
			return err
		})
	})
	t.Run("flipped", func(t *testing.T) {
		var refusals atomic.Int64
		everywhere(t, len(full), step(127), func(at int) error {
			state, refused, err := p.outcome(flipped(full, at))
			switch {
			case err != nil:
				return err
			case refused != nil:
				refusals.Add(1)
				if !strings.Contains(refused.Error(), "at byte") {
					return fmt.Errorf("no offset: %w", refused)
				}
				return nil
			case at < p.ends[last-1] || state != last-1:
				// A flip is never harmless, and only the last record can be a torn one.
				return fmt.Errorf("opened with state %d of %d", state, last)
			}
			return nil
		})
		require.Positive(t, refusals.Load())
	})
}

// TestDamageElsewhere: what the snapshot doesn't need may be damaged.
func TestDamageElsewhere(t *testing.T) {
	p := withLargeSnapshot(t)
	last := len(p.states) - 1
	for name := range p.files {
		if name == db || name == db+".journal/00000003.log" {
			continue
		}
		t.Run(path.Base(name), func(t *testing.T) {
			q := *p
			q.name, q.unneeded = name, true
			data := p.files[name]
			everywhere(t, len(data), count(997, 10), func(at int) error {
				for _, damaged := range [][]byte{data[:at], flipped(data, at)} {
					state, refused, err := q.outcome(damaged)
					if err = errors.Join(err, refused); err != nil || state != last {
						return fmt.Errorf("state %d of %d: %w", state, last, err)
					}
				}
				return nil
			})
		})
	}
}

// TestDamagedSnapshotAndJournal: when the snapshot and the part of the journal
// that leads from its backup are both damaged, the store refuses.
func TestDamagedSnapshotAndJournal(t *testing.T) {
	p := withLargeSnapshot(t)
	p.files[db] = flipped(p.files[db], 1000)
	p.name = db + ".journal/00000002.log" // from the backup to the snapshot
	data := p.files[p.name]
	everywhere(t, len(data), count(31, 1), func(at int) error {
		for _, damaged := range [][]byte{data[:at], flipped(data, at)} {
			state, refused, err := p.outcome(damaged)
			if err != nil {
				return err
			}
			if refused == nil {
				return fmt.Errorf("opened with state %d", state)
			}
		}
		return nil
	})
}
