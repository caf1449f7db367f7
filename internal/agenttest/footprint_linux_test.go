package agenttest

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/programtest"
)

// The goals of the whole agent.
const (
	residentGoal = 30 // MB
	cpuGoal      = 1  // % of a core
)

// ticks are in a second, in /proc/<pid>/stat: what Linux tells programs on every
// processor that Go knows.
const ticks = 100

const mb = 1e6

// usage is what a process took.
type usage struct {
	p     *programtest.Process
	since time.Time
	cpu   float64 // seconds that it had taken by then
}

func measure(tb testing.TB, p *programtest.Process) usage {
	tb.Helper()
	return usage{p, time.Now(), cpuOf(tb, p.PID())}
}

// percent is its share of a core since then.
func (u usage) percent(tb testing.TB) float64 {
	tb.Helper()
	return 100 * (cpuOf(tb, u.p.PID()) - u.cpu) / time.Since(u.since).Seconds()
}

// cpuOf is the processor time that a process has taken, in seconds.
func cpuOf(tb testing.TB, pid int) float64 {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	require.NoError(tb, err)
	// The name, in parentheses, may hold anything.
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, err := strconv.ParseFloat(f[11], 64)
	require.NoError(tb, err)
	system, err := strconv.ParseFloat(f[12], 64)
	require.NoError(tb, err)
	return (user + system) / ticks
}

// memoryOf is one of the sizes of a process that the kernel knows, in MB.
func memoryOf(tb testing.TB, pid int, name string) float64 {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	require.NoError(tb, err)
	m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(tb, m, name)
	kb, err := strconv.ParseFloat(string(m[1]), 64)
	require.NoError(tb, err)
	return kb * 1024 / mb
}

// every calls f now and then, until span is over.
func every(interval, span time.Duration, f func()) {
	tick, end := time.NewTicker(interval), time.NewTimer(span)
	defer tick.Stop()
	defer end.Stop()
	for {
		f()
		select {
		case <-tick.C:
		case <-end.C:
			return
		}
	}
}

// holds says in a word whether a goal is met. A benchmark doesn't fail for it: it
// runs on machines of all kinds.
func holds(ok bool) string {
	if ok {
		return "holds"
	}
	return "MISSED"
}

// BenchmarkFootprint is what the agent takes at its default intervals while a
// server takes what it sends, beside a node_exporter that is scraped as often.
func BenchmarkFootprint(b *testing.B) {
	const span = time.Minute
	for b.Loop() {
		theirProgram := programtest.Debian(b, "node_exporter", "prometheus-node-exporter", os.Getenv("CI") != "")
		s := startServer(b)
		address := freeAddress(b)
		theirs := programtest.Start(b, b.TempDir(), theirProgram, []string{"--web.listen-address=" + address, "--no-collector.systemd"})
		scrape := func() bool {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
			require.NoError(b, err)
			req.Header.Set("Accept-Encoding", "gzip")
			res, err := s.client.Do(req)
			if err != nil {
				return false
			}
			defer res.Body.Close()
			_, err = io.Copy(io.Discard, res.Body)
			return err == nil && res.StatusCode == http.StatusOK
		}
		require.Eventually(b, scrape, time.Minute, 50*time.Millisecond)
		ours := startAgent(b, s.url, "--labels=instance=web-1")
		// Starting up is not what a day of it costs.
		require.Eventually(b, func() bool { return len(s.query(`node_load1{job="node"}`)) > 0 }, time.Minute, 200*time.Millisecond)

		startup := cpuOf(b, ours.PID())
		our, their := measure(b, ours), measure(b, theirs)
		every(15*time.Second, span, func() { require.True(b, scrape()) })
		ourCPU, theirCPU := our.percent(b), their.percent(b)
		ourPeak, theirPeak := memoryOf(b, ours.PID(), "VmHWM"), memoryOf(b, theirs.PID(), "VmHWM")
		ourMemory, theirMemory := memoryOf(b, ours.PID(), "VmRSS"), memoryOf(b, theirs.PID(), "VmRSS")

		b.ReportMetric(ourPeak, "peak-MB")
		b.ReportMetric(ourMemory, "rss-MB")
		b.ReportMetric(ourCPU, "cpu-%")
		b.ReportMetric(theirPeak, "node_exporter-peak-MB")
		b.ReportMetric(theirMemory, "node_exporter-rss-MB")
		b.ReportMetric(theirCPU, "node_exporter-cpu-%")
		b.Logf("for %v at default intervals, with %s series of node_*:\n"+
			"              agent   node_exporter   ratio\n"+
			"peak     %7.1f MB      %7.1f MB   %5.2f\n"+
			"resident %7.1f MB      %7.1f MB   %5.2f   goal: at most %d MB %s\n"+
			"CPU      %7.2f %%       %7.2f %%    %5.2f   goal: at most %d %% of a core %s\n"+
			"(of the agent: %.1f MB are memory of its own, the rest is its program; starting took %.2f s of CPU)",
			span, s.query(`count({__name__=~"node_.+"})`)[0].Value[1],
			ourPeak, theirPeak, ourPeak/theirPeak,
			ourMemory, theirMemory, ourMemory/theirMemory, residentGoal, holds(ourPeak <= residentGoal),
			ourCPU, theirCPU, ourCPU/theirCPU, cpuGoal, holds(ourCPU <= cpuGoal),
			memoryOf(b, ours.PID(), "RssAnon"), startup)
		ours.Stop()
	}
}

// BenchmarkServerAway is how the agent's memory grows while nobody takes what it
// sends: a minute of it, or an hour.
func BenchmarkServerAway(b *testing.B) {
	span := time.Minute
	if long {
		span = time.Hour
	}
	for b.Loop() {
		nobody := freeAddress(b)
		agents := map[string]*programtest.Process{
			"queue in memory": startAgent(b, nobody, "--labels=instance=web-1"),
			"queue on disk":   startAgent(b, nobody, "--labels=instance=web-1", "--spool-dir="+b.TempDir()),
		}
		sizes := map[string][]float64{} // by the second
		cpu := map[string]usage{}
		for name, p := range agents {
			cpu[name] = measure(b, p)
		}
		every(time.Second, span, func() {
			for name, p := range agents {
				sizes[name] = append(sizes[name], memoryOf(b, p.PID(), "RssAnon"))
			}
		})
		for name, p := range agents {
			all := sizes[name]
			third := len(all) / 3
			// By then the first gathers are done and the heap has its size.
			growth := average(all[len(all)-third:]) - average(all[third:2*third])
			peak := memoryOf(b, p.PID(), "VmHWM")
			unit := strings.ReplaceAll(name, " ", "-")
			b.ReportMetric(peak, unit+"-peak-MB")
			b.ReportMetric(growth, unit+"-growth-MB")
			b.Logf("%s, server away for %v: peak %.1f MB, memory of its own at the end %.1f MB, "+
				"in the last third %+.2f MB over the second, CPU %.2f %% of a core",
				name, span, peak, all[len(all)-1], growth, cpu[name].percent(b))
			p.Kill()
		}
	}
}

func average(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(max(1, len(v)))
}

// freeAddress is one that nobody listens at.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	require.NoError(tb, l.Close())
	return l.Addr().String()
}
