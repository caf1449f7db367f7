package scrape

import (
	"bufio"
	"cmp"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Exposition collects metrics and writes them in the text format 0.0.4: families
// of the same name from several places become one, all is sorted. Of what several
// say about a family the first counts.
//
// The format is older than some of what goes in. Names that it doesn't know get
// underscores; types it doesn't know become gauges or untyped; a native histogram
// that has no classic buckets is written with classic ones at the bounds of its
// own. The zero value is empty and ready.
type Exposition struct {
	families map[string]*exposed
}

// exposed is a family.
type exposed struct {
	name, help string
	typ        string // of the format
	rows       []row
	leftOut    int // rows that don't fit the type
}

// row is a series with its value.
type row struct {
	name   string // of the series, e.g. with _bucket
	labels labels.Labels
	value  float64
	time   *int64                    // or nil
	native *histogram.FloatHistogram // or nil

	// Where it stands in its family.
	group labels.Labels // without le or quantile
	part  int           // buckets and quantiles before sum before count
	bound float64       // of those
}

// Series is a series with its value, of a family that is added.
type Series struct {
	Labels metric.Labels
	Value  float64
}

// Add adds a family. typ is "counter", "gauge", or anything else for a metric of
// unknown type.
func (x *Exposition) Add(name, help, typ string, series ...Series) {
	f := &family{name: name, typ: model.MetricTypeUnknown}
	if t := model.MetricType(typ); t == model.MetricTypeCounter || t == model.MetricTypeGauge {
		f.typ = t
	}
	f.Help = help
	for _, s := range series {
		b := labels.NewScratchBuilder(len(s.Labels) + 1)
		b.Add(model.MetricNameLabel, name)
		for _, l := range s.Labels {
			b.Add(l.Name, l.Value)
		}
		b.Sort()
		x.take(f, row{labels: b.Labels(), value: s.Value})
	}
}

// take adds a row. f is nil if nothing is known of its family.
func (x *Exposition) take(f *family, r row) {
	r.labels, r.name = legacy(r.labels)
	name, typ, help := r.name, "untyped", ""
	if f != nil {
		help = f.Help
		name, typ = placed(f, r.name)
	}
	if x.families == nil {
		x.families = map[string]*exposed{}
	}
	to := x.families[name]
	switch {
	case to == nil:
		to = &exposed{name: name, typ: typ, help: help}
		x.families[name] = to
	case to.typ != typ && (structured(to.typ) || structured(typ)):
		to.leftOut++
		return
	}
	if r.native != nil {
		to.rows = append(to.rows, classic(r)...)
		return
	}
	r, ok := r.in(name, typ)
	if !ok {
		to.leftOut++
		return
	}
	to.rows = append(to.rows, r)
}

// placed is the family that a series belongs to in the format, and its type.
func placed(f *family, series string) (name, typ string) {
	switch f.typ {
	case model.MetricTypeHistogram, model.MetricTypeGaugeHistogram:
		return model.EscapeName(f.name, model.UnderscoreEscaping), "histogram"
	case model.MetricTypeSummary:
		return model.EscapeName(f.name, model.UnderscoreEscaping), "summary"
	case model.MetricTypeCounter, model.MetricTypeGauge:
		return series, string(f.typ)
	case model.MetricTypeInfo, model.MetricTypeStateset:
		return series, string(model.MetricTypeGauge)
	default:
		return series, "untyped"
	}
}

func structured(typ string) bool { return typ == "histogram" || typ == "summary" }

// legacy is a label set with names that the format knows, without the metric's
// name, and that.
func legacy(ls labels.Labels) (labels.Labels, string) {
	name := model.EscapeName(ls.Get(model.MetricNameLabel), model.UnderscoreEscaping)
	b := labels.NewBuilder(labels.EmptyLabels())
	ls.Range(func(l labels.Label) {
		if l.Name != model.MetricNameLabel {
			b.Set(model.EscapeName(l.Name, model.UnderscoreEscaping), l.Value)
		}
	})
	return b.Labels(), name
}

// in finds the place of a row in a family of a type; false if it has none.
func (r row) in(family, typ string) (row, bool) {
	r.group = r.labels
	if !structured(typ) {
		return r, true
	}
	by := map[string]string{"histogram": model.BucketLabel, "summary": model.QuantileLabel}[typ]
	suffix := strings.TrimPrefix(r.name, family)
	switch suffix {
	case "_gsum", "_gcount": // of a gauge histogram
		suffix = "_" + suffix[2:]
		r.name = family + suffix
	}
	bound := r.labels.Get(by)
	switch {
	case bound != "" && (typ == "histogram" && suffix == "_bucket" || typ == "summary" && suffix == ""):
		var err error
		if r.bound, err = strconv.ParseFloat(bound, 64); err != nil {
			return r, false
		}
		r.group = labels.NewBuilder(r.labels).Del(by).Labels()
	case suffix == "_sum":
		r.part = 1
	case suffix == "_count":
		r.part = 2
	default:
		return r, false
	}
	return r, true
}

// classic are the series of a classic histogram with the buckets of a native one.
func classic(r row) []row {
	h := r.native
	one := func(suffix, le string, v float64) row {
		b := labels.NewBuilder(r.labels)
		if le != "" {
			b.Set(model.BucketLabel, le)
		}
		// It has a place; native says that it gives way to what was classic from the
		// start.
		n, _ := row{name: r.name + suffix, labels: b.Labels(), value: v, time: r.time, native: h}.in(r.name, "histogram")
		return n
	}
	var out []row
	total := 0.0
	for it := h.AllBucketIterator(); it.Next(); {
		b := it.At()
		total += b.Count
		if !math.IsInf(b.Upper, 1) {
			out = append(out, one("_bucket", labels.FormatOpenMetricsFloat(b.Upper), total))
		}
	}
	return append(out, one("_bucket", "+Inf", h.Count), one("_sum", "", h.Sum), one("_count", "", h.Count))
}

// WriteTo implements io.WriterTo.
func (x *Exposition) WriteTo(w io.Writer) (int64, error) {
	count := &counter{w: w}
	b := bufio.NewWriter(count)
	for _, name := range slices.Sorted(maps.Keys(x.families)) {
		x.families[name].write(b)
	}
	err := b.Flush() // it keeps the first error
	return count.n, err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (f *exposed) write(b *bufio.Writer) {
	put := func(parts ...string) {
		for _, s := range parts {
			_, _ = b.WriteString(s) // Flush tells
		}
	}
	if f.help != "" {
		put("# HELP ", f.name, " ", helpEscaper.Replace(f.help), "\n")
	}
	put("# TYPE ", f.name, " ", f.typ, "\n")
	for _, r := range f.sorted() {
		put(r.name)
		open := "{"
		r.labels.Range(func(l labels.Label) {
			put(open, l.Name, `="`, valueEscaper.Replace(l.Value), `"`)
			open = ","
		})
		if open == "," {
			put("}")
		}
		put(" ", formatValue(r.value))
		if r.time != nil {
			put(" ", strconv.FormatInt(*r.time, 10))
		}
		put("\n")
	}
	if f.leftOut > 0 {
		put("# ", strconv.Itoa(f.leftOut), " series of ", f.name, " that don't fit its type are left out\n")
	}
}

// sorted are the rows in order, each series once. Where a histogram is there both
// classic and native the classic one counts, unless it has but the bucket that
// libraries give all of them.
func (f *exposed) sorted() []row {
	type both struct{ native, buckets bool }
	groups := map[string]both{}
	key := func(r row) string { return string(r.group.Bytes(nil)) }
	for _, r := range f.rows {
		g := groups[key(r)]
		g.native = g.native || r.native != nil
		g.buckets = g.buckets || r.native == nil && r.part == 0 && !math.IsInf(r.bound, 1)
		groups[key(r)] = g
	}
	rows := slices.DeleteFunc(slices.Clone(f.rows), func(r row) bool {
		g := groups[key(r)]
		return g.native && (r.native != nil) == g.buckets
	})
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Or(labels.Compare(a.group, b.group), cmp.Compare(a.part, b.part), cmp.Compare(a.bound, b.bound))
	})
	return slices.CompactFunc(rows, func(a, b row) bool { return a.name == b.name && labels.Equal(a.labels, b.labels) })
}

var (
	helpEscaper  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	valueEscaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func formatValue(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 0):
		return strconv.FormatFloat(v, 'f', -1, 64) // +Inf, -Inf
	case math.Abs(v) < 1e15 && v == math.Trunc(v):
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
}
