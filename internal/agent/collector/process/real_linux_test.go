package process

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// runChild is a real process for the tests: it does what it is told, prints one
// line, and waits until its input ends.
func runChild(what string) int {
	switch what {
	case "spin":
		for used() < 700*time.Millisecond {
			for range 1_000_000 {
			}
		}
		fmt.Println(used().Seconds())
	case "memory":
		block := make([]byte, 256<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		fmt.Println(len(block))
		defer func() { _ = block[len(block)-1] }()
	default:
		name, _ := strings.CutPrefix(what, "name:")
		if err := os.WriteFile("/proc/self/comm", []byte(name), 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println("renamed")
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// used is the CPU time of this process.
func used() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return time.Hour
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestRealBusyProcess(t *testing.T) {
	// Longer than the kernel keeps.
	const name = "gometheus-busy-child"
	r := registered(t, New(Options{}))
	before := samples(t, r)
	assert.NotContains(t, before, "num_procs{groupname="+name+"}")
	cpu := func(s map[string]float64) float64 {
		return s["cpu_seconds_total{groupname="+name+",mode=user}"] + s["cpu_seconds_total{groupname="+name+",mode=system}"]
	}

	line, stop, _ := start(t, name, "spin")
	rusage, err := strconv.ParseFloat(line, 64)
	require.NoError(t, err)
	first := samples(t, r)
	require.EqualValues(t, 1, first["num_procs{groupname="+name+"}"], "among the biggest by CPU, by its whole name")
	assert.InDelta(t, rusage, cpu(first), 0.1)
	assert.InDelta(t, float64(time.Now().Unix()), first["oldest_start_time_seconds{groupname="+name+"}"], 60)
	assert.GreaterOrEqual(t, first["open_filedesc{groupname="+name+"}"], 3.0)
	assert.Contains(t, first, "write_bytes_total{groupname="+name+"}", "of one's own process it is readable")

	line, stop2, _ := start(t, name, "spin")
	more, err := strconv.ParseFloat(line, 64)
	require.NoError(t, err)
	second := samples(t, r)
	assert.InDelta(t, cpu(first)+more, cpu(second), 0.1)
	stop()
	third := samples(t, r)
	assert.GreaterOrEqual(t, cpu(third), cpu(second), "the end of one lowers nothing")
	assert.EqualValues(t, 1, third["num_procs{groupname="+name+"}"])
	stop2()
	last := samples(t, r)
	assert.GreaterOrEqual(t, cpu(last), cpu(third))
	assert.Zero(t, last["num_procs{groupname="+name+"}"])
	for series := range last {
		assert.NotContains(t, series, "geheim")
	}
}

func TestRealBigProcess(t *testing.T) {
	const name = "gometheus-big"
	r := registered(t, New(Options{}))
	line, _, pid := start(t, name, "memory")
	size, err := strconv.ParseFloat(line, 64)
	require.NoError(t, err)
	got := samples(t, r)
	assert.GreaterOrEqual(t, got["memory_bytes{groupname="+name+",memtype=resident}"], size)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	rss, ok := valueOf(status, "VmRSS:")
	require.True(t, ok)
	assert.InEpsilon(t, rss*1024, got["memory_bytes{groupname="+name+",memtype=resident}"], 0.05)
	assert.GreaterOrEqual(t, got["memory_bytes{groupname="+name+",memtype=virtual}"], size)

	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	require.NoError(t, err)
	assert.InDelta(t, len(threads), got["num_threads{groupname="+name+"}"], 2)
}

// TestRealNames: real processes whose names the kernel takes and labels don't.
func TestRealNames(t *testing.T) {
	r := registered(t, New(Options{Top: 1000}))
	for comm, want := range map[string]string{
		"a) R (1 2": "a) R (1 2",
		"x\ny":      "x\uFFFDy",
		"\xc3(":     "\uFFFD(",
	} {
		start(t, "gometheus-name", "name:"+comm)
		assert.Contains(t, listed(t, r), want)
	}
}

// TestWithoutRights: a user without any rights sees the processes of others, but for
// what they read and write, which is said once.
func TestWithoutRights(t *testing.T) {
	if os.Getuid() == 0 {
		_, _, pid := start(t, "gometheus-root", "memory")
		dir, err := os.MkdirTemp("", "nobody") //nolint:usetesting // nobody may not enter the parents of t.TempDir's
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		content, err := os.ReadFile(fmt.Sprintf("/proc/%d/exe", pid))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(dir+"/test", content, 0o755))
		require.NoError(t, os.Chmod(dir, 0o777))
		cmd := exec.CommandContext(t.Context(), dir+"/test", "-test.run=^TestWithoutRights$", "-test.v")
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		assert.Contains(t, string(out), "--- PASS: TestWithoutRights", "%s", out)
		return
	}
	if _, err := os.ReadFile("/proc/1/io"); err == nil {
		t.Skip("this user may read everything")
	}
	core, logs := observer.New(zap.InfoLevel)
	r := registered(t, New(Options{Log: zap.New(core)}))
	const l = "{groupname=gometheus-root"
	for range 2 {
		got := samples(t, r)
		if _, ok := got["num_procs"+l+"}"]; !ok {
			t.Skip("nothing was started as root")
		}
		assert.GreaterOrEqual(t, got["memory_bytes"+l+",memtype=resident}"], float64(256<<20))
		assert.NotContains(t, got, "read_bytes_total"+l+"}")
	}
	assert.Equal(t, 1, logs.FilterMessageSnippet("need root or the capability CAP_SYS_PTRACE").Len())
	assert.Equal(t, 1, logs.Len())
}

// TestRealMachine: all that is told of this machine can be gathered, again and again,
// and no counter goes back.
func TestRealMachine(t *testing.T) {
	for _, commandLine := range []bool{false, true} {
		r := registered(t, New(Options{CommandLine: commandLine}))
		before := samples(t, r)
		require.NotEmpty(t, before)
		for range 5 {
			now := samples(t, r)
			for series, v := range before {
				name, _, _ := strings.Cut(series, "{")
				if after, ok := now[series]; ok && strings.HasSuffix(name, "_total") {
					assert.GreaterOrEqual(t, after, v, series)
				}
			}
			before = now
		}
	}
}

// BenchmarkCollect500 gathers 500 fake processes. Files of a real /proc cost more: see
// BenchmarkCollectHere, which says how many there are.
func BenchmarkCollect500(b *testing.B) {
	f := newFakeProc(b)
	for i := range 500 {
		f.put(fake{pid: 100 + i, comm: fmt.Sprintf("worker%d", i%100), user: i, start: 5, rss: i, io: "read_bytes: 1\nwrite_bytes: 1\n"})
	}
	benchmark(b, New(Options{Root: f.root}))
}

func BenchmarkCollectHere(b *testing.B) {
	c := New(Options{})
	benchmark(b, c)
	b.ReportMetric(float64(len(c.procs)), "processes")
}

func benchmark(b *testing.B, c *Collector) {
	ch := make(chan prometheus.Metric, 1000)
	b.ReportAllocs()
	for b.Loop() {
		c.Collect(ch)
		for len(ch) > 0 {
			<-ch
		}
	}
}
