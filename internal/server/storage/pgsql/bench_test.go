package pgsql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

// fleet is the series of n/100 machines, each with 100 metrics, every fourth a
// counter.
func fleet(n int) []metric.Metric {
	all := make([]metric.Metric, n)
	for i := range all {
		name := fmt.Sprintf("metric_number_%d", i%100)
		labels := []string{"instance", fmt.Sprintf("web-%d", i/100), "job", "node"}
		if i%4 == 0 {
			all[i] = storagetest.Counter(name, 3, labels...)
		} else {
			all[i] = storagetest.Gauge(name, float64(i)/3, labels...)
		}
	}
	return all
}

// picks are batches of size of the fleet's series, in random order.
func picks(all []metric.Metric, batches, size int) [][]metric.Metric {
	rng := rand.New(rand.NewPCG(1, 2))
	out := make([][]metric.Metric, batches)
	for i := range out {
		for _, n := range rng.Perm(len(all))[:size] {
			out[i] = append(out[i], all[n])
		}
	}
	return out
}

// A yardstick applies a batch as somebody would who needs it for just this.
type yardstick struct {
	impl string
	// prepare makes what a call sends, outside of what is measured.
	prepare func(ms []metric.Metric) []any
	run     func(ctx context.Context, pool *pgxpool.Pool, args []any) error
}

const upsertOne = `INSERT INTO series AS s (kind, name, labels, counter, gauge, newest) VALUES ($1, $2, $3, $4, $5, $6)
	ON CONFLICT (kind, name, labels) DO UPDATE SET counter = s.counter + excluded.counter,
	gauge = CASE WHEN excluded.newest >= s.newest THEN excluded.gauge ELSE s.gauge END, newest = greatest(s.newest, excluded.newest)`

const upsertUnnest = `INSERT INTO series AS s (kind, name, labels, counter, gauge, newest)
	SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::bigint[], $5::float8[], $6::bigint[])
	ON CONFLICT (kind, name, labels) DO UPDATE SET counter = s.counter + excluded.counter,
	gauge = CASE WHEN excluded.newest >= s.newest THEN excluded.gauge ELSE s.gauge END, newest = greatest(s.newest, excluded.newest)`

// columns are sorted, as a batch that deadlocks with no other must be.
func columns(ms []metric.Metric) []any {
	ms = slices.Clone(ms)
	slices.SortFunc(ms, func(a, b metric.Metric) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(pgsql.AppendLabels(a.Labels), pgsql.AppendLabels(b.Labels))
	})
	var kinds []int16
	var names, labels []string
	var counters []*int64
	var gauges []*float64
	var newest []int64
	for i := range ms {
		m := &ms[i]
		kinds, names, labels = append(kinds, int16(m.Kind)), append(names, m.Name), append(labels, pgsql.AppendLabels(m.Labels))
		newest = append(newest, m.Timestamp)
		if m.Kind == metric.Counter {
			counters, gauges = append(counters, &m.Delta), append(gauges, nil)
		} else {
			counters, gauges = append(counters, nil), append(gauges, &m.Value)
		}
	}
	return []any{kinds, names, labels, counters, gauges, newest}
}

var yardsticks = []yardstick{
	{"one-upsert-a-metric", columns, func(ctx context.Context, pool *pgxpool.Pool, args []any) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			for i := range args[0].([]int16) {
				if _, err := tx.Exec(ctx, upsertOne, args[0].([]int16)[i], args[1].([]string)[i], args[2].([]string)[i],
					args[3].([]*int64)[i], args[4].([]*float64)[i], args[5].([]int64)[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}},
	{"bare-unnest", columns, func(ctx context.Context, pool *pgxpool.Pool, args []any) error {
		_, err := pool.Exec(ctx, upsertUnnest, args...)
		return err
	}},
}

// BenchmarkApply: one writer, batches of 200 over 10k series that exist. Ours
// carry a mark, as those of the agent do.
func BenchmarkApply(b *testing.B) {
	all := fleet(10_000)
	batches := picks(all, 64, 200)
	ctx := context.Background()
	perMetric := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/200, "ns/metric")
	}
	for _, y := range yardsticks {
		b.Run("impl="+y.impl, func(b *testing.B) {
			dsn := server.Database(b)
			storagetest.Apply(b, open(b, dsn), all...)
			pool, err := pgxpool.New(ctx, dsn)
			require.NoError(b, err)
			defer pool.Close()
			args := make([][]any, len(batches))
			for i := range batches {
				args[i] = y.prepare(batches[i])
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := y.run(ctx, pool, args[i%len(args)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
			perMetric(b)
		})
	}
	for _, impl := range []string{"gometheus", "gometheus-answer"} {
		b.Run("impl="+impl, func(b *testing.B) {
			s := open(b, server.Database(b))
			storagetest.Apply(b, s, all...)
			b.ReportAllocs()
			ms := make([]metric.Metric, 200)
			seq := uint64(0)
			for b.Loop() {
				copy(ms, batches[seq%uint64(len(batches))])
				seq++
				w := storage.Write{Metrics: ms, Mark: storage.Mark{Producer: "#bench", Sequence: seq}, Minimal: impl == "gometheus"}
				if _, err := s.Apply(ctx, &w); err != nil {
					b.Fatal(err)
				}
			}
			perMetric(b)
		})
	}
}

// BenchmarkContention: 40 writers at once, each with batches of 30 series: its
// own, or all the same.
func BenchmarkContention(b *testing.B) {
	const writers, series, rounds = 40, 30, 5
	for _, impl := range []string{"disjoint", "same"} {
		b.Run("impl="+impl, func(b *testing.B) {
			s := open(b, server.Database(b))
			batch := func(writer int) (ms []metric.Metric) {
				for n := range series {
					ms = append(ms, storagetest.Counter("c", 1, "n", fmt.Sprint(n), "writer", fmt.Sprint(writer)))
				}
				return ms
			}
			var seq uint64
			for b.Loop() {
				var wg sync.WaitGroup
				for writer := range writers {
					own := writer
					if impl == "same" {
						own = 0
					}
					wg.Go(func() {
						ms := batch(own)
						for r := range uint64(rounds) {
							w := storage.Write{Metrics: ms, Minimal: true, Mark: storage.Mark{Producer: fmt.Sprint("#", writer), Sequence: seq + r + 1}}
							if _, err := s.Apply(context.Background(), &w); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				seq += rounds
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(writers*series*rounds), "ns/metric")
			require.Equal(b, int64(seq)*writers*series, storagetest.Total(b, s, "c"))
		})
	}
}
