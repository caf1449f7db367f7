// Package conformance holds our receiver of remote write against the one of
// Prometheus, storage/remote. It has tests and benchmarks only, and a folder of
// its own since that package brings much with it.
package conformance

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"sort"
	"sync"
	"testing"
	"time"

	"bytes"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
)

// The parts of a request that both versions can say.
type (
	series struct {
		labels     []string // name, value, …
		samples    []sample
		histograms []hist
		exemplars  []exemplar
		meta       meta
	}
	sample struct {
		t, st int64
		v     float64
	}
	hist struct {
		t, st int64
		i     *histogram.Histogram
		f     *histogram.FloatHistogram
	}
	exemplar struct {
		labels []string
		t      int64
		v      float64
	}
	meta struct {
		typ        int32
		help, unit string
	}
)

// messageV1 is a request of 1.0.
func messageV1(list []series) *prompb.WriteRequest {
	pairs := func(ss []string) (out []prompb.Label) {
		for i := 0; i+1 < len(ss); i += 2 {
			out = append(out, prompb.Label{Name: ss[i], Value: ss[i+1]})
		}
		return out
	}
	m := &prompb.WriteRequest{}
	for _, s := range list {
		ts := prompb.TimeSeries{Labels: pairs(s.labels)}
		for _, p := range s.samples {
			ts.Samples = append(ts.Samples, prompb.Sample{Value: p.v, Timestamp: p.t})
		}
		for _, h := range s.histograms {
			if h.f != nil {
				ts.Histograms = append(ts.Histograms, prompb.FromFloatHistogram(h.t, h.f))
			} else {
				ts.Histograms = append(ts.Histograms, prompb.FromIntHistogram(h.t, h.i))
			}
		}
		for _, e := range s.exemplars {
			ts.Exemplars = append(ts.Exemplars, prompb.Exemplar{Labels: pairs(e.labels), Value: e.v, Timestamp: e.t})
		}
		m.Timeseries = append(m.Timeseries, ts)
		if s.meta != (meta{}) && len(s.labels) > 1 {
			m.Metadata = append(m.Metadata, prompb.MetricMetadata{
				Type: prompb.MetricMetadata_MetricType(s.meta.typ), MetricFamilyName: s.labels[1], Help: s.meta.help, Unit: s.meta.unit,
			})
		}
	}
	return m
}

// messageV2 is a request of 2.0.
func messageV2(list []series) *writev2.Request {
	table := writev2.NewSymbolTable()
	refs := func(ss []string) (out []uint32) {
		for _, s := range ss {
			out = append(out, table.Symbolize(s))
		}
		return out
	}
	m := &writev2.Request{}
	for _, s := range list {
		ts := writev2.TimeSeries{LabelsRefs: refs(s.labels)}
		for _, p := range s.samples {
			ts.Samples = append(ts.Samples, writev2.Sample{Value: p.v, Timestamp: p.t, StartTimestamp: p.st})
		}
		for _, h := range s.histograms {
			if h.f != nil {
				ts.Histograms = append(ts.Histograms, writev2.FromFloatHistogram(h.st, h.t, h.f))
			} else {
				ts.Histograms = append(ts.Histograms, writev2.FromIntHistogram(h.st, h.t, h.i))
			}
		}
		for _, e := range s.exemplars {
			ts.Exemplars = append(ts.Exemplars, writev2.Exemplar{LabelsRefs: refs(e.labels), Value: e.v, Timestamp: e.t})
		}
		ts.Metadata = writev2.Metadata{
			Type: writev2.Metadata_MetricType(s.meta.typ), HelpRef: table.Symbolize(s.meta.help), UnitRef: table.Symbolize(s.meta.unit),
		}
		m.Timeseries = append(m.Timeseries, ts)
	}
	m.Symbols = table.Symbols()
	return m
}

func marshal(t testing.TB, version string, list []series) []byte {
	t.Helper()
	var (
		b   []byte
		err error
	)
	if version == "2.0" {
		b, err = messageV2(list).Marshal()
	} else {
		b, err = messageV1(list).Marshal()
	}
	require.NoError(t, err)
	return b
}

func encode(t testing.TB, version string, list []series) []byte {
	return s2.EncodeSnappy(nil, marshal(t, version, list))
}

func headers(version string) http.Header {
	h := http.Header{
		"Content-Encoding": {"snappy"},
		"Content-Type":     {"application/x-protobuf"},
	}
	if version == "2.0" {
		h["Content-Type"] = []string{"application/x-protobuf;proto=io.prometheus.write.v2.Request"}
	}
	return h
}

func openDB(t testing.TB, change ...func(*tsdb.Options)) *tsdb.DB {
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

// yardstick is the receiver of Prometheus.
func yardstick(db *tsdb.DB) http.Handler {
	return newYardstick(remote.NewWriteHandler, db)
}

// newYardstick calls remote.NewWriteHandler. Its types are inferred, since they
// come from a module that is nobody's business here.
func newYardstick[M ~[]E, E ~string](
	f func(*slog.Logger, prometheus.Registerer, storage.AppendableV2, M, bool, bool) http.Handler, db *tsdb.DB,
) http.Handler {
	accepted := M{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"}
	return f(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), db, accepted, false, false)
}

func ours(db *tsdb.DB) *remotewrite.Handler {
	return remotewrite.New(remotewrite.Options{Appendable: db, Metadata: &families{}, Now: time.Now, Log: zap.NewNop()})
}

type families struct {
	mu sync.Mutex
	m  map[string][3]string
}

func (f *families) SetMetadata(family, typ, help, unit string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = map[string][3]string{}
	}
	f.m[family] = [3]string{typ, help, unit}
}

func send(t testing.TB, h http.Handler, version string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/api/v1/write", bytes.NewReader(body))
	r.Header = headers(version)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// content is all that a TSDB holds, comparable.
type content struct {
	series    map[string][]point
	exemplars map[string][]string
}

// point is a sample; floats are compared by their bits.
type point struct {
	t    int64
	bits uint64
	hist string
}

func contents(t testing.TB, db *tsdb.DB) content {
	t.Helper()
	out := content{map[string][]point{}, map[string][]string{}}
	q, err := db.Querier(math.MinInt64, math.MaxInt64)
	require.NoError(t, err)
	defer q.Close()
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*"))
	for set.Next() {
		s := set.At()
		key := s.Labels().String()
		it := s.Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			out.series[key] = append(out.series[key], at(it, typ))
		}
		require.NoError(t, it.Err())
	}
	require.NoError(t, set.Err())

	eq, err := db.ExemplarQuerier(context.Background())
	require.NoError(t, err)
	var _ storage.ExemplarQuerier = eq
	found, err := eq.Select(math.MinInt64, math.MaxInt64, []*labels.Matcher{labels.MustNewMatcher(labels.MatchRegexp, "__name__", ".*")})
	require.NoError(t, err)
	for _, r := range found {
		for _, e := range r.Exemplars {
			key := r.SeriesLabels.String()
			out.exemplars[key] = append(out.exemplars[key], formatExemplar(e.Labels.String(), e.Ts, e.Value))
		}
	}
	for _, list := range out.exemplars {
		sort.Strings(list)
	}
	return out
}
