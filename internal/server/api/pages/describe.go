package pages

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/gometheus/gometheus/internal/server/templates"
)

// usualInterval is how far apart samples are taken to be if there are too few to
// tell.
const usualInterval = 15 * time.Second

// page is what the page shows of a metric.
func (m *ofMetric) page(page int) templates.Metric {
	f := &m.found
	out := templates.Metric{
		Name: m.name, Help: m.meta.Help, Unit: m.meta.Unit, Family: m.family, Filters: m.filters,
		Total: f.total, All: f.all, Seen: f.seen, Newest: f.newest, Labels: f.labels(), Rows: f.rows,
		Page: page, Pages: pagesOf(f.total), Kinds: m.gauge && m.counter,
	}
	out.Type, out.Guess = m.kind()
	out.Chart = m.chart()
	if f.total > 0 {
		out.Queries = m.queries(out.Chart)
	}
	if out.Unit == "" {
		out.Unit = unitOf(m.name)
	}
	return out
}

func pagesOf(rows int) int {
	return (rows + templates.MetricPageSize - 1) / templates.MetricPageSize
}

// rangeOf is the range to begin with: the last day, or less of what is younger.
func rangeOf(age time.Duration) time.Duration {
	for _, r := range []time.Duration{15 * time.Minute, time.Hour, 6 * time.Hour} {
		if age < r {
			return r
		}
	}
	return day
}

// kind is what the metric is, and whether only its name says so.
func (m *ofMetric) kind() (kind string, guess bool) {
	switch {
	case m.meta.Type != "" && m.meta.Type != model.MetricTypeUnknown && !(m.gauge && m.counter):
		return string(m.meta.Type), false
	case m.gauge && m.counter:
		return "gauge and counter", false
	case m.gauge:
		return "gauge", false
	case m.counter:
		return "counter", false
	case m.found.native:
		return "histogram", false
	case m.bucket() != "":
		return "histogram", true
	case m.counts():
		return "counter", true
	}
	return "", false
}

// bucket is the name of the buckets of a classic histogram, "" if it is none.
func (m *ofMetric) bucket() string {
	switch {
	case m.found.uses[model.BucketLabel] != nil && strings.HasSuffix(m.name, "_bucket"):
		return m.name
	case m.rows != m.name && slices.Contains(m.family, m.name+"_bucket"):
		return m.name + "_bucket"
	}
	return ""
}

// counts tells whether the values only grow.
func (m *ofMetric) counts() bool {
	if m.counter && !m.gauge || m.meta.Type == model.MetricTypeCounter && !m.gauge {
		return true
	}
	if m.gauge || m.meta.Type == model.MetricTypeGauge {
		return false
	}
	for _, suffix := range []string{"_total", "_count", "_sum", "_bucket"} {
		if strings.HasSuffix(m.rows, suffix) {
			return true
		}
	}
	return false
}

// chart is how the metric is drawn.
func (m *ofMetric) chart() templates.MetricChart {
	c := templates.MetricChart{
		Kind: templates.ChartGauge, Name: m.rows, Selector: selector(m.rows, m.filters),
		Unit: m.unit(m.name), Interval: min(max(m.found.interval.Round(time.Second), time.Second), time.Hour), Range: rangeOf(m.found.age),
	}
	if m.found.interval == 0 {
		c.Interval = usualInterval
	}
	bucket := m.bucket()
	switch {
	case m.found.native:
		c.Kind, c.Count = templates.ChartNative, c.Selector
	case bucket != "":
		c.Kind, c.Selector, c.Unit = templates.ChartHistogram, selector(bucket, m.filters), m.unit(base(m.name))
		if count := strings.TrimSuffix(bucket, "_bucket") + "_count"; count == m.rows || slices.Contains(m.family, count) {
			c.Count = selector(count, withoutBucket(m.filters))
		}
	case m.gauge && m.counter:
		c.Selector, c.Other = kinded(m.rows, m.filters, "="), kinded(m.rows, m.filters, "!=")
	case m.counts():
		c.Kind = templates.ChartCounter
	}
	return c
}

func withoutBucket(filters []templates.Label) []templates.Label {
	return slices.DeleteFunc(slices.Clone(filters), func(l templates.Label) bool { return l.Name == model.BucketLabel })
}

// queries are those to go on with.
func (m *ofMetric) queries(c templates.MetricChart) []templates.ReadyQuery {
	by := ""
	if m.found.uses[model.InstanceLabel] != nil {
		by = model.InstanceLabel
	}
	of := func(op, expr string) string {
		if by == "" {
			return op + "(" + expr + ")"
		}
		return op + " by (" + by + ") (" + expr + ")"
	}
	rate := "rate(" + c.Selector + "[5m])"
	switch c.Kind {
	case templates.ChartCounter:
		return []templates.ReadyQuery{
			{Title: "Per second", Expr: rate},
			{Title: cmp.Or(by, "All") + " summed", Expr: of("sum", rate)},
			{Title: "In an hour", Expr: of("sum", "increase("+c.Selector+"[1h])")},
			{Title: "As it is", Expr: c.Selector},
		}
	case templates.ChartHistogram:
		return []templates.ReadyQuery{
			{Title: "99th percentile", Expr: "histogram_quantile(0.99, sum by (le) (" + rate + "))"},
			{Title: "Buckets", Expr: "sum by (le) (" + rate + ")"},
		}
	case templates.ChartNative:
		return []templates.ReadyQuery{
			{Title: "99th percentile", Expr: "histogram_quantile(0.99, sum(" + rate + "))"},
			{Title: "Mean", Expr: "histogram_avg(sum(" + rate + "))"},
			{Title: "Observations per second", Expr: "histogram_count(sum(" + rate + "))"},
		}
	}
	return []templates.ReadyQuery{
		{Title: "As it is", Expr: c.Selector},
		{Title: "Average", Expr: of("avg", c.Selector)},
		{Title: "Highest ten", Expr: "topk(10, " + c.Selector + ")"},
		{Title: "Change in an hour", Expr: "delta(" + c.Selector + "[1h])"},
	}
}

// unit is the unit of a name's values.
func (m *ofMetric) unit(name string) string {
	switch m.meta.Unit {
	case "bytes", "seconds", "percent":
		if !strings.HasSuffix(name, "_count") {
			return m.meta.Unit
		}
	}
	return unitOf(strings.TrimSuffix(name, "_sum"))
}

// selector is the series of a name with these labels, as PromQL writes it.
func selector(name string, ls []templates.Label) string {
	return selectorOf(name, ls, "")
}

// kinded is a selector of the gauges of a name that counters have too (op "="), or
// of the counters ("!=").
func kinded(name string, ls []templates.Label, op string) string {
	return selectorOf(name, ls, kindLabel+op+quote("gauge"))
}

func selectorOf(name string, ls []templates.Label, more string) string {
	var parts []string
	out := name
	if !model.LegacyValidation.IsValidMetricName(name) {
		out = ""
		parts = append(parts, quote(name))
	}
	for _, l := range ls {
		ln := l.Name
		if !model.LegacyValidation.IsValidLabelName(ln) {
			ln = quote(ln)
		}
		parts = append(parts, ln+"="+quote(l.Value))
	}
	if more != "" {
		parts = append(parts, more)
	}
	if len(parts) == 0 {
		return out
	}
	return out + "{" + strings.Join(parts, ", ") + "}"
}

// unitOf guesses the unit of a metric by how its name ends, as format.js does.
func unitOf(name string) string {
	name = strings.TrimSuffix(name, "_total")
	for suffix, unit := range map[string]string{"_bytes": "bytes", "_seconds": "seconds", "_percent": "percent"} {
		if strings.HasSuffix(name, suffix) {
			return unit
		}
	}
	return ""
}

// nearest are the names most like a name, the most alike first.
func nearest(name string, names map[string]bool, most int) []string {
	type scored struct {
		name  string
		score int
	}
	var list []scored
	want := strings.ToLower(name)
	for n := range names {
		if s, ok := distance(want, strings.ToLower(n)); ok {
			list = append(list, scored{n, s})
		}
	}
	slices.SortFunc(list, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.score, b.score), strings.Compare(a.name, b.name))
	})
	out := make([]string, 0, most)
	for _, s := range list[:min(most, len(list))] {
		out = append(out, s.name)
	}
	return out
}

// distance is how far two names are apart, if they are alike at all: one holds the
// other, or few letters differ.
func distance(a, b string) (int, bool) {
	d := max(len(a), len(b)) - min(len(a), len(b))
	if len(a) >= 3 && strings.Contains(b, a) || len(b) >= 4 && strings.Contains(a, b) {
		return min(d, 40) + 1, true
	}
	most := max(2, len(a)/4)
	if d > most || len(a) > 200 {
		return 0, false
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)], row[len(b)] <= most
}
