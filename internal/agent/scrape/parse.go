package scrape

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// maxAhead is how far ahead of now a sample may be, as in Prometheus; the server
// takes none beyond.
const maxAhead = 10 * time.Minute

// sink takes the samples of a scrape.
type sink interface {
	// add takes one. All but its series is only for the time of the call, if not
	// said otherwise.
	add(s *sample) error
}

// sample is one of a series.
type sample struct {
	*series
	t, st     int64 // ms; st is 0 if it isn't known
	own       bool  // t stands in the exposition
	v         float64
	h         *histogram.Histogram      // to keep
	fh        *histogram.FloatHistogram // to keep
	exemplars []exemplar.Exemplar       // new ones
}

// counts is what a scrape had.
type counts struct {
	samples    int // in the exposition, as far as it was read
	passed     int // of them, but the one that failed the scrape
	duplicates int // series that were there before in it
	kept       int // the others; exact up to the limit
	ahead      int // samples too far in the future
	added      int // new series
	// doubled and early are the first of the duplicates and of those ahead.
	doubled, early labels.Labels
}

// reader reads the expositions of one target.
type reader struct {
	cache    *cache
	limits   Limits
	target   []labels.Label // job and instance
	external []labels.Label

	parser    textparse.Parser // during a scrape
	builder   *labels.Builder
	scratch   labels.Labels
	sample    sample
	exemplar  exemplar.Exemplar
	exemplars []exemplar.Exemplar // of one sample
}

// read gives the samples of an exposition to out. now is the time of those that
// have none of their own. Whoever called ends the scrape in the cache.
func (r *reader) read(body []byte, contentType string, now int64, out sink) (counts, error) {
	var n counts
	if len(body) == 0 {
		return n, nil // as in Prometheus, nothing is a valid exposition in any format
	}
	var err error
	// An error is about the content type; text is taken for what has none.
	r.parser, err = textparse.New(body, contentType, labels.NewSymbolTable(), textparse.ParserOptions{
		KeepClassicOnClassicAndNativeHistograms: true,
		OpenMetricsSkipSTSeries:                 true,
		FallbackContentType:                     "text/plain",
	})
	if r.parser == nil {
		return n, &parseError{err}
	}
	defer func() {
		// They hold the body.
		r.parser, r.sample, r.exemplar, r.exemplars = nil, sample{}, exemplar.Exemplar{}, nil
	}()
	for {
		entry, err := r.parser.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return n, &parseError{fmt.Errorf("%s: %w", orNone(contentType), err)}
		}
		switch entry {
		case textparse.EntryType:
			r.cache.families.setType(r.parser.Type())
		case textparse.EntryHelp:
			r.cache.families.setHelp(r.parser.Help())
		case textparse.EntryUnit:
			r.cache.families.setUnit(r.parser.Unit())
		case textparse.EntrySeries, textparse.EntryHistogram:
			n.samples++
			if err := r.one(entry == textparse.EntryHistogram, now, out, &n); err != nil {
				return n, err
			}
			n.passed++
		default:
		}
	}
	// The rest was counted, so that scrape_samples_scraped shows what limit it takes.
	if r.tooMany(n.kept) {
		return n, &LimitError{
			Setting: SettingSamples, Limit: int64(r.limits.Samples),
			What: fmt.Sprintf("the exposition has %d samples", n.samples-n.duplicates),
		}
	}
	return n, nil
}

// one takes one sample from the parser.
func (r *reader) one(isHistogram bool, now int64, out sink, n *counts) error {
	var (
		raw []byte
		ts  *int64
		s   = &r.sample
	)
	*s = sample{t: now}
	if isHistogram {
		raw, ts, s.h, s.fh = r.parser.Histogram()
		if s.h == nil && s.fh == nil {
			return &parseError{fmt.Errorf("%.100q has no histogram", raw)}
		}
	} else {
		raw, ts, s.v = r.parser.Series()
	}
	if r.tooMany(n.kept) {
		return nil // read says so at the end
	}
	if ts != nil {
		s.t, s.own = *ts, true
	}
	if s.series = r.cache.find(raw); s.series == nil {
		ls, err := r.labels()
		if err != nil {
			return err
		}
		s.series = r.cache.add(raw, ls)
	}
	if s.seen == r.cache.gen && (!s.own || s.t == s.lastT) {
		if n.duplicates++; n.duplicates == 1 {
			n.doubled = s.labels
		}
		return nil
	}
	if s.created == r.cache.gen && s.seen != r.cache.gen {
		n.added++
	}
	s.seen, s.lastT = r.cache.gen, s.t
	if n.kept++; r.tooMany(n.kept) {
		return nil
	}
	if s.t > now+maxAhead.Milliseconds() {
		if n.ahead++; n.ahead == 1 {
			n.early = s.labels
		}
		return nil
	}
	if !s.own {
		s.tracked = r.cache.gen
	}
	switch {
	case s.h != nil:
		s.kind = intHistogram
	case s.fh != nil:
		s.kind = floatHistogram
	default:
		s.kind = float
	}
	r.describe(s)
	r.examples(s, isHistogram, now)
	return out.add(s)
}

func (r *reader) tooMany(samples int) bool { return r.limits.Samples > 0 && samples > r.limits.Samples }

// describe finds the metadata and the start of a sample.
func (r *reader) describe(s *sample) {
	if f := r.cache.families.present(); f != s.family {
		s.family, s.meta = f, nil
		if f != nil && f.has(s.labels.Get(model.MetricNameLabel)) {
			s.meta = f
		}
	}
	if s.meta == nil {
		return
	}
	switch s.meta.typ {
	case model.MetricTypeCounter, model.MetricTypeHistogram, model.MetricTypeSummary:
		// One after the sample is that of a clock that stands wrong.
		if st := r.parser.StartTimestamp(); st > 0 && st <= s.t {
			s.st = st
		}
	default:
	}
}

// examples reads the exemplars of a sample.
func (r *reader) examples(s *sample, isHistogram bool, now int64) {
	list := r.exemplars[:0]
	e := &r.exemplar
	for ; r.parser.Exemplar(e); *e = (exemplar.Exemplar{}) {
		switch {
		case !e.HasTs && isHistogram: // whether it is a new one can't be told
		case e.HasTs && e.Ts > now+maxAhead.Milliseconds():
		default:
			if !e.HasTs {
				e.Ts = s.t
			}
			list = append(list, *e)
		}
	}
	r.exemplars = list
	if len(list) > 0 {
		slices.SortStableFunc(list, exemplar.Compare)
		s.exemplars = s.fresh(list)
	}
}

// labels makes the labels of the present series: those it has, the target's, and
// external ones.
func (r *reader) labels() (labels.Labels, error) {
	r.parser.Labels(&r.scratch)
	ls, b := r.scratch, r.builder
	r.scratch = labels.EmptyLabels()
	b.Reset(ls)
	for _, l := range r.target {
		b.Set(l.Name, l.Value)
	}
	for _, l := range r.target {
		v := ls.Get(l.Name)
		if v == "" {
			continue
		}
		name := model.ExportedLabelPrefix + l.Name
		for b.Get(name) != "" {
			name = model.ExportedLabelPrefix + name
		}
		b.Set(name, v)
	}
	out := b.Labels()
	switch {
	case !out.Has(model.MetricNameLabel):
		return out, &parseError{fmt.Errorf("a series has no name: %.200s", out.String())}
	case !out.IsValid(model.UTF8Validation):
		return out, &parseError{fmt.Errorf("a series has an invalid name or label: %.200s", out.String())}
	}
	if err := r.limits.verify(out); err != nil {
		return out, err
	}
	if len(r.external) == 0 {
		return out, nil
	}
	for _, l := range r.external {
		if b.Get(l.Name) == "" {
			b.Set(l.Name, l.Value)
		}
	}
	return b.Labels(), nil
}

func (l Limits) verify(ls labels.Labels) error {
	name := ls.Get(model.MetricNameLabel)
	if l.Labels > 0 && ls.Len() > l.Labels {
		return &LimitError{
			Limit: int64(l.Labels),
			What:  fmt.Sprintf("a series of %.50q has %d labels", name, ls.Len()),
		}
	}
	if l.LabelName <= 0 && l.LabelValue <= 0 {
		return nil
	}
	return ls.Validate(func(x labels.Label) error {
		if l.LabelName > 0 && len(x.Name) > l.LabelName {
			return &LimitError{
				Limit: int64(l.LabelName),
				What:  fmt.Sprintf("the name of label %.50q of a series of %.50q has %d bytes", x.Name, name, len(x.Name)),
			}
		}
		if l.LabelValue > 0 && len(x.Value) > l.LabelValue {
			return &LimitError{
				Limit: int64(l.LabelValue),
				What:  fmt.Sprintf("the value of label %.50q of a series of %.50q has %d bytes", x.Name, name, len(x.Value)),
			}
		}
		return nil
	})
}

func orNone(contentType string) string {
	if contentType == "" {
		return "no Content-Type"
	}
	return contentType
}
