package dump_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
	"github.com/gometheus/gometheus/pkg/response"
)

// batchSize is how many metrics a write of these benchmarks has.
const batchSize = 10

// stored fills a store with n series, a few thousand a batch.
func stored(b *testing.B, s storage.Storage, n int) {
	b.Helper()
	for from := 0; from < n; from += 5000 {
		batch := make([]metric.Metric, 0, 5000)
		for i := from; i < min(from+5000, n); i++ {
			batch = append(batch, seriesOf(i))
		}
		_, err := s.Apply(context.Background(), &storage.Write{Metrics: batch, Minimal: true})
		require.NoError(b, err)
	}
}

func seriesOf(i int) metric.Metric {
	return storagetest.Counter(fmt.Sprintf("requests_%d_total", i%100), 1, "instance", fmt.Sprintf("web-%d", i/100))
}

// rewriter is the yardstick: one map under one mutex, and the whole file written
// anew, synced and renamed, at each request.
type rewriter struct {
	mu     sync.Mutex
	path   string
	series map[string]response.Metric
}

func (r *rewriter) apply(batch []metric.Metric) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range batch {
		m := &batch[i]
		key := string(m.AppendKey(nil))
		old, ok := r.series[key]
		if !ok {
			old = response.Metric{ID: m.Name, Type: m.Kind.String(), Delta: new(int64), Labels: map[string]string{"instance": m.Labels.Get("instance")}}
		}
		*old.Delta += m.Delta
		old.Timestamp = m.Timestamp
		r.series[key] = old
	}
	f, err := os.Create(r.path + ".tmp")
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 256<<10)
	enc := json.NewEncoder(w)
	for _, m := range r.series {
		if err := enc.Encode(m); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(r.path+".tmp", r.path)
}

// BenchmarkSynced is 64 writers of 10 metrics each into 10,000 stored series,
// every one answered only when its effect is on disk.
func BenchmarkSynced(b *testing.B) {
	const writers, series = 64, 10_000
	run := func(name string, apply func([]metric.Metric) error) {
		b.Run("impl="+name, func(b *testing.B) {
			var next atomic.Int64
			var wg sync.WaitGroup
			work := make(chan int64)
			for range writers {
				wg.Go(func() {
					batch := make([]metric.Metric, batchSize)
					for range work {
						for i := range batch {
							batch[i] = seriesOf(int(next.Add(7)) % series)
						}
						if err := apply(batch); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- 1
			}
			close(work)
			wg.Wait()
			b.ReportMetric(float64(b.N)*batchSize/b.Elapsed().Seconds(), "metrics/s")
		})
	}
	r := &rewriter{path: filepath.Join(b.TempDir(), "db.json"), series: map[string]response.Metric{}}
	all := make([]metric.Metric, series)
	for i := range all {
		all[i] = seriesOf(i)
	}
	require.NoError(b, r.apply(all))
	run("rewrite", r.apply)

	o := options(filepath.Join(b.TempDir(), "db.json"))
	o.Interval = 0
	s := open(b, o)
	defer s.Close()
	stored(b, s, series)
	run("gometheus", func(batch []metric.Metric) error {
		_, err := s.Apply(context.Background(), &storage.Write{Metrics: batch, Minimal: true})
		return err
	})
}

// BenchmarkWrite is one write of 10 metrics with a journal, by how many series
// are stored: it must not matter.
func BenchmarkWrite(b *testing.B) {
	for _, series := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("series=%d", series), func(b *testing.B) {
			s := open(b, options(filepath.Join(b.TempDir(), "db.json")))
			defer s.Close()
			stored(b, s, series)
			w := &storage.Write{Metrics: make([]metric.Metric, batchSize), Minimal: true}
			for i := range w.Metrics {
				w.Metrics[i] = seriesOf(i * (series / batchSize))
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Apply(context.Background(), w); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchSize, "ns/metric")
		})
	}
}

// BenchmarkRestart opens a million series: from a snapshot, and from a journal
// alone, as after a kill before the first snapshot.
func BenchmarkRestart(b *testing.B) {
	const series = 1_000_000
	o := options(filepath.Join(b.TempDir(), "db.json"))
	s := open(b, o)
	stored(b, s, series)
	journalOnly := o
	journalOnly.Path = abandon(b, o.Path)
	require.NoError(b, s.Close())
	for name, o := range map[string]dump.Options{"snapshot": o, "journal": journalOnly} {
		b.Run("from="+name, func(b *testing.B) {
			var opening time.Duration
			for b.Loop() {
				b.StopTimer()
				copied := o
				copied.Path = abandon(b, o.Path) // opening and closing changes the files
				b.StartTimer()
				start := time.Now()
				again := open(b, copied)
				opening += time.Since(start)
				b.StopTimer()
				require.Equal(b, int64(series), storagetest.Total(b, again, "requests_7_total")*100)
				require.NoError(b, again.Close())
				b.StartTimer()
			}
			b.ReportMetric(opening.Seconds()/float64(b.N), "s/restart")
		})
	}
}
