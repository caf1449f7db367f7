package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

// samples gathers from a registry as a user does and returns the values by name and
// labels, as the exposition format writes them without quotes.
func samples(t testing.TB, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	require.NoError(t, err)
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			out[strings.TrimPrefix(f.GetName(), "namedprocess_namegroup_")+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	return out
}

func registered(t testing.TB, c *Collector) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	return r
}

// fakeProc is a /proc that a test writes.
type fakeProc struct {
	t    testing.TB
	root string
}

// fake is one process in it.
type fake struct {
	pid                        int
	comm                       string
	state                      string
	flags                      int
	user, system               int
	threads, start, vsize, rss int
	exe, cmdline, io, status   string
	files                      int
}

const bootTime = 1_700_000_000

func newFakeProc(t testing.TB) *fakeProc {
	f := &fakeProc{t: t, root: t.TempDir()}
	f.write("stat", "cpu  1 2 3\nbtime "+strconv.Itoa(bootTime)+"\nprocesses 9\n")
	f.write("meminfo", "MemTotal: 100 kB\nSwapTotal: 100 kB\nSwapFree: 40 kB\n")
	f.put(fake{pid: 1, comm: "init", start: 1})
	return f
}

func (f *fakeProc) write(name, content string) {
	path := filepath.Join(f.root, "proc", name)
	require.NoError(f.t, os.MkdirAll(filepath.Dir(path), 0o750))
	require.NoError(f.t, os.WriteFile(path, []byte(content), 0o600))
}

func (f *fakeProc) put(p fake) {
	dir := strconv.Itoa(p.pid)
	if p.state == "" {
		p.state = "S"
	}
	f.write(dir+"/stat", fmt.Sprintf("%d (%s) %s 1 1 1 0 -1 %d 9 9 9 9 %d %d 9 9 20 -5 %d 0 %d %d %d 18446744073709551615 1 1 0\n",
		p.pid, p.comm, p.state, p.flags, p.user, p.system, max(p.threads, 1), p.start, p.vsize, p.rss))
	f.write(dir+"/cmdline", p.cmdline)
	if p.io != "" {
		f.write(dir+"/io", p.io)
	}
	f.write(dir+"/status", p.status)
	for i := range p.files {
		f.write(dir+"/fd/"+strconv.Itoa(i), "")
	}
	if p.exe != "" {
		_ = os.Remove(filepath.Join(f.root, "proc", dir, "exe"))
		require.NoError(f.t, os.Symlink(p.exe, filepath.Join(f.root, "proc", dir, "exe")))
	}
}

func (f *fakeProc) kill(pid int) {
	require.NoError(f.t, os.RemoveAll(filepath.Join(f.root, "proc", strconv.Itoa(pid))))
}

// clock is a wall clock that the test moves.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{now: time.Unix(bootTime+10_000, 0)} }

func (c *clock) tick(d time.Duration) { c.now = c.now.Add(d) }
func (c *clock) read() time.Time      { return c.now }

// start runs this test binary as a process of the name and returns its first line
// of output, what ends it, and its number.
func start(t *testing.T, name, what string) (line string, stop func(), pid int) {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name)
	if os.Link(self, path) != nil { // another file system
		content, err := os.ReadFile(self)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, content, 0o700))
	}
	cmd := exec.CommandContext(t.Context(), path, "--password=geheim")
	cmd.Env = append(os.Environ(), child+"="+what)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	var once bool
	stop = func() {
		if !once {
			once = true
			_ = stdin.Close()
			_, _ = io.Copy(io.Discard, stdout)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	line, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line), stop, cmd.Process.Pid
}
