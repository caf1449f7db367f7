package agenttest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/DataDog/datadog-go/v5/statsd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/programtest"
)

// TestPrograms: a program that is scraped, one that counts by StatsD, and a script
// that leaves a file, by way of the real agent, in PromQL and as a state.
func TestPrograms(t *testing.T) {
	registry := prometheus.NewRegistry()
	orders := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "orders_total", Help: "Orders."}, []string{"job"})
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "latency_seconds", Help: "Of orders.", NativeHistogramBucketFactor: 1.1})
	registry.MustRegister(orders, latency)
	orders.WithLabelValues("own").Add(7)
	for range 100 {
		latency.Observe(0.2)
	}
	near := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer near.Close()

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "backup.prom"), []byte("# HELP backup_bytes Size.\n# TYPE backup_bytes gauge\nbackup_bytes 17\n"), 0o600))

	s := startServer(t)
	address := freeUDP(t)
	agent := startAgent(t, s.url, "--collectors=", "--scrape=shop="+near.URL, "--statsd="+address, "--textfile-dir="+dir,
		"--labels=instance=web-1,env=test", "--scrape-interval=0.5", "--report-interval=0.2", "--poll-interval=0.1")
	require.Eventually(t, func() bool { return len(s.query(`up{job="shop"} == 1`)) == 1 }, 20*time.Second, 50*time.Millisecond)

	program, err := statsd.New(address, statsd.WithTags([]string{"env:prod"}))
	require.NoError(t, err)
	for range 1000 {
		require.NoError(t, program.Incr("jobs.done", []string{"queue:mail"}, 1))
	}
	require.NoError(t, program.Gauge("queue.length", 12, nil, 1))
	require.NoError(t, program.Timing("job.time", 300*time.Millisecond, nil, 1))
	require.NoError(t, program.Close())

	for query, want := range map[string]string{
		`orders_total{job="shop",instance="web-1",env="test",exported_job="own"}`: "7",
		`histogram_count(latency_seconds{job="shop"})`:                            "100",
		`up{job="shop",instance="web-1"}`:                                         "1",
		`backup_bytes{job="node",instance="web-1",env="test"}`:                    "17",
		`jobs_done{queue="mail",env="prod",instance="web-1"}`:                     "1000",
		`queue_length{env="prod"}`:                                                "12",
		`histogram_count(job_time{job="statsd",env="prod"})`:                      "1",
		`gometheus_agent_dropped_samples`:                                         "0",
	} {
		assert.Eventually(t, func() bool {
			got := s.query(query)
			return len(got) == 1 && string(got[0].Value[1]) == `"`+want+`"`
		}, 20*time.Second, 100*time.Millisecond, query)
	}
	// A state too, to the last increment.
	require.Equal(t, "1000", s.get("/value/counter/jobs_done"))
	var metadata map[string][]struct{ Type, Help string }
	s.ask("/api/v1/metadata", url.Values{"metric": {"orders_total"}}, &metadata)
	require.NotEmpty(t, metadata["orders_total"])
	require.Equal(t, "Orders.", metadata["orders_total"][0].Help)

	// What goes ends at once.
	near.Close()
	require.Eventually(t, func() bool {
		return len(s.query(`up{job="shop"} == 0`)) == 1 && len(s.query(`orders_total`)) == 0
	}, 20*time.Second, 100*time.Millisecond)
	agent.Stop()
}

// TestOnceIsLinted: promtool reads all that --once prints, and finds nothing but
// names that others chose.
func TestOnceIsLinted(t *testing.T) {
	promtool := programtest.Debian(t, "prometheus", "promtool", os.Getenv("CI") != "")
	cmd := exec.CommandContext(t.Context(), programs.Build(t, "agent"), "--once", "--address=127.0.0.1:1",
		"--collectors=runtime,random,gopsutil,node,container,process")
	once, err := cmd.Output()
	require.NoError(t, err)
	lint := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	lint.Stdin = bytes.NewReader(once)
	out, err := lint.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		require.Equal(t, 3, exit.ExitCode(), "what it reads is right, if not to its taste: %s", out)
	} else {
		require.NoError(t, err)
	}
	known := regexp.MustCompile(`^(node_\S+|PollCount|[A-Z]\w+) (metric names should be written in 'snake_case' not 'camelCase'|` +
		`use base unit "bytes" instead of "bits"|counter metrics should have "_total" suffix|non-counter metrics should not have "_total" suffix|` +
		`non-histogram and non-summary metrics should not have "_count" suffix|metric name should not include type '\w+'|` +
		`no help text)$`)
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		require.Regexp(t, known, line)
		if strings.Contains(line, "no help text") {
			require.True(t, strings.HasPrefix(line, "node_"), line)
		}
	}
	require.Contains(t, string(once), "\nnode_load1{")
}

// TestCheck: what --check says of the real server.
func TestCheck(t *testing.T) {
	agent := programs.Build(t, "agent")
	check := func(server string, flags ...string) (string, bool) {
		cmd := exec.CommandContext(t.Context(), agent, append([]string{"--check", "--address=" + server}, flags...)...)
		out, err := cmd.Output()
		if err != nil {
			_, failed := errors.AsType[*exec.ExitError](err)
			require.True(t, failed, err)
		}
		return string(out), err == nil
	}
	open := programs.Server(t, t.TempDir()).URL()
	out, ok := check(open)
	require.True(t, ok, out)
	require.Equal(t, 4, strings.Count(out, "ok "), out)

	for _, mode := range []string{"hash", "message"} {
		signed := programs.Server(t, t.TempDir(), "KEY=secret", "SIGNATURE="+mode).URL()
		out, ok = check(signed, "--key=secret", "--signature="+mode)
		require.True(t, ok, out)
		require.Contains(t, out, "accepts signatures by KEY, SIGNATURE="+mode)
		for _, flags := range [][]string{nil, {"--key=other", "--signature=" + mode}} {
			out, ok = check(signed, flags...)
			require.False(t, ok, out)
			require.Contains(t, out, "KEY must be the same", "%s", flags)
			require.NotContains(t, out, "secret")
		}
	}

	forgetful := programs.Server(t, t.TempDir(), "HISTORY=false").URL()
	out, ok = check(forgetful)
	require.False(t, ok, out)
	require.Contains(t, out, "HISTORY=false")
	out, ok = check(forgetful, "--collectors=runtime")
	require.True(t, ok, out)

	strict := programs.Server(t, t.TempDir(), "TRUSTED_SUBNET=10.99.0.0/16").URL()
	out, ok = check(strict)
	require.False(t, ok, out)
	require.Contains(t, out, "TRUSTED_SUBNET")
}

// get is the body of a plain answer.
func (s *server) get(path string) string {
	s.tb.Helper()
	req, err := http.NewRequestWithContext(s.tb.Context(), http.MethodGet, s.url+path, nil)
	require.NoError(s.tb, err)
	res, err := s.client.Do(req)
	require.NoError(s.tb, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.tb, err)
	require.Equal(s.tb, http.StatusOK, res.StatusCode, "%s: %s", path, text)
	return string(text)
}

// freeUDP is an address where nobody listens.
func freeUDP(t *testing.T) string {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	return conn.LocalAddr().String()
}
