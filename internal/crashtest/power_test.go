package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
)

// fragile is a file system whose power is cut at one of the next operations,
// before or after it.
type fragile struct {
	*vfs.MemFS
	left atomic.Int64 // operations until the cut
	cut  func()
	lies bool // answers SyncData and does nothing

	// linkMu keeps a clone from waiting within Link, which takes a lock of MemFS
	// twice and so deadlocks with it.
	linkMu sync.RWMutex
}

// op counts a moment at which the power may go.
func (f *fragile) op() {
	if f.left.Add(-1) == 0 {
		f.cut()
	}
}

func (f *fragile) clone(cfg vfs.CrashCloneCfg) *vfs.MemFS {
	f.linkMu.Lock()
	defer f.linkMu.Unlock()
	return f.CrashClone(cfg)
}

func (f *fragile) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	f.op()
	file, err := f.MemFS.Create(name, c)
	f.op()
	return &fragileFile{file, f}, err
}

func (f *fragile) Link(from, to string) error {
	f.op()
	f.linkMu.RLock()
	defer f.linkMu.RUnlock()
	return f.MemFS.Link(from, to)
}

func (f *fragile) Remove(name string) error {
	f.op()
	return f.MemFS.Remove(name)
}

func (f *fragile) Rename(from, to string) error {
	f.op()
	err := f.MemFS.Rename(from, to)
	f.op()
	return err
}

func (f *fragile) OpenDir(name string) (vfs.File, error) {
	file, err := f.MemFS.OpenDir(name)
	return &fragileFile{file, f}, err
}

type fragileFile struct {
	vfs.File
	f *fragile
}

func (f *fragileFile) Write(p []byte) (int, error) {
	f.f.op()
	return f.File.Write(p)
}

func (f *fragileFile) Sync() error {
	f.f.op()
	err := f.File.Sync()
	f.f.op()
	return err
}

func (f *fragileFile) SyncData() error {
	f.f.op()
	if f.f.lies {
		return nil
	}
	err := f.File.SyncData()
	f.f.op()
	return err
}

// storeView reads a storage.
type storeView struct{ s storage.Storage }

func (v storeView) value(k metric.Kind, name, label, value string) (metric.Metric, error) {
	sel := storage.Selector{Kind: k, Name: name}
	if label != "" {
		sel.Labels = metric.NewLabels(label, value)
	}
	return v.s.Value(context.Background(), sel)
}

func (v storeView) counter(name, label, value string) (int64, error) {
	m, err := v.value(metric.Counter, name, label, value)
	if errors.Is(err, storage.ErrNotFound) {
		return 0, nil
	}
	return m.Delta, err
}

func (v storeView) gauge(name, label, value string) (float64, error) {
	m, err := v.value(metric.Gauge, name, label, value)
	if errors.Is(err, storage.ErrNotFound) {
		return -1, nil
	}
	return m.Value, err
}

// write is the batch as a storage takes it.
func (b *batch) write(mark storage.Mark) *storage.Write {
	w := &storage.Write{Mark: mark, Minimal: true}
	label, value, at := b.gauge()
	b.effect(func(name, label, value string, delta int64) {
		w.Metrics = append(w.Metrics, metric.Metric{
			Kind: metric.Counter, Name: name, Delta: delta, Timestamp: at, Labels: metric.NewLabels(label, value),
		})
	})
	w.Metrics = append(w.Metrics, metric.Metric{
		Kind: metric.Gauge, Name: "last", Value: float64(b.n), Timestamp: at, Labels: metric.NewLabels(label, value),
	})
	return w
}

// outage is one machine, its writers, and its power cuts.
type outage struct {
	interval time.Duration
	rng      *rand.Rand
	oracle   *oracle
	disk     *fragile
	marks    map[*batch]storage.Mark // by batch; the oracle's lock guards it
	durable  map[*batch]bool         // in a snapshot that is on disk; the oracle's lock guards it
	sequence []uint64                // by sender
	cutting  chan bool               // closed at the cut
	after    *vfs.MemFS
	lies     bool          // the disk does
	breath   time.Duration // the longest pause between two snapshots
}

const powerWriters = 4

func (u *outage) options(disk *fragile) dump.Options {
	return dump.Options{
		FS: disk, Path: "/data/db.json", Interval: u.interval, Restore: true, Now: time.Now, Log: zap.NewNop(),
	}
}

func newOutage(interval time.Duration, rng *rand.Rand) *outage {
	return &outage{
		interval: interval, rng: rng, oracle: &oracle{},
		marks: map[*batch]storage.Mark{}, durable: map[*batch]bool{}, sequence: make([]uint64, powerWriters),
	}
}

// arm makes the power go at one of the next operations on the disk.
func (u *outage) arm(fs *vfs.MemFS) {
	disk := &fragile{MemFS: fs, lies: u.lies}
	cutting := make(chan bool)
	u.disk, u.cutting, u.after = disk, cutting, nil
	percent, rng := u.rng.IntN(101), fork(u.rng)
	disk.cut = sync.OnceFunc(func() {
		u.oracle.freeze(true)
		u.after = disk.clone(vfs.CrashCloneCfg{UnsyncedDataPercent: percent, RNG: rng})
		close(cutting)
	})
	// Opening takes some 10 operations, a batch with fsync 4, a snapshot 12. A long
	// life sees many snapshots, a short one is cut while it recovers.
	disk.left.Store(1 + u.rng.Int64N([]int64{20, 120, 120, 400}[u.rng.IntN(4)]))
	u.breath = []time.Duration{0, 50 * time.Microsecond, 400 * time.Microsecond}[u.rng.IntN(3)]
}

// life opens the store, checks what an earlier cut has left, and works until the
// next one.
func (u *outage) life() error {
	s, err := dump.Open(u.options(u.disk))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	u.oracle.freeze(false)
	select {
	case <-u.cutting: // while it was opened
		u.oracle.freeze(true)
	default:
	}
	if err := u.verify(s); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, powerWriters+1)
	for w := range powerWriters {
		rng := fork(u.rng)
		wg.Go(func() { errs[w] = u.writer(s, w, rng) })
	}
	rng := fork(u.rng)
	wg.Go(func() { errs[powerWriters] = u.snapshots(s, rng) })
	wg.Wait()
	return errors.Join(errs...)
}

// verify checks what is there, then sends every batch once more: those that are
// there must be known, and the others are applied now.
func (u *outage) verify(s *dump.Store) error {
	o := u.oracle
	var must func(*batch) bool
	if u.interval > 0 {
		must = func(b *batch) bool { return u.durable[b] }
	}
	applied, err := o.check(storeView{s}, must)
	if err != nil {
		return err
	}
	if u.interval > 0 {
		if err := u.prefix(applied); err != nil {
			return err
		}
	}
	for n, b := range o.batches { // nobody else works on it now
		replayed, err := s.Apply(context.Background(), b.write(u.marks[b]))
		if err != nil {
			return fmt.Errorf("apply %v again: %w", b, err)
		}
		if replayed != (applied[n] == 1) {
			return fmt.Errorf("%v was applied %d times, but of its mark the storage says %v", b, applied[n], replayed)
		}
		o.ack(b)
	}
	if o.isFrozen() {
		return nil // the power went while it was verified; who knows what was acknowledged
	}
	_, err = o.check(storeView{s}, nil)
	return err
}

// prefix demands of each writer that there is no batch behind one that is
// missing: it writes one after the other.
func (u *outage) prefix(applied []int) error {
	missing := map[int]*batch{}
	for n, times := range applied {
		b := u.oracle.batches[n]
		switch first := missing[b.sender]; {
		case times == 0 && first == nil:
			missing[b.sender] = b
		case times > 0 && first != nil:
			return fmt.Errorf("%v is there, but not %v, which was there before it", b, first)
		}
	}
	return nil
}

func (u *outage) writer(s *dump.Store, id int, rng *rand.Rand) error {
	for range 400 {
		select {
		case <-u.cutting:
			return nil
		default:
		}
		b := u.oracle.next(id, rng)
		u.oracle.mu.Lock()
		u.sequence[id]++
		mark := storage.Mark{Producer: fmt.Sprintf("#w%d", id), Sequence: u.sequence[id]}
		u.marks[b], b.key = mark, fmt.Sprintf("w%d/%d", id, u.sequence[id])
		u.oracle.mu.Unlock()
		if _, err := s.Apply(context.Background(), b.write(mark)); err != nil {
			return fmt.Errorf("apply %v: %w", b, err)
		}
		u.oracle.ack(b)
	}
	return nil
}

// snapshots takes snapshots now and then. What was acknowledged before one began
// is on disk when it is done.
func (u *outage) snapshots(s *dump.Store, rng *rand.Rand) error {
	for {
		select {
		case <-u.cutting:
			return nil
		case <-time.After(within(rng, u.breath+1)):
		}
		o := u.oracle
		o.mu.Lock()
		var before []*batch
		for _, b := range o.batches {
			if b.acked >= 0 {
				before = append(before, b)
			}
		}
		o.mu.Unlock()
		if err := s.Snapshot(); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		o.mu.Lock()
		for _, b := range before {
			if !o.frozen {
				u.durable[b] = true
			}
		}
		done := len(o.batches) > 1500 // the writers' are all there: the cut never comes
		o.mu.Unlock()
		if done {
			u.disk.left.Store(1)
			u.disk.op()
			return nil
		}
	}
}

// TestPowerCut cuts the power of the whole storage at random moments, also while
// it recovers from the cut before, and drops a random part of what was not
// synced.
func TestPowerCut(t *testing.T) {
	for _, tt := range []struct {
		name     string
		interval time.Duration
		cuts     int
	}{
		{"interval 0", 0, count(400, 10_000)},
		{"interval", time.Hour, count(400, 10_000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng, ctx := newRand(t), deadline(t)
			batches, life := 0, 0
			for cuts := 0; cuts < tt.cuts; life++ {
				u := newOutage(tt.interval, fork(rng))
				u.arm(vfs.NewCrashableMem())
				for range 6 {
					err := u.life()
					if err != nil {
						keep(t, u.disk)
					}
					require.NoError(t, err, "machine %d, cut %d", life, u.oracle.kills)
					require.NoError(t, ctx.Err())
					if u.after == nil { // not reached: the cut came not even at the end
						break
					}
					cuts++
					u.oracle.killed()
					u.arm(u.after)
				}
				batches += len(u.oracle.batches)
			}
			t.Logf("%d cuts on %d machines, %d batches", tt.cuts, life, batches)
		})
	}
}

// TestHarnessCatchesLyingDisk is the negative control: on a disk whose fsync
// does nothing the harness misses what was acknowledged.
func TestHarnessCatchesLyingDisk(t *testing.T) {
	rng := newRand(t)
	for range 50 {
		u := newOutage(0, fork(rng))
		u.lies = true
		u.arm(vfs.NewCrashableMem())
		for range 6 {
			if err := u.life(); err != nil {
				var found *wrong
				if damaged, ok := errors.AsType[*journal.CorruptError](err); ok {
					// A hole that a later record stands behind: the server itself refuses it.
					t.Logf("caught: %v", damaged)
					return
				}
				require.ErrorAs(t, err, &found)
				require.NotEmpty(t, found.lost)
				require.Empty(t, found.doubled)
				t.Logf("caught: %v", found)
				return
			}
			u.oracle.killed()
			u.arm(u.after)
		}
	}
	t.Fatal("300 cuts and nothing found: the harness is blind")
}

// keep copies a disk into the test's folder.
func keep(t *testing.T, disk *fragile) {
	dir := folder(t)
	if _, err := vfs.Clone(disk.MemFS, vfs.Default, "/data", dir+"/data", vfs.CloneTryLink); err != nil {
		t.Logf("keep the disk: %v", err)
	}
	t.Log(strings.TrimSpace(disk.String()))
}
