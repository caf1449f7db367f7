package router_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/history"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/templates"
	common "github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/request"
)

// newHandler is the server's handler over a storage, as the program wires it.
func newHandler(s storage.Storage, key string, log *zap.Logger) http.Handler {
	return newHandlerWith(manager.New(s, nil, nil), time.Now, key, log)
}

func newHandlerWith(m *manager.Manager, now func() time.Time, key string, log *zap.Logger) http.Handler {
	return router.New(router.Options{
		API:     api.New(m, metric.DefaultLimits(), now),
		Pages:   pages.New(pages.Options{State: m, Now: now}),
		Static:  templates.Static,
		Problem: problem.Writer{Log: log},
		Signer:  middleware.NewSigner(key),
		Limits:  common.BodyLimits{Wire: 8 << 20, Plain: 32 << 20},
	})
}

// plainHandler is the yardstick: what the same request costs when it is written
// down in the plainest way, with encoding/json into structs with pointers,
// compress/gzip, and one map under one mutex. It checks far less.
func plainHandler() http.Handler {
	type entry struct {
		value float64
		delta int64
		ts    int64
	}
	var mu sync.Mutex
	store := map[string]*entry{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		zr, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var ms []request.Metric
		if err := json.NewDecoder(zr).Decode(&ms); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range ms {
			m := &ms[i]
			names := make([]string, 0, len(m.Labels))
			for name := range m.Labels {
				names = append(names, name)
			}
			slices.Sort(names)
			var key strings.Builder
			key.WriteString(m.Type + "\x00" + m.ID)
			for _, name := range names {
				key.WriteString("\x00" + name + "\x00" + m.Labels[name])
			}
			e := store[key.String()]
			if e == nil {
				e = &entry{}
				store[key.String()] = e
			}
			if m.Type == request.TypeCounter {
				e.delta += *m.Delta
			} else if m.Timestamp >= e.ts {
				e.value = *m.Value
			}
			e.ts = max(e.ts, m.Timestamp)
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// sink is a ResponseWriter that keeps nothing.
type sink struct {
	header http.Header
	status int
	size   int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { s.size += len(p); return len(p), nil }
func (s *sink) reset()                      { clear(s.header); s.status, s.size = http.StatusOK, 0 }

// benchBatch is a batch of n labelled metrics as an agent sends it.
func benchBatch(n int) []request.Metric {
	labels := map[string]string{"instance": "web-17.example.org", "zone": "eu-central-1"}
	now := time.Now()
	ms := make([]request.Metric, n)
	for i := range ms {
		name := fmt.Sprintf("HeapMetric%dBytes", i)
		if i%10 == 0 {
			ms[i] = request.Counter(name, int64(i)).With(labels).At(now)
		} else {
			ms[i] = request.Gauge(name, float64(i)*1234.5678).With(labels).At(now)
		}
	}
	return ms
}

func gzipped(t testing.TB, v any) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	require.NoError(t, json.NewEncoder(zw).Encode(v))
	require.NoError(t, zw.Close())
	return buf.Bytes()
}

// BenchmarkIngest is a gzip'd JSON batch of 200 labelled metrics through the
// whole handler: into the memory storage, and into the one with a journal at its
// default interval.
func BenchmarkIngest(b *testing.B) {
	const n = 200
	body := gzipped(b, benchBatch(n))
	run := func(name string, h http.Handler, header http.Header, want int) {
		b.Run(name, func(b *testing.B) {
			w := &sink{header: http.Header{}}
			reader := bytes.NewReader(body)
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				r, err := http.NewRequest(http.MethodPost, "/updates/", io.NopCloser(reader))
				if err != nil {
					b.Fatal(err)
				}
				r.Header = header.Clone()
				w.reset()
				h.ServeHTTP(w, r)
				if w.status != want {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/metric")
		})
	}
	header := http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"application/json"}, "Prefer": {"return=minimal"}}
	run("impl=plain", plainHandler(), header, http.StatusNoContent)
	run("impl=gometheus", newHandler(memory.New(), "", zap.NewNop()), header, http.StatusNoContent)
	journalled, err := dump.Open(dump.Options{
		FS: vfs.Default, Path: filepath.Join(b.TempDir(), "db.json"), Interval: time.Hour, Restore: true,
		Now: time.Now, Log: zap.NewNop(),
	})
	require.NoError(b, err)
	defer journalled.Close()
	run("impl=gometheus-journal", newHandler(journalled, "", zap.NewNop()), header, http.StatusNoContent)
	full := header.Clone()
	full.Del("Prefer")
	run("impl=gometheus-full-answer", newHandler(memory.New(), "", zap.NewNop()), full, http.StatusOK)
}

// BenchmarkHistory is what BenchmarkIngest does, with and without a history
// behind the memory storage. The clock goes on by a second a batch, so that
// every metric of every batch is a sample, as with a real agent; writing them to
// the TSDB is part of what is measured.
func BenchmarkHistory(b *testing.B) {
	const n = 200
	ms := benchBatch(n)
	for i := range ms {
		ms[i].Timestamp = 0
	}
	body := gzipped(b, ms)
	for _, impl := range []string{"without", "with"} {
		b.Run("impl="+impl, func(b *testing.B) {
			clock := time.Now().Add(-24 * time.Hour)
			now := func() time.Time { return clock }
			m := manager.New(memory.New(), nil, nil)
			if impl == "with" {
				h, err := history.Open(history.Options{
					Path: b.TempDir(), Retention: 15 * 24 * time.Hour, OutOfOrder: 7 * 24 * time.Hour,
					QueryTimeout: time.Minute, QueryConcurrency: 1, QueryMaxSamples: 1e6, Now: now, Log: zap.NewNop(),
				})
				require.NoError(b, err)
				defer h.Close()
				m = manager.New(memory.New(), h, nil)
			}
			h := newHandlerWith(m, now, "", zap.NewNop())
			w := &sink{header: http.Header{}}
			reader := bytes.NewReader(body)
			header := http.Header{"Content-Encoding": {"gzip"}, "Content-Type": {"application/json"}, "Prefer": {"return=minimal"}}
			b.ReportAllocs()
			for b.Loop() {
				clock = clock.Add(time.Second)
				reader.Reset(body)
				r, err := http.NewRequest(http.MethodPost, "/updates/", io.NopCloser(reader))
				if err != nil {
					b.Fatal(err)
				}
				r.Header = header.Clone()
				w.reset()
				h.ServeHTTP(w, r)
				if w.status != http.StatusNoContent {
					b.Fatal(w.status)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/metric")
		})
	}
}

// BenchmarkValue is GET /value/… with 10,000 series stored.
func BenchmarkValue(b *testing.B) {
	h := newHandler(memory.New(), "", zap.NewNop())
	for i := range 50 {
		ms := make([]request.Metric, 200)
		for j := range ms {
			ms[j] = request.Gauge(fmt.Sprintf("m%d", i*200+j), 1.5)
		}
		r, err := http.NewRequest(http.MethodPost, "/updates/", bytes.NewReader(gzipped(b, ms)))
		require.NoError(b, err)
		r.Header.Set("Content-Encoding", "gzip")
		h.ServeHTTP(&sink{header: http.Header{}}, r)
	}
	w := &sink{header: http.Header{}}
	r, err := http.NewRequest(http.MethodGet, "/value/gauge/m4711", nil)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		w.reset()
		h.ServeHTTP(w, r)
		if w.status != http.StatusOK || w.size != 3 {
			b.Fatal(w.status)
		}
	}
}
