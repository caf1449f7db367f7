// Package writetest makes requests of remote write with the encoders of
// Prometheus, and reads back what a TSDB holds after them.
package writetest

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"sort"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
)

// The parts of a request that both versions can say.
type (
	// Series is a TimeSeries. In 1.0 its metadata is that of a family.
	Series struct {
		Labels     []string // name, value, …
		Samples    []Sample
		Histograms []Hist
		Exemplars  []Exemplar
		Meta       Meta
	}
	// Sample is a float. ST, the start, is in 2.0 only.
	Sample struct {
		T, ST int64
		V     float64
	}
	// Hist is a native histogram: I or F.
	Hist struct {
		T, ST int64
		I     *histogram.Histogram
		F     *histogram.FloatHistogram
	}
	// Exemplar is one of a series.
	Exemplar struct {
		Labels []string
		T      int64
		V      float64
	}
	// Meta says what a metric is. Type is a number of the protocol.
	Meta struct {
		Type       int32
		Help, Unit string
	}
)

// V1 is a request of 1.0.
func V1(list []Series) *prompb.WriteRequest {
	pairs := func(ss []string) (out []prompb.Label) {
		for i := 0; i+1 < len(ss); i += 2 {
			out = append(out, prompb.Label{Name: ss[i], Value: ss[i+1]})
		}
		return out
	}
	m := &prompb.WriteRequest{}
	for _, s := range list {
		ts := prompb.TimeSeries{Labels: pairs(s.Labels)}
		for _, p := range s.Samples {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: p.V, Timestamp: p.T})
		}
		for _, h := range s.Histograms {
			if h.F != nil {
				ts.Histograms = append(ts.Histograms, prompb.FromFloatHistogram(h.T, h.F))
			} else {
				ts.Histograms = append(ts.Histograms, prompb.FromIntHistogram(h.T, h.I))
			}
		}
		for _, e := range s.Exemplars {
			ts.Exemplars = append(ts.Exemplars, prompb.Exemplar{Labels: pairs(e.Labels), Value: e.V, Timestamp: e.T})
		}
		m.Timeseries = append(m.Timeseries, ts)
		if s.Meta != (Meta{}) && len(s.Labels) > 1 {
			m.Metadata = append(m.Metadata, prompb.MetricMetadata{
				Type: prompb.MetricMetadata_MetricType(s.Meta.Type), MetricFamilyName: s.Labels[1], Help: s.Meta.Help, Unit: s.Meta.Unit,
			})
		}
	}
	return m
}

// V2 is a request of 2.0.
func V2(list []Series) *writev2.Request {
	table := writev2.NewSymbolTable()
	refs := func(ss []string) (out []uint32) {
		for _, s := range ss {
			out = append(out, table.Symbolize(s))
		}
		return out
	}
	m := &writev2.Request{}
	for _, s := range list {
		ts := writev2.TimeSeries{LabelsRefs: refs(s.Labels)}
		for _, p := range s.Samples {
			ts.Samples = append(ts.Samples, writev2.Sample{Value: p.V, Timestamp: p.T, StartTimestamp: p.ST})
		}
		for _, h := range s.Histograms {
			if h.F != nil {
				ts.Histograms = append(ts.Histograms, writev2.FromFloatHistogram(h.ST, h.T, h.F))
			} else {
				ts.Histograms = append(ts.Histograms, writev2.FromIntHistogram(h.ST, h.T, h.I))
			}
		}
		for _, e := range s.Exemplars {
			ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{LabelsRefs: refs(e.Labels), Value: e.V, Timestamp: e.T})
		}
		ts.Metadata = writev2.Metadata{
			Type: writev2.Metadata_MetricType(s.Meta.Type), HelpRef: table.Symbolize(s.Meta.Help), UnitRef: table.Symbolize(s.Meta.Unit),
		}
		m.Timeseries = append(m.Timeseries, ts)
	}
	m.Symbols = table.Symbols()
	return m
}

// Marshal is a request, not yet compressed.
func Marshal(t testing.TB, version string, list []Series) []byte {
	t.Helper()
	var (
		b   []byte
		err error
	)
	if version == "2.0" {
		b, err = V2(list).Marshal()
	} else {
		b, err = V1(list).Marshal()
	}
	require.NoError(t, err)
	return b
}

// Encode is a compressed request.
func Encode(t testing.TB, version string, list []Series) []byte {
	return s2.EncodeSnappy(nil, Marshal(t, version, list))
}

// Headers are those of a request.
func Headers(version string) http.Header {
	h := http.Header{
		"Content-Encoding": {"snappy"},
		"Content-Type":     {"application/x-protobuf"},
	}
	if version == "2.0" {
		h["Content-Type"] = []string{"application/x-protobuf;proto=io.prometheus.write.v2.Request"}
	}
	return h
}

// OpenDB opens a TSDB in a folder of its own, with exemplars and an out-of-order
// window of an hour.
func OpenDB(t testing.TB, change ...func(*tsdb.Options)) *tsdb.DB {
	t.Helper()
	o := tsdb.DefaultOptions()
	o.EnableExemplarStorage = true
	o.MaxExemplars = 100_000
	o.OutOfOrderTimeWindow = time.Hour.Milliseconds()
	for _, f := range change {
		f(o)
	}
	db, err := tsdb.Open(t.TempDir(), slog.New(slog.DiscardHandler), prometheus.NewRegistry(), o, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// Families is a sink of metadata.
type Families struct {
	mu sync.Mutex
	m  map[string][3]string
}

// SetMetadata implements remotewrite.Metadata.
func (f *Families) SetMetadata(family, typ, help, unit string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = map[string][3]string{}
	}
	f.m[family] = [3]string{typ, help, unit}
}

// All is a copy of what is known: family → type, help, unit.
func (f *Families) All() map[string][3]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.m)
}

// Send posts a body.
func Send(t testing.TB, h http.Handler, version string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	r.Header = Headers(version)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Content is all that a TSDB holds, comparable.
type Content struct {
	Series    map[string][]Point
	Exemplars map[string][]string
}

// Point is a sample; floats are compared by their bits.
type Point struct {
	T    int64
	Bits uint64
	Hist string
}

// Contents reads a whole TSDB.
func Contents(t testing.TB, db *tsdb.DB) Content {
	t.Helper()
	out := Content{map[string][]Point{}, map[string][]string{}}
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	for set.Next() {
		s := set.At()
		key := s.Labels().String()
		it := s.Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			out.Series[key] = append(out.Series[key], at(it, typ))
		}
		require.NoError(t, it.Err())
	}
	require.NoError(t, set.Err())

	eq, err := db.ExemplarQuerier(context.Background())
	require.NoError(t, err)
	found, err := eq.Select(math.MinInt64, math.MaxInt64, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")})
	require.NoError(t, err)
	for _, r := range found {
		for _, e := range r.Exemplars {
			key := r.SeriesLabels.String()
			out.Exemplars[key] = append(out.Exemplars[key], formatExemplar(e.Labels.String(), e.Ts, e.Value))
		}
	}
	for _, list := range out.Exemplars {
		sort.Strings(list)
	}
	return out
}

func at(it chunkenc.Iterator, typ chunkenc.ValueType) Point {
	switch typ {
	case chunkenc.ValHistogram:
		t, h := it.AtHistogram(nil)
		return Point{T: t, Bits: math.Float64bits(h.Sum), Hist: fmt.Sprintf("int %d %v %v", h.CounterResetHint, h.String(), h.CustomValues)}
	case chunkenc.ValFloatHistogram:
		t, h := it.AtFloatHistogram(nil)
		return Point{T: t, Bits: math.Float64bits(h.Sum), Hist: fmt.Sprintf("float %d %v %v", h.CounterResetHint, h.String(), h.CustomValues)}
	default:
		t, v := it.At()
		return Point{T: t, Bits: math.Float64bits(v)}
	}
}

func formatExemplar(labels string, t int64, v float64) string {
	return fmt.Sprintf("%s %d %x", labels, t, math.Float64bits(v))
}
