// Package conformance holds our scrapes against those of Prometheus. It has tests
// only, and a folder of its own since Prometheus' scraping brings much with it.
package conformance

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/value"
	prom "github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stage is what a target answers for a while.
type stage struct{ contentType, body string }

const (
	text        = "text/plain; version=0.0.4"
	openMetrics = "application/openmetrics-text; version=1.0.0"
)

// stages follow each other. What a value is tells them apart.
func stages(t *testing.T) []stage {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewBuildInfoCollector())
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "wait_seconds", Help: "Waits.", Buckets: []float64{1, 2}, NativeHistogramBucketFactor: 1.5,
	}, []string{"job"})
	reg.MustRegister(h)
	for i := range 100 {
		h.WithLabelValues("x").Observe(float64(i))
		h.WithLabelValues("").Observe(-float64(i))
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(w, r)
	return []stage{
		{text, `# TYPE a counter
a_total{x="1",job="mine",instance=""} 1
a_total{x="2",instance="theirs",exported_instance="old"} 1
b{quantile="1"} NaN
b{le="1"} +Inf
# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="+Inf"} 2
h_sum 3
h_count 2
`},
		// Some go, some come, some stand in another order.
		{text, "a_total{job=\"mine\",instance=\"\",x=\"1\"} 2\nc 2\nb{quantile=\"1\"} 2\n"},
		{text, "a_total{job=\"mine\",instance=\"\",x=\"1\"} 3\nc{x=\"\"} 3\nb{quantile=\"1\"} 3\nb{quantile=\"1\"} 3\n"},
		{w.Header().Get("Content-Type"), w.Body.String()},
		{openMetrics, "# TYPE a counter\n# UNIT a_s s\na_total{x=\"1\"} 5 # {id=\"1\"} 1\na_created{x=\"1\"} 1000000000\n# TYPE i info\ni_info{v=\"1\"} 1\n# EOF\n"},
		{openMetrics, "c 6\n"}, // torn
		{text, "c 7\n"},
		{text, "<html>"},
		{text, "c 9\nd{l1=\"1\",l2=\"2\",l3=\"3\",l4=\"4\",l5=\"5\",l6=\"6\",l7=\"7\",l8=\"8\"} 1\n"}, // too many labels
		{text, strings.Repeat("# nothing\n", 2)},
		{text, ""},
		{text, "a_total{x=\"1\",job=\"mine\"} 12\n"},
	}
}

// TestLikePrometheus: Prometheus and we scrape the same target, which changes. Then
// both TSDBs hold the same series, with the same runs of values and markers. A
// machine that is busy may cost a scrape that must be fast; then it is tried again
// with more time.
func TestLikePrometheus(t *testing.T) {
	for _, interval := range []time.Duration{50 * time.Millisecond, 250 * time.Millisecond, time.Second} {
		want, got := compare(t, interval)
		require.Greater(t, len(got), 20)
		if maps.EqualFunc(want, got, slices.Equal) {
			return
		}
		if interval == time.Second {
			require.Equal(t, want, got)
		}
	}
}

// compare gives what Prometheus has, and what we have.
func compare(t *testing.T, interval time.Duration) (want, got map[string][]string) {
	all := stages(t)
	var now, answers [2]atomic.Int64 // stage, and answers in it, of each scraper
	server := func(i int) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			s := all[now[i].Load()]
			answers[i].Add(1)
			w.Header().Set("Content-Type", s.contentType)
			fmt.Fprint(w, s.body)
		}))
	}
	servers := [2]*httptest.Server{server(0), server(1)}
	defer servers[0].Close()
	defer servers[1].Close()

	// Prometheus.
	theirs := writetest.OpenDB(t)
	address := servers[0].Listener.Addr().String()
	cfg, err := config.Load(`
global: {scrape_interval: `+model.Duration(interval).String()+`, scrape_timeout: `+model.Duration(interval).String()+`}
scrape_configs:
  - job_name: app
    scrape_native_histograms: true
    always_scrape_classic_histograms: true
    label_limit: 9
    fallback_scrape_protocol: PrometheusText0.0.4
`, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	manager, err := prom.NewManager(&prom.Options{ParseST: true, DiscoveryReloadInterval: model.Duration(10 * time.Millisecond)},
		slog.New(slog.DiscardHandler), nil, nil, theirs, prometheus.NewRegistry())
	require.NoError(t, err)
	require.NoError(t, manager.ApplyConfig(cfg))
	sets := make(chan map[string][]*targetgroup.Group, 1)
	sets <- map[string][]*targetgroup.Group{"app": {{
		Targets: []model.LabelSet{{model.AddressLabel: model.LabelValue(address), model.InstanceLabel: "web-1"}},
	}}}
	managed := make(chan error, 1)
	go func() { managed <- manager.Run(sets) }()

	// And we.
	ours := writetest.OpenDB(t)
	receiver := remotewrite.New(remotewrite.Options{
		Appendable: ours, Metadata: &writetest.Families{}, Now: time.Now, Log: zap.NewNop(),
		Hooks: remotewrite.Hooks{Refused: func(reason remotewrite.Reason, n int) { t.Errorf("refused: %d %s", n, reason) }},
	})
	source, err := scrape.HTTP(servers[1].URL)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	scraper, err := scrape.New(scrape.Options{
		Targets: []scrape.Target{{Job: "app", Instance: "web-1", Source: source}}, Interval: interval, Timeout: interval,
		Limits: scrape.Limits{Labels: 9},
		Deliver: func(p scrape.Payload) {
			r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/api/v1/write", bytes.NewReader(p.Body))
			r.Header = writetest.Headers("2.0")
			receiver.ServeHTTP(httptest.NewRecorder(), r)
		},
	})
	require.NoError(t, err)
	go func() { ran <- scraper.Run(ctx) }()

	for i := range all {
		for k := range servers {
			now[k].Store(int64(i))
			answers[k].Store(0)
		}
		require.Eventually(t, func() bool { return answers[0].Load() > 2 && answers[1].Load() > 2 }, 30*time.Second, time.Millisecond)
	}
	cancel()
	require.NoError(t, <-ran)
	// Prometheus writes markers at its end, which we don't: it is cut short.
	for _, list := range manager.TargetsActive() {
		manager.DisableEndOfRunStalenessMarkers("app", list)
	}
	manager.Stop()
	require.NoError(t, <-managed)

	return runs(t, theirs), runs(t, ours)
}

// runs are the values of each series, without those that repeat the one before.
func runs(t *testing.T, db *tsdb.DB) map[string][]string {
	out := map[string][]string{}
	for key, points := range writetest.Contents(t, db).Series {
		if strings.Contains(key, "scrape_duration_seconds") || strings.Contains(key, "scrape_series_added") {
			// The one differs each time, and Prometheus takes a series whose labels stand
			// in another order for a new one.
			continue
		}
		last := ""
		for _, p := range points {
			text := p.Hist
			switch {
			case p.Bits == value.StaleNaN:
				text = "stale"
			case text == "":
				text = fmt.Sprint(math.Float64frombits(p.Bits))
			}
			if text != last {
				out[key] = append(out[key], text)
			}
			last = text
		}
	}
	return out
}
