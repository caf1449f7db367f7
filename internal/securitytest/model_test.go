package securitytest

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// model is the plainest thing that does what a storage does.
type model struct {
	limit  int
	series map[string]metric.Metric
	marks  map[string]map[uint64]bool
}

func newModel(limit int) *model {
	return &model{limit, map[string]metric.Metric{}, map[string]map[uint64]bool{}}
}

func key(m *metric.Metric) string { return string(m.AppendKey(nil)) }

func (md *model) applied(mark storage.Mark) bool {
	seen := md.marks[mark.Producer]
	if mark.IsZero() || len(seen) == 0 {
		return false
	}
	highest := slices.Max(slices.Collect(maps.Keys(seen)))
	return seen[mark.Sequence] || mark.Sequence < highest && highest-mark.Sequence > storage.WindowSize
}

// apply is Storage.Apply.
func (md *model) apply(w *storage.Write) (replayed bool, err error) {
	if replayed = md.applied(w.Mark); !replayed {
		next := maps.Clone(md.series)
		if err := md.add(next, w); err != nil {
			return false, err
		}
		md.series = next
		if !w.Mark.IsZero() {
			if md.marks[w.Mark.Producer] == nil {
				md.marks[w.Mark.Producer] = map[uint64]bool{}
			}
			md.marks[w.Mark.Producer][w.Mark.Sequence] = true
		}
	}
	for i := range w.Metrics {
		m := &w.Metrics[i]
		stored := md.series[key(m)]
		if !w.Minimal {
			m.Value, m.Delta, m.Timestamp = stored.Value, stored.Delta, stored.Timestamp
		}
	}
	return replayed, nil
}

func (md *model) add(series map[string]metric.Metric, w *storage.Write) error {
	var invalid metric.InvalidError
	for i, m := range w.Metrics {
		k := key(&m)
		old, ok := series[k]
		wrong := w.Arrived != 0 && old.Timestamp > w.Arrived+metric.MaxAhead
		switch {
		case m.Kind == metric.Counter && m.Delta > math.MaxInt64-old.Delta:
			invalid.Add(i, fmt.Errorf("delta %d: the counter, at %d, would exceed %d", m.Delta, old.Delta, int64(math.MaxInt64)))
			continue
		case m.Kind == metric.Counter:
			m.Delta += old.Delta
			if ok && !wrong {
				m.Timestamp = max(m.Timestamp, old.Timestamp)
			}
		case ok && !wrong && m.Timestamp < old.Timestamp:
			continue
		}
		series[k] = m
	}
	switch {
	case invalid.Count > 0:
		return &invalid
	case len(series) > md.limit && len(series) > len(md.series):
		return &storage.SeriesLimitError{Limit: md.limit}
	}
	return nil
}

// value is Storage.Value.
func (md *model) value(sel storage.Selector) (metric.Metric, error) {
	out := metric.Metric{Kind: sel.Kind, Name: sel.Name, Labels: sel.Labels, Timestamp: math.MinInt64}
	found := false
	for _, m := range md.series {
		if m.Kind != sel.Kind || m.Name != sel.Name || !matches(m.Labels, sel.Labels) {
			continue
		}
		found = true
		if m.Kind == metric.Gauge {
			if m.Timestamp > out.Timestamp {
				out.Value = m.Value
			}
		} else if out.Delta > math.MaxInt64-m.Delta {
			out.Delta = math.MaxInt64
		} else {
			out.Delta += m.Delta
		}
		out.Timestamp = max(out.Timestamp, m.Timestamp)
	}
	if !found {
		return metric.Metric{}, storage.ErrNotFound
	}
	return out, nil
}

func matches(all, some metric.Labels) bool {
	for _, l := range some {
		if !slices.Contains(all, l) {
			return false
		}
	}
	return true
}

// newest tells that of the gauges that a selector matches two have the newest
// time, so that either's value is right.
func (md *model) tie(sel storage.Selector) bool {
	var times []int64
	for _, m := range md.series {
		if m.Kind == sel.Kind && m.Name == sel.Name && matches(m.Labels, sel.Labels) {
			times = append(times, m.Timestamp)
		}
	}
	slices.Sort(times)
	n := len(times)
	return sel.Kind == metric.Gauge && n > 1 && times[n-1] == times[n-2]
}

// describe says what an error is, with all that clients are told of it.
func describe(err error) string {
	if err == nil {
		return ""
	}
	if invalid, ok := errors.AsType[*metric.InvalidError](err); ok {
		return fmt.Sprintf("invalid: %d, %v", invalid.Count, invalid.Elements)
	}
	if full, ok := errors.AsType[*storage.SeriesLimitError](err); ok {
		return fmt.Sprintf("limit %d", full.Limit)
	}
	if errors.Is(err, storage.ErrNotFound) {
		return "not found"
	}
	return "a defect: " + err.Error()
}

// now is the time of the tests' samples.
const now = 1_795_454_731_960

// maker makes random writes and questions.
type maker struct {
	rng *rand.Rand
	// spread is among how many milliseconds the samples' times are. Of few, some
	// gauges have the same time, and then which is the newest is left open.
	spread int64
	sent   []*storage.Write // some of those before
}

func clone(w *storage.Write) *storage.Write {
	out := *w
	out.Metrics = slices.Clone(w.Metrics)
	return &out
}

var makerNames = []string{"a", "b", "A", "a.b", "ä", "a'; DROP TABLE x; --", "%", "_", `\`, "日本", "a\nb", "{}"}

func (mk *maker) labels() metric.Labels {
	var pairs []string
	for _, name := range []string{"x", "y"} {
		if mk.rng.IntN(2) == 0 {
			pairs = append(pairs, name, []string{"1", "2", `"`, "ü"}[mk.rng.IntN(4)])
		}
	}
	if pairs == nil {
		return nil
	}
	return metric.NewLabels(pairs...)
}

func (mk *maker) metric() metric.Metric {
	rng := mk.rng
	m := metric.Metric{Name: makerNames[rng.IntN(len(makerNames))], Labels: mk.labels(), Timestamp: now - rng.Int64N(mk.spread)}
	switch rng.IntN(20) {
	case 0: // from a time when the clock was wrong
		m.Timestamp += 10 * 365 * 24 * 3600 * 1000
	case 1:
		m.Timestamp = 1 + rng.Int64N(mk.spread)
	}
	if m.Kind = metric.Gauge; rng.IntN(2) == 0 {
		m.Kind = metric.Counter
		switch m.Delta = rng.Int64N(1000); rng.IntN(40) {
		case 0:
			m.Delta = math.MaxInt64
		case 1:
			m.Delta = math.MaxInt64 / 2
		case 2:
			m.Delta = 0
		}
		return m
	}
	switch m.Value = rng.NormFloat64(); rng.IntN(10) {
	case 0:
		m.Value = math.Float64frombits(rng.Uint64())
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			m.Value = math.SmallestNonzeroFloat64
		}
	case 1:
		m.Value = math.Copysign(0, -1)
	}
	return m
}

// write makes the next write. None has a metric that the server would not have
// let through.
func (mk *maker) write() *storage.Write {
	w := mk.next()
	for i := range w.Metrics {
		if m := &w.Metrics[i]; w.Arrived != 0 && m.Timestamp > w.Arrived+metric.MaxAhead {
			m.Timestamp = w.Arrived + metric.MaxAhead
		}
	}
	return w
}

// next makes a write: a new one, or one that was sent before, as it was
// or with other metrics under the same mark.
func (mk *maker) next() *storage.Write {
	rng := mk.rng
	if len(mk.sent) > 0 && rng.IntN(5) == 0 {
		w := clone(mk.sent[rng.IntN(len(mk.sent))])
		if rng.IntN(3) == 0 {
			w.Metrics = append(w.Metrics, mk.metric())
		}
		return w
	}
	w := &storage.Write{Minimal: rng.IntN(4) == 0}
	for range rng.IntN(1 + rng.IntN(30)) {
		w.Metrics = append(w.Metrics, mk.metric())
	}
	switch rng.IntN(4) {
	case 0:
	case 1:
		w.Arrived = now + 20*365*24*3600*1000
	default:
		w.Arrived = now
	}
	switch rng.IntN(6) {
	case 0, 1:
		w.Mark = storage.Mark{Producer: fmt.Sprintf("#p%d", rng.IntN(3)), Sequence: 1 + rng.Uint64N(200)}
	case 2:
		w.Mark = storage.Mark{Producer: fmt.Sprintf("#p%d", rng.IntN(3)), Sequence: 1 + rng.Uint64N(4000)}
	case 3:
		w.Mark = storage.Mark{Producer: fmt.Sprintf("one-off-%d", rng.IntN(1000))}
	}
	if len(mk.sent) < 200 {
		mk.sent = append(mk.sent, clone(w))
	} else {
		mk.sent[rng.IntN(len(mk.sent))] = clone(w)
	}
	return w
}

func (mk *maker) selector() storage.Selector {
	m := mk.metric()
	return storage.Selector{Kind: m.Kind, Name: m.Name, Labels: m.Labels}
}
