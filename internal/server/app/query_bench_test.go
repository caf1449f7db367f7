//go:build unix

package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/telemetry"
)

// cpu is the time that the process has computed, however busy the machine is.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkInstantQuery is an instant query of one series through the handler that
// the server has, over a history of 10,000 series that were pushed.
func BenchmarkInstantQuery(b *testing.B) {
	const machines, metrics, rounds = 50, 200, 30
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
	h := router.New(routes(cfg, store, past, tell, new(atomic.Bool), log))

	begin := time.Now().Add(-rounds * 10 * time.Second)
	for round := range rounds {
		for machine := range machines {
			var body strings.Builder
			for i := range metrics {
				fmt.Fprintf(&body, `,{"id":"heap_metric_%d_bytes","type":"gauge","value":%d,"labels":{"instance":"web-%d.example.org"},"timestamp":%d}`,
					i, round*1000+i, machine, begin.Add(time.Duration(round)*10*time.Second).UnixMilli())
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/updates", strings.NewReader("["+body.String()[1:]+"]")))
			require.Equal(b, http.StatusOK, w.Code, w.Body)
		}
	}
	for name, query := range map[string]string{
		"query=value": `heap_metric_77_bytes{instance="web-33.example.org"}`,
		"query=rate":  `rate(heap_metric_77_bytes{instance="web-33.example.org"}[1m])`,
	} {
		b.Run(name, func(b *testing.B) {
			target := "/api/v1/query?query=" + url.QueryEscape(query)
			b.ReportAllocs()
			before := cpu(b)
			for b.Loop() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
				if w.Code != http.StatusOK || strings.Count(w.Body.String(), `"instance":"web-33.example.org"`) != 1 {
					b.Fatal(w.Code, w.Body)
				}
			}
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/1e3, "cpu-µs/op")
		})
	}
}
