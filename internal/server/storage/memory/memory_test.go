package memory_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	storagetest.Run(t, func(*testing.T) storage.Storage { return memory.New() })
}

func TestLimit(t *testing.T) {
	storagetest.RunLimit(t, func(_ *testing.T, limit int) storagetest.Limited {
		s := memory.New()
		s.LimitSeries(limit)
		return storagetest.Limited{Storage: s}
	})
}

// TestRolledBackSeriesMakeRoom: a staged series counts, and no longer when it is
// taken back.
func TestRolledBackSeriesMakeRoom(t *testing.T) {
	s := memory.New()
	s.LimitSeries(2)
	first, second := stage(t, s, storagetest.Counter("a", 1)), stage(t, s, storagetest.Counter("a", 1), storagetest.Gauge("b", 1))
	_, err := s.Stage(context.Background(), &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
	require.ErrorIs(t, err, storage.ErrExhausted)
	first.Rollback()
	first.Release()
	_, err = s.Stage(context.Background(), &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
	require.ErrorIs(t, err, storage.ErrExhausted, "a is still staged")
	second.Rollback()
	second.Release()
	storagetest.Apply(t, s, storagetest.Counter("c", 1), storagetest.Counter("d", 1))
}

func stage(t *testing.T, s *memory.Store, ms ...metric.Metric) *memory.Tx {
	t.Helper()
	tx, err := s.Stage(context.Background(), &storage.Write{Metrics: ms})
	require.NoError(t, err)
	return tx
}

func all(t *testing.T, s *memory.Store) []metric.Metric {
	t.Helper()
	var out []metric.Metric
	for m, err := range s.All(context.Background()) {
		require.NoError(t, err)
		out = append(out, m)
	}
	return out
}

func TestStagedIsInvisible(t *testing.T) {
	s := memory.New()
	tx := stage(t, s, storagetest.Counter("c", 5), storagetest.Gauge("g", 1))
	require.Empty(t, all(t, s))
	require.Equal(t, int64(-1), storagetest.Total(t, s, "c"))
	require.Zero(t, s.Snapshot().Len())
	tx.Commit()
	tx.Release()
	require.Len(t, all(t, s), 2)
	require.Equal(t, int64(5), storagetest.Total(t, s, "c"))
	require.Equal(t, 2, s.Snapshot().Len())
}

func TestRollbackLeavesNothing(t *testing.T) {
	s := memory.New()
	tx := stage(t, s, storagetest.Counter("c", math.MaxInt64), storagetest.Gauge("g", 1))
	_, err := s.Stage(context.Background(), &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
	require.Error(t, err, "a staged increment is reserved: its commit must not overflow")
	tx.Rollback()
	tx.Release()
	require.Empty(t, all(t, s))
	storagetest.Apply(t, s, storagetest.Counter("c", math.MaxInt64))
	require.Equal(t, int64(math.MaxInt64), storagetest.Total(t, s, "c"))
}

func TestCommitsInAnyOrderAddUp(t *testing.T) {
	s := memory.New()
	first, second, third := stage(t, s, storagetest.Counter("c", 1)), stage(t, s, storagetest.Counter("c", 2)), stage(t, s, storagetest.Counter("c", 4))
	for _, tx := range []*memory.Tx{third, first} {
		tx.Commit()
		tx.Release()
	}
	second.Rollback()
	second.Release()
	require.Equal(t, int64(5), storagetest.Total(t, s, "c"))
}

// TestWaitingForTheSameMarkEndsWithItsContext: the first holder may take long.
func TestWaitingForTheSameMarkEndsWithItsContext(t *testing.T) {
	s := memory.New()
	mark := storage.Mark{Producer: "#p", Sequence: 1}
	tx, err := s.Stage(context.Background(), &storage.Write{Mark: mark})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.Stage(ctx, &storage.Write{Mark: mark})
	require.ErrorIs(t, err, context.Canceled)
	tx.Rollback()
	tx.Release()
	replayed, err := s.Apply(context.Background(), &storage.Write{Mark: mark})
	require.NoError(t, err)
	require.False(t, replayed, "a rolled back mark was not applied")
}

func TestIdleProducersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		apply := func(producer string) bool {
			replayed, err := s.Apply(context.Background(), &storage.Write{Mark: storage.Mark{Producer: producer, Sequence: 1}})
			require.NoError(t, err)
			return replayed
		}
		names := func() (out []string) {
			for p := range s.Snapshot().Producers() {
				out = append(out, p.Name)
			}
			return out
		}
		require.False(t, apply("#idle"))
		require.False(t, apply("#busy"))
		time.Sleep(6 * 24 * time.Hour)
		require.ElementsMatch(t, []string{"#idle", "#busy"}, names())
		require.True(t, apply("#busy"))
		time.Sleep(2 * 24 * time.Hour)
		require.Equal(t, []string{"#busy"}, names())
		for i := range 5000 { // without snapshots, their growing number drops them
			if i == 2000 {
				time.Sleep(8 * 24 * time.Hour)
			}
			apply(fmt.Sprint("#p", i))
		}
		require.Less(t, len(names()), 3001)
	})
}

// TestRefusedSeriesLeaveNothing: batches that are refused or rolled back must not
// grow the store, whatever names they hold, and their slots serve others.
func TestRefusedSeriesLeaveNothing(t *testing.T) {
	s := memory.New()
	storagetest.Apply(t, s, storagetest.Counter("full", math.MaxInt64))
	batch := func(round int) []metric.Metric {
		ms := []metric.Metric{}
		for i := range 1000 {
			ms = append(ms, storagetest.Counter("c", 1, "i", fmt.Sprint(round, "-", i)))
		}
		return ms
	}
	var highest memory.ID
	for round := range 20 {
		_, err := s.Stage(context.Background(), &storage.Write{Metrics: append(batch(round), storagetest.Counter("full", 1))})
		require.Error(t, err)
		tx := stage(t, s, batch(round)...)
		for i := range 1000 {
			highest = max(highest, tx.ID(i))
		}
		tx.Rollback()
		tx.Release()
		require.Len(t, all(t, s), 1)
		require.Equal(t, int64(-1), storagetest.Total(t, s, "c"))
	}
	require.Less(t, int(highest), 64*200, "slots are not used again")
	storagetest.Apply(t, s, batch(0)...)
	storagetest.Apply(t, s, storagetest.Counter("other", 1))
	require.Equal(t, int64(1000), storagetest.Total(t, s, "c"))
	require.Len(t, all(t, s), 1002)

	// Two batches stage the same new series; one takes it back, the other not.
	first, second := stage(t, s, storagetest.Counter("new", 1)), stage(t, s, storagetest.Counter("new", 2))
	first.Rollback()
	first.Release()
	second.Commit()
	second.Release()
	require.Equal(t, int64(2), storagetest.Total(t, s, "new"))
}
