// Package buffer holds the samples that are not yet sealed into batches.
//
// It is bounded without ever losing an increment: gauges are samples in order
// of arrival, of which the oldest goes when there is no room; counters are one
// sum for each series, however long the server is away. So it grows with the
// number of counters, and not with time.
package buffer

import (
	"math"
	"sync"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Buffer accumulates metrics until they are taken. Its methods may be called at
// once from many goroutines.
type Buffer struct {
	limit int

	mu      sync.Mutex
	gauges  ring
	dropped uint64
	// sums are the counters' increments, in the order in which their series came.
	sums []sum
	// latest is where in sums the increments of a series are added, by its key.
	latest map[string]int
	key    []byte // scratch
}

// sum is increments of one counter added together.
type sum struct {
	metric.Metric
	// rest: another sum of the series stands before, to which this one couldn't
	// be added without overflow.
	rest bool
}

// New returns a buffer of at most limit gauge samples, at least one.
func New(limit int) *Buffer {
	return &Buffer{limit: max(limit, 1), latest: make(map[string]int)}
}

// Add takes the metrics in and returns how many older gauge samples had to go
// for them. The metrics are copied; the labels they share must not change.
func (b *Buffer) Add(metrics []metric.Metric) (dropped int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range metrics {
		if metrics[i].Kind == metric.Counter {
			b.countLocked(&metrics[i])
			continue
		}
		if b.gauges.n == b.limit {
			b.gauges.pop()
			dropped++
		}
		b.gauges.push(metrics[i], b.limit)
	}
	b.dropped += uint64(dropped)
	return dropped
}

// countLocked adds an increment to the sum of its series. A sum that would
// exceed int64 is left as it is, and another one begun.
func (b *Buffer) countLocked(m *metric.Metric) {
	b.key = m.AppendKey(b.key[:0])
	i, known := b.latest[string(b.key)]
	if known && b.sums[i].Delta <= math.MaxInt64-m.Delta {
		b.sums[i].Delta += m.Delta
		b.sums[i].Timestamp = max(b.sums[i].Timestamp, m.Timestamp)
		return
	}
	b.latest[string(b.key)] = len(b.sums)
	b.sums = append(b.sums, sum{Metric: *m, rest: known})
}

// Take removes and returns at most n metrics for one batch, and of the large ones
// as many as make about size bytes, but at least one: the counters first, then the
// gauges, oldest first. Two sums of one counter never come together, because the
// server adds them up within a batch.
func (b *Buffer) Take(n, size int) []metric.Metric {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]metric.Metric, 0, min(n, len(b.sums)+b.gauges.n))
	for len(b.sums) > len(out) && len(out) < n {
		s := &b.sums[len(out)]
		if s.rest && len(out) > 0 || size <= 0 {
			break
		}
		size -= weight(&s.Metric)
		out = append(out, s.Metric)
	}
	b.forgetLocked(len(out))
	for b.gauges.n > 0 && len(out) < n && size > 0 {
		m := b.gauges.pop()
		size -= weight(&m)
		out = append(out, m)
	}
	return out
}

// weight is about how many bytes of a batch a metric is.
func weight(m *metric.Metric) int {
	n := 200 + len(m.Name) // type, value, time
	for _, l := range m.Labels {
		n += len(l.Name) + len(l.Value) + 6
	}
	return n
}

// forgetLocked removes the first n sums.
func (b *Buffer) forgetLocked(n int) {
	if n == 0 {
		return
	}
	b.sums = append(b.sums[:0], b.sums[n:]...)
	clear(b.sums[len(b.sums):cap(b.sums)])
	clear(b.latest)
	for i := range b.sums {
		b.key = b.sums[i].AppendKey(b.key[:0])
		b.latest[string(b.key)] = i
	}
}

// Len is how many metrics Take would return in all.
func (b *Buffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sums) + b.gauges.n
}

// Dropped is how many gauge samples had to go since the start.
func (b *Buffer) Dropped() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dropped
}

// ring is a FIFO that grows by doubling up to a limit and shrinks to nothing
// when it is empty, so that a long absence of the server costs no memory after
// it.
type ring struct {
	buf     []metric.Metric
	head, n int
}

// keep is the size up to which an empty ring is kept.
const keep = 1024

func (r *ring) push(m metric.Metric, limit int) {
	if r.n == len(r.buf) {
		buf := make([]metric.Metric, min(max(2*r.n, 64), limit))
		k := copy(buf, r.buf[r.head:])
		copy(buf[k:], r.buf[:r.head])
		r.buf, r.head = buf, 0
	}
	r.buf[(r.head+r.n)%len(r.buf)] = m
	r.n++
}

func (r *ring) pop() metric.Metric {
	m := r.buf[r.head]
	r.buf[r.head] = metric.Metric{}
	r.head = (r.head + 1) % len(r.buf)
	if r.n--; r.n == 0 && len(r.buf) > keep {
		*r = ring{}
	}
	return m
}
