package dump_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(path string) dump.Options {
	return dump.Options{FS: vfs.Default, Path: path, Interval: time.Hour, Restore: true, Now: time.Now, Log: zap.NewNop()}
}

func open(t testing.TB, o dump.Options) *dump.Store {
	t.Helper()
	s, err := dump.Open(o)
	require.NoError(t, err)
	return s
}

func TestContract(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Hour} {
		t.Run(fmt.Sprint("interval=", interval), func(t *testing.T) {
			storagetest.Run(t, func(t *testing.T) storage.Storage {
				o := options(filepath.Join(t.TempDir(), "db.json"))
				o.Interval = interval
				s := open(t, o)
				t.Cleanup(func() { require.NoError(t, s.Close()) })
				return s
			})
		})
	}
}

func TestLimit(t *testing.T) {
	storagetest.RunLimit(t, func(t *testing.T, limit int) storagetest.Limited {
		o := options(filepath.Join(t.TempDir(), "db.json"))
		o.MaxSeries = limit
		s := open(t, o)
		closeIt := func() { require.NoError(t, s.Close()) }
		t.Cleanup(func() { closeIt() })
		return storagetest.Limited{Storage: s, Reopen: func(limit int) storage.Storage {
			closeIt()
			o.MaxSeries = limit
			s = open(t, o)
			return s
		}}
	})
}

// state is all a store holds, to compare.
func state(t testing.TB, s *dump.Store) map[string]metric.Metric {
	t.Helper()
	out := map[string]metric.Metric{}
	for m, err := range s.All(context.Background()) {
		require.NoError(t, err)
		out[string(m.AppendKey(nil))] = m
	}
	return out
}

func fill(t testing.TB, s *dump.Store, round int) {
	t.Helper()
	for i := range 20 {
		replayed, err := s.Apply(context.Background(), &storage.Write{
			Mark: storage.Mark{Producer: "#p", Sequence: uint64(round*20 + i + 1)},
			Metrics: []metric.Metric{
				storagetest.Counter("c", int64(i), "i", fmt.Sprint(i)),
				storagetest.Gauge("g", math.Sqrt(float64(i+round)), "i", fmt.Sprint(i), "odd", "<\"\n\\>😀"),
			},
		})
		require.NoError(t, err)
		require.False(t, replayed)
	}
	_, err := s.Apply(context.Background(), &storage.Write{Mark: storage.Mark{Producer: fmt.Sprintf("=one-%d", round)}})
	require.NoError(t, err)
}

func requireMarks(t testing.TB, s *dump.Store, rounds int) {
	t.Helper()
	before := state(t, s)
	for seq := 1; seq <= rounds*20; seq++ {
		replayed, err := s.Apply(context.Background(), &storage.Write{
			Mark: storage.Mark{Producer: "#p", Sequence: uint64(seq)}, Metrics: []metric.Metric{storagetest.Counter("c", 1)},
		})
		require.NoError(t, err)
		require.True(t, replayed, "sequence %d was forgotten", seq)
	}
	for round := range rounds {
		replayed, err := s.Apply(context.Background(), &storage.Write{Mark: storage.Mark{Producer: fmt.Sprintf("=one-%d", round)}})
		require.NoError(t, err)
		require.True(t, replayed)
	}
	require.Equal(t, before, state(t, s))
}

func TestRestartKeepsAll(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "sub", "db.json"))
	want := map[string]metric.Metric{}
	for round := range 4 {
		s := open(t, o)
		require.Equal(t, want, state(t, s))
		requireMarks(t, s, round)
		fill(t, s, round)
		want = state(t, s)
		require.NoError(t, s.Close())
	}
	s := open(t, o)
	defer s.Close()
	require.Equal(t, want, state(t, s))
	requireMarks(t, s, 4)
}

// abandon leaves a store as a killed process would: nothing is flushed, but its
// lock and its files' descriptors are gone.
func abandon(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	copyTree(t, filepath.Dir(path), dir)
	return filepath.Join(dir, filepath.Base(path))
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	require.NoError(t, os.CopyFS(to, os.DirFS(from)))
}

func TestKilledAtAnyMomentKeepsAll(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	s := open(t, o)
	defer s.Close()
	for round := range 4 {
		fill(t, s, round)
		if round%2 == 1 {
			require.NoError(t, s.Snapshot())
		}
		killed := o
		killed.Path = abandon(t, o.Path)
		again := open(t, killed)
		require.Equal(t, state(t, s), state(t, again))
		requireMarks(t, again, round+1)
		require.NoError(t, again.Close())
	}
}

func TestSnapshotIsReadable(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	s := open(t, o)
	fill(t, s, 0)
	require.NoError(t, s.Close())
	data, err := os.ReadFile(o.Path)
	require.NoError(t, err)
	lines := bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n"))
	require.Len(t, lines, 1+40+2+1)
	for _, line := range lines {
		require.True(t, json.Valid(line), "%s", line)
	}
	require.Contains(t, string(lines[0]), `"format":"gometheus-snapshot","version":1,"metrics":40,"producers":2,"journal":2`)
	require.Contains(t, string(lines[len(lines)-1]), `{"crc32c":"`)
}

func TestSnapshotOnlyWhenSomethingChanged(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	s := open(t, o)
	defer s.Close()
	require.NoError(t, s.Snapshot())
	first, err := os.Stat(o.Path)
	require.NoError(t, err)
	require.NoError(t, s.Snapshot())
	second, err := os.Stat(o.Path)
	require.NoError(t, err)
	require.True(t, os.SameFile(first, second))
	fill(t, s, 0)
	require.NoError(t, s.Snapshot())
	third, err := os.Stat(o.Path)
	require.NoError(t, err)
	require.False(t, os.SameFile(first, third))
	backup, err := os.Stat(o.Path + ".bak")
	require.NoError(t, err)
	require.True(t, os.SameFile(first, backup))
}

func TestRunSnapshotsEveryInterval(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	o.Interval = 5 * time.Millisecond
	s := open(t, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	fill(t, s, 0)
	require.Eventually(t, func() bool {
		data, err := os.ReadFile(o.Path)
		return err == nil && strings.Contains(string(data), `"metrics":40`)
	}, 10*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-done)
	require.NoError(t, s.Close())
}

func TestSecondServerIsKeptOut(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	s := open(t, o)
	defer s.Close()
	_, err := dump.Open(o)
	require.ErrorContains(t, err, "FILE_STORAGE_PATH")
}

func TestNoRestoreKeepsTheOldFiles(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	s := open(t, o)
	fill(t, s, 0)
	require.NoError(t, s.Close())
	old, err := os.ReadFile(o.Path)
	require.NoError(t, err)

	fresh := o
	fresh.Restore = false
	s = open(t, fresh)
	require.Empty(t, state(t, s))
	kept, err := os.ReadFile(o.Path + ".bak")
	require.NoError(t, err)
	require.Equal(t, old, kept)

	killed := o
	killed.Path = abandon(t, o.Path)
	again := open(t, killed)
	require.Empty(t, state(t, again), "the old state came back after a crash")
	require.NoError(t, again.Close())

	// The new state must never be added to the old one.
	fill(t, s, 5)
	for name, damage := range map[string]func(path string) error{
		"damaged": func(path string) error { return os.Truncate(path, 20) },
		"missing": os.Remove,
	} {
		broken := o
		broken.Path = abandon(t, o.Path)
		require.NoError(t, damage(broken.Path), name)
		_, err := dump.Open(broken)
		var corrupt *journal.CorruptError
		require.ErrorAs(t, err, &corrupt, name)
	}
	require.NoError(t, s.Close())
}

// TestKilledWhileStartingEmpty: whatever part of RESTORE=false was done, the next
// start has the old state, the new one, or says what is missing.
func TestKilledWhileStartingEmpty(t *testing.T) {
	o, want := damaged(t)
	require.NoError(t, os.Rename(o.Path+".journal", o.Path+".journal.bak"))
	core, logs := observer.New(zap.WarnLevel)
	o.Log = zap.New(core)
	s := open(t, o)
	require.NotEqual(t, want, state(t, s))
	require.Len(t, state(t, s), 40)
	require.Equal(t, 1, logs.FilterMessageSnippet("no journal").Len())
	require.NoError(t, s.Close())
}

// damaged is a folder with a snapshot, its backup, and a journal that goes on.
func damaged(t *testing.T) (o dump.Options, want map[string]metric.Metric) {
	o = options(filepath.Join(t.TempDir(), "db.json"))
	s := open(t, o)
	fill(t, s, 0)
	require.NoError(t, s.Snapshot())
	fill(t, s, 1)
	require.NoError(t, s.Snapshot())
	fill(t, s, 2)
	want = state(t, s)
	path := abandon(t, o.Path)
	require.NoError(t, s.Close())
	o.Path = path
	return o, want
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[at] ^= 0x40
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

func TestDamagedSnapshotFallsBack(t *testing.T) {
	for name, damage := range map[string]func(*testing.T, string){
		"flipped": func(t *testing.T, path string) { flip(t, path, 300) },
		"cut":     func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 100)) },
		"empty":   func(t *testing.T, path string) { require.NoError(t, os.Truncate(path, 0)) },
		"missing": func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		"longer": func(t *testing.T, path string) {
			data, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, append(data, "{}\n"...), 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, want := damaged(t)
			damage(t, o.Path)
			core, logs := observer.New(zap.WarnLevel)
			o.Log = zap.New(core)
			s := open(t, o)
			require.Equal(t, want, state(t, s), "the backup and the journal make it good")
			requireMarks(t, s, 3)
			require.NotZero(t, logs.Len(), "it must be said")
			require.NoError(t, s.Close())
			aside, err := filepath.Glob(o.Path + ".corrupt-*")
			require.NoError(t, err)
			if name == "flipped" || name == "cut" || name == "longer" {
				require.Len(t, aside, 1)
			}
			s = open(t, o)
			require.Equal(t, want, state(t, s))
			require.NoError(t, s.Close())
		})
	}
}

// TestDamagedFirstSnapshot: there is no backup yet, but the journal was never cut.
func TestDamagedFirstSnapshot(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	s := open(t, o)
	fill(t, s, 0)
	require.NoError(t, s.Snapshot())
	fill(t, s, 1)
	want := state(t, s)
	o.Path = abandon(t, o.Path)
	require.NoError(t, s.Close())
	flip(t, o.Path, 300)
	for range 2 {
		s = open(t, o)
		require.Equal(t, want, state(t, s))
		requireMarks(t, s, 2)
		require.NoError(t, s.Close())
	}
}

func TestDamageThatCantBeMadeGoodRefuses(t *testing.T) {
	segments := func(t *testing.T, o dump.Options) []string {
		names, err := filepath.Glob(o.Path + ".journal/*.log")
		require.NoError(t, err)
		return names
	}
	for name, tt := range map[string]struct {
		damage func(*testing.T, dump.Options)
		says   string
	}{
		"snapshot and backup": {func(t *testing.T, o dump.Options) {
			flip(t, o.Path, 300)
			flip(t, o.Path+".bak", 300)
		}, "db.json.bak: damaged at byte"},
		"snapshot without backup": {func(t *testing.T, o dump.Options) {
			flip(t, o.Path, 300)
			require.NoError(t, os.Remove(o.Path+".bak"))
		}, "db.json: damaged at byte"},
		"both snapshots missing": {func(t *testing.T, o dump.Options) {
			require.NoError(t, os.Remove(o.Path))
			require.NoError(t, os.Remove(o.Path+".bak"))
			require.NoError(t, os.Remove(segments(t, o)[0]))
		}, "00000001.log: this segment of the journal is missing"},
		"middle of the journal": {func(t *testing.T, o dump.Options) {
			all := segments(t, o)
			flip(t, all[len(all)-1], 200)
		}, "records follow behind the damage"},
		"segment of the journal missing": {func(t *testing.T, o dump.Options) {
			all := segments(t, o)
			require.NoError(t, os.Remove(all[len(all)-1]))
		}, "this segment of the journal is missing"},
		"another format": {func(t *testing.T, o dump.Options) {
			require.NoError(t, os.WriteFile(o.Path, []byte(`{"format":"gometheus-snapshot","version":2}`+"\n"), 0o600))
			require.NoError(t, os.Remove(o.Path+".bak"))
		}, "version 2"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _ := damaged(t)
			tt.damage(t, o)
			for range 2 { // a second try must not start empty either
				_, err := dump.Open(o)
				var corrupt *journal.CorruptError
				require.ErrorAs(t, err, &corrupt)
				require.ErrorContains(t, err, tt.says)
				require.NotEmpty(t, corrupt.Path)
			}
		})
	}
}

func TestTornTailIsCut(t *testing.T) {
	o, want := damaged(t)
	all, err := filepath.Glob(o.Path + ".journal/*.log")
	require.NoError(t, err)
	f, err := os.OpenFile(all[len(all)-1], os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte{1, 2, 3, 4, 100, 0, 1, 7, 7, 7})
	require.NoError(t, err)
	require.NoError(t, f.Close())
	for range 2 { // the second time the segment has a successor
		core, logs := observer.New(zap.WarnLevel)
		o.Log = zap.New(core)
		s := open(t, o)
		require.Equal(t, want, state(t, s))
		o.Path = abandon(t, o.Path)
		require.NoError(t, s.Close())
		_ = logs
	}
}

func TestSnapshotAloneIsABackup(t *testing.T) {
	o, _ := damaged(t)
	require.NoError(t, os.RemoveAll(o.Path+".journal"))
	core, logs := observer.New(zap.WarnLevel)
	o.Log = zap.New(core)
	s := open(t, o)
	require.Len(t, state(t, s), 40)
	require.NoError(t, s.Close())
	require.Equal(t, 1, logs.FilterMessageSnippet("no journal").Len())
}

func TestEmptyFileIsNew(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	require.NoError(t, os.WriteFile(o.Path, nil, 0o600))
	s := open(t, o)
	fill(t, s, 0)
	require.NoError(t, s.Close())
	s = open(t, o)
	require.Len(t, state(t, s), 40)
	require.NoError(t, s.Close())
}

// TestPowerCut drops unsynced bytes: with interval 0 nothing that was answered
// may go with them.
func TestPowerCut(t *testing.T) {
	fs := vfs.NewCrashableMem()
	o := options("/data/db.json")
	o.FS, o.Interval = fs, 0
	s := open(t, o)
	defer s.Close()
	for round := range 4 {
		fill(t, s, round)
		if round == 2 {
			require.NoError(t, s.Snapshot())
		}
		cut := o
		cut.FS = fs.CrashClone(vfs.CrashCloneCfg{})
		again := open(t, cut)
		require.Equal(t, state(t, s), state(t, again))
		requireMarks(t, again, round+1)
		require.NoError(t, again.Close())
	}
}

func TestWritersShareGroups(t *testing.T) {
	o := options(filepath.Join(t.TempDir(), "db.json"))
	o.Interval = 0
	s := open(t, o)
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for i := range 50 {
				_, err := s.Apply(context.Background(), &storage.Write{
					Mark:    storage.Mark{Producer: fmt.Sprint("#", w), Sequence: uint64(i + 1)},
					Metrics: []metric.Metric{storagetest.Counter("c", 1), storagetest.Counter("own", 1, "w", fmt.Sprint(w))},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		require.NoError(t, s.Snapshot())
	}
	wg.Wait()
	require.Equal(t, int64(800), storagetest.Total(t, s, "c"))
	killed := o
	killed.Path = abandon(t, o.Path)
	again := open(t, killed)
	require.Equal(t, state(t, s), state(t, again))
	require.NoError(t, again.Close())
	require.NoError(t, s.Close())
}

// failing is a file system whose fsync of data fails on demand.
type failing struct {
	vfs.FS
	err atomic.Pointer[error]
}

func (f *failing) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return &failingFile{file, f}, err
}

type failingFile struct {
	vfs.File
	f *failing
}

func (f *failingFile) SyncData() error {
	if err := f.f.err.Load(); err != nil {
		return *err
	}
	return f.File.SyncData()
}

// TestFailedFsyncIsFinal: from then on nobody knows what is on disk, so writes
// are refused until somebody acts. Reads go on, and ping says so.
func TestFailedFsyncIsFinal(t *testing.T) {
	fs := &failing{FS: vfs.NewMem()}
	o := options("/data/db.json")
	o.FS, o.Interval = fs, 0
	s := open(t, o)
	fill(t, s, 0)
	want := state(t, s)
	require.NoError(t, s.Ping(context.Background()))
	broken := syscall.EIO
	err := error(broken)
	fs.err.Store(&err)
	write := func() error {
		_, err := s.Apply(context.Background(), &storage.Write{
			Mark: storage.Mark{Producer: "#p", Sequence: 500}, Metrics: []metric.Metric{storagetest.Counter("c", 1)},
		})
		return err
	}
	require.ErrorIs(t, write(), storage.ErrUnavailable)
	require.Error(t, s.Ping(context.Background()))
	fs.err.Store(nil)
	require.ErrorIs(t, write(), storage.ErrUnavailable, "a later fsync that works proves nothing")
	require.Error(t, s.Ping(context.Background()))
	require.Equal(t, want, state(t, s), "what was refused is not visible")
	require.Error(t, s.Snapshot())
	require.Error(t, s.Close())
	again := open(t, o)
	requireMarks(t, again, 1)
	require.NoError(t, again.Close())
}
