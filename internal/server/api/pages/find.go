package pages

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
)

const (
	day = 24 * time.Hour
	// manySeries is from how many series on only the last hour is looked through: it
	// lies in memory, while a day is a dozen blocks.
	manySeries = 20_000
	// maxValues is how many values of a label are told apart.
	maxValues = 10_000
	// topValues is how many values of a label are shown.
	topValues = 5
	// recent is how far back a series' last sample is looked for first.
	recent = 10 * time.Minute
	// samples is of how many series the samples are looked at, to learn of all.
	samples = 5
)

// found is the series of a name.
type found struct {
	known      bool // there are some, filters aside
	total, all int  // that match, and filters aside
	seen       time.Duration
	newest     time.Time
	uses       map[string]*use
	rows       []templates.MetricRow
	native     bool          // native histograms
	interval   time.Duration // the usual distance between samples; 0: not known
	age        time.Duration // how far back samples of the first series go
	offset     int           // of rows
}

// use counts the values of a label.
type use struct {
	values map[string]int
	more   bool
}

func (f *found) count(name, val string) {
	u := f.uses[name]
	if u == nil {
		u = &use{values: map[string]int{}}
		f.uses[name] = u
	}
	if _, ok := u.values[val]; !ok && len(u.values) >= maxValues {
		u.more = true
		return
	}
	u.values[val]++
}

// labels are the labels in order, with the values that most series have.
func (f *found) labels() []templates.LabelUse {
	out := make([]templates.LabelUse, 0, len(f.uses))
	for name, u := range f.uses {
		l := templates.LabelUse{Name: name, Values: len(u.values), More: u.more}
		for v, n := range u.values {
			l.Top = append(l.Top, templates.LabelValue{Value: v, Series: n})
		}
		slices.SortFunc(l.Top, func(a, b templates.LabelValue) int {
			return cmp.Or(cmp.Compare(b.Series, a.Series), strings.Compare(a.Value, b.Value))
		})
		l.Top = slices.Clip(l.Top[:min(topValues, len(l.Top))])
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b templates.LabelUse) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// wanted tells whether the next series is among the rows.
func (f *found) wanted() bool {
	i := f.total - 1
	return i >= f.offset && i < f.offset+templates.MetricPageSize
}

// find looks for the series of m.rows: those of the state, then those that only
// the history knows, each sorted by labels.
func (p *Pages) find(ctx context.Context, m *ofMetric, page int) error {
	f := &m.found
	*f = found{uses: map[string]*use{}, offset: (page - 1) * templates.MetricPageSize}
	pushed, err := p.named(ctx, m.rows)
	if err != nil {
		return err
	}
	f.all = len(pushed)
	// Of so many, those that only the history knows are not looked for.
	crowded := len(pushed) >= manySeries
	keys := map[string]bool{}
	var key []byte
	for i := range pushed {
		mt := &pushed[i]
		m.gauge, m.counter = m.gauge || mt.Kind == metric.Gauge, m.counter || mt.Kind == metric.Counter
		if !crowded {
			key = key[:0]
			for _, l := range mt.Labels {
				key = appendPair(key, l.Name, l.Value)
			}
			keys[string(key)] = true
		}
	}
	matching := slices.DeleteFunc(pushed, func(mt metric.Metric) bool {
		return slices.ContainsFunc(m.filters, func(l templates.Label) bool { return mt.Labels.Get(l.Name) != l.Value })
	})
	f.pushed(matching)
	switch {
	case p.history() && crowded:
		now, n := p.o.Now(), 0
		err = p.walk(ctx, m.rows, now.Add(-time.Hour), now, false, func(s promstorage.Series) bool {
			f.sample(s, now)
			n++
			return n < samples
		})
	case p.history():
		err = p.findPast(ctx, m, keys)
	}
	f.known = f.all > 0
	return err
}

// pushed adds the series of the state.
func (f *found) pushed(ms []metric.Metric) {
	from := min(f.offset, len(ms))
	templates.SortPart(ms, from, min(from+templates.MetricPageSize, len(ms)), templates.Sort{}.Compare)
	for i := range ms {
		mt := &ms[i]
		f.total++
		for _, l := range mt.Labels {
			f.count(l.Name, l.Value)
		}
		at := time.UnixMilli(mt.Timestamp)
		if at.After(f.newest) {
			f.newest = at
		}
		if f.wanted() {
			f.rows = append(f.rows, templates.MetricRow{
				Kind: mt.Kind.String(), Labels: mt.Labels, Value: string(mt.AppendValue(nil)), Time: at, Pushed: true,
			})
		}
	}
}

func appendPair(key []byte, name, val string) []byte {
	key = append(key, name...)
	key = append(key, 0xff)
	key = append(key, val...)
	return append(key, 0xff)
}

// findPast adds the series that are in the history and have none of these keys.
func (p *Pages) findPast(ctx context.Context, m *ofMetric, keys map[string]bool) error {
	f := &m.found
	now := p.o.Now()
	n := 0
	err := p.walk(ctx, m.rows, now.Add(-time.Hour), now, false, func(promstorage.Series) bool {
		n++
		return n < manySeries
	})
	if err != nil {
		return err
	}
	spans := []time.Duration{time.Hour}
	if n < manySeries {
		spans = []time.Duration{day, p.o.Retention}
	}
	for _, span := range spans {
		looked := 0
		var key []byte
		err := p.walk(ctx, m.rows, now.Add(-span), now, true, func(s promstorage.Series) bool {
			if looked++; looked <= samples {
				f.sample(s, now)
			}
			key = key[:0]
			matched := true
			ls := s.Labels()
			ls.Range(func(l labels.Label) {
				if l.Name != model.MetricNameLabel && l.Name != kindLabel {
					key = appendPair(key, l.Name, l.Value)
				}
			})
			if keys[string(key)] {
				return true
			}
			f.all++
			for _, l := range m.filters {
				matched = matched && ls.Get(l.Name) == l.Value
			}
			if matched {
				f.past(s, now, span)
			}
			return true
		})
		if err != nil {
			return err
		}
		f.seen = span
		if f.all > 0 || span >= p.o.Retention {
			break
		}
	}
	return nil
}

// walk calls visit for the series of a name, in the order of their labels if it is
// asked for, until it returns false. Of samples nothing is read unless visit does.
func (p *Pages) walk(ctx context.Context, name string, from, to time.Time, sorted bool, visit func(promstorage.Series) bool) error {
	q, err := p.o.Storage.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return fmt.Errorf("look for the series of a metric: %w", err)
	}
	defer func() { _ = q.Close() }() // it only reads
	set := q.Select(ctx, sorted, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, name))
	for n := 0; set.Next(); n++ {
		if n%1024 == 0 && ctx.Err() != nil { // the viewer has left
			return fmt.Errorf("look for the series of a metric: %w", ctx.Err())
		}
		if !visit(set.At()) {
			break
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("look for the series of a metric: %w", err)
	}
	return nil
}

// past adds a series that only the history knows.
func (f *found) past(s promstorage.Series, now time.Time, span time.Duration) {
	f.total++
	row := templates.MetricRow{}
	s.Labels().Range(func(l labels.Label) {
		switch l.Name {
		case model.MetricNameLabel:
		case kindLabel:
			row.Kind = l.Value
		default:
			f.count(l.Name, l.Value)
			if f.wanted() {
				row.Labels = append(row.Labels, templates.Label{Name: l.Name, Value: l.Value})
			}
		}
	})
	if !f.wanted() {
		return
	}
	l := lastSample(s, now.Add(-recent))
	if l.text == "" { // it ended earlier
		l = lastSample(s, now.Add(-span))
	}
	row.Value, row.Ended = cmp.Or(l.text, "–"), l.stale
	if l.at != 0 {
		row.Time = time.UnixMilli(l.at)
		if row.Time.After(f.newest) {
			f.newest = row.Time
		}
	}
	f.rows = append(f.rows, row)
}

// sample learns from a series what its samples are, how far apart, and how far they
// go back.
func (f *found) sample(s promstorage.Series, now time.Time) {
	l := lastSample(s, now.Add(-day))
	f.native = f.native || l.native
	if f.interval == 0 {
		f.interval = l.interval
	}
	if l.first != 0 {
		f.age = max(f.age, now.Sub(time.UnixMilli(l.first)))
	}
}

// last is the last sample of a series.
type last struct {
	first    int64 // time of the first
	at       int64 // 0: there is none
	text     string
	stale    bool // a staleness marker follows
	native   bool
	interval time.Duration // the usual distance between samples; 0: not known
}

// lastSample reads the samples from a time on.
func lastSample(s promstorage.Series, from time.Time) (l last) {
	it := s.Iterator(nil)
	var gaps []int64
	var f float64
	var h *histogram.FloatHistogram
	for kind := it.Seek(from.UnixMilli()); kind != chunkenc.ValNone; kind = it.Next() {
		before := l.at
		if kind == chunkenc.ValFloat {
			t, v := it.At()
			if l.stale = value.IsStaleNaN(v); l.stale {
				continue
			}
			l.at, f, l.native = t, v, false
		} else {
			t, fh := it.AtFloatHistogram(nil)
			if l.stale = value.IsStaleNaN(fh.Sum); l.stale {
				continue
			}
			l.at, h, l.native = t, fh, true
		}
		if before == 0 {
			l.first = l.at
		} else {
			gaps = append(gaps, l.at-before)
		}
	}
	if len(gaps) > 0 {
		slices.Sort(gaps)
		l.interval = time.Duration(gaps[len(gaps)/2]) * time.Millisecond
	}
	switch {
	case l.at == 0:
	case l.native:
		l.text = fmt.Sprintf("%s observed", metric.AppendFloat(nil, h.Count))
		if h.Count > 0 && !math.IsNaN(h.Sum) {
			l.text += fmt.Sprintf(", mean %.4g", h.Sum/h.Count)
		}
	default:
		l.text = string(metric.AppendFloat(nil, f))
	}
	return l
}
