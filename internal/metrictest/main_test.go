package metrictest

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/programtest"
)

var programs programtest.Builder

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

// server is a running server.
type server struct {
	t      *testing.T
	p      *programtest.Process
	url    string
	client *http.Client
}

func startServer(t *testing.T, settings ...string) *server {
	t.Helper()
	s := &server{t: t, client: programtest.Client(t)}
	s.p = programs.Server(t, t.TempDir(), settings...)
	s.url = s.p.URL()
	return s
}

func (s *server) do(method, path string, body []byte, header ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(body))
	require.NoError(s.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, string(text)
}

// get is a page, which must have this status.
func (s *server) get(path string, status int) string {
	s.t.Helper()
	got, body := s.do(http.MethodGet, path, nil, "Accept", "text/html")
	require.Equal(s.t, status, got, body)
	return body
}

// push sends metrics as JSON; they must be taken.
func (s *server) push(metrics ...string) {
	s.t.Helper()
	status, body := s.do(http.MethodPost, "/updates", []byte("["+strings.Join(metrics, ",")+"]"), "Content-Type", "application/json")
	require.Equal(s.t, http.StatusOK, status, body)
}

// write sends a remote write request; it must be taken.
func (s *server) write(r *prompb.WriteRequest) {
	s.t.Helper()
	raw, err := r.Marshal()
	require.NoError(s.t, err)
	status, body := s.do(http.MethodPost, "/api/v1/write", snappy.Encode(nil, raw),
		"Content-Type", "application/x-protobuf", "Content-Encoding", "snappy", "X-Prometheus-Remote-Write-Version", "0.1.0")
	require.Equal(s.t, http.StatusNoContent, status, body)
}

func labelPairs(pairs ...string) []prompb.Label {
	out := make([]prompb.Label, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, prompb.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

// over is samples of the last hours, every half minute.
func over(now time.Time, f func(i int) float64) (out []prompb.Sample) {
	const n = 6 * 120
	for i := range n {
		out = append(out, prompb.Sample{Timestamp: now.Add(-time.Duration(n-1-i) * 30 * time.Second).UnixMilli(), Value: f(i)})
	}
	return out
}

const evil = `<script>alert(1)</script>"'&`

// fill gives the server metrics of all kinds.
func (s *server) fill() {
	s.t.Helper()
	now := time.Now()
	for hour := 6; hour >= 0; hour-- {
		var ms []string
		// A while ago, so that a point of each chart's grid lies after it.
		at := now.Add(-time.Duration(hour)*time.Hour - 2*time.Minute).UnixMilli()
		for _, machine := range []string{"web-1", "web-2", "db-1"} {
			ms = append(ms,
				fmt.Sprintf(`{"id":"temperature_celsius","type":"gauge","value":%g,"labels":{"instance":%q,"zone":"eu"},"timestamp":%d}`, 20+float64(len(machine)*hour), machine, at),
				fmt.Sprintf(`{"id":"jobs_done_total","type":"counter","delta":9007199254740993,"labels":{"instance":%q},"timestamp":%d}`, machine+fmt.Sprint(hour), at))
		}
		ms = append(ms,
			fmt.Sprintf(`{"id":%q,"type":"gauge","value":1.5,"labels":{"instance":%q},"timestamp":%d}`, evil, `"><img src=x onerror=alert(2)>`, at),
			fmt.Sprintf(`{"id":"both","type":"gauge","value":2.5,"timestamp":%d}`, at), `{"id":"both","type":"counter","delta":3}`)
		s.push(ms...)
	}
	w := &prompb.WriteRequest{Metadata: []prompb.MetricMetadata{
		{Type: prompb.MetricMetadata_HISTOGRAM, MetricFamilyName: "request_duration_seconds", Help: "How long requests took.", Unit: "seconds"},
		{Type: prompb.MetricMetadata_COUNTER, MetricFamilyName: "sent_bytes_total", Help: "Bytes sent <b>over</b> the network."},
	}}
	for _, path := range []string{"/", "/api"} {
		for b, bound := range []string{"0.01", "0.1", "1", "10", "+Inf"} {
			w.Timeseries = append(w.Timeseries, prompb.TimeSeries{
				Labels:  labelPairs("__name__", "request_duration_seconds_bucket", "instance", "web-1", "le", bound, "path", path),
				Samples: over(now, func(i int) float64 { return float64(i * (b + 1) * (b + 1)) }),
			})
		}
		w.Timeseries = append(w.Timeseries,
			prompb.TimeSeries{Labels: labelPairs("__name__", "request_duration_seconds_count", "instance", "web-1", "path", path), Samples: over(now, func(i int) float64 { return float64(i * 25) })},
			prompb.TimeSeries{Labels: labelPairs("__name__", "request_duration_seconds_sum", "instance", "web-1", "path", path), Samples: over(now, func(i int) float64 { return float64(i * 20) })})
	}
	for i := range 3 {
		w.Timeseries = append(w.Timeseries, prompb.TimeSeries{
			Labels:  labelPairs("__name__", "sent_bytes_total", "device", fmt.Sprintf("eth%d", i), "instance", "web-1"),
			Samples: over(now, func(j int) float64 { return float64(j) * 1e6 * float64(i+1) * (1.1 + math.Sin(float64(j)/90)/20) }),
		})
	}
	native := prompb.TimeSeries{Labels: labelPairs("__name__", "queue_seconds", "instance", "web-1")}
	for i, smp := range over(now, func(i int) float64 { return float64(i) }) {
		n := int64(i + 1)
		native.Histograms = append(native.Histograms, prompb.FromIntHistogram(smp.Timestamp, &histogram.Histogram{
			Schema: 1, ZeroThreshold: 1e-6, Count: uint64(6 * n), Sum: float64(n) * 9,
			PositiveSpans: []histogram.Span{{Offset: -2, Length: 3}}, PositiveBuckets: []int64{n, n, 0},
			ZeroCount: uint64(n),
		}))
	}
	w.Timeseries = append(w.Timeseries, native)
	s.write(w)
}
