// Package programtest builds the programs of this module as they are released and
// runs them as processes of their own, with nothing of the test's environment,
// on free ports, in temporary folders.
//
//	var programs programtest.Builder
//
//	func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }
package programtest

import (
	"bytes"
	"context"
	"fmt"
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

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// Builder builds each program once. The zero value is ready; Main removes what it
// built.
type Builder struct {
	mu   sync.Mutex
	dir  string
	made map[string]string
}

// Main runs the tests, removes the programs, and returns the exit code, which is
// not 0 when a goroutine was left behind.
func (b *Builder) Main(m *testing.M) int {
	code := m.Run()
	if err := os.RemoveAll(b.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// Build returns the path of the binary of cmd/name.
func (b *Builder) Build(tb testing.TB, name string) string {
	tb.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if path, ok := b.made[name]; ok {
		return path
	}
	if b.dir == "" {
		dir, err := os.MkdirTemp("", "gometheus-programs-") //nolint:usetesting // for all tests
		require.NoError(tb, err)
		b.dir, b.made = dir, map[string]string{}
	}
	path := filepath.Join(b.dir, name)
	cmd := exec.CommandContext(tb.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", path,
		"github.com/gometheus/gometheus/cmd/"+name)
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(tb, err, "%s", out)
	b.made[name] = path
	return path
}

// Server starts cmd/server on a free port with its files in dir, and settings as
// "NAME=value", which come last and so win.
func (b *Builder) Server(tb testing.TB, dir string, settings ...string) *Process {
	tb.Helper()
	p := Start(tb, dir, b.Build(tb, "server"), nil, append([]string{
		"ADDRESS=127.0.0.1:0",
		"FILE_STORAGE_PATH=" + filepath.Join(dir, "state.json"),
		"HISTORY_PATH=" + filepath.Join(dir, "history"),
	}, settings...)...)
	return p
}

// Process is a running program. It is killed at the end of the test.
type Process struct {
	tb   testing.TB
	cmd  *exec.Cmd
	out  output
	done chan struct{} // closed when it has ended
}

// Start starts a program in a folder. Its environment is settings and what any
// program needs.
func Start(tb testing.TB, dir, path string, args []string, settings ...string) *Process {
	tb.Helper()
	p := &Process{tb: tb, done: make(chan struct{})}
	// Not bound to the test's context: that ends before cleanups, which stop
	// processes in order.
	p.cmd = exec.CommandContext(context.Background(), path, args...)
	p.cmd.Dir = dir
	p.cmd.Env = []string{"TMPDIR=" + os.TempDir(), "HOME=" + dir}
	p.cmd.Env = append(p.cmd.Env, settings...)
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	require.NoError(tb, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait() // ProcessState says how
		close(p.done)
	}()
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("%s said:\n%s", filepath.Base(path), p.out.tail())
		}
	})
	return p
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Output is what the program has said so far.
func (p *Process) Output() string { return p.out.String() }

// URL waits until the server listens and returns where.
func (p *Process) URL() string {
	p.tb.Helper()
	return "http://" + p.Find(regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`))
}

// Find waits until the program has said what re matches and returns its first
// group.
func (p *Process) Find(re *regexp.Regexp) string {
	p.tb.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if m := re.FindStringSubmatch(p.out.String()); m != nil {
			return m[1]
		}
		select {
		case <-p.done:
			require.FailNow(p.tb, "the program has ended", p.out.tail())
		case <-deadline.C:
			require.FailNow(p.tb, "the program doesn't say "+re.String(), p.out.tail())
		case <-tick.C:
		}
	}
}

// Code waits for the end of the process and returns its exit code, -1 when it was
// killed.
func (p *Process) Code() int {
	p.tb.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		require.FailNow(p.tb, "the program doesn't end", p.out.tail())
	}
	return p.cmd.ProcessState.ExitCode()
}

// Stop ends the process in order.
func (p *Process) Stop() {
	p.tb.Helper()
	p.Signal(syscall.SIGTERM)
	require.Zero(p.tb, p.Code(), p.out.tail())
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) {
	p.tb.Helper()
	require.NoError(p.tb, p.cmd.Process.Signal(s))
}

// Kill ends the process at once, if it still runs.
func (p *Process) Kill() {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Kill() // it may just have ended
		<-p.done
	}
}

// Client is an HTTP client that leaves nothing behind when the test ends.
func Client(tb testing.TB) *http.Client {
	tr := &http.Transport{MaxIdleConnsPerHost: 32}
	tb.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 2 * time.Minute}
}

// output can be read while the process writes to it.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write is an io.Writer's.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// tail is the last lines.
func (o *output) tail() string {
	lines := strings.Split(strings.TrimSpace(o.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
