package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a started program. It is known by its own id only.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
	err  error         // how; set before done is closed
}

// start starts a program that logs to a file, to which it appends.
func start(t testing.TB, logFile, program string, args ...string) *process {
	t.Helper()
	f, err := os.OpenFile(logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{out: &output{file: f, ready: make(chan struct{})}, done: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.Dir = filepath.Dir(logFile)
	p.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR"),
		"HISTORY=false",
	} // it has a test of its own
	if err := p.cmd.Start(); err != nil {
		f.Close()
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		f.Close()
		close(p.done)
	}()
	return p
}

// kill ends the process by SIGKILL. It must have been alive until then.
func (p *process) kill() error {
	if err := p.alive(); err != nil {
		return err
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.done
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && !(status.Signaled() && status.Signal() == syscall.SIGKILL) {
		return fmt.Errorf("the program ended by itself: %w\n%s", p.err, p.out.tail())
	}
	return nil
}

// alive is an error when the process has ended.
func (p *process) alive() error {
	select {
	case <-p.done:
		return fmt.Errorf("the program ended by itself: %w\n%s", p.err, p.out.tail())
	default:
		return nil
	}
}

// stop ends the process by SIGTERM and waits for it. It must succeed.
func (p *process) stop() error {
	if err := p.alive(); err != nil {
		return err
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		return errors.Join(errors.New("the program doesn't stop"), p.kill())
	}
	if p.err != nil {
		return fmt.Errorf("stop: %w\n%s", p.err, p.out.tail())
	}
	return nil
}

// end kills the process if it still runs.
func (p *process) end() {
	if p != nil && p.alive() == nil {
		_ = p.kill() // the test is over
	}
}

// listening waits until the program says where it listens.
func (p *process) listening(ctx context.Context) (string, error) {
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	select {
	case <-p.out.ready:
		return p.out.address, nil
	case <-p.done:
		return "", p.alive()
	case <-timeout.C:
		return "", fmt.Errorf("the server doesn't listen after 30 s\n%s", p.out.tail())
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// output writes to a file, keeps the end, and looks for the line that says where
// a server listens.
type output struct {
	file  *os.File
	ready chan struct{}

	mu      sync.Mutex
	last    []byte
	address string // set before ready is closed
}

var listeningLine = regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = append(o.last, p...)
	if o.address == "" {
		if m := listeningLine.FindSubmatch(o.last); m != nil {
			o.address = string(m[1])
			close(o.ready)
		}
	}
	if const64 := 64 << 10; len(o.last) > const64 {
		o.last = bytes.Clone(o.last[len(o.last)-const64/2:])
	}
	return o.file.Write(p)
}

// tail is the last lines of the log.
func (o *output) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(o.last)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
