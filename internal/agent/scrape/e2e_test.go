package scrape_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// clock is what the agent takes for the time: each scrape is 15 s after the one
// before.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) tick() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(15 * time.Second)
	return c.t
}

// program is one that uses client_golang.
func program(native bool) (*prometheus.Registry, *prometheus.GaugeVec) {
	reg := prometheus.NewRegistry()
	requests := prometheus.NewCounter(prometheus.CounterOpts{Name: "requests_total", Help: "Requests."})
	temp := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "temperature_celsius", Help: "Temperature."}, []string{"room"})
	latency := prometheus.NewSummary(prometheus.SummaryOpts{Name: "latency_seconds", Help: "Latency.", Objectives: map[float64]float64{0.5: 0.01}})
	size := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "size_bytes", Help: "Sizes.", Buckets: []float64{10, 100}})
	reg.MustRegister(requests, temp, latency, size)
	if native {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "wait_seconds", Help: "Waits.", NativeHistogramBucketFactor: 2, NativeHistogramZeroThreshold: 0.001,
		})
		reg.MustRegister(h)
		h.(prometheus.ExemplarObserver).ObserveWithExemplar(1.5, prometheus.Labels{"trace_id": "w"})
		h.Observe(3)
	}
	requests.(prometheus.ExemplarAdder).AddWithExemplar(42, prometheus.Labels{"trace_id": "abc"})
	temp.WithLabelValues("hall").Set(21.5)
	temp.WithLabelValues("attic").Set(30)
	latency.Observe(0.25)
	size.(prometheus.ExemplarObserver).ObserveWithExemplar(50, prometheus.Labels{"trace_id": "def"})
	return reg, temp
}

// TestProgram: a program with client_golang, our scrape, the server's remote write
// and its TSDB, PromQL. Over HTTP in both formats and from a registry the same
// comes out.
func TestProgram(t *testing.T) {
	for _, way := range []string{"protobuf", "openmetrics", "registry"} {
		t.Run(way, func(t *testing.T) {
			native := way != "openmetrics"
			reg, temp := program(native)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !native {
					r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
				}
				promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true, EnableOpenMetricsTextCreatedSamples: true}).ServeHTTP(w, r)
			}))
			defer srv.Close()
			source := endpoint(t, srv.URL+"/metrics")
			if way == "registry" {
				source = scrape.Gatherer("registry", reg)
			}

			c := &clock{t: time.Now()}
			recv := newReceiver(t, c.now)
			// A scrape is delivered when we want to see it. By then the next may be under
			// way, and no more.
			scraped := make(chan struct{})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			sc := scraper(t, scrape.Options{
				Targets: []scrape.Target{{Job: "app", Instance: "web-1", Source: source}}, Interval: 100 * time.Millisecond,
				Now: c.tick, External: metric.NewLabels("dc", "eu"),
				Deliver: func(p scrape.Payload) {
					recv.deliver(p)
					select {
					case scraped <- struct{}{}:
					case <-ctx.Done():
					}
				},
			})
			go func() { done <- sc.Run(ctx) }()
			defer func() {
				cancel()
				require.NoError(t, <-done)
			}()
			next := func() time.Time {
				<-scraped
				return c.now()
			}

			at := next()
			const labels = `dc="eu", instance="web-1", job="app"`
			require.Equal(t, []string{`{__name__="requests_total", ` + labels + `} 42`}, recv.query(at, `requests_total`))
			require.Equal(t, []string{`{} 51.5`}, recv.query(at, `sum(temperature_celsius)`))
			require.Equal(t, []string{`{__name__="latency_seconds", ` + labels + `, quantile="0.5"} 0.25`}, recv.query(at, `latency_seconds`))
			require.Equal(t, []string{`{__name__="size_bytes_bucket", ` + labels + `, le="100.0"} 1`}, recv.query(at, `size_bytes_bucket{le="100.0"}`))
			require.Equal(t, []string{`{` + labels + `} 55`}, recv.query(at, `histogram_quantile(0.5, size_bytes_bucket)`))
			require.Equal(t, []string{`{__name__="up", ` + labels + `} 1`}, recv.query(at, `up`))
			if native {
				require.Equal(t, []string{`{__name__="wait_seconds", ` + labels + `} {count:2, sum:4.5, (1,2]:1, (2,4]:1}`}, recv.query(at, `wait_seconds`))
				require.Equal(t, []string{`{` + labels + `} 2`}, recv.query(at, `histogram_count(wait_seconds)`))
			}
			require.Equal(t, [3]string{"histogram", "Sizes.", ""}, recv.families.All()["size_bytes"])
			require.Equal(t, [3]string{"gauge", "Temperature.", ""}, recv.families.All()["temperature_celsius"])
			exemplars := writetest.Contents(t, recv.db).Exemplars
			require.Len(t, exemplars[`{__name__="requests_total", `+labels+`}`], 1)
			require.Contains(t, exemplars[`{__name__="requests_total", `+labels+`}`][0], `{trace_id="abc"}`)
			require.Len(t, exemplars[`{__name__="size_bytes_bucket", `+labels+`, le="100.0"}`], 1)
			if native {
				require.Len(t, exemplars[`{__name__="wait_seconds", `+labels+`}`], 1)
			}

			// A series goes: PromQL sees it go at once.
			temp.DeleteLabelValues("attic")
			next() // it may have begun before
			at = next()
			require.Equal(t, []string{`{__name__="temperature_celsius", ` + labels + `, room="hall"} 21.5`}, recv.query(at, `temperature_celsius`))

			if way == "registry" {
				return
			}
			// The target goes, and all of it with it.
			srv.Close()
			next()
			at = next()
			require.Empty(t, recv.query(at, `{dc="eu", __name__!~"up|scrape_.*"}`))
			require.Equal(t, []string{`{__name__="up", ` + labels + `} 0`}, recv.query(at, `up`))
			require.Len(t, recv.query(at, `{__name__=~"scrape_.*"}`), 4)
			require.Empty(t, recv.refused)
		})
	}
}

// promtool finds the program in PATH, or where scripts/test-deps puts it. In CI
// it must be there.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "gometheus-tests", "prometheus", "usr", "bin", "promtool")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err)
		}
		t.Skip("no promtool; scripts/test-deps fetches it")
	}
	return path
}

// TestOnce: what Once prints is what promtool takes, without a word.
func TestOnce(t *testing.T) {
	tool := promtool(t)
	reg, _ := program(true)
	reg.MustRegister(collectors.NewGoCollector())
	other, _ := program(true)
	var x scrape.Exposition
	x.Add("pushed_bytes", "A gauge of our own, with \\ and \n in its help.", "gauge",
		scrape.Series{Labels: metric.NewLabels("a", "quote \" slash \\ line \n"), Value: 1e-9},
		scrape.Series{Value: 123456789})
	x.Add("cpu.load_seconds_total", "A name that isn't of the format.", "counter", scrape.Series{Labels: metric.NewLabels("größe", "1"), Value: 2})
	s := scraper(t, scrape.Options{
		Targets: []scrape.Target{
			{Job: "b", Instance: "web-1", Source: scrape.Gatherer("registry", reg)},
			{Job: "a", Instance: "web-1", Source: scrape.Gatherer("registry", other)},
			{Job: "om", Instance: "web-1", Source: &page{contentType: openMetrics, body: `# TYPE jobs counter
# HELP jobs Jobs.
jobs_total 3
# TYPE build info
# HELP build Build.
build_info{version="1"} 1
# TYPE waiting gaugehistogram
# HELP waiting Waiting.
waiting_bucket{le="1"} 2
waiting_bucket{le="+Inf"} 3
waiting_gcount 3
waiting_gsum 4
# TYPE temperature_celsius counter
# HELP temperature_celsius Of another type.
temperature_celsius_total 1
# TYPE size_bytes gauge
# HELP size_bytes Of another type.
size_bytes 1
# EOF
`}},
			{Job: "nothing", Instance: "web-1", Source: endpoint(t, "http://127.0.0.1:1")},
		},
	})
	err := s.Once(t.Context(), &x)
	require.ErrorContains(t, err, "scrape http://127.0.0.1:1/metrics: ")
	require.Equal(t, 1, strings.Count(err.Error(), "scrape http"))
	var b strings.Builder
	n, err := x.WriteTo(&b)
	require.NoError(t, err)
	require.EqualValues(t, b.Len(), n)
	out := b.String()

	for _, want := range []string{
		`# HELP up Whether the last scrape of the target succeeded.
# TYPE up gauge
up{instance="web-1",job="a"} 1
up{instance="web-1",job="b"} 1
up{instance="web-1",job="nothing"} 0
up{instance="web-1",job="om"} 1
`,
		`# HELP size_bytes Sizes.
# TYPE size_bytes histogram
size_bytes_bucket{instance="web-1",job="a",le="10.0"} 0
size_bytes_bucket{instance="web-1",job="a",le="100.0"} 1
size_bytes_bucket{instance="web-1",job="a",le="+Inf"} 1
size_bytes_sum{instance="web-1",job="a"} 50
size_bytes_count{instance="web-1",job="a"} 1
size_bytes_bucket{instance="web-1",job="b",le="10.0"} 0
`,
		"# 1 series of size_bytes that don't fit its type are left out\n",
		`# HELP wait_seconds Waits.
# TYPE wait_seconds histogram
wait_seconds_bucket{instance="web-1",job="a",le="2.0"} 1
wait_seconds_bucket{instance="web-1",job="a",le="4.0"} 2
wait_seconds_bucket{instance="web-1",job="a",le="+Inf"} 2
wait_seconds_sum{instance="web-1",job="a"} 4.5
wait_seconds_count{instance="web-1",job="a"} 2
`,
		`# HELP latency_seconds Latency.
# TYPE latency_seconds summary
latency_seconds{instance="web-1",job="a",quantile="0.5"} 0.25
latency_seconds_sum{instance="web-1",job="a"} 0.25
latency_seconds_count{instance="web-1",job="a"} 1
`,
		`# HELP pushed_bytes A gauge of our own, with \\ and \n in its help.
# TYPE pushed_bytes gauge
pushed_bytes 123456789
pushed_bytes{a="quote \" slash \\ line \n"} 1e-09
`,
		`# TYPE waiting histogram
waiting_bucket{instance="web-1",job="om",le="1"} 2
waiting_bucket{instance="web-1",job="om",le="+Inf"} 3
waiting_sum{instance="web-1",job="om"} 4
waiting_count{instance="web-1",job="om"} 3
`,
		"# TYPE cpu_load_seconds_total counter\ncpu_load_seconds_total{gr__e=\"1\"} 2\n",
		"# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total{instance=\"web-1\",job=\"om\"} 3\n",
	} {
		require.Contains(t, out, want)
	}

	cmd := exec.CommandContext(t.Context(), tool, "check", "metrics")
	cmd.Stdin = strings.NewReader(out)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", said, out)
	require.Empty(t, string(said))
}
