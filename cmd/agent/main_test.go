//go:build unix

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asAgent makes the test binary be the agent.
const asAgent = "GOMETHEUS_TEST_AS_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// process is a running agent.
type process struct {
	t   *testing.T
	cmd *exec.Cmd
	out bytes.Buffer
	err lockedBuffer
}

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

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	p.cmd.Env = append(os.Environ(), asAgent+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.err
	require.NoError(t, p.cmd.Start())
	return p
}

// code waits for the end of the process.
func (p *process) code() int {
	_ = p.cmd.Wait() // the exit code says it
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) logs(message string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.err.String(), `"msg":"`+message+`"`) },
		10*time.Second, time.Millisecond, "%s not in %s", message, &p.err)
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

func TestHelpAndVersion(t *testing.T) {
	p := start(t, "--help")
	assert.Zero(t, p.code())
	assert.Contains(t, p.out.String(), "--poll-interval")
	assert.Empty(t, p.err.String())

	p = start(t, "--version")
	assert.Zero(t, p.code())
	assert.Regexp(t, `^gometheus-agent .+\n$`, p.out.String())
}

func TestBadConfiguration(t *testing.T) {
	for _, args := range [][]string{{"--batch-size", "0"}, {"-p", "soon"}, {"--labels", "="}, {"--nonsense"}, {"-l", "loud"}} {
		p := start(t, args...)
		assert.Equal(t, exitUsage, p.code(), "%v", args)
		assert.Equal(t, 1, strings.Count(p.err.String(), "\n"), "one line: %s", &p.err)
		assert.Contains(t, p.err.String(), args[0])
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
		p := start(t, "-a", strings.TrimPrefix(hs.URL, "http://"), "-k", "a-secret-key", "-r", "3600")
		require.Eventually(t, func() bool { return got.Load() == 1 }, 10*time.Second, time.Millisecond)
		p.signal(s)
		assert.Zero(t, p.code(), "%s", &p.err)
		p.logs("agent stopped")
		assert.NotContains(t, p.err.String(), "a-secret-key")
		hs.Close()
	}
}

// TestSpoolSurvivesKill: what an agent spooled before kill -9 is sent by the
// next, and there is only one at a time.
func TestSpoolSurvivesKill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	first := start(t, "-a", "127.0.0.1:1", "--spool-dir", dir, "-r", "0.05", "-p", "0.05")
	first.logs("the server takes no batches")
	second := start(t, "-a", "127.0.0.1:1", "--spool-dir", dir)
	assert.Equal(t, exitFailed, second.code())
	assert.Contains(t, second.err.String(), "SPOOL_DIR "+dir)
	require.Eventually(t, func() bool {
		log, err := os.ReadFile(filepath.Join(dir, "00000001.log"))
		return err == nil && len(log) > 20_000
	}, 10*time.Second, time.Millisecond)
	first.signal(syscall.SIGKILL)
	first.code()

	var mu sync.Mutex
	var keys []string
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/updates/" {
			mu.Lock()
			keys = append(keys, r.Header.Get("Idempotency-Key"))
			mu.Unlock()
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer hs.Close()
	third := start(t, "-a", hs.URL, "--spool-dir", dir, "-r", "3600", "-m", "1")
	third.logs("the spool holds batches from before")
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(keys) > 10 }, 10*time.Second, time.Millisecond)
	third.signal(syscall.SIGTERM)
	assert.Zero(t, third.code())
	assert.Contains(t, third.err.String(), `"spooled_batches":0`)
	producer, _, _ := strings.Cut(keys[0], "/")
	for i, key := range keys {
		assert.Equal(t, fmt.Sprintf(`%s/%d"`, producer, i+1), key)
	}
}

func TestSecondSignalStopsAtOnce(t *testing.T) {
	p := start(t, "-a", "127.0.0.1:1")
	p.logs("the server takes no batches")
	p.signal(syscall.SIGTERM)
	p.logs("agent stops")
	began := time.Now()
	p.signal(syscall.SIGTERM)
	assert.Equal(t, exitFailed, p.code())
	assert.Less(t, time.Since(began), 3*time.Second, "it doesn't wait for the deadline")
	p.logs("stopped at once")
}

func TestProfilesOnSignals(t *testing.T) {
	dir := t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu.pprof"), filepath.Join(dir, "mem.pprof")
	p := start(t, "-a", "127.0.0.1:1", "--cpu-profile-file", cpu, "--mem-profile-file", mem, "--cpu-profile-duration", "100ms")
	p.logs("agent started")
	p.signal(syscall.SIGUSR2)
	p.signal(syscall.SIGUSR1)
	for _, path := range []string{mem, cpu} {
		require.Eventually(t, func() bool { _, err := os.Stat(path); return err == nil }, 10*time.Second, time.Millisecond)
		out, err := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-raw", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	p.signal(syscall.SIGTERM)
	p.signal(syscall.SIGTERM)
	p.code()
}
