package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// prometheusPath finds the program where scripts/test-deps puts it.
func prometheusPath(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("prometheus"); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "gometheus-tests", "prometheus", "usr", "bin", "prometheus")
	_, err = os.Stat(path)
	require.NoError(t, err, "prometheus is neither in PATH nor in the cache: make test-deps")
	return path
}

// lockedBuffer is what a process prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// target is what is scraped: 100 series with many labels, every second one a
// counter, all with other values at each scrape.
type target struct{ scrapes atomic.Int64 }

func (g *target) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	n := g.scrapes.Add(1)
	w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
	for i := range 100 {
		name, typ, suffix := fmt.Sprintf("load_%d", i), "gauge", ""
		if i%2 == 0 {
			name, typ, suffix = fmt.Sprintf("requests_%d", i), "counter", "_total"
		}
		fmt.Fprintf(w, "# HELP %s help of %d\n# TYPE %s %s\n%s%s{", name, i, name, typ, name, suffix)
		for l := range 12 {
			fmt.Fprintf(w, `label_%d="a value of some length, number %d",`, l, (i+l)%7)
		}
		fmt.Fprintf(w, `path="/api/%d"} %d`, i, n*int64(i+1))
		if i%2 == 0 {
			fmt.Fprintf(w, " # {trace_id=\"%d-%d\"} 1", i, n)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w, "# EOF")
}

const prometheusConfig = `
global: {scrape_interval: %s, scrape_timeout: %s}
scrape_configs:
  - job_name: target
    static_configs: [{targets: [%q]}]
remote_write:
  - url: %s/api/v1/write
    send_exemplars: true
    metadata_config: {send: true, send_interval: 1s}
    queue_config: {min_shards: %d, batch_send_deadline: 200ms, max_samples_per_send: 150}
`

// TestPrometheusSends: a real Prometheus scrapes a target and sends what it got to
// us. Then we hold what it holds, no more and no less.
func TestPrometheusSends(t *testing.T) {
	long := os.Getenv("GOMETHEUS_LONG") != ""
	interval, runs := "500ms", 6*time.Second
	if long {
		interval, runs = "1s", time.Minute
	}
	db := writetest.OpenDB(t)
	var families writetest.Families
	var rejected atomic.Int64
	h := remotewrite.New(remotewrite.Options{
		Appendable: db, Metadata: &families, Now: time.Now, Log: zap.NewNop(),
		Hooks: remotewrite.Hooks{Refused: func(reason remotewrite.Reason, n int) {
			t.Errorf("refused: %d %s", n, reason)
			rejected.Add(int64(n))
		}},
	})
	server := httptest.NewServer(h)
	defer server.Close()
	scraped := &target{}
	source := httptest.NewServer(scraped)
	defer source.Close()

	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(prometheusConfig, interval, interval, source.Listener.Addr().String(), server.URL, 3)
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	base := "http://" + freeAddress(t)
	out := &lockedBuffer{}
	cmd := exec.CommandContext(t.Context(), prometheusPath(t),
		"--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+strings.TrimPrefix(base, "http://"), "--web.enable-lifecycle",
		"--enable-feature=exemplar-storage")
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = dir
	require.NoError(t, cmd.Start())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = cmd.Wait() // it is killed
	}()
	defer func() {
		_ = cmd.Process.Kill()
		<-stopped
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(out)
		}
	})

	first := time.Now()
	require.Eventually(t, func() bool { return scraped.scrapes.Load() > 2 }, 60*time.Second, 20*time.Millisecond)
	began := time.Now()
	require.Eventually(t, func() bool { return time.Since(began) > runs }, runs+time.Minute, 50*time.Millisecond)

	// It stops scraping, and has the time to send what is left.
	text = text[:strings.Index(text, "scrape_configs")] + text[strings.Index(text, "remote_write"):]
	require.NoError(t, os.WriteFile(config, []byte(text), 0o600))
	request(t, http.MethodPost, base+"/-/reload")
	var theirs, got map[string][]writetest.Point
	if !assertEventually(func() bool {
		theirs, got = held(t, base, time.Since(first)), withoutStale(writetest.Contents(t, db).Series)
		return len(theirs) > 100 && equal(theirs, got)
	}, 30*time.Second) {
		require.Equal(t, theirs, got)
	}
	require.Zero(t, rejected.Load())
	// The target's 100, up, and scrape_….
	require.Greater(t, len(got), 104)
	n := 0
	for key, points := range got {
		if strings.Contains(key, "path=") {
			n++
			require.GreaterOrEqual(t, len(points), 5, key)
		}
	}
	require.Equal(t, 100, n)
	require.Equal(t, [3]string{"counter", "help of 42", ""}, families.All()["requests_42"])
	require.NotEmpty(t, writetest.Contents(t, db).Exemplars)
	require.LessOrEqual(t, h.Series(), len(got))
}

func assertEventually(ok func() bool, within time.Duration) bool {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(within); time.Now().Before(end); <-tick.C {
		if ok() {
			return true
		}
	}
	return ok()
}

func equal(a, b map[string][]writetest.Point) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// withoutStale leaves out the markers of staleness, which Prometheus' API doesn't
// show.
func withoutStale(series map[string][]writetest.Point) map[string][]writetest.Point {
	out := map[string][]writetest.Point{}
	for key, points := range series {
		for _, p := range points {
			if p.Bits != value.StaleNaN {
				out[key] = append(out[key], p)
			}
		}
	}
	return out
}

// held asks Prometheus for every sample it holds.
func held(t *testing.T, base string, back time.Duration) map[string][]writetest.Point {
	t.Helper()
	query := fmt.Sprintf(`{__name__=~".+"}[%ds]`, int(back.Seconds())+60)
	body := request(t, http.MethodGet, base+"/api/v1/query?query="+url.QueryEscape(query))
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	require.NoError(t, json.Unmarshal(body, &answer))
	out := map[string][]writetest.Point{}
	for _, s := range answer.Data.Result {
		key := labels.FromMap(s.Metric).String()
		for _, v := range s.Values {
			f, err := strconv.ParseFloat(v[1].(string), 64)
			require.NoError(t, err)
			out[key] = append(out[key], writetest.Point{T: int64(math.Round(v[0].(float64) * 1000)), Bits: math.Float64bits(f)})
		}
	}
	return out
}

func request(t *testing.T, method, target string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, target, nil)
	require.NoError(t, err)
	w, err := new(http.Client).Do(r)
	require.NoError(t, err)
	defer w.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(w.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, w.StatusCode, "%s", &b)
	return b.Bytes()
}

// freeAddress is one that nobody listened on a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
