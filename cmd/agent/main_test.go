//go:build unix

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/process"
	"github.com/gometheus/gometheus/internal/common/process/processtest"
	"github.com/gometheus/gometheus/internal/common/systemd/systemdtest"
)

func TestMain(m *testing.M) { os.Exit(processtest.Main(m, run)) }

func TestHelpAndVersion(t *testing.T) {
	p := processtest.Start(t, "--help")
	assert.Zero(t, p.Code())
	assert.Contains(t, p.Out.String(), "--poll-interval")
	assert.Empty(t, p.Err.String())

	p = processtest.Start(t, "--version")
	assert.Zero(t, p.Code())
	assert.Regexp(t, `^gometheus-agent .+\n$`, p.Out.String())
}

func TestBadConfiguration(t *testing.T) {
	for _, args := range [][]string{{"--batch-size", "0"}, {"-p", "soon"}, {"--labels", "="}, {"--nonsense"}, {"-l", "loud"}} {
		p := processtest.Start(t, args...)
		assert.Equal(t, process.Usage, p.Code(), "%v", args)
		assert.Equal(t, 1, strings.Count(p.Err.String(), "\n"), "one line: %s", &p.Err)
		assert.Contains(t, p.Err.String(), args[0])
	}
}

func TestSendsUntilStopped(t *testing.T) {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		var got atomic.Int64
		hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/updates/" {
				got.Add(1)
			}
			w.WriteHeader(http.StatusNoContent)
		}))
		p := processtest.Start(t, "-a", strings.TrimPrefix(hs.URL, "http://"), "-k", "a-secret-key", "-r", "3600")
		require.Eventually(t, func() bool { return got.Load() == 1 }, 10*time.Second, time.Millisecond)
		p.Signal(s)
		assert.Zero(t, p.Code(), "%s", &p.Err)
		p.Logs("agent stopped")
		assert.NotContains(t, p.Err.String(), "a-secret-key")
		hs.Close()
	}
}

// TestCollectorHangs: one of node's collectors that hangs costs its own metrics and
// no others.
func TestCollectorHangs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("node runs on Linux")
	}
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "hangs.prom"), 0o600)) // nobody ever writes to it
	p := processtest.Start(t, "--once", "--collectors", "node", "--textfile-dir", dir, "--scrape-interval", "3")
	assert.Zero(t, p.Code(), "%s", &p.Err)
	assert.Regexp(t, `(?m)^up\{.*job="node"\} 1$`, p.Out.String())
	assert.Regexp(t, `(?m)^node_scrape_collector_success\{collector="textfile",.*\} 0$`, p.Out.String())
	assert.Contains(t, p.Out.String(), "\nnode_time_seconds{")
}

// TestSpoolSurvivesKill: what an agent spooled before kill -9 is sent by the
// next, and there is only one at a time.
func TestSpoolSurvivesKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	first := processtest.Start(t, "-a", "127.0.0.1:1", "--spool-dir", dir, "-r", "0.05", "-p", "0.05")
	first.Logs("the server takes no batches")
	second := processtest.Start(t, "-a", "127.0.0.1:1", "--spool-dir", dir)
	assert.Equal(t, process.Failed, second.Code())
	assert.Contains(t, second.Err.String(), "SPOOL_DIR "+dir)
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(filepath.Join(dir, "00000001.log"))
		return err == nil && len(log) > 80_000
	}, 10*time.Second, time.Millisecond)
	first.Signal(syscall.SIGKILL)
	first.Code()

	var mu sync.Mutex
	var keys []string
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ping" {
			mu.Lock()
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			mu.Unlock()
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer hs.Close()
	third := processtest.Start(t, "-a", hs.URL, "--spool-dir", dir, "-r", "3600", "-m", "1")
	third.Logs("the spool holds batches from before")
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(keys) > 10 }, 10*time.Second, time.Millisecond)
	third.Signal(syscall.SIGTERM)
	assert.Zero(t, third.Code())
	assert.Contains(t, third.Err.String(), `"spooled_batches":0`)
	producer, _, _ := strings.Cut(keys[0], "/")
	for i, key := range keys {
		assert.Equal(t, fmt.Sprintf(`%s/%d"`, producer, i+1), key)
	}
}

// TestOnce: what would be sent is printed, that of a folder too.
func TestOnce(t *testing.T) {
	dir := t.TempDir()
	text := "# HELP last_backup_seconds When.\n# TYPE last_backup_seconds gauge\nlast_backup_seconds 17\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "job.prom"), []byte(text), 0o600))
	p := processtest.Start(t, "--once", "--collectors=random", "--textfile-dir", dir, "--labels=instance=web-1", "-a", "127.0.0.1:1")
	require.Zero(t, p.Code(), "%s", &p.Err)
	require.Contains(t, p.Out.String(), "\nlast_backup_seconds{instance=\"web-1\",job=\"node\"} 17\n")
	require.Contains(t, p.Out.String(), "\nPollCount{instance=\"web-1\"} 1\n")
	require.NotContains(t, p.Out.String(), "node_cpu", "node is not among the collectors")

	p = processtest.Start(t, "--once", "--collectors=random", "--scrape=gone=127.0.0.1:1")
	require.Equal(t, process.Failed, p.Code())
	require.Contains(t, p.Out.String(), `job="gone"} 0`)
	require.Contains(t, p.Err.String(), "scrape http://127.0.0.1:1/metrics")
}

// TestCheck: the exit code says whether all is well.
func TestCheck(t *testing.T) {
	p := processtest.Start(t, "--check", "-a", "127.0.0.1:1")
	require.Equal(t, process.Failed, p.Code())
	require.Contains(t, p.Out.String(), "nothing listens there")
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer hs.Close()
	p = processtest.Start(t, "--check", "-a", hs.URL)
	require.Zero(t, p.Code(), "%s", &p.Out)
}

// TestHealthcheck: the agent is well while it runs, server or not.
func TestHealthcheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "health")
	check := func() *processtest.Process {
		p := processtest.Start(t, "healthcheck", "--health-file", file)
		p.Code()
		return p
	}
	p := check()
	assert.Equal(t, process.Failed, p.Code())
	assert.Contains(t, p.Out.String(), "unhealthy: "+file+" is not there")

	agent := processtest.Start(t, "-a", "127.0.0.1:1", "--health-file", file)
	require.Eventually(t, func() bool { _, err := os.Stat(file); return err == nil }, 10*time.Second, time.Millisecond)
	p = check()
	assert.Zero(t, p.Code())
	assert.Contains(t, p.Out.String(), "healthy: collecting")
	agent.Signal(syscall.SIGTERM)
	agent.Signal(syscall.SIGTERM)
	agent.Code()

	p = processtest.Start(t, "healthcheck")
	assert.Equal(t, process.Failed, p.Code())
	assert.Contains(t, p.Out.String(), "HEALTH_FILE is not set")
}

// TestSystemd: ready when its loops run, alive while they go on though the server
// is away, stopping at once.
func TestSystemd(t *testing.T) {
	m := systemdtest.Listen(t)
	for _, v := range m.Env("WATCHDOG_USEC=100000") {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	p := processtest.Start(t, "-a", "127.0.0.1:1")
	m.Await("READY=1\nSTATUS=sending to http://127.0.0.1:1")
	p.Logs("the server takes no batches")
	m.Await("WATCHDOG=1")
	m.Await("WATCHDOG=1")
	p.Signal(syscall.SIGTERM)
	m.Await("STOPPING=1")
	p.Signal(syscall.SIGTERM)
	p.Code()
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	p := processtest.Start(t, "-a", "127.0.0.1:1")
	p.Logs("the server takes no batches")
	p.Signal(syscall.SIGTERM)
	p.Logs("agent stops")
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	assert.Equal(t, process.Failed, p.Code())
	assert.Less(t, time.Since(began), 3*time.Second, "it doesn't wait for the deadline")
	p.Logs("stopped at once")
}

func TestProfilesOnSignals(t *testing.T) {
	dir := t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu.pprof"), filepath.Join(dir, "mem.pprof")
	p := processtest.Start(t, "-a", "127.0.0.1:1", "--cpu-profile-file", cpu, "--mem-profile-file", mem, "--cpu-profile-duration", "100ms")
	p.Logs("agent started")
	p.Signal(syscall.SIGUSR2)
	p.Signal(syscall.SIGUSR1)
	processtest.RequireProfiles(t, mem, cpu)
	p.Signal(syscall.SIGTERM)
	p.Signal(syscall.SIGTERM)
	p.Code()
}
