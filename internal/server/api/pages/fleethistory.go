package pages

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/gometheus/gometheus/internal/server/templates"
)

const (
	// tells are the names of series of which a machine has one, as long as it is
	// heard of.
	tells = "node_load1|node_boot_time_seconds|node_memory_MemTotal_bytes|node_memory_MemAvailable_bytes|" + agentInfo
	// lasting is how far back a machine is looked for that says nothing more.
	lasting = 24 * time.Hour
	// fastWindow is over how long rates are taken, where samples come often enough.
	fastWindow = time.Minute
	// maxLookups is of how many silent machines it is found out at once when they
	// were heard of last.
	maxLookups = 50

	// Not rate(): that takes a counter which has just ended for one that hardly grew,
	// and so the last minute of a machine for its busiest. A restart is left out.
	cpuQuery   = `100 * (1 - avg by (instance) (clamp_max(deriv(node_cpu_seconds_total{mode="idle"}[$window]) >= 0, 1)))`
	diskQuery  = `topk by (instance) (1, 100 * (1 - max by (instance, mountpoint) (node_filesystem_avail_bytes{` + realFS + `}) / max by (instance, mountpoint) (node_filesystem_size_bytes{` + realFS + `} > 0)))`
	inQuery    = `sum by (instance) (rate(node_network_receive_bytes_total{` + physicalNet + `}[$window]))`
	outQuery   = `sum by (instance) (rate(node_network_transmit_bytes_total{` + physicalNet + `}[$window]))`
	plainQuery = `avg by (instance) ({__name__=~"` + cpuPrefix + `.+"})` // gopsutil's
)

// tellings are the titles of the columns that come from what tells.
var tellings = []string{"Memory", "Load", "Up", "Agent"}

// fromHistory asks for all columns, one after the other: a small machine would
// answer them one after the other anyway.
func (s *survey) fromHistory(k, before *knowledge) {
	tell := newTeller(s)
	if err := tell.read(); err != nil {
		for _, title := range tellings {
			s.fail(title, err)
		}
	}
	tell.apply()
	if err := tell.silent(k, before); err != nil {
		s.fail("State", err)
	}
	windows := tell.windows()
	s.rates("CPU", cpuQuery, windows, func(m *machine, v promql.Sample) { m.CPU = max(0, v.F) })
	s.rates("Fullest disk", diskQuery, windows[:1], func(m *machine, v promql.Sample) {
		m.Disk, m.Mount = v.F, v.Metric.Get("mountpoint")
	})
	s.rates("Network", inQuery, windows, func(m *machine, v promql.Sample) { m.In = v.F })
	s.rates("Network", outQuery, windows, func(m *machine, v promql.Sample) { m.Out = v.F })
	if s.now.Sub(k.sparksAt).Abs() >= sparkFresh {
		if err := s.sparks(k); err != nil {
			s.fail("Last hour", err)
		}
	}
}

// rates asks a query of all machines, over each of the windows; set takes the value
// of each machine once.
func (s *survey) rates(title, query string, windows []time.Duration, set func(*machine, promql.Sample)) {
	done := map[string]bool{}
	for _, w := range windows {
		v, err := s.f.p.instant(s.ctx, strings.ReplaceAll(query, "$window", promDuration(w)), s.now)
		if err != nil {
			s.fail(title, err)
			return
		}
		for _, sample := range v {
			name := sample.Metric.Get(instanceLabel)
			m, ok := s.machines[name]
			if ok && !done[name] && !math.IsNaN(sample.F) {
				done[name] = true
				set(m, sample)
			}
		}
	}
}

func promDuration(d time.Duration) string { return fmt.Sprintf("%ds", int(math.Ceil(d.Seconds()))) }

// teller reads the series that tell of a machine.
type teller struct {
	s    *survey
	told map[string]*told // by instance
}

// told is what they say of one machine.
type told struct {
	seen  int64 // Unix ms
	every time.Duration
	// byCollectors: every is that of a collector, not of what the agent sends of itself.
	byCollectors bool
	present      bool // one of them has not ended
	values       map[string]float64
	version      string
	labels       []labels.Labels
}

func newTeller(s *survey) *teller { return &teller{s: s, told: map[string]*told{}} }

// each calls f with each series that tells, from one time to another, among the
// instances that match. at is the time of its last sample.
func (t *teller) each(from, to time.Time, names string, more []*labels.Matcher, f func(ls labels.Labels, n int, first, last int64, v float64)) error {
	q, err := t.s.f.p.o.Storage.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return fmt.Errorf("look for machines: %w", err)
	}
	defer q.Close() //nolint:errcheck // it has been read
	matchers := append([]*labels.Matcher{
		labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, names),
		labels.MustNewMatcher(labels.MatchNotEqual, instanceLabel, ""),
	}, more...)
	set := q.Select(t.s.ctx, false, &promstorage.SelectHints{Start: from.UnixMilli(), End: to.UnixMilli()}, matchers...)
	var it chunkenc.Iterator
	for set.Next() {
		if err := t.s.ctx.Err(); err != nil {
			return fmt.Errorf("look for machines: %w", err)
		}
		series := set.At()
		it = series.Iterator(it)
		var n int
		var first, last int64
		var v float64
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			if typ != chunkenc.ValFloat {
				continue
			}
			last, v = it.At()
			if n == 0 {
				first = last
			}
			n++
		}
		if err := it.Err(); err != nil {
			return fmt.Errorf("look for machines: %w", err)
		}
		if n > 0 {
			f(series.Labels(), n, first, last, v)
		}
	}
	if err := set.Err(); err != nil {
		return fmt.Errorf("look for machines: %w", err)
	}
	return nil
}

// read reads them as far back as PromQL would.
func (t *teller) read() error {
	return t.each(t.s.now.Add(-stateFresh), t.s.now, tells, nil, func(ls labels.Labels, n int, first, last int64, v float64) {
		name := ls.Get(instanceLabel)
		m := t.told[name]
		if m == nil {
			m = &told{values: map[string]float64{}}
			t.told[name] = m
		}
		m.seen = max(m.seen, last)
		if value.IsStaleNaN(v) {
			return
		}
		m.present = true
		if n > 1 {
			every := time.Duration((last-first)/int64(n-1)) * time.Millisecond
			collected := ofCollector(ls)
			if m.every == 0 || collected && !m.byCollectors || collected == m.byCollectors && every < m.every {
				m.every, m.byCollectors = every, collected
			}
		}
		what := ls.Get(model.MetricNameLabel)
		m.values[what] = v
		if what == agentInfo {
			m.version = ls.Get("version")
		}
		m.labels = append(m.labels, ls)
	})
}

// apply puts what they say into the machines. An instance that has one of node_* is a
// machine.
func (t *teller) apply() {
	s := t.s
	for name, told := range t.told {
		m := s.machine(name)
		if told.every > 0 && m.every == 0 {
			m.every = max(time.Second, told.every)
		}
		if seen := time.UnixMilli(told.seen); !m.found {
			m.found, m.Seen = true, seen
			m.State = stateOf(s.now.Sub(seen), max(m.every, usualInterval))
		}
		if !told.present {
			continue
		}
		number := func(what string) float64 {
			if v, ok := told.values[what]; ok {
				return v
			}
			return unknown
		}
		if total := number("node_memory_MemTotal_bytes"); total > 0 {
			m.Memory = 100 * (1 - number("node_memory_MemAvailable_bytes")/total)
		}
		m.Load = number("node_load1")
		if boot := number("node_boot_time_seconds"); boot > 0 {
			m.Uptime = float64(s.now.UnixMilli())/1000 - boot
		}
		m.Version = told.version
		m.Labels = common(told.labels)
	}
}

// ofOne are labels that say something of a series, not of the machine.
var ofOne = []string{model.MetricNameLabel, instanceLabel, "version", "revision", "commit", "branch", "goversion", "goos", "goarch", "date"}

// common are the labels that all have.
func common(sets []labels.Labels) []templates.Label {
	var out []templates.Label
	sets[0].Range(func(l labels.Label) {
		if slices.Contains(ofOne, l.Name) {
			return
		}
		for _, other := range sets[1:] {
			if other.Get(l.Name) != l.Value {
				return
			}
		}
		out = append(out, templates.Label{Name: l.Name, Value: l.Value})
	})
	return out
}

// silent finds the machines that no sample of the last minutes is of, and when they
// were heard of. It doesn't look again for those that were silent the last time.
func (t *teller) silent(k, before *knowledge) error {
	s := t.s
	from := s.now.Add(-min(lasting, max(s.f.p.o.Retention, time.Hour)))
	names, err := t.instances(from)
	if err != nil {
		return err
	}
	var look []string
	for _, name := range names {
		if m := s.machines[name]; m != nil && m.found {
			continue
		}
		if last, ok := before.lastOf(name); ok {
			k.silent[name] = last
		} else if len(look) < maxLookups {
			look = append(look, regexp.QuoteMeta(name))
		}
	}
	if len(look) > 0 {
		these := labels.MustNewMatcher(labels.MatchRegexp, instanceLabel, strings.Join(look, "|"))
		err := t.each(from, s.now, tells, []*labels.Matcher{these}, func(ls labels.Labels, _ int, _, last int64, _ float64) {
			name := ls.Get(instanceLabel)
			l := k.silent[name]
			if seen := time.UnixMilli(last); seen.After(l.seen) {
				l.seen = seen
			}
			l.series = append(l.series, ls)
			k.silent[name] = l
		})
		if err != nil {
			return err
		}
	}
	for name, last := range k.silent {
		if last.series != nil {
			last.labels, last.series = common(last.series), nil
			k.silent[name] = last
		}
		m := s.machine(name)
		m.found, m.Seen, m.Labels, m.State = true, last.seen, last.labels, stateOf(s.now.Sub(last.seen), usualInterval)
	}
	return nil
}

// silence is what is known of a machine that says nothing more.
type silence struct {
	seen   time.Time
	labels []templates.Label
	series []labels.Labels // that told of it, while they are read
}

func (k *knowledge) lastOf(name string) (silence, bool) {
	if k == nil {
		return silence{}, false
	}
	l, ok := k.silent[name]
	return l, ok
}

// instances are those of which something tells since a time, or a while before it,
// as the index knows it.
func (t *teller) instances(from time.Time) ([]string, error) {
	q, err := t.s.f.p.o.Storage.Querier(from.UnixMilli(), t.s.now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("look for machines: %w", err)
	}
	defer q.Close() //nolint:errcheck // it has been read
	names, _, err := q.LabelValues(t.s.ctx, instanceLabel, nil, labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, "node_load1|node_boot_time_seconds"))
	if err != nil {
		return nil, fmt.Errorf("look for machines: %w", err)
	}
	return names, nil
}

// windows are over how long rates are taken: the shortest that holds four samples, for
// most machines, and a longer one for those whose samples come more seldom.
func (t *teller) windows() []time.Duration {
	var slowest time.Duration
	fast := false
	for _, told := range t.told {
		slowest = max(slowest, told.every)
		fast = fast || told.every <= fastWindow/4
	}
	slow := min(4*slowest, 30*time.Minute)
	switch {
	case slow <= fastWindow:
		return []time.Duration{fastWindow}
	case fast:
		return []time.Duration{fastWindow, slow}
	default:
		return []time.Duration{slow}
	}
}
