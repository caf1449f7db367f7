//go:build unix

package app

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/telemetry"
)

// BenchmarkOverview is GET / through the handler that the server has, with 500
// machines of 200 series: 50 that tell of the machine, over an hour, and 150 that
// were pushed. Not cached is what comes after 5 s, with the lines of the last hour
// each 45 s; "lines" is with those. gzip-bytes is the page as it is sent.
func BenchmarkOverview(b *testing.B) {
	const machines, every = 500, 15 * time.Second
	cfg := config.Default()
	cfg.FileStoragePath = ""
	cfg.HistoryPath = filepath.Join(b.TempDir(), "history")
	log := zap.NewNop()
	store, err := openStorage(b.Context(), cfg, log)
	require.NoError(b, err)
	tell := telemetry.New()
	past, err := openHistory(b.Context(), cfg, store, tell, log)
	require.NoError(b, err)
	defer past.Close()
	o := routes(cfg, store, past, tell, new(atomic.Bool), log)
	now := time.Now()
	clock := now
	pageOpts := pageOptions(cfg, manager.New(store, past.recorder(), tell), store, past, tell, log)
	pageOpts.Now = func() time.Time { return clock }
	o.Pages = pages.New(pageOpts)
	h := router.New(o)

	fleetHistory(b, past, machines, now.Add(-time.Hour), now, every)
	for machine := range machines {
		var body strings.Builder
		for i := range 150 {
			fmt.Fprintf(&body, `,{"id":"app_metric_%d","type":"gauge","value":%d,"labels":{"instance":"web-%d.example.org","env":"prod"}}`, i, i*machine, machine)
		}
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/updates", strings.NewReader("["+body.String()[1:]+"]"))
		r.Header.Set("Report-Interval", "15")
		h.ServeHTTP(w, r)
		require.Equal(b, http.StatusOK, w.Code, w.Body)
	}
	past.Flush()
	for _, bench := range []struct {
		name string
		step time.Duration
	}{{"known", 0}, {"uncached", 5 * time.Second}, {"uncached-lines", 46 * time.Second}} {
		b.Run("view="+bench.name, func(b *testing.B) {
			b.ReportAllocs()
			size, before := 0, cpu(b)
			for i := 0; b.Loop(); i++ {
				// Back and forth, so that the samples stay near.
				clock = now.Add(time.Duration(i%2) * -bench.step)
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, "/", nil)
				r.Header.Set("Accept-Encoding", "gzip")
				h.ServeHTTP(w, r)
				size = w.Body.Len()
				if w.Code != http.StatusOK {
					b.Fatal(w.Code, w.Body)
				}
				if i == 0 {
					checkOverview(b, w.Body, machines)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(b.N)/1e3, "cpu-ms/op")
			b.ReportMetric(float64(size), "gzip-bytes")
		})
	}
}

// checkOverview demands that each machine has all its columns.
func checkOverview(b *testing.B, body io.Reader, machines int) {
	b.Helper()
	z, err := gzip.NewReader(body)
	require.NoError(b, err)
	page, err := io.ReadAll(z)
	require.NoError(b, err)
	require.Equal(b, machines, strings.Count(string(page), `<svg class="spark"`))
	require.Equal(b, 3*machines, strings.Count(string(page), `<meter `))
	require.NotContains(b, string(page), `class="none"`)
	require.NotContains(b, string(page), `history did not give`)
}

// fleetHistory appends what the agents of many machines send.
func fleetHistory(b *testing.B, past openedHistory, machines int, from, to time.Time, every time.Duration) {
	b.Helper()
	type series struct {
		ls   labels.Labels
		ref  storage.SeriesRef
		rate float64
	}
	var all []series
	for machine := range machines {
		add := func(rate float64, name string, pairs ...string) {
			pairs = append(pairs, "__name__", name, "instance", fmt.Sprintf("web-%d.example.org", machine), "env", []string{"prod", "staging"}[machine%2], "job", "node")
			all = append(all, series{ls: labels.FromStrings(pairs...), rate: rate})
		}
		load := float64(machine%97) / 97
		for core := range 4 {
			for i, mode := range []string{"idle", "user", "system", "iowait", "irq", "softirq"} {
				add([]float64{1 - 0.9*load, load / 2, load / 4, load / 10, 0, 0.01}[i], "node_cpu_seconds_total", "cpu", fmt.Sprint(core), "mode", mode)
			}
		}
		for _, device := range []string{"eth0", "eth1", "lo"} {
			add(1e6*load, "node_network_receive_bytes_total", "device", device)
			add(1e5*load, "node_network_transmit_bytes_total", "device", device)
		}
		for i, mount := range []string{"/", "/boot", "/data", "/run"} {
			kind := []string{"ext4", "vfat", "xfs", "tmpfs"}[i]
			add(1e3, "node_filesystem_size_bytes", "mountpoint", mount, "fstype", kind)
			add(1e3*(1-load), "node_filesystem_avail_bytes", "mountpoint", mount, "fstype", kind)
		}
		for _, name := range []string{
			"node_load1", "node_load5", "node_load15", "node_boot_time_seconds", "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes",
			"node_memory_MemFree_bytes", "node_memory_Cached_bytes", "node_procs_running", "node_procs_blocked", "node_time_seconds",
		} {
			add(1, name)
		}
		add(1, "gometheus_agent_info", "version", "0.2.0")
	}
	for t := from; !t.After(to); t = t.Add(every) {
		app := past.DB().Appender(b.Context())
		for i := range all {
			s := &all[i]
			ref, err := app.Append(s.ref, s.ls, t.UnixMilli(), s.rate*t.Sub(from).Seconds()+1)
			require.NoError(b, err)
			s.ref = ref
		}
		require.NoError(b, app.Commit())
	}
}
