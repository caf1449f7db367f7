//go:build unix

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// asServer makes the test binary be the server.
const asServer = "GOMETHEUS_TEST_AS_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// process is a running server.
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
	p.cmd.Env = append(os.Environ(), asServer+"=1")
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

// address is where the server listens; it was started on port 0.
func (p *process) address() string {
	p.t.Helper()
	p.logs("listening")
	return regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(p.err.String())[1]
}

func TestHelpAndVersion(t *testing.T) {
	p := start(t, "--help")
	assert.Zero(t, p.code())
	assert.Contains(t, p.out.String(), "--store-interval")
	assert.Empty(t, p.err.String())

	p = start(t, "--version")
	assert.Zero(t, p.code())
	assert.Regexp(t, `^gometheus-server .+\n$`, p.out.String())
}

func TestBadConfiguration(t *testing.T) {
	for _, args := range [][]string{{"--store-interval", "-1"}, {"-i", "soon"}, {"--restore", "perhaps"}, {"--nonsense"}, {"-l", "loud"}, {"-a", "nowhere"}} {
		p := start(t, args...)
		assert.Equal(t, exitUsage, p.code(), "%v", args)
		assert.Equal(t, 1, strings.Count(p.err.String(), "\n"), "one line: %s", &p.err)
		assert.Contains(t, p.err.String(), args[0])
	}
}

func TestServesUntilStopped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db.json")
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		p := start(t, "-a", "127.0.0.1:0", "-f", file)
		url := "http://" + p.address()
		response, err := client.Post(url+"/update/counter/c/2", "", nil)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		response, err = client.Get(url + "/value/counter/c")
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, fmt.Sprint(2*(i+1)), string(body))
		p.signal(s)
		assert.Zero(t, p.code(), "%s", &p.err)
		p.logs("stopped")
	}
}

// TestSecondSignalStopsAtOnce: the first one waits for a request whose body does
// not come.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	p := start(t, "-a", "127.0.0.1:0", "-f", filepath.Join(t.TempDir(), "db.json"))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.address())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /updates HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, len("HTTP/1.1 100"))) // the handler reads
	require.NoError(t, err)
	p.signal(syscall.SIGTERM)
	p.logs("stopping")
	began := time.Now()
	p.signal(syscall.SIGTERM)
	assert.Equal(t, exitFailed, p.code())
	assert.Less(t, time.Since(began), 3*time.Second, "it doesn't wait for the deadline")
	p.logs("stopped at once")
}

func TestProfilesOnSignals(t *testing.T) {
	dir := t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu.pprof"), filepath.Join(dir, "mem.pprof")
	p := start(t, "-a", "127.0.0.1:0", "-f", "", "--cpu-profile-file", cpu, "--mem-profile-file", mem, "--cpu-profile-duration", "100ms")
	p.logs("listening")
	p.signal(syscall.SIGUSR2)
	p.signal(syscall.SIGUSR1)
	for _, path := range []string{mem, cpu} {
		require.Eventually(t, func() bool { _, err := os.Stat(path); return err == nil }, 10*time.Second, time.Millisecond)
		out, err := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-raw", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	p.signal(syscall.SIGTERM)
	assert.Zero(t, p.code())
}
