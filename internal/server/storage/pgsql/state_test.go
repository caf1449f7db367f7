package pgsql_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func apply(t testing.TB, s storage.Storage, w *storage.Write) (replayed bool) {
	t.Helper()
	replayed, err := s.Apply(context.Background(), w)
	require.NoError(t, err)
	return replayed
}

// TestServersShareTheState: what one server takes every other shows, and a mark
// counts once among them.
func TestServersShareTheState(t *testing.T) {
	dsn := server.Database(t)
	one, two := open(t, dsn), open(t, dsn)
	storagetest.Apply(t, one, storagetest.Counter("c", 1), storagetest.Gauge("g", 1))
	require.Equal(t, int64(3), storagetest.Apply(t, two, storagetest.Counter("c", 2))[0].Delta)
	require.Equal(t, int64(3), storagetest.Total(t, one, "c"))
	mark := storage.Mark{Producer: "#p", Sequence: 1}
	require.False(t, apply(t, one, &storage.Write{Mark: mark, Metrics: []metric.Metric{storagetest.Counter("c", 4)}}))
	require.True(t, apply(t, two, &storage.Write{Mark: mark, Metrics: []metric.Metric{storagetest.Counter("c", 4)}}))
	require.Equal(t, int64(7), storagetest.Total(t, two, "c"))
}

// TestWindow: the window in the database is storage.Window.
func TestWindow(t *testing.T) {
	s := open(t, server.Database(t))
	for seed := range uint64(pick(6, 60)) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var w storage.Window
		mark := storage.Mark{Producer: fmt.Sprint("#", seed)}
		next := uint64(1)
		if seed%2 == 1 {
			next = math.MaxInt64 - 1<<41
		}
		for range pick(150, 500) {
			switch n := rng.IntN(100); {
			case n < 50:
				mark.Sequence = next
			case n < 65:
				mark.Sequence = next + rng.Uint64N(100)
			case n < 85:
				mark.Sequence = next - min(next-1, rng.Uint64N(storage.WindowSize+50))
			case n < 97:
				mark.Sequence = next + storage.WindowSize - 3 + rng.Uint64N(6)
			default:
				mark.Sequence = next + rng.Uint64N(1<<32)
			}
			next = max(next, mark.Sequence+1)
			applied := w.Applied(mark.Sequence)
			require.Equal(t, applied, apply(t, s, &storage.Write{Mark: mark}), "seed %d, sequence %d", seed, mark.Sequence)
			if !applied {
				w.Apply(mark.Sequence)
			}
		}
	}
}

// TestLimits: the largest of everything that the API takes.
func TestLimits(t *testing.T) {
	s := open(t, server.Database(t))
	lim := metric.DefaultLimits()
	rng := rand.New(rand.NewPCG(1, 1))
	random := func(n int) string { // nothing that compresses
		const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789\x01\x02\x03\"\\/<>"
		b := make([]byte, n)
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		return string(b)
	}
	labels := func(n, value int) (out metric.Labels) {
		for i := range n {
			out = append(out, metric.Label{Name: fmt.Sprintf("l%02d%s", i, strings.Repeat("x", lim.LabelName-3)), Value: random(value)})
		}
		return out
	}
	var all []metric.Metric
	for _, set := range []metric.Labels{
		nil, labels(1, 1), labels(lim.Labels, lim.LabelValue), labels(lim.Labels, lim.LabelValue), labels(1, lim.LabelValue), labels(6, 20), labels(7, 19), labels(8, 30),
	} {
		name := random(lim.Name)
		for _, m := range []metric.Metric{
			{Kind: metric.Counter, Name: name, Labels: set, Delta: math.MaxInt64 - 1, Timestamp: storagetest.Now},
			{Kind: metric.Gauge, Name: name, Labels: set, Value: -math.MaxFloat64, Timestamp: math.MaxInt64},
			{Kind: metric.Gauge, Name: random(1), Labels: set, Value: math.SmallestNonzeroFloat64, Timestamp: 0},
		} {
			require.NoError(t, m.Validate(&lim, math.MaxInt64-metric.MaxAhead))
			all = append(all, m)
		}
	}
	require.Equal(t, all, storagetest.Apply(t, s, all...))
	got := map[string]metric.Metric{}
	for m, err := range s.All(context.Background()) {
		require.NoError(t, err)
		got[string(m.AppendKey(nil))] = m
	}
	require.Len(t, got, len(all))
	for _, m := range all {
		require.Equal(t, m, got[string(m.AppendKey(nil))])
		v, err := s.Value(context.Background(), storage.Selector{Kind: m.Kind, Name: m.Name, Labels: m.Labels})
		require.NoError(t, err)
		require.Equal(t, m, v)
	}
	for i := range all { // and once more, on what is there
		if all[i].Kind == metric.Counter {
			all[i].Delta = 1
		}
	}
	for i, m := range storagetest.Apply(t, s, all...) {
		if m.Kind == metric.Counter {
			require.Equal(t, int64(math.MaxInt64), m.Delta)
			all[i].Delta = 0
		}
	}
	storagetest.Apply(t, s, all...)
}

// TestOverflowIsNamed: totals, sums within the batch, and replays.
func TestOverflowIsNamed(t *testing.T) {
	s := open(t, server.Database(t))
	mark := storage.Mark{Producer: "#p", Sequence: 1}
	full := []metric.Metric{storagetest.Counter("c", math.MaxInt64-1), storagetest.Counter("d", 1), storagetest.Counter("c", 1)}
	require.False(t, apply(t, s, &storage.Write{Mark: mark, Metrics: full}))
	for range 2 {
		again := []metric.Metric{storagetest.Counter("c", math.MaxInt64-1), storagetest.Counter("d", 1), storagetest.Counter("c", 1)}
		require.True(t, apply(t, s, &storage.Write{Mark: mark, Metrics: again}), "a replay is no overflow")
		require.Equal(t, full, again)
	}
	for want, batch := range map[string][]metric.Metric{
		"metric 1: delta 1: the counter, at 9223372036854775807, would exceed 9223372036854775807":                               {storagetest.Counter("d", 1), storagetest.Counter("c", 1)},
		"metric 2: delta 9223372036854775807: the counter, at 5, would exceed 9223372036854775807":                               {storagetest.Gauge("new", 1), storagetest.Counter("new", 5), storagetest.Counter("new", math.MaxInt64)},
		"2 invalid metrics, the first: metric 0: delta 2: the counter, at 9223372036854775807, would exceed 9223372036854775807": {storagetest.Counter("c", 2), storagetest.Counter("d", 3), storagetest.Counter("c", 1)},
	} {
		for _, mark := range []storage.Mark{{}, {Producer: "#p", Sequence: 2}} {
			_, err := s.Apply(context.Background(), &storage.Write{Mark: mark, Metrics: batch})
			var invalid *metric.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.EqualError(t, err, want)
		}
	}
	require.Equal(t, int64(1), storagetest.Total(t, s, "d"))
	require.Equal(t, int64(-1), storagetest.Total(t, s, "new"))
	require.False(t, apply(t, s, &storage.Write{Mark: storage.Mark{Producer: "#p", Sequence: 2}}), "what was refused left no mark")
}

// TestHugeBatch: as many metrics as the API takes in one batch, all new, then all
// there, then replayed.
func TestHugeBatch(t *testing.T) {
	s := open(t, server.Database(t))
	n := metric.DefaultLimits().Metrics
	all := make([]metric.Metric, n)
	for i := range all {
		all[i] = storagetest.Counter("c", int64(i), "n", fmt.Sprint(i*7919%n))
	}
	for round := range int64(2) {
		w := &storage.Write{Metrics: append([]metric.Metric(nil), all...), Mark: storage.Mark{Producer: "#p", Sequence: uint64(round + 1)}}
		for replay := range 1 + int(round) {
			start := time.Now()
			require.Equal(t, replay == 1, apply(t, s, w))
			t.Logf("round %d, replay %d: %s", round, replay, time.Since(start))
			for i := range w.Metrics {
				if w.Metrics[i].Delta != (round+1)*int64(i) {
					require.Equal(t, (round+1)*int64(i), w.Metrics[i].Delta, i)
				}
			}
		}
	}
	require.Equal(t, int64(n)*int64(n-1), storagetest.Total(t, s, "c"))
}

// TestIdleProducersAreForgotten: 7 days after their last batch, by the time that
// servers ran.
func TestIdleProducersAreForgotten(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	mark := func(producer string, sequence uint64) bool {
		return apply(t, s, &storage.Write{Mark: storage.Mark{Producer: producer, Sequence: sequence}})
	}
	forget := func() int64 {
		n, err := s.ForgetIdle(context.Background())
		require.NoError(t, err)
		return n
	}
	days := func(n int) { execute(t, dsn, fmt.Sprintf("UPDATE uptime SET seconds = seconds + %d * 86400", n)) }

	require.False(t, mark("#idle", 1))
	require.False(t, mark("=idle", 0))
	require.False(t, mark("#replays", 1))
	execute(t, dsn, "INSERT INTO producers (name, high, seen) SELECT '=' || n, 0, 0 FROM generate_series(1, 25000) n")
	days(6)
	require.False(t, mark("#busy", 1))
	require.True(t, mark("#replays", 1), "a sign of life, too")
	require.Zero(t, forget())
	days(2)
	require.Equal(t, int64(25_002), forget())
	require.Equal(t, []string{"#busy", "#replays"}, query[[]string](t, dsn, "SELECT array_agg(name ORDER BY name) FROM producers"))

	for range 10 { // the database's clock is set wrong, to and fro
		execute(t, dsn, "UPDATE uptime SET counted_at = now() - interval '10 years'")
		require.Zero(t, forget())
		execute(t, dsn, "UPDATE uptime SET counted_at = now() + interval '10 years'")
		require.Zero(t, forget())
	}
	require.True(t, mark("#busy", 1))
}

// TestReadsUseTheIndex: neither read walks through the whole table.
func TestReadsUseTheIndex(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	storagetest.Apply(t, s, fleet(20_000)...)
	execute(t, dsn, "ANALYZE series")
	for _, sql := range []string{
		"SELECT counter FROM series WHERE kind = 2 AND name = 'metric_number_4'",
		"SELECT counter FROM series WHERE (kind, name, labels) > (1, 'metric_number_5', '') ORDER BY kind, name, labels LIMIT 5000",
	} {
		plan := query[string](t, dsn, "EXPLAIN (FORMAT JSON) "+sql)
		require.Contains(t, plan, "series_pkey")
		require.NotContains(t, plan, "Seq Scan")
		require.NotContains(t, plan, "Sort")
	}
}
