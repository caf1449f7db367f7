package pgsql_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql/pgtest"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

// load is writers that send increments of overlapping series, in an order of
// their own, each batch under a mark and until it is acknowledged.
type load struct {
	writers, batches int // batches of each writer; 0: until stop is closed
	size, series     int
	send             func(ctx context.Context, writer int, w *storage.Write) error // nil: acknowledged
	stop             chan struct{}

	acked    [1024]atomic.Int64 // by series
	batched  atomic.Int64       // acknowledged batches
	retries  atomic.Int64
	wg       sync.WaitGroup
	failures chan error
}

func (l *load) start(t testing.TB) {
	l.stop = make(chan struct{})
	l.failures = make(chan error, l.writers)
	for writer := range l.writers {
		l.wg.Go(func() {
			if err := l.write(writer); err != nil {
				l.failures <- err
			}
		})
	}
	t.Cleanup(func() {
		select {
		case <-l.stop:
		default:
			close(l.stop)
		}
		l.wg.Wait()
	})
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *load) write(writer int) error {
	rng := rand.New(rand.NewPCG(uint64(writer), 5))
	producer := fmt.Sprint("#writer ", writer)
	for seq := uint64(1); l.batches == 0 && !l.stopped() || seq <= uint64(l.batches); seq++ {
		picked := rng.Perm(l.series)[:l.size]
		var ms []metric.Metric
		for _, n := range picked {
			ms = append(ms, storagetest.Counter("load", 1, "n", fmt.Sprint(n)))
		}
		if err := l.deliver(writer, storage.Mark{Producer: producer, Sequence: seq}, ms); err != nil {
			return err
		}
		for _, n := range picked {
			l.acked[n].Add(1)
		}
		l.batched.Add(1)
	}
	return nil
}

// deliver sends until the batch is acknowledged. Two minutes without that is
// "stuck".
func (l *load) deliver(writer int, mark storage.Mark, ms []metric.Metric) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := l.send(ctx, writer, &storage.Write{Metrics: ms, Mark: mark, Minimal: true})
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, storage.ErrUnavailable), ctx.Err() != nil:
			return fmt.Errorf("writer %d, batch %d: %w", writer, mark.Sequence, err)
		}
		l.retries.Add(1)
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// progress waits until n more batches are acknowledged.
func (l *load) progress(t testing.TB, n int64) {
	t.Helper()
	from := l.batched.Load()
	require.Eventually(t, func() bool { return l.batched.Load() >= from+n || len(l.failures) > 0 }, 2*time.Minute, time.Millisecond, "stuck")
}

// end lets the writers finish and compares what was acknowledged with what is
// stored, series by series.
func (l *load) end(t testing.TB, dsn string) {
	t.Helper()
	if l.batches == 0 {
		close(l.stop)
	}
	l.wg.Wait()
	select {
	case err := <-l.failures:
		require.NoError(t, err)
	default:
	}
	s := open(t, dsn)
	total := int64(0)
	for n := range l.series {
		got := storagetest.Total(t, s, "load", "n", fmt.Sprint(n))
		require.Equal(t, l.acked[n].Load(), max(0, got), "series %d", n)
		total += got
	}
	t.Logf("%d batches, %d increments, %d retries seen by clients", l.batched.Load(), total, l.retries.Load())
}

func deadlocks(t testing.TB, dsn string) int {
	return query[int](t, dsn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
}

// TestWritersOverlap: 32 writers, two servers, shuffled overlapping series.
func TestWritersOverlap(t *testing.T) {
	dsn := server.Database(t)
	stores := []storage.Storage{open(t, dsn), open(t, dsn)}
	l := &load{
		writers: 32, size: 25, series: 60, batches: pick(40, 1250), // 32,000 and 1,000,000 increments
		send: func(ctx context.Context, writer int, w *storage.Write) error {
			_, err := stores[writer%len(stores)].Apply(ctx, w)
			return err
		},
	}
	start := time.Now()
	l.start(t)
	l.end(t, dsn)
	t.Logf("%.0f increments a second", float64(l.writers*l.size*l.batches)/time.Since(start).Seconds())
	require.Zero(t, l.retries.Load())
	require.Zero(t, deadlocks(t, dsn))
}

// TestRestartsUnderLoad stops the database in every way while 16 writers send.
func TestRestartsUnderLoad(t *testing.T) {
	dsn := server.Database(t)
	ways := []func(){func() { server.TerminateBackends(t, dsn) }}
	if server.CanRestart() {
		ways = append(ways, func() { server.Restart(t, pgtest.Immediate) }, func() { server.Restart(t, pgtest.Fast) })
	}
	stores := []storage.Storage{open(t, dsn), open(t, dsn)}
	l := &load{
		writers: 16, size: 20, series: 50,
		send: func(ctx context.Context, writer int, w *storage.Write) error {
			_, err := stores[writer%len(stores)].Apply(ctx, w)
			return err
		},
	}
	l.start(t)
	for i := range pick(4, 200) {
		l.progress(t, 20)
		ways[i%len(ways)]()
	}
	l.progress(t, 100)
	l.end(t, dsn)
}

// TestUnmarkedUnderRestarts: without marks what was not acknowledged may or may
// not count, what was acknowledged counts once.
func TestUnmarkedUnderRestarts(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	var acked, unknown atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := s.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
				switch {
				case err == nil:
					acked.Add(1)
				case errors.Is(err, storage.ErrUnavailable):
					unknown.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	for range pick(5, 50) {
		from := acked.Load()
		require.Eventually(t, func() bool { return acked.Load() > from+20 }, time.Minute, time.Millisecond, "stuck")
		server.TerminateBackends(t, dsn)
	}
	close(stop)
	wg.Wait()
	total := storagetest.Total(t, s, "c")
	t.Logf("%d acknowledged, %d unknown, %d stored", acked.Load(), unknown.Load(), total)
	require.GreaterOrEqual(t, total, acked.Load())
	require.LessOrEqual(t, total, acked.Load()+unknown.Load())
}

// TestDeadRowsStayBounded: updates are HOT and reuse their page's room, so the
// table does not grow with the number of updates.
func TestDeadRowsStayBounded(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	all := fleet(2000)
	storagetest.Apply(t, s, all...)
	size := func() int { return query[int](t, dsn, "SELECT pg_table_size('series') + pg_indexes_size('series')") }
	batches := picks(all, 64, 200)
	before := size()
	updates := pick(20_000, 1_000_000)
	for i := range updates / 200 {
		apply(t, s, &storage.Write{
			Metrics: append([]metric.Metric(nil), batches[i%len(batches)]...), Minimal: true, Mark: storage.Mark{Producer: "#p", Sequence: uint64(i + 1)},
		})
	}
	after := size()
	var seen, hot, dead int
	require.Eventually(t, func() bool { // statistics come a little later
		seen = query[int](t, dsn, "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'series'")
		hot = query[int](t, dsn, "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'series'")
		return seen >= updates
	}, time.Minute, 100*time.Millisecond)
	dead = query[int](t, dsn, "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'series'")
	marks := query[int](t, dsn, "SELECT pg_table_size('producers')")
	t.Logf("%d updates: %.1f %% HOT, %d dead rows, table and index %d KB, before %d KB, producers %d KB",
		seen, 100*float64(hot)/float64(seen), dead, after>>10, before>>10, marks>>10)
	require.Greater(t, hot, seen*9/10)
	require.Less(t, after, 3*before)
	require.Less(t, marks, 1<<20)
}
