package memory

import (
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"slices"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// Tx is a staged write. Exactly one of Commit and Rollback must be called, then
// Release.
type Tx struct {
	s        *Store
	w        *storage.Write
	unlock   func() // the mark's lock, if it has a mark
	replayed bool

	// Scratch, kept between uses.
	keys  []byte   // the metrics' keys, one after the other
	ends  []uint32 // by metric: where its key ends in keys
	ids   []ID     // by metric; until it is staged only the shard is right
	order []uint32 // metrics grouped by shard, in their order within a shard
	start [numShards + 1]uint32
}

// ID is the series of the i-th metric.
func (tx *Tx) ID(i int) ID { return tx.ids[i] }

// Replayed reports whether the mark was applied before. Committing then changes
// nothing.
func (tx *Tx) Replayed() bool { return tx.replayed }

// Write is the write that was staged. Its metrics are what was asked for until
// Commit overwrites them with what is stored.
func (tx *Tx) Write() *storage.Write { return tx.w }

// Stage checks and prepares a write: see the package comment. The write must
// not change until it is committed or rolled back.
func (s *Store) Stage(ctx context.Context, w *storage.Write) (*Tx, error) {
	tx := s.txs.Get().(*Tx)
	tx.s, tx.w = s, w
	if !w.Mark.IsZero() {
		var err error
		if tx.unlock, tx.replayed, err = s.producers.begin(ctx, w.Mark); err != nil {
			tx.Release()
			return nil, err
		}
	}
	tx.group()
	if tx.replayed {
		tx.resolve()
		return tx, nil
	}
	if err := tx.reserve(); err != nil {
		tx.Release()
		return nil, err
	}
	return tx, nil
}

// group computes every metric's key and shard and sorts the metrics by shard,
// keeping their order within one (a counting sort).
func (tx *Tx) group() {
	ms := tx.w.Metrics
	tx.ids = slices.Grow(tx.ids[:0], len(ms))[:len(ms)]
	tx.ends = slices.Grow(tx.ends[:0], len(ms))[:len(ms)]
	tx.order = slices.Grow(tx.order[:0], len(ms))[:len(ms)]
	tx.keys = tx.keys[:0]
	tx.start = [numShards + 1]uint32{}
	begin := 0
	// Metrics of one batch mostly share their label set (the decoder gives them
	// the same memory), and with it the end of their keys.
	var last metric.Labels
	var suffix []byte
	for i := range ms {
		m := &ms[i]
		tx.keys = metric.AppendFamilyKey(tx.keys, m.Kind, m.Name)
		if len(m.Labels) > 0 {
			if len(m.Labels) == len(last) && &m.Labels[0] == &last[0] {
				tx.keys = append(tx.keys, suffix...)
			} else {
				at := len(tx.keys)
				tx.keys = m.Labels.AppendKey(tx.keys)
				last, suffix = m.Labels, tx.keys[at:]
			}
		}
		n := maphash.Bytes(tx.s.seed, tx.keys[begin:]) % numShards
		begin = len(tx.keys)
		tx.ends[i] = uint32(begin)
		tx.ids[i] = ID(n)
		tx.start[n+1]++
	}
	for n := range numShards {
		tx.start[n+1] += tx.start[n]
	}
	next := tx.start
	for i, id := range tx.ids {
		n := id.shard()
		tx.order[next[n]] = uint32(i)
		next[n]++
	}
}

func (tx *Tx) key(i uint32) []byte {
	if i == 0 {
		return tx.keys[:tx.ends[0]]
	}
	return tx.keys[tx.ends[i-1]:tx.ends[i]]
}

// noID is in place of the ID of a series that there was no room for.
const noID ID = math.MaxUint32

// reserve finds the series and reserves the counters' increments: all or none.
func (tx *Tx) reserve() error {
	var refused map[uint32]int64  // metrics that reserved nothing, and what the counter was at
	var homeless map[string]int64 // what counters that there is no room for would come to
	tooMany := false
	for n := range uint32(numShards) {
		group := tx.order[tx.start[n]:tx.start[n+1]]
		if len(group) == 0 {
			continue
		}
		sh := &tx.s.shards[n]
		sh.mu.Lock()
		for _, i := range group {
			m := &tx.w.Metrics[i]
			slot, ok := tx.s.slotLocked(n, tx.key(i), tx.s.maxSeries)
			if !ok {
				tx.ids[i], tooMany = noID, true
				// What can't be applied for another reason is to be told.
				if m.Kind == metric.Counter {
					if homeless == nil {
						homeless = make(map[string]int64)
					}
					if at := homeless[string(tx.key(i))]; m.Delta <= math.MaxInt64-at {
						homeless[string(tx.key(i))] = at + m.Delta
						continue
					}
					if refused == nil {
						refused = make(map[uint32]int64)
					}
					refused[i] = homeless[string(tx.key(i))]
				}
				continue
			}
			sh.pinLocked(slot)
			tx.ids[i] = ID(slot*numShards + n)
			if m.Kind != metric.Counter {
				continue
			}
			if m.Delta > math.MaxInt64-sh.reserved[slot] {
				if refused == nil {
					refused = make(map[uint32]int64)
				}
				refused[i] = sh.reserved[slot]
				continue
			}
			sh.reserved[slot] += m.Delta
		}
		sh.mu.Unlock()
	}
	if refused == nil && !tooMany {
		return nil
	}
	tx.release(refused)
	if refused == nil {
		return &storage.SeriesLimitError{Limit: int(tx.s.maxSeries)}
	}
	var invalid metric.InvalidError
	for _, i := range slices.Sorted(maps.Keys(refused)) {
		invalid.Add(int(i), fmt.Errorf("delta %d: the counter, at %d, would exceed %d", tx.w.Metrics[i].Delta, refused[i], int64(math.MaxInt64)))
	}
	return &invalid
}

// release takes pins and reservations back, of those metrics that made one.
func (tx *Tx) release(refused map[uint32]int64) {
	tx.eachShard(func(sh *shard, group []uint32) {
		for _, i := range group {
			if tx.ids[i] == noID {
				continue
			}
			m := &tx.w.Metrics[i]
			slot := tx.ids[i].slot()
			if _, none := refused[i]; m.Kind == metric.Counter && !none {
				sh.reserved[slot] -= m.Delta
			}
			tx.s.unpinLocked(sh, slot)
		}
	})
}

// resolve finds the series of a replayed write, whose values the answer shows.
// A batch that was applied has all its series, unless the sender put another
// batch under the same mark; those show as zero.
func (tx *Tx) resolve() {
	for n := range uint32(numShards) {
		group := tx.order[tx.start[n]:tx.start[n+1]]
		if len(group) == 0 {
			continue
		}
		sh := &tx.s.shards[n]
		sh.mu.RLock()
		for _, i := range group {
			m := &tx.w.Metrics[i]
			c := cell{}
			if slot, ok := sh.index[string(tx.key(i))]; ok && sh.cells[slot].ts != absent {
				c = sh.cells[slot]
				if tx.w.Steps != nil {
					c.trace(&tx.w.Steps[i], m.Kind, ID(slot*numShards+n), sh.keys[slot])
				}
			}
			c.fill(m)
		}
		sh.mu.RUnlock()
	}
}

// Commit makes the write and its mark visible.
func (tx *Tx) Commit() {
	if tx.replayed {
		tx.unlockMark()
		return
	}
	tx.eachShard(func(sh *shard, group []uint32) {
		for _, i := range group {
			m := &tx.w.Metrics[i]
			c := tx.s.cellLocked(tx.ids[i])
			created := c.ts == absent
			if m.Kind == metric.Counter {
				c.add(m.Delta, m.Timestamp, tx.w.Arrived)
			} else {
				c.set(m.Value, m.Timestamp, tx.w.Arrived)
			}
			if tx.w.Steps == nil {
				continue
			}
			step := &tx.w.Steps[i]
			c.trace(step, m.Kind, tx.ids[i], sh.keys[tx.ids[i].slot()])
			step.Created = created
		}
		if !tx.w.Minimal {
			for _, i := range group {
				sh.cells[tx.ids[i].slot()].fill(&tx.w.Metrics[i])
			}
		}
	})
	if !tx.w.Mark.IsZero() {
		tx.s.producers.apply(tx.w.Mark)
	}
	tx.unlockMark()
}

func (c *cell) add(delta, ts, arrived int64) {
	c.bits = uint64(int64(c.bits) + delta)
	if ts > c.ts || c.misdated(arrived) {
		c.ts = ts
	}
}

func (c *cell) set(value float64, ts, arrived int64) {
	if ts >= c.ts || c.misdated(arrived) {
		c.bits, c.ts = math.Float64bits(value), ts
	}
}

// trace completes the step of a metric whose series is in c now.
func (c *cell) trace(step *metric.Step, kind metric.Kind, id ID, key string) {
	step.Stored, step.Series, step.Key = true, uint32(id)+1, key
	if kind == metric.Counter {
		step.Time, step.Total = c.ts, int64(c.bits)
	}
}

// misdated reports whether the time in c can only come from a clock that was
// wrong: see storage.Write.Arrived.
func (c *cell) misdated(arrived int64) bool {
	return arrived != 0 && c.ts > arrived+metric.MaxAhead
}

// Rollback forgets the write.
func (tx *Tx) Rollback() {
	if !tx.replayed {
		tx.release(nil)
	}
	tx.unlockMark()
}

// Release gives tx's memory back. tx must not be used after it.
func (tx *Tx) Release() {
	tx.unlockMark()
	tx.w, tx.replayed = nil, false
	if cap(tx.ids) > 16384 { // one huge batch must not stay in memory
		s := tx.s
		*tx = Tx{s: s}
	}
	tx.s.txs.Put(tx)
}

func (tx *Tx) unlockMark() {
	if tx.unlock != nil {
		tx.unlock()
		tx.unlock = nil
	}
}

// eachShard runs f for every shard that holds metrics of tx, under its lock.
func (tx *Tx) eachShard(f func(sh *shard, group []uint32)) {
	for n := range numShards {
		group := tx.order[tx.start[n]:tx.start[n+1]]
		if len(group) == 0 {
			continue
		}
		sh := &tx.s.shards[n]
		sh.mu.Lock()
		f(sh, group)
		sh.mu.Unlock()
	}
}
