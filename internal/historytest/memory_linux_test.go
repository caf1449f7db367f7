package historytest

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// residentGoal is, in MB, what the whole server may take with 100,000 series.
const residentGoal = 350

// BenchmarkMemory100k is the memory of the whole server with 100,000 active
// series: 500 machines that push 200 metrics each, by their own keys, every ten
// seconds, for two minutes; those are told by timestamps, so that it takes less.
// The size is that of the process, not of its heap.
func BenchmarkMemory100k(b *testing.B) {
	const machines, metrics = 500, 200
	rounds := 12
	if long { // 40 minutes: the TSDB has full chunks, and begins to map them from files
		rounds = 240
	}
	for b.Loop() {
		s := startServer(b)
		begin := time.Now().Add(-time.Duration(rounds) * 10 * time.Second)
		took := time.Now()
		for round := range rounds {
			at := begin.Add(time.Duration(round) * 10 * time.Second).UnixMilli()
			work := make(chan int)
			var senders sync.WaitGroup
			for range 4 {
				senders.Go(func() {
					for machine := range work {
						key := fmt.Sprintf("agent-%d/%d", machine, round+1)
						a := s.do(http.MethodPost, "/updates", machineBatch(machine, round, metrics, at),
							"Idempotency-Key", key, "Report-Interval", "10", "Prefer", "return=minimal")
						if a.status != http.StatusNoContent {
							b.Errorf("%d %s", a.status, a.body)
						}
					}
				})
			}
			for machine := range machines {
				work <- machine
			}
			close(work)
			senders.Wait()
		}
		b.ReportMetric(time.Since(took).Seconds(), "push-s")
		require.InDelta(b, machines*metrics, s.value(`count({instance=~"web-.+",__name__!="up"})`), 0)
		hwm := memoryOf(b, s.p.PID(), "VmHWM")
		for _, name := range []string{"VmRSS", "VmHWM", "RssAnon", "RssFile"} {
			b.ReportMetric(memoryOf(b, s.p.PID(), name), name+"-MB")
		}
		if hwm > residentGoal && !long {
			b.Errorf("the server took %.0f MB, the goal is %d", hwm, residentGoal)
		}
		if profile := os.Getenv("GOMETHEUS_HEAP_PROFILE"); profile != "" { // where to leave what takes the memory
			s.p.Signal(syscall.SIGUSR2)
			made := filepath.Join(s.dir, "mem.pprof")
			s.eventually(func() bool { _, err := os.Stat(made); return err == nil }, time.Minute, "no heap profile")
			text, err := os.ReadFile(made)
			require.NoError(b, err)
			require.NoError(b, os.WriteFile(profile, text, 0o600))
		}
		s.p.Stop()
	}
}

// machineBatch is what one machine pushes: a counter in ten, else gauges, with
// the labels that agents give.
func machineBatch(machine, round, n int, at int64) string {
	var body bytes.Buffer
	for i := range n {
		body.WriteByte("[,"[min(i, 1)])
		if i%10 == 0 {
			fmt.Fprintf(&body, `{"id":"requests_%d_total","type":"counter","delta":%d`, i, i+round)
		} else {
			fmt.Fprintf(&body, `{"id":"heap_metric_%d_bytes","type":"gauge","value":%g`, i, float64((machine*31+i*7+round*13)%1000)*1234.5678)
		}
		fmt.Fprintf(&body, `,"labels":{"instance":"web-%d.example.org","zone":"eu-central-1"},"timestamp":%d}`, machine, at)
	}
	body.WriteByte(']')
	return body.String()
}

// memoryOf is one of the sizes of a process that the kernel knows, in MB.
func memoryOf(tb testing.TB, pid int, name string) float64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(tb, err)
	m := regexp.MustCompile(name + `:\s+(\d+) kB`).FindSubmatch(text)
	require.NotNil(tb, m, name)
	kb, err := strconv.ParseFloat(string(m[1]), 64)
	require.NoError(tb, err)
	return kb * 1024 / 1e6
}
