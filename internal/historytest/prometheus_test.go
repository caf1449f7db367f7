package historytest

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/programtest"
)

// exporter is a target: 100 series with many labels whose values move, of all
// types, and one that comes and goes.
func exporter(scrapes *atomic.Int64) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := scrapes.Add(1)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		fmt.Fprintln(w, "# HELP requests_total How many.\n# TYPE requests_total counter")
		for i := range 60 {
			fmt.Fprintf(w, `requests_total{method="GET",handler="/api/v1/things/%d",code="200",zone="eu-central-1",rack="r%d",tenant="tenant-%d",version="1.2.3"} %d`+"\n",
				i, i%7, i%3, n*int64(i+1))
		}
		fmt.Fprintln(w, "# HELP temperature How \"warm\".\n# TYPE temperature gauge")
		for i := range 30 {
			fmt.Fprintf(w, `temperature{room="room %d",floor="%d",building="Ä\"ußere\\Straße",sensor="s%d"} %g`+"\n", i, i%4, i, 20+5*math.Sin(float64(n)+float64(i)))
		}
		fmt.Fprintln(w, "# HELP latency_seconds How long.\n# TYPE latency_seconds histogram")
		for i, le := range []string{"0.1", "0.5", "1", "5", "+Inf"} {
			fmt.Fprintf(w, "latency_seconds_bucket{le=%q} %d\n", le, n*int64(i+1))
		}
		fmt.Fprintf(w, "latency_seconds_sum %g\nlatency_seconds_count %d\n", float64(n)*1.5, n*5)
		if n/5%2 == 0 {
			fmt.Fprintf(w, "# TYPE sometimes gauge\nsometimes{why=\"markers\"} %d\n", n)
		}
		fmt.Fprintln(w, "# TYPE odd gauge\nodd{kind=\"nan\"} NaN\nodd{kind=\"inf\"} +Inf\nodd{kind=\"neg\"} -Inf")
	})
}

// freeAddress is one that nobody listens at. A program that is to come back at the
// same one needs it.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// TestPrometheusSends lets a real Prometheus scrape and send what it scraped by
// remote write, through a restart and a kill of the server, and asks both the same.
func TestPrometheusSends(t *testing.T) {
	program := debian(t, "prometheus")
	span := 12 * time.Second
	if long {
		span = time.Minute
	}
	var scrapes atomic.Int64
	target := httptest.NewServer(exporter(&scrapes))
	t.Cleanup(target.Close)
	s := startServer(t, "ADDRESS="+freeAddress(t))

	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 400ms, external_labels: {}}
scrape_configs:
- {job_name: target, static_configs: [{targets: [%q]}]}
- {job_name: gone, static_configs: [{targets: ["127.0.0.1:1"]}]}
remote_write:
- url: %s/api/v1/write
  queue_config: {min_backoff: 50ms, max_backoff: 200ms, batch_send_deadline: 200ms}
  metadata_config: {send: true, send_interval: 500ms}
`, strings.TrimPrefix(target.URL, "http://"), s.url)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	address := freeAddress(t)
	theirs := programtest.Start(t, dir, program, []string{
		"--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=" + address,
	})
	their := "http://" + address

	begin := time.Now()
	scraped := func(n int64) func() bool { return func() bool { return scrapes.Load() >= n } }
	goal := int64(span / (500 * time.Millisecond))
	s.eventually(scraped(goal/3), time.Minute, "no scrapes")
	s.p.Stop()
	s.start()
	s.eventually(scraped(2*goal/3), span+time.Minute, "no scrapes")
	s.p.Kill()
	s.eventually(scraped(2*goal/3+4), time.Minute, "no scrapes") // it is away for a while
	s.start()
	s.eventually(scraped(goal), span+time.Minute, "no scrapes")

	// Everything up to here must arrive. Whatever is scraped later is not asked for.
	at := time.Now()
	params := func(query string) url.Values {
		return url.Values{"query": {query}, "time": {fmt.Sprintf("%.3f", float64(at.UnixMilli())/1000)}}
	}
	window := fmt.Sprintf("[%ds]", int(time.Since(begin).Seconds())+60)
	everything := params(`{__name__=~".+"}` + window)
	want := rows(t, ask(t, s.client, their, "/api/v1/query", everything))
	require.Greater(t, len(want), 110)
	samples := 0
	for _, row := range want {
		samples += strings.Count(row, "],[") + 1
	}
	require.Greater(t, samples, int(goal)*90)
	var got []string
	arrived := time.Now()
	for deadline := time.Now().Add(time.Minute); ; {
		got = rows(t, ask(t, s.client, s.url, "/api/v1/query", everything))
		if slices.Equal(want, got) || time.Now().After(deadline) {
			break
		}
	}
	require.Equal(t, want, got, "not the same samples")
	t.Logf("%d series, %d samples, the same in both after %v", len(want), samples, time.Since(arrived))

	for _, query := range []string{
		`count_over_time(requests_total` + window + `)`, `count_over_time(temperature` + window + `)`, `sum by (job) (count_over_time(up` + window + `))`,
		`rate(requests_total[5s])`, `sum by (tenant) (rate(requests_total[10s]))`, `irate(requests_total[5s])`, `temperature`, `avg by (floor) (temperature)`,
		`histogram_quantile(0.9, rate(latency_seconds_bucket[10s]))`, `up`, `sometimes`, `count(sometimes) or vector(0)`,
		`resets(requests_total` + window + `)`, `changes(temperature[10s])`, `odd`, `quantile_over_time(0.5, temperature[10s])`,
		`topk(3, requests_total)`, `label_replace(temperature, "x", "$1", "sensor", "s(.)")`, `absent(nothing)`, `max_over_time(rate(requests_total[2s])[6s:1s])`,
	} {
		p := params(query)
		sameValues(t, ask(t, s.client, their, "/api/v1/query", p), ask(t, s.client, s.url, "/api/v1/query", p), query)
		// Releases differ in how far rate goes beyond the first sample of a series, and
		// topk has ties.
		if strings.HasPrefix(query, "topk") || regexp.MustCompile(`\brate\(`).MatchString(query) {
			continue
		}
		p.Set("start", fmt.Sprintf("%.3f", float64(begin.UnixMilli())/1000))
		p.Set("end", p.Get("time"))
		p.Set("step", "0.7")
		sameValues(t, ask(t, s.client, their, "/api/v1/query_range", p), ask(t, s.client, s.url, "/api/v1/query_range", p), query)
	}
	for _, path := range []string{"/api/v1/labels", "/api/v1/label/__name__/values", "/api/v1/label/building/values"} {
		require.JSONEq(t, string(ask(t, s.client, their, path, nil)), string(ask(t, s.client, s.url, path, nil)), path)
	}
	s.eventually(func() bool {
		return strings.Contains(string(ask(t, s.client, s.url, "/api/v1/metadata", url.Values{"metric": {"temperature"}})), `"gauge"`)
	}, 30*time.Second, "the metadata doesn't arrive")
	require.NotContains(t, theirs.Output(), "non-recoverable error", "it gave samples up")
	theirs.Stop()
	// What was sent after the queries, up to the end.
	require.InDelta(t, 0, s.value(`sum(resets(requests_total[10m]))`), 0)
}

// rows is a result, one text per series, sorted: the order of series is nobody's
// promise.
func rows(t *testing.T, data json.RawMessage) (out []string) {
	t.Helper()
	var r struct {
		ResultType string            `json:"resultType"`
		Result     []json.RawMessage `json:"result"`
	}
	require.NoError(t, json.Unmarshal(data, &r), "%s", data)
	for _, row := range r.Result {
		out = append(out, r.ResultType+" "+string(row))
	}
	slices.Sort(out)
	return out
}

// sameValues compares the results of engines of different releases, which add up
// in another order. That ours is the same as one of its own release is held, to
// the byte, elsewhere.
func sameValues(t *testing.T, want, got json.RawMessage, query string) {
	t.Helper()
	points := func(data json.RawMessage) map[string]float64 {
		out := map[string]float64{}
		for _, s := range result(t, data) {
			for _, p := range append(s.Values, s.Value) {
				if p.v != "" {
					out[fmt.Sprintf("%v %.3f", s.Metric, p.t)] = p.float(t)
				}
			}
		}
		return out
	}
	a, b := points(want), points(got)
	for at, v := range a {
		w, ok := b[at]
		if !ok || !(v == w || math.IsNaN(v) && math.IsNaN(w) || math.Abs(v-w) <= 1e-9*math.Abs(v)) {
			require.Fail(t, "not the same", "%s: %s is %v there, %v (%v) here", query, at, v, w, ok)
		}
	}
	require.Equal(t, len(a), len(b), query)
}
