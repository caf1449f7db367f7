//go:build unix

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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

// address is where the server listens; it was started on port 0.
func address(p *processtest.Process) string {
	p.Logs("listening")
	return regexp.MustCompile(`"address":"([^"]+)"`).FindStringSubmatch(p.Err.String())[1]
}

func TestHelpAndVersion(t *testing.T) {
	p := processtest.Start(t, "--help")
	assert.Zero(t, p.Code())
	assert.Contains(t, p.Out.String(), "--store-interval")
	assert.Empty(t, p.Err.String())

	p = processtest.Start(t, "--version")
	assert.Zero(t, p.Code())
	assert.Regexp(t, `^gometheus-server .+\n$`, p.Out.String())
}

func TestBadConfiguration(t *testing.T) {
	for _, args := range [][]string{{"--store-interval", "-1"}, {"-i", "soon"}, {"--restore", "perhaps"}, {"--nonsense"}, {"-l", "loud"}, {"-a", "nowhere"}} {
		p := processtest.Start(t, args...)
		assert.Equal(t, process.Usage, p.Code(), "%v", args)
		assert.Equal(t, 1, strings.Count(p.Err.String(), "\n"), "one line: %s", &p.Err)
		assert.Contains(t, p.Err.String(), args[0])
	}
}

func TestServesUntilStopped(t *testing.T) {
	file := filepath.Join(t.TempDir(), "db.json")
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for i, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT} {
		p := processtest.Start(t, "-a", "127.0.0.1:0", "--history-path", t.TempDir(), "-f", file)
		url := "http://" + address(p)
		response, err := client.Post(url+"/update/counter/c/2", "", nil)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		response, err = client.Get(url + "/value/counter/c")
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		assert.Equal(t, fmt.Sprint(2*(i+1)), string(body))
		p.Signal(s)
		assert.Zero(t, p.Code(), "%s", &p.Err)
		p.Logs("stopped")
	}
}

func TestHealthcheck(t *testing.T) {
	server := processtest.Start(t, "-a", "127.0.0.1:0", "--history-path", t.TempDir(), "-f", "")
	at := address(server)
	p := processtest.Start(t, "healthcheck", "-a", at)
	assert.Zero(t, p.Code())
	assert.Equal(t, "healthy: OK\n", p.Out.String())
	_, port, err := net.SplitHostPort(at)
	require.NoError(t, err)
	p = processtest.Start(t, "healthcheck", "-a", "0.0.0.0:"+port)
	assert.Zero(t, p.Code(), "every address of the machine is asked for at one: %s", &p.Out)

	server.Signal(syscall.SIGTERM)
	assert.Zero(t, server.Code())
	p = processtest.Start(t, "healthcheck", "-a", at)
	assert.Equal(t, process.Failed, p.Code())
	assert.Regexp(t, "^unhealthy: ask the server: .*connection refused\n$", p.Out.String())
}

// TestSystemd: ready when it listens, alive while it answers, stopping at once.
func TestSystemd(t *testing.T) {
	m := systemdtest.Listen(t)
	for _, v := range m.Env("WATCHDOG_USEC=100000") {
		name, value, _ := strings.Cut(v, "=")
		t.Setenv(name, value)
	}
	p := processtest.Start(t, "-a", "127.0.0.1:0", "--history-path", t.TempDir(), "-f", "")
	m.Await("READY=1\nSTATUS=listening on " + address(p))
	m.Await("WATCHDOG=1")
	m.Await("WATCHDOG=1")
	p.Signal(syscall.SIGTERM)
	m.Await("STOPPING=1")
	assert.Zero(t, p.Code())
}

// TestSecondSignalStopsAtOnce: the first one waits for a request whose body does
// not come.
func TestSecondSignalStopsAtOnce(t *testing.T) {
	p := processtest.Start(t, "-a", "127.0.0.1:0", "--history-path", t.TempDir(), "-f", filepath.Join(t.TempDir(), "db.json"))
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address(p))
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "POST /updates HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, len("HTTP/1.1 100"))) // the handler reads
	require.NoError(t, err)
	p.Signal(syscall.SIGTERM)
	p.Logs("stopping")
	began := time.Now()
	p.Signal(syscall.SIGTERM)
	assert.Equal(t, process.Failed, p.Code())
	assert.Less(t, time.Since(began), 3*time.Second, "it doesn't wait for the deadline")
	p.Logs("stopped at once")
}

func TestProfilesOnSignals(t *testing.T) {
	dir := t.TempDir()
	cpu, mem := filepath.Join(dir, "cpu.pprof"), filepath.Join(dir, "mem.pprof")
	p := processtest.Start(t, "-a", "127.0.0.1:0", "--history-path", t.TempDir(), "-f", "", "--cpu-profile-file", cpu, "--mem-profile-file", mem, "--cpu-profile-duration", "100ms")
	p.Logs("listening")
	p.Signal(syscall.SIGUSR2)
	p.Signal(syscall.SIGUSR1)
	processtest.RequireProfiles(t, mem, cpu)
	p.Signal(syscall.SIGTERM)
	assert.Zero(t, p.Code())
}
