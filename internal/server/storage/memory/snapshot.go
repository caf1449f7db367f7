package memory

import (
	"hash/maphash"
	"iter"
	"math"
	"slices"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// Snapshot is a copy of the state at one moment.
type Snapshot struct {
	shards    [numShards]frozen
	producers frozenProducers
}

type frozen struct {
	keys  []string
	cells []cell
}

// Producer is the memory of one producer.
type Producer struct {
	Name string
	// Window is nil for a key that names one batch.
	Window *storage.Window
	// Idle is how long ago its last batch was. The time the program was not
	// running doesn't count: better remembered too long than forgotten too early.
	Idle time.Duration
}

// Snapshot copies the state. The caller must see to it that no write commits
// meanwhile; staged writes are not in it.
func (s *Store) Snapshot() *Snapshot {
	var snap Snapshot
	for n := range s.shards {
		sh := &s.shards[n]
		sh.mu.RLock()
		snap.shards[n] = frozen{keys: sh.keys, cells: slices.Clone(sh.cells)}
		sh.mu.RUnlock()
	}
	snap.producers = s.producers.snapshot()
	return &snap
}

// Len counts the series. It walks over all of them.
func (s *Snapshot) Len() int {
	n := 0
	for i := range s.shards {
		for _, c := range s.shards[i].cells {
			if c.ts != absent {
				n++
			}
		}
	}
	return n
}

// Metrics yields every series once.
func (s *Snapshot) Metrics() iter.Seq[metric.Metric] {
	return func(yield func(metric.Metric) bool) {
		for i := range s.shards {
			for m := range metrics(s.shards[i].keys, s.shards[i].cells) {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// CountProducers is how many producers there are.
func (s *Snapshot) CountProducers() int {
	return len(s.producers.numbered.names) + len(s.producers.single.names)
}

// Producers yields every producer once.
func (s *Snapshot) Producers() iter.Seq[Producer] {
	return func(yield func(Producer) bool) {
		n := &s.producers.numbered
		for i := range n.names {
			if !yield(Producer{n.names[i], &n.windows[i], s.producers.at - n.seen[i]}) {
				return
			}
		}
		n = &s.producers.single
		for i := range n.names {
			if !yield(Producer{n.names[i], nil, s.producers.at - n.seen[i]}) {
				return
			}
		}
	}
}

// Resolve finds or makes the series of a key. The methods below apply to it
// what was committed in an earlier life of the process; they must not run
// beside Stage.
func (s *Store) Resolve(key []byte) (ID, error) {
	var m metric.Metric
	if err := m.ParseKey(string(key), nil); err != nil {
		return 0, err
	}
	n := uint32(maphash.Bytes(s.seed, key) % numShards)
	s.shards[n].mu.Lock()
	defer s.shards[n].mu.Unlock()
	slot, _ := s.slotLocked(n, key, math.MaxInt64)
	return ID(slot*numShards + n), nil
}

// Key is the key of a series.
func (s *Store) Key(id ID) string {
	key, _ := s.read(id)
	return key
}

// RestoreGauge sets a gauge unless a newer value is there. arrived is that of
// the write it came with, 0 if unknown.
func (s *Store) RestoreGauge(id ID, value float64, ts, arrived int64) {
	sh := &s.shards[id.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.cellLocked(id).set(value, ts, arrived)
}

// RestoreCounter adds to a counter. It reports false, and changes nothing, if
// that overflows.
func (s *Store) RestoreCounter(id ID, delta, ts, arrived int64) bool {
	sh := &s.shards[id.shard()]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if delta < 0 || delta > math.MaxInt64-sh.reserved[id.slot()] {
		return false
	}
	s.cellLocked(id).add(delta, ts, arrived)
	sh.reserved[id.slot()] += delta
	return true
}

// RestoreProducer replaces what is known of a producer.
func (s *Store) RestoreProducer(pr Producer) { s.producers.restore(pr) }

// RestoreMark remembers a mark as applied.
func (s *Store) RestoreMark(mark storage.Mark) { s.producers.apply(mark) }
