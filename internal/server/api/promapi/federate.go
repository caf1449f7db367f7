package promapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/zap"
)

// exposition are the formats of federate: Prometheus', of which native histograms
// need one of the first three, and OpenMetrics.
func exposition() []expfmt.Format {
	return []expfmt.Format{
		expfmt.NewFormat(expfmt.TypeProtoDelim),
		expfmt.NewFormat(expfmt.TypeProtoText),
		expfmt.NewFormat(expfmt.TypeProtoCompact),
		expfmt.NewFormat(expfmt.TypeTextPlain),
		expfmt.NewFormat(expfmt.TypeOpenMetrics),
	}
}

// federate exposes the newest sample of each series that match[] selects, for
// another Prometheus to scrape.
func (a *API) federate(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, fmt.Sprintf("error parsing form values: %v", err), http.StatusBadRequest)
		return
	}
	sets, err := a.o.Parser.ParseMetricSelectors(r.Form["match[]"])
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	samples, err := a.newest(r.Context(), sets)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, tsdb.ErrNotReady) {
			status = http.StatusServiceUnavailable
		} else {
			a.o.Log.Error("federate", zap.Error(err))
		}
		http.Error(w, err.Error(), status)
		return
	}
	format := expfmt.NegotiateAccept(r.Header, exposition()...)
	w.Header().Set("Content-Type", string(format))
	if err := expose(w, format, samples); err != nil {
		a.o.Log.Debug("federate: answer not sent", zap.Error(err))
	}
}

// newest returns the newest samples within the lookback, by name and labels. A
// series that ended has none.
func (a *API) newest(ctx context.Context, sets [][]*labels.Matcher) (out []promql.Sample, err error) {
	now := a.o.Now()
	mint, maxt := timestamp.FromTime(now.Add(-a.o.LookbackDelta)), timestamp.FromTime(now)
	q, err := a.o.Storage.Querier(mint, maxt)
	if err != nil {
		return nil, err
	}
	defer a.closeQuerier(q)
	found := make([]storage.SeriesSet, 0, len(sets))
	for _, set := range sets {
		found = append(found, q.Select(ctx, true, &storage.SelectHints{Start: mint, End: maxt}, set...))
	}
	all := storage.NewMergeSeriesSet(found, 0, storage.ChainedSeriesMerge)
	var it chunkenc.Iterator
	for all.Next() {
		series := all.At()
		it = series.Iterator(it)
		s, ok := last(it, maxt)
		if it.Err() != nil {
			return nil, it.Err()
		}
		if !ok {
			continue
		}
		s.Metric = series.Labels().Copy() // it may lie in the querier's memory
		out = append(out, s)
	}
	if err := all.Err(); err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b promql.Sample) int {
		return strings.Compare(a.Metric.Get(model.MetricNameLabel), b.Metric.Get(model.MetricNameLabel))
	})
	return out, nil
}

// last returns the newest sample that isn't after maxt, unless it is a marker
// that the series ended.
func last(it chunkenc.Iterator, maxt int64) (s promql.Sample, ok bool) {
	var h *histogram.FloatHistogram // memory for the next
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		if it.AtT() > maxt {
			break
		}
		ok = true
		if typ == chunkenc.ValFloat {
			s.T, s.F = it.At()
			s.H = nil
			continue
		}
		s.T, h = it.AtFloatHistogram(h)
		s.H = h
	}
	stale := value.IsStaleNaN(s.F)
	if s.H != nil {
		stale = value.IsStaleNaN(s.H.Sum)
	}
	return s, ok && !stale
}

// expose writes samples, which are sorted by name.
func expose(w http.ResponseWriter, format expfmt.Format, samples []promql.Sample) error {
	enc := expfmt.NewEncoder(w, format)
	native := format.FormatType() != expfmt.TypeTextPlain && format.FormatType() != expfmt.TypeOpenMetrics
	var family *dto.MetricFamily
	for _, s := range samples {
		name := s.Metric.Get(model.MetricNameLabel)
		if name == "" || (s.H != nil && !native && !s.H.UsesCustomBuckets()) {
			continue // neither can be said in this format
		}
		typ := familyType(s.H)
		if family == nil || family.GetName() != name || family.GetType() != typ {
			// A name of two types comes as two families. That is no valid
			// exposition, but those who read it, Prometheus, don't mind.
			if family != nil {
				if err := enc.Encode(family); err != nil {
					return err
				}
			}
			family = &dto.MetricFamily{Name: &name, Type: &typ}
		}
		family.Metric = append(family.Metric, exposed(s))
	}
	if family != nil {
		if err := enc.Encode(family); err != nil {
			return err
		}
	}
	if c, ok := enc.(expfmt.Closer); ok {
		return c.Close() // the # EOF of OpenMetrics
	}
	return nil
}

func familyType(h *histogram.FloatHistogram) dto.MetricType {
	switch {
	case h == nil:
		return dto.MetricType_UNTYPED
	case h.CounterResetHint == histogram.GaugeType:
		return dto.MetricType_GAUGE_HISTOGRAM
	default:
		return dto.MetricType_HISTOGRAM
	}
}

func exposed(s promql.Sample) *dto.Metric {
	m := &dto.Metric{TimestampMs: new(s.T)}
	instance := false
	s.Metric.Range(func(l labels.Label) {
		if l.Name == model.MetricNameLabel || l.Value == "" {
			return
		}
		instance = instance || l.Name == model.InstanceLabel
		m.Label = append(m.Label, &dto.LabelPair{Name: &l.Name, Value: &l.Value})
	})
	if !instance {
		// So that who scrapes this doesn't add the instance of this server.
		m.Label = append(m.Label, &dto.LabelPair{Name: new(model.InstanceLabel), Value: new("")})
	}
	switch {
	case s.H == nil:
		m.Untyped = &dto.Untyped{Value: &s.F}
	case s.H.UsesCustomBuckets():
		m.Histogram = classic(s.H)
	default:
		m.Histogram = native(s.H)
	}
	return m
}

// native is a histogram with exponential buckets.
func native(h *histogram.FloatHistogram) *dto.Histogram {
	return &dto.Histogram{
		SampleCountFloat: &h.Count,
		SampleSum:        &h.Sum,
		Schema:           &h.Schema,
		ZeroThreshold:    &h.ZeroThreshold,
		ZeroCountFloat:   &h.ZeroCount,
		PositiveSpan:     spans(h.PositiveSpans),
		PositiveCount:    h.PositiveBuckets,
		NegativeSpan:     spans(h.NegativeSpans),
		NegativeCount:    h.NegativeBuckets,
	}
}

func spans(list []histogram.Span) (out []*dto.BucketSpan) {
	for _, s := range list {
		out = append(out, &dto.BucketSpan{Offset: &s.Offset, Length: &s.Length})
	}
	return out
}

// classic turns custom buckets into cumulative ones, with le.
func classic(h *histogram.FloatHistogram) *dto.Histogram {
	out := &dto.Histogram{SampleCountFloat: &h.Count, SampleSum: &h.Sum}
	counts := make([]float64, len(h.CustomValues)+1) // the last: +Inf
	for it := h.PositiveBucketIterator(); it.Next(); {
		if i := int(it.At().Index); i >= 0 && i < len(counts) {
			counts[i] = it.At().Count
		}
	}
	sum := 0.0
	for i, le := range h.CustomValues {
		sum += counts[i]
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &le, CumulativeCountFloat: new(sum)})
	}
	return out
}
