package remotewrite_test

import (
	"bytes"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var versions = []string{"1.0", "2.0"}

// receiver is a handler over a TSDB, and what it told.
type receiver struct {
	*remotewrite.Handler
	db       *tsdb.DB
	families writetest.Families
	now      int64 // Unix ms, of the test's start

	mu       sync.Mutex
	refused  map[remotewrite.Reason]int
	written  [3]int
	answered map[string]int
}

func newReceiver(t testing.TB, change ...func(*remotewrite.Options)) *receiver {
	t.Helper()
	r := &receiver{
		db: writetest.OpenDB(t), now: time.Now().UnixMilli(),
		refused: map[remotewrite.Reason]int{}, answered: map[string]int{},
	}
	o := remotewrite.Options{
		Appendable: r.db, Metadata: &r.families, Log: zap.NewNop(),
		Now: func() time.Time { return time.UnixMilli(r.now) },
		Hooks: remotewrite.Hooks{
			Refused: func(reason remotewrite.Reason, n int) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.refused[reason] += n
			},
			Written: func(s, h, e int) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.written = [3]int{r.written[0] + s, r.written[1] + h, r.written[2] + e}
			},
			Answered: func(version string, status int) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.answered[fmt.Sprint(version, " ", status)]++
			},
		},
	}
	for _, f := range change {
		f(&o)
	}
	r.Handler = remotewrite.New(o)
	return r
}

func (r *receiver) post(t testing.TB, version string, list ...writetest.Series) *httptest.ResponseRecorder {
	t.Helper()
	return writetest.Send(t, r, version, writetest.Encode(t, version, list))
}

func (r *receiver) series(t testing.TB) map[string][]writetest.Point {
	t.Helper()
	return writetest.Contents(t, r.db).Series
}

// gauge is a series named name with one sample.
func gauge(name string, t int64, v float64) writetest.Series {
	return writetest.Series{
		Labels:  []string{"__name__", name, "instance", "web-1"},
		Samples: []writetest.Sample{{T: t, V: v}},
	}
}

func point(t int64, v float64) writetest.Point {
	return writetest.Point{T: t, Bits: math.Float64bits(v)}
}

func written(w *httptest.ResponseRecorder) (out [3]string) {
	for i, what := range []string{"Samples", "Histograms", "Exemplars"} {
		out[i] = w.Header().Get("X-Prometheus-Remote-Write-" + what + "-Written")
	}
	return out
}

func TestNegotiation(t *testing.T) {
	const (
		proto = "application/x-protobuf"
		two   = "io.prometheus.write.v2.Request"
	)
	for _, c := range []struct {
		method, contentType, encoding string
		status                        int
		version                       string
	}{
		{"POST", proto, "snappy", 204, "1.0"},
		{"POST", "", "snappy", 204, "1.0"},
		{"POST", proto, "", 204, "1.0"},
		{"POST", proto + ";proto=prometheus.WriteRequest", "snappy", 204, "1.0"},
		{"POST", proto + ";proto=" + two, "snappy", 204, "2.0"},
		{"POST", proto + "; proto=" + two, "snappy", 204, "2.0"},
		{"POST", "Application/X-Protobuf; Proto=\"" + two + "\"; charset=utf-8", "snappy", 204, "2.0"},
		{"POST", proto + ";proto=io.prometheus.write.v3.Request", "snappy", 415, ""},
		{"POST", proto + ";proto=", "snappy", 415, ""},
		{"POST", "application/json", "snappy", 415, ""},
		{"POST", "text/plain; a=\x01", "snappy", 415, ""},
		{"POST", proto, "gzip", 415, "1.0"},
		{"POST", proto + ";proto=" + two, "zstd", 415, "2.0"},
		{"POST", proto, "snappy, gzip", 415, "1.0"},
		{"GET", proto, "snappy", 405, ""},
		{"PUT", proto, "snappy", 405, ""},
	} {
		t.Run(c.method+" "+c.contentType+" "+c.encoding, func(t *testing.T) {
			h := newReceiver(t)
			version := c.version
			if version == "" {
				version = "1.0"
			}
			body := writetest.Encode(t, version, []writetest.Series{gauge("a", h.now, 1)})
			r := httptest.NewRequest(c.method, "/api/v1/write", bytes.NewReader(body))
			r.Header = http.Header{"Content-Type": {c.contentType}, "Content-Encoding": {c.encoding}}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			require.Equal(t, c.status, w.Code, w.Body)
			require.Equal(t, map[string]int{fmt.Sprint(c.version, " ", c.status): 1}, h.answered)
			require.Equal(t, c.status == 204, len(h.series(t)) == 1)
			require.Equal(t, c.version == "2.0", w.Header().Get("X-Prometheus-Remote-Write-Samples-Written") != "")
			if c.status == 405 {
				require.Equal(t, "POST", w.Header().Get("Allow"))
			}
			if c.status >= 400 {
				require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
				require.NotEmpty(t, w.Body.String())
			} else {
				require.Empty(t, w.Body.String())
			}
		})
	}
}

// TestPartialWrite: what is invalid is refused sample by sample, with reasons,
// what is valid is written; and so it is again when the series are known.
func TestPartialWrite(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			r := newReceiver(t)
			bad := tsdbutil.GenerateTestHistogram(1)
			bad.Count++
			request := func(at int64) []writetest.Series {
				mixed := gauge("mixed", at, 1)
				mixed.Samples = append(mixed.Samples,
					writetest.Sample{T: r.now + 601_000, V: 2}, // more than 10 minutes ahead
					writetest.Sample{T: at + 1, V: 3},
					writetest.Sample{T: r.now - 5*3600_000, V: 4}) // beyond the out-of-order window
				hists := gauge("hists", at, 1)
				hists.Samples, hists.Histograms = nil, []writetest.Hist{{T: at, I: bad}, {T: at + 1, I: tsdbutil.GenerateTestHistogram(2)}}
				return []writetest.Series{
					gauge("before", at, 1),
					{Labels: []string{"job", "x"}, Samples: []writetest.Sample{{T: at, V: 1}, {T: at, V: 1}}},
					mixed, hists,
					gauge("edge", r.now+600_000, 1), // just 10 minutes ahead
				}
			}
			w := r.post(t, version, request(r.now-1000)...)
			require.Equal(t, 400, w.Code)
			want := strings.Join([]string{
				`series 1 {job="x"}: no metric name: the label __name__ is missing`,
				`series 2 {__name__="mixed", instance="web-1"} at ` + fmt.Sprint(r.now+601_000) + `: more than 10 minutes ahead of the server's clock`,
				`series 2 {__name__="mixed", instance="web-1"} at ` + fmt.Sprint(r.now-5*3600_000) + `: too old sample`,
				`series 3 {__name__="hists", instance="web-1"} at ` + fmt.Sprint(r.now-1000) + `: 21 observations found in buckets, but the Count field is 22: histogram's observation count should equal the number of observations found in the buckets (in absence of NaN)`,
			}, "\n")
			require.Equal(t, want, strings.TrimSpace(w.Body.String()))
			if version == "2.0" {
				require.Equal(t, [3]string{"4", "1", "0"}, written(w))
			}
			require.Equal(t, [3]int{4, 1, 0}, r.written)
			require.Equal(t, map[remotewrite.Reason]int{
				remotewrite.Labels: 2, remotewrite.Future: 1, remotewrite.TooOld: 1, remotewrite.Malformed: 1,
			}, r.refused)
			require.Equal(t, 4, r.Series())

			w = r.post(t, version, request(r.now-500)...)
			require.Equal(t, 400, w.Code)
			require.Equal(t, 4, strings.Count(w.Body.String(), "\n"))
			got := r.series(t)
			require.Len(t, got, 4)
			require.Equal(t, []writetest.Point{point(r.now-1000, 1), point(r.now-500, 1)}, got[`{__name__="before", instance="web-1"}`])
			require.Equal(t, []writetest.Point{
				point(r.now-1000, 1), point(r.now-999, 3), point(r.now-500, 1), point(r.now-499, 3),
			}, got[`{__name__="mixed", instance="web-1"}`])
			require.Len(t, got[`{__name__="hists", instance="web-1"}`], 2)
			require.Equal(t, 4, r.Series())
		})
	}
}

func TestManyReasons(t *testing.T) {
	r := newReceiver(t)
	list := make([]writetest.Series, 27)
	for i := range list {
		list[i] = writetest.Series{Labels: []string{"a", strings.Repeat("x", 200)}, Samples: []writetest.Sample{{T: r.now}}}
	}
	w := r.post(t, "2.0", list...)
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	require.Len(t, lines, 21)
	require.Equal(t, "and 7 more", lines[20])
	require.Less(t, len(lines[0]), 200)
}

// TestDuplicates: the same sample again is fine, another value for its time is
// not.
func TestDuplicates(t *testing.T) {
	for _, version := range versions {
		r := newReceiver(t)
		require.Equal(t, 204, r.post(t, version, gauge("a", r.now, 1)).Code)
		require.Equal(t, 204, r.post(t, version, gauge("a", r.now, 1)).Code)
		w := r.post(t, version, gauge("a", r.now, 2), gauge("b", r.now, 2))
		require.Equal(t, 400, w.Code)
		require.Contains(t, w.Body.String(), "duplicate sample for timestamp")
		require.Equal(t, map[remotewrite.Reason]int{remotewrite.Duplicate: 1}, r.refused)
		require.Equal(t, map[string][]writetest.Point{
			`{__name__="a", instance="web-1"}`: {point(r.now, 1)},
			`{__name__="b", instance="web-1"}`: {point(r.now, 2)},
		}, r.series(t))
	}
}

// TestOutOfOrder: without a window, older samples are refused one by one.
func TestOutOfOrder(t *testing.T) {
	for _, version := range versions {
		db := writetest.OpenDB(t, func(o *tsdb.Options) { o.OutOfOrderTimeWindow = 0 })
		r := newReceiver(t, func(o *remotewrite.Options) { o.Appendable = db })
		require.Equal(t, 204, r.post(t, version, gauge("a", r.now, 1)).Code)
		require.Equal(t, 400, r.post(t, version, gauge("a", r.now-1, 1)).Code)
		require.Equal(t, 400, r.post(t, version, gauge("b", r.now-5*3600_000, 1)).Code)
		require.Equal(t, map[remotewrite.Reason]int{remotewrite.OutOfOrder: 1, remotewrite.TooOld: 1}, r.refused)
	}
}

// TestBits: values keep their bits, the marker of staleness above all.
func TestBits(t *testing.T) {
	for _, version := range versions {
		r := newReceiver(t)
		var want []writetest.Point
		for i, bits := range []uint64{
			value.StaleNaN, value.NormalNaN, 0x7ff8000000000001, 0xfff8000000000000, 0, 1, math.MaxUint64,
		} {
			at := r.now + int64(i)
			require.Equal(t, 204, r.post(t, version, gauge("a", at, math.Float64frombits(bits))).Code)
			want = append(want, writetest.Point{T: at, Bits: bits})
		}
		require.Equal(t, want, r.series(t)[`{__name__="a", instance="web-1"}`])
	}
}

// TestStart: a start time of 2.0 reaches the TSDB.
func TestStart(t *testing.T) {
	db := writetest.OpenDB(t, func(o *tsdb.Options) { o.EnableSTAsZeroSample = true })
	r := newReceiver(t, func(o *remotewrite.Options) { o.Appendable = db })
	s := gauge("a", r.now, 5)
	s.Samples[0].ST = r.now - 1000
	h := gauge("h", 0, 0)
	h.Samples, h.Histograms = nil, []writetest.Hist{{T: r.now, ST: r.now - 1000, I: tsdbutil.GenerateTestHistogram(1)}}
	require.Equal(t, 204, r.post(t, "2.0", s, h).Code)
	got := writetest.Contents(t, db).Series
	require.Equal(t, []writetest.Point{point(r.now-1000, 0), point(r.now, 5)}, got[`{__name__="a", instance="web-1"}`])
	require.Len(t, got[`{__name__="h", instance="web-1"}`], 2)
}

// TestLabels: what label sets are refused, and which are the same series.
func TestLabels(t *testing.T) {
	for _, c := range []struct {
		name   string
		labels []string
		want   string // the series, or
		err    string
	}{
		{"sorted", []string{"__name__", "a", "b", "1"}, `{__name__="a", b="1"}`, ""},
		{"not sorted", []string{"b", "1", "__name__", "a"}, `{__name__="a", b="1"}`, ""},
		{"empty value", []string{"__name__", "a", "b", ""}, `{__name__="a"}`, ""},
		{"utf-8", []string{"__name__", "cpu.load", "größe", "ä"}, `{__name__="cpu.load", "größe"="ä"}`, ""},
		{"no labels", nil, "", "no metric name"},
		{"no name", []string{"b", "1"}, "", "no metric name"},
		{"empty name", []string{"__name__", "", "b", "1"}, "", "no metric name"},
		{"no label name", []string{"", "1", "__name__", "a"}, "", "a label without a name"},
		{"twice", []string{"__name__", "a", "b", "1", "b", "2"}, "", `label "b" stands twice`},
		{"twice, once empty", []string{"__name__", "a", "b", "", "b", "2"}, "", `label "b" stands twice`},
		{"two names", []string{"__name__", "a", "__name__", "a"}, "", `label "__name__" stands twice`},
		{"value not utf-8", []string{"__name__", "a", "b", "\xff"}, "", "not valid UTF-8"},
		{"name not utf-8", []string{"__name__", "a", "b\xff", "1"}, "", "not valid UTF-8"},
		{"metric not utf-8", []string{"__name__", "a\xff"}, "", "not valid UTF-8"},
		{"too many", []string{"__name__", "a", "b", "1", "c", "1", "d", "1", "e", "1", "f", "1"}, "", "more than 5 labels"},
		{"long name", []string{"__name__", "a", strings.Repeat("b", 21), "1"}, "", "a name of 21 bytes, at most 20"},
		{"long value", []string{"__name__", "a", "b", strings.Repeat("1", 31)}, "", "a value of 31 bytes, at most 30"},
		{"as long as can be", []string{"__name__", "a", strings.Repeat("b", 20), strings.Repeat("1", 30)}, `{__name__="a", bbbbbbbbbbbbbbbbbbbb="111111111111111111111111111111"}`, ""},
	} {
		for _, version := range versions {
			t.Run(c.name+" "+version, func(t *testing.T) {
				r := newReceiver(t, func(o *remotewrite.Options) {
					o.Limits.Labels, o.Limits.LabelName, o.Limits.LabelValue = 5, 20, 30
				})
				for i := range 2 {
					s := writetest.Series{Labels: c.labels, Samples: []writetest.Sample{{T: r.now + int64(i), V: 1}}}
					w := r.post(t, version, s, gauge("valid", r.now+int64(i), 1))
					got := r.series(t)
					require.Contains(t, got, `{__name__="valid", instance="web-1"}`)
					if c.err == "" {
						require.Equal(t, 204, w.Code, w.Body)
						require.Len(t, got[c.want], i+1, got)
						require.Equal(t, 2, r.Series())
						continue
					}
					require.Equal(t, 400, w.Code)
					require.Contains(t, w.Body.String(), c.err)
					require.Len(t, got, 1)
					require.Equal(t, i+1, r.refused[remotewrite.Labels])
					require.Equal(t, 1, r.Series())
				}
			})
		}
	}
}

func TestTooLarge(t *testing.T) {
	var list []writetest.Series
	for i := range 20 {
		list = append(list, gauge(fmt.Sprint("m", i), time.Now().UnixMilli(), float64(i)))
	}
	hist := gauge("h", 0, 0)
	hist.Samples, hist.Histograms = nil, []writetest.Hist{{T: time.Now().UnixMilli(), I: tsdbutil.GenerateTestHistogram(1)}}
	list = append(list, hist)
	for _, c := range []struct {
		name   string
		change func(*remotewrite.Limits)
		status int
		text   string
	}{
		{"fits", func(*remotewrite.Limits) {}, 204, ""},
		{"wire", func(l *remotewrite.Limits) { l.Wire = 100 }, 413, "larger than 100 bytes"},
		{"plain", func(l *remotewrite.Limits) { l.Plain = 500 }, 413, "more than 500"},
		{"samples fit", func(l *remotewrite.Limits) { l.Samples = 21 }, 204, ""},
		{"samples", func(l *remotewrite.Limits) { l.Samples = 20 }, 413, "more than 20 samples"},
		{"buckets fit", func(l *remotewrite.Limits) { l.Buckets = 12 }, 204, ""},
		{"buckets", func(l *remotewrite.Limits) { l.Buckets = 11 }, 413, "or 11 buckets"},
	} {
		for _, version := range versions {
			t.Run(c.name+" "+version, func(t *testing.T) {
				r := newReceiver(t, func(o *remotewrite.Options) { c.change(&o.Limits) })
				for _, length := range []bool{true, false} {
					req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(writetest.Encode(t, version, list)))
					req.Header = writetest.Headers(version)
					if !length {
						req.ContentLength = -1
					}
					w := httptest.NewRecorder()
					r.ServeHTTP(w, req)
					require.Equal(t, c.status, w.Code, w.Body)
					require.Contains(t, w.Body.String(), c.text)
					if c.status != 204 {
						require.Empty(t, r.series(t))
						if version == "2.0" {
							require.Equal(t, [3]string{"0", "0", "0"}, written(w))
						}
					}
				}
			})
		}
	}
}

// TestSnappy: bodies that are no snappy, that claim to be huge, and that are in
// another of its formats.
func TestSnappy(t *testing.T) {
	r := newReceiver(t)
	whole := writetest.Encode(t, "1.0", []writetest.Series{gauge("a", r.now, 1)})
	for name, c := range map[string]struct {
		body   []byte
		status int
	}{
		"nothing":     {nil, 400},
		"whole":       {whole, 204},
		"cut":         {whole[:len(whole)-1], 400},
		"and more":    {append(bytes.Clone(whole), 1, 2, 3), 400},
		"huge":        {[]byte{0xff, 0xff, 0xff, 0xff, 0x07, 0}, 413},
		"large":       {[]byte{0x80, 0x80, 0x80, 0x08, 0}, 400}, // 16 MiB of one byte
		"no length":   {[]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 400},
		"not snappy":  {[]byte("hello"), 400},
		"empty":       {s2.EncodeSnappy(nil, nil), 204},
		"not message": {s2.EncodeSnappy(nil, []byte("hello")), 400},
	} {
		t.Run(name, func(t *testing.T) {
			for _, version := range versions {
				if name == "whole" && version == "2.0" {
					continue
				}
				w := writetest.Send(t, r, version, c.body)
				require.Equal(t, c.status, w.Code, w.Body)
			}
		})
	}
	require.Len(t, r.series(t), 1)
}

// TestBusy: large bodies beyond what may be held at once are put off.
func TestBusy(t *testing.T) {
	r := newReceiver(t, func(o *remotewrite.Options) { o.Limits.InFlight = 65_000 })
	list := make([]writetest.Series, 4000)
	for i := range list {
		list[i] = gauge(fmt.Sprint("m", i), r.now, float64(i))
	}
	w := r.post(t, "2.0", list[:500]...)
	require.Equal(t, 204, w.Code, w.Body)
	w = r.post(t, "2.0", list...)
	require.Equal(t, 503, w.Code, w.Body)
	require.Equal(t, "1", w.Header().Get("Retry-After"))
	require.Equal(t, [3]string{"0", "0", "0"}, written(w))
	require.Zero(t, r.InFlight())
	require.Equal(t, 204, r.post(t, "2.0", list[:500]...).Code)
}
