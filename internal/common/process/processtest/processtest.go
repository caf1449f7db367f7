// Package processtest runs a program as a process of its own: the test binary,
// which a TestMain turns into the program.
//
//	func TestMain(m *testing.M) { os.Exit(processtest.Main(m, run)) }
package processtest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asProgram makes the test binary be the program.
const asProgram = "GOMETHEUS_TEST_AS_PROGRAM"

// Main runs the tests, or the program in a process that Start started, and returns
// the exit code.
func Main(m *testing.M, program func(args []string) int) int {
	if os.Getenv(asProgram) != "" { //nolint:forbidigo // how Start tells the process what it is
		return program(os.Args[1:])
	}
	return m.Run()
}

// Process is a running program.
type Process struct {
	t   *testing.T
	cmd *exec.Cmd
	Out Buffer
	Err Buffer
}

// Start starts the program. It is killed at the end of the test.
func Start(t *testing.T, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0], args...)}
	p.cmd.Env = append(p.cmd.Environ(), asProgram+"=1")
	p.cmd.Stdout, p.cmd.Stderr = &p.Out, &p.Err
	require.NoError(t, p.cmd.Start())
	return p
}

// Code waits for the end of the process and returns its exit code.
func (p *Process) Code() int {
	_ = p.cmd.Wait() // the exit code says it
	return p.cmd.ProcessState.ExitCode()
}

// Logs waits until the program has logged the message.
func (p *Process) Logs(message string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool { return strings.Contains(p.Err.String(), `"msg":"`+message+`"`) },
		10*time.Second, time.Millisecond, "%s not in %s", message, &p.Err)
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(s))
}

// RequireProfiles waits for profiles that `go tool pprof` opens.
func RequireProfiles(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		require.Eventually(t, func() bool { _, err := os.Stat(path); return err == nil }, 10*time.Second, time.Millisecond)
		out, err := exec.CommandContext(t.Context(), "go", "tool", "pprof", "-raw", path).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

// Buffer can be read while the process writes to it.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write is an io.Writer's.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String is what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
