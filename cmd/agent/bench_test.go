//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkFootprint runs the real agent with default settings against a server
// that takes everything, and reports the most memory it had resident and the
// processor time it took after its start, in percent of one core.
func BenchmarkFootprint(b *testing.B) {
	const start, watch = 5 * time.Second, 30 * time.Second
	bin := filepath.Join(b.TempDir(), "agent")
	out, err := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", bin, ".").CombinedOutput()
	require.NoError(b, err, "%s", out)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()

	var resident, cpu float64
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), bin, "-a", server.URL, "-l", "error")
		require.NoError(b, cmd.Start())
		<-time.After(start)
		before := cpuTime(b, cmd.Process.Pid)
		<-time.After(watch)
		cpu = max(cpu, float64(cpuTime(b, cmd.Process.Pid)-before)/float64(watch)*100)
		resident = max(resident, peak(b, cmd.Process.Pid))
		require.NoError(b, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(b, cmd.Wait())
	}
	b.ReportMetric(resident, "MB-resident")
	b.ReportMetric(cpu, "%core")
}

// cpuTime is what all threads of the process took so far.
func cpuTime(b *testing.B, pid int) (sum time.Duration) {
	b.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	require.NoError(b, err)
	require.NotEmpty(b, stats)
	for _, path := range stats {
		text, err := os.ReadFile(path)
		require.NoError(b, err)
		var ns int64
		_, err = fmt.Sscan(string(text), &ns)
		require.NoError(b, err)
		sum += time.Duration(ns)
	}
	return sum
}

// peak is the most memory the process had resident, in megabytes.
func peak(b *testing.B, pid int) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.Fields(v)[0], 64)
			require.NoError(b, err)
			return kib * 1024 / 1e6
		}
	}
	b.Fatal("no VmHWM in /proc/PID/status")
	return 0
}
