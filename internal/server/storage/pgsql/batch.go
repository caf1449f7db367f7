package pgsql

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// batch is the metrics of one or more writes added up to one row a series, sorted
// by kind, name and labels, in the columns that the statements take. It is used
// again; what it held does not outlive the call.
type batch struct {
	metrics []*metric.Metric // of all writes, one after the other
	rows    []row            // one a metric, in the sorted order
	of      []int32          // by metric: the number of its series
	refused bool             // the increments of one series alone exceed an int64

	// By mark, sorted.
	marks     []storage.Mark
	producers []string
	sequences []int64
	// latest is the latest time that is not the mistake of a wrong clock.
	latest int64

	// By series.
	kinds    []int16
	names    []string
	labels   []string
	long     []*string // labels that are too long for a key; empty when none is
	counters []*int64  // nil for gauges
	gauges   []*float64
	newest   []int64

	sums   []int64 // what counters and gauges point to
	values []float64
	arena  []byte
	ends   []int // by metric: where its labels end in arena
}

// row is one metric.
type row struct {
	kind   metric.Kind
	name   string
	labels string  // as in the key
	long   *string // the labels, when labels is their digest
	index  int32
}

func (r *row) compare(other *row) int {
	if c := cmp.Compare(r.kind, other.kind); c != 0 {
		return c
	}
	if c := strings.Compare(r.name, other.name); c != 0 {
		return c
	}
	return strings.Compare(r.labels, other.labels)
}

// fill takes the writes. No two have the same producer.
func (b *batch) fill(writes ...*storage.Write) {
	b.reset()
	b.latest = math.MaxInt64
	for i, w := range writes {
		if i == 0 && w.Arrived != 0 || i > 0 && w.Arrived+metric.MaxAhead > b.latest {
			b.latest = w.Arrived + metric.MaxAhead
		}
		for j := range w.Metrics {
			b.metrics = append(b.metrics, &w.Metrics[j])
		}
		if !w.Mark.IsZero() {
			b.marks = append(b.marks, w.Mark)
		}
	}
	// Not nil, which would be a null and no empty array.
	b.producers, b.sequences = slices.Grow(b.producers, len(writes)), slices.Grow(b.sequences, len(writes))
	slices.SortFunc(b.marks, func(x, y storage.Mark) int { return strings.Compare(x.Producer, y.Producer) })
	for _, m := range b.marks {
		b.producers, b.sequences = append(b.producers, m.Producer), append(b.sequences, int64(m.Sequence))
	}
	b.addUp()
}

func (b *batch) reset() {
	const most = 16384 // one huge batch must not stay in memory
	if cap(b.rows) > most {
		*b = batch{}
	}
	b.refused = false
	b.metrics, b.rows, b.of = b.metrics[:0], b.rows[:0], b.of[:0]
	b.marks, b.producers, b.sequences = b.marks[:0], b.producers[:0], b.sequences[:0]
	b.kinds, b.names, b.labels, b.long = b.kinds[:0], b.names[:0], b.labels[:0], b.long[:0]
	b.counters, b.gauges, b.newest = b.counters[:0], b.gauges[:0], b.newest[:0]
}

// addUp makes the columns.
func (b *batch) addUp() {
	n := len(b.metrics)
	b.rows, b.of = slices.Grow(b.rows, n), slices.Grow(b.of, n)[:n]
	// They are pointed into, so they must not move while they grow.
	b.sums, b.values = slices.Grow(b.sums[:0], n), slices.Grow(b.values[:0], n)
	b.encode()
	slices.SortFunc(b.rows, func(x, y row) int {
		if c := x.compare(&y); c != 0 {
			return c
		}
		return cmp.Compare(x.index, y.index) // so that a later gauge comes later
	})
	for i := range b.rows {
		r := &b.rows[i]
		if i == 0 || r.compare(&b.rows[i-1]) != 0 {
			b.open(r)
		}
		n := len(b.kinds) - 1
		b.of[r.index] = int32(n)
		b.add(n, b.metrics[r.index])
	}
}

// encode makes the rows. Metrics of one sender mostly have the same labels, which
// are then encoded once.
func (b *batch) encode() {
	b.arena, b.ends = b.arena[:0], slices.Grow(b.ends[:0], len(b.metrics))
	for i, m := range b.metrics {
		if i == 0 || !slices.Equal(m.Labels, b.metrics[i-1].Labels) {
			b.arena = appendLabels(b.arena, m.Labels)
		}
		b.ends = append(b.ends, len(b.arena))
	}
	all := string(b.arena)
	begin, labels := 0, ""
	var long *string
	for i, end := range b.ends {
		if end > begin {
			labels, long = all[begin:end], nil
			if len(labels) > maxLabels {
				text := labels
				labels, long = digest(text), &text
			}
			begin = end
		}
		b.rows = append(b.rows, row{b.metrics[i].Kind, b.metrics[i].Name, labels, long, int32(i)})
	}
}

// open starts the next series.
func (b *batch) open(r *row) {
	b.kinds = append(b.kinds, int16(r.kind))
	b.names = append(b.names, r.name)
	b.newest = append(b.newest, math.MinInt64)
	b.counters = append(b.counters, nil)
	b.gauges = append(b.gauges, nil)
	n := len(b.kinds) - 1
	if r.kind == metric.Counter {
		b.sums = append(b.sums, 0)
		b.counters[n] = &b.sums[len(b.sums)-1]
	} else {
		b.values = append(b.values, 0)
		b.gauges[n] = &b.values[len(b.values)-1]
	}
	b.labels = append(b.labels, r.labels)
	if r.long != nil {
		for len(b.long) < n { // unnest fills up at the end by itself
			b.long = append(b.long, nil)
		}
		b.long = append(b.long, r.long)
	}
}

func (b *batch) add(n int, m *metric.Metric) {
	if m.Kind == metric.Counter {
		if sum := b.counters[n]; m.Delta > math.MaxInt64-*sum {
			b.refused = true
		} else {
			*sum += m.Delta
		}
	} else if m.Timestamp >= b.newest[n] {
		*b.gauges[n] = m.Value
	}
	b.newest[n] = max(b.newest[n], m.Timestamp)
}

// len is the number of series.
func (b *batch) len() int { return len(b.kinds) }

// find is the number of a series, whose place is likely hint.
func (b *batch) find(hint int, kind int16, name, labels []byte) (n int, ok bool) {
	compare := func(n int) int {
		switch {
		case b.kinds[n] != kind:
			return cmp.Compare(b.kinds[n], kind)
		case b.names[n] != string(name):
			return strings.Compare(b.names[n], string(name))
		}
		return strings.Compare(b.labels[n], string(labels))
	}
	if hint < b.len() && compare(hint) == 0 {
		return hint, true
	}
	n = sort.Search(b.len(), func(n int) bool { return compare(n) >= 0 })
	return n, n < b.len() && compare(n) == 0
}

// release drops what belongs to the callers.
func (b *batch) release() {
	clear(b.metrics)
	clear(b.rows)
	clear(b.marks)
	clear(b.producers)
	clear(b.names)
	clear(b.labels)
	clear(b.long)
}

// state is what is stored of a series; the zero one of one that isn't there.
type state struct {
	counter int64
	gauge   float64
	newest  int64
	found   bool // it is there
}

// trace completes the step of a metric of the n-th series.
func (b *batch) trace(step *metric.Step, kind metric.Kind, n int32, st *state) {
	step.Stored = st.found
	if kind == metric.Counter && st.found {
		step.Time, step.Total = st.newest, st.counter
		// What was there before plus what came is what is there now.
		step.Created = st.counter == *b.counters[n]
	}
}

// answer fills the writes that want to know with what is stored.
func (b *batch) answer(writes []*storage.Write, stored []state) {
	first := 0
	for _, w := range writes {
		for i := range w.Metrics {
			n := b.of[first+i]
			m, st := &w.Metrics[i], &stored[n]
			if w.Steps != nil {
				b.trace(&w.Steps[i], m.Kind, n, st)
			}
			if !w.Minimal {
				m.Value, m.Delta, m.Timestamp = st.gauge, st.counter, st.newest
			}
		}
		first += len(w.Metrics)
	}
}
