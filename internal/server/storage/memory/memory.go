// Package memory keeps the state in this process.
//
// # Layout
//
// A series lives in a slot of one of a fixed number of shards. Its identity,
// the canonical key of package metric, never changes, and slots are never freed,
// so a slot number is a name for the series that is cheap to keep and to write
// down. What changes, value and time, stands apart in a dense array: a
// consistent copy of a million series is a few memcpys.
//
// # A write in two steps
//
// Stage finds or creates the series of a batch and checks whether all of it can
// be applied; nothing becomes visible. Commit makes it visible and can't fail;
// Rollback takes it back. A decorator that must write the batch down first does
// so between the two. To be sure at commit what was checked at stage, a counter
// has, besides its total, the sum that all staged increments would lead to: a
// reservation. Overflow is checked against it, so a commit never overflows,
// whatever the order in which staged writes commit or roll back.
//
// Writes touch each shard once for staging and once for committing, in batches
// sorted by shard; no goroutine holds two shard locks.
//
// The series are counted where they are found or made: staged ones count, so that
// writes at once don't exceed the limit together. One that is taken back makes
// room again; until then another may be refused that would have fit after all.
//
// # Locks
//
// A mark's lock is taken first and held until commit or rollback; then
// shard.mu, families.mu and producers.mu, each alone except that families.mu is
// taken inside shard.mu when a series is committed first.
package memory

import (
	"context"
	"hash/maphash"
	"iter"
	"math"
	"sync"
	"sync/atomic"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// numShards is a power of two and far above the number of cores that one
// process will see contend.
const numShards = 64

// Store is the storage. New makes one.
type Store struct {
	seed      maphash.Seed
	shards    [numShards]shard
	families  families
	producers producers
	txs       sync.Pool

	series    atomic.Int64 // slots in use
	maxSeries int64        // that Stage makes new ones up to
}

// New is an empty store.
func New() *Store {
	s := &Store{seed: maphash.MakeSeed(), maxSeries: math.MaxInt64}
	for i := range s.shards {
		s.shards[i].index = make(map[string]uint32)
		s.shards[i].pins = make(map[uint32]int)
	}
	s.families.ids = make(map[string][]ID)
	s.producers.init()
	s.txs.New = func() any { return new(Tx) }
	return s
}

// LimitSeries sets how many series there may be. What is restored counts, but is
// never refused. It must not be called beside other methods.
func (s *Store) LimitSeries(n int) { s.maxSeries = int64(n) }

// Series is how many series there are, staged ones among them.
func (s *Store) Series() int64 { return s.series.Load() }

// ID names a series for the life of the process: slot*numShards + shard.
type ID uint32

func (id ID) shard() uint32 { return uint32(id) % numShards }
func (id ID) slot() uint32  { return uint32(id) / numShards }

type shard struct {
	mu    sync.RWMutex
	index map[string]uint32 // key → slot
	// keys is by slot. A slot that was committed once keeps its key, so whoever
	// copied the slice and its cells may read the keys of those without the lock.
	keys  []string
	cells []cell // by slot
	// reserved is, for counters, the total plus all staged increments.
	reserved []int64
	// pins counts, by slot, the staged metrics that hold a series which was never
	// committed. Without them such a series goes, and its slot is free.
	pins map[uint32]int
	free []uint32

	_ [64]byte // shards side by side don't share a cache line
}

// cell is what a series is now.
type cell struct {
	bits uint64 // float64 bits of a gauge, int64 of a counter
	ts   int64  // newest time, Unix ms; absent: never committed
}

// absent marks a slot whose first write has not committed.
const absent = math.MinInt64

// slotLocked finds the slot of the key, or makes one if that makes no more than
// most series. sh.mu is held for writing.
func (s *Store) slotLocked(n uint32, key []byte, most int64) (slot uint32, ok bool) {
	sh := &s.shards[n]
	if slot, ok := sh.index[string(key)]; ok { // no allocation
		return slot, true
	}
	if s.series.Add(1) > most {
		s.series.Add(-1)
		return 0, false
	}
	k := string(key)
	slot = uint32(len(sh.keys))
	if last := len(sh.free) - 1; last >= 0 {
		slot, sh.free = sh.free[last], sh.free[:last]
		sh.keys[slot] = k
	} else {
		sh.keys = append(sh.keys, k)
		sh.cells = append(sh.cells, cell{ts: absent})
		sh.reserved = append(sh.reserved, 0)
	}
	sh.index[k] = slot
	return slot, true
}

// pinLocked keeps a series that was never committed for one more staged metric.
func (sh *shard) pinLocked(slot uint32) {
	if sh.cells[slot].ts == absent {
		sh.pins[slot]++
	}
}

// unpinLocked takes a pin back. The series goes with its last one.
func (s *Store) unpinLocked(sh *shard, slot uint32) {
	if sh.cells[slot].ts != absent {
		return
	}
	if sh.pins[slot]--; sh.pins[slot] > 0 {
		return
	}
	s.series.Add(-1)
	delete(sh.pins, slot)
	delete(sh.index, sh.keys[slot])
	sh.reserved[slot] = 0
	sh.free = append(sh.free, slot)
}

// cellLocked is the cell of a series that is about to be written. The first time
// it makes the series known.
func (s *Store) cellLocked(id ID) *cell {
	sh := &s.shards[id.shard()]
	c := &sh.cells[id.slot()]
	if c.ts == absent {
		delete(sh.pins, id.slot())
		s.families.add(sh.keys[id.slot()], id)
	}
	return c
}

// families finds all series of a kind and name.
type families struct {
	mu  sync.RWMutex
	ids map[string][]ID // by the key's prefix; append only
}

// add is called when a series is committed first, so a family holds no series
// that might go again.
func (f *families) add(key string, id ID) {
	var m metric.Metric
	if err := m.ParseKey(key, nil); err != nil {
		panic("memory: key of our own making: " + err.Error())
	}
	family := string(metric.AppendFamilyKey(nil, m.Kind, m.Name))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids[family] = append(f.ids[family], id)
}

func (f *families) find(kind metric.Kind, name string) []ID {
	var scratch [256]byte
	key := metric.AppendFamilyKey(scratch[:0], kind, name)
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.ids[string(key)]
}

// Apply implements storage.Storage.
func (s *Store) Apply(ctx context.Context, w *storage.Write) (replayed bool, err error) {
	tx, err := s.Stage(ctx, w)
	if err != nil {
		return false, err
	}
	replayed = tx.Replayed()
	tx.Commit()
	tx.Release()
	return replayed, nil
}

// Value implements storage.Storage.
func (s *Store) Value(_ context.Context, sel storage.Selector) (metric.Metric, error) {
	out := metric.Metric{Name: sel.Name, Kind: sel.Kind, Labels: sel.Labels, Timestamp: absent}
	for _, id := range s.families.find(sel.Kind, sel.Name) {
		key, c := s.read(id)
		if len(sel.Labels) > 0 && !keyMatches(key, sel.Labels) {
			continue
		}
		merge(&out, c)
	}
	if out.Timestamp == absent {
		return metric.Metric{}, storage.ErrNotFound
	}
	return out, nil
}

func (s *Store) read(id ID) (string, cell) {
	sh := &s.shards[id.shard()]
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.keys[id.slot()], sh.cells[id.slot()]
}

// merge folds one more series into the answer.
func merge(out *metric.Metric, c cell) {
	if out.Kind == metric.Counter {
		if d := int64(c.bits); d > math.MaxInt64-out.Delta {
			out.Delta = math.MaxInt64
		} else {
			out.Delta += d
		}
	} else if c.ts >= out.Timestamp {
		out.Value = math.Float64frombits(c.bits)
	}
	out.Timestamp = max(out.Timestamp, c.ts)
}

func keyMatches(key string, want metric.Labels) bool {
	var m metric.Metric
	var scratch [16]metric.Label
	return m.ParseKey(key, scratch[:0]) == nil && m.Labels.Matches(want)
}

// All implements storage.Storage. Each shard is copied under its lock and
// yielded outside it.
func (s *Store) All(ctx context.Context) iter.Seq2[metric.Metric, error] {
	return func(yield func(metric.Metric, error) bool) {
		var cells []cell
		for n := range s.shards {
			if err := ctx.Err(); err != nil {
				yield(metric.Metric{}, err)
				return
			}
			sh := &s.shards[n]
			sh.mu.RLock()
			keys := sh.keys
			cells = append(cells[:0], sh.cells...)
			sh.mu.RUnlock()
			for m := range metrics(keys, cells) {
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

// metrics turns slots into metrics, leaving out those never committed.
func metrics(keys []string, cells []cell) iter.Seq[metric.Metric] {
	return func(yield func(metric.Metric) bool) {
		for i, c := range cells {
			if c.ts == absent {
				continue
			}
			var m metric.Metric
			if err := m.ParseKey(keys[i], nil); err != nil {
				panic("memory: key of our own making: " + err.Error())
			}
			c.fill(&m)
			if !yield(m) {
				return
			}
		}
	}
}

// fill sets value or total, and time, of m.
func (c cell) fill(m *metric.Metric) {
	m.Value, m.Delta, m.Timestamp = 0, 0, c.ts
	if m.Kind == metric.Counter {
		m.Delta = int64(c.bits)
	} else {
		m.Value = math.Float64frombits(c.bits)
	}
}

// Ping implements storage.Storage.
func (s *Store) Ping(context.Context) error { return nil }

// Close implements storage.Storage.
func (s *Store) Close() error { return nil }
