package storagetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// Limited is a storage with a limit of series.
type Limited struct {
	storage.Storage
	// Reopen closes the storage and opens what it kept with another limit. nil: it
	// keeps nothing.
	Reopen func(limit int) storage.Storage
}

// RunLimit tests the limit of series. open is as of Run.
func RunLimit(t *testing.T, open func(t *testing.T, limit int) Limited) {
	t.Run("a batch with too many new series is refused whole", func(t *testing.T) {
		refusedWhole(t, open(t, 3))
	})
	t.Run("what can't be applied for another reason is told first", func(t *testing.T) {
		invalidFirst(t, open(t, 2))
	})
	t.Run("so is what would overflow without ever having been there", func(t *testing.T) {
		s := open(t, 1)
		Apply(t, s, Counter("a", 1))
		for _, ms := range [][]metric.Metric{
			{Counter("b", math.MaxInt64), Counter("a", 1), Counter("b", 2)},
			{Counter("b", math.MaxInt64), Counter("a", math.MaxInt64), Counter("b", 2)},
		} {
			_, err := s.Apply(t.Context(), &storage.Write{Metrics: ms})
			invalid, ok := errors.AsType[*metric.InvalidError](err)
			require.True(t, ok, "%v", err)
			last := invalid.Elements[len(invalid.Elements)-1]
			require.Equal(t, 2, last.Index)
			require.Contains(t, last.Reason, "at 9223372036854775807")
		}
		require.Equal(t, int64(1), Total(t, s, "a"))
	})
	t.Run("a replay needs no room", func(t *testing.T) {
		s := open(t, 1)
		mark := storage.Mark{Producer: "#p", Sequence: 1}
		require.False(t, applyMarked(t, s, mark, Counter("a", 1)))
		require.True(t, applyMarked(t, s, mark, Counter("b", 1)))
	})
	t.Run("writers at once don't exceed it together", func(t *testing.T) { limitAtOnce(t, open(t, 50)) })
	t.Run("what is kept is loaded whatever the limit", func(t *testing.T) {
		l := open(t, 3)
		if l.Reopen == nil {
			t.Skip("it keeps nothing")
		}
		Apply(t, l, Counter("a", 1), Counter("b", 1), Counter("c", 1))
		s := l.Reopen(1)
		require.Len(t, dump(t, s), 3)
		Apply(t, s, Counter("a", 1), Counter("c", 1))
		require.Equal(t, int64(2), Total(t, s, "c"))
		requireLimit(t, s, 1, Counter("d", 1))
	})
	t.Run("after a restart they count", func(t *testing.T) {
		l := open(t, 3)
		if l.Reopen == nil {
			t.Skip("it keeps nothing")
		}
		Apply(t, l, Counter("a", 1), Counter("b", 1))
		s := l.Reopen(3)
		requireLimit(t, s, 3, Counter("c", 1), Counter("d", 1))
		Apply(t, s, Counter("c", 1))
		requireLimit(t, s, 3, Counter("d", 1))
	})
}

// requireLimit demands that a batch is refused for the limit, with no effect.
func requireLimit(t testing.TB, s storage.Storage, limit int, ms ...metric.Metric) {
	t.Helper()
	before := dump(t, s)
	mark := storage.Mark{Producer: "#refused", Sequence: 1}
	_, err := s.Apply(context.Background(), &storage.Write{Metrics: ms, Mark: mark})
	require.ErrorIs(t, err, storage.ErrExhausted)
	var full *storage.SeriesLimitError
	require.ErrorAs(t, err, &full)
	require.Equal(t, limit, full.Limit)
	require.Contains(t, full.Error(), "LIMIT_SERIES")
	require.Equal(t, before, dump(t, s))
}

func refusedWhole(t *testing.T, s storage.Storage) {
	Apply(t, s, Counter("a", 1), Gauge("a", 1))
	requireLimit(t, s, 3, Counter("a", 5), Counter("b", 1), Counter("c", 1), Counter("b", 1))
	Apply(t, s, Counter("a", 2), at(Gauge("a", 2), Now+1))
	Apply(t, s, Counter("b", 1), Counter("b", 1), Counter("a", 1))
	requireLimit(t, s, 3, Counter("c", 1))
	require.Equal(t, int64(4), Total(t, s, "a"))
	require.Equal(t, int64(2), Total(t, s, "b"))
	require.Len(t, dump(t, s), 3)
	// The refused batch left no mark.
	require.False(t, applyMarked(t, s, storage.Mark{Producer: "#refused", Sequence: 1}, Counter("a", 1)))
}

func invalidFirst(t *testing.T, s storage.Storage) {
	Apply(t, s, Counter("big", math.MaxInt64), Counter("b", 1))
	_, err := s.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{
		Counter("new", 1), Counter("big", 1), Counter("b", 1), Counter("other", 1),
	}})
	var invalid *metric.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, 1, invalid.Elements[0].Index)
	require.Equal(t, int64(1), Total(t, s, "b"))
	requireLimit(t, s, 2, Counter("new", 1))
}

// limitAtOnce: many writers bring new series, some of them the same; the limit
// holds exactly, and what exists is never refused.
func limitAtOnce(t *testing.T, s storage.Storage) {
	const limit = 50
	Apply(t, s, Counter("old", 0))
	var wg sync.WaitGroup
	var applied, refused atomic.Int64
	for w := range 8 {
		wg.Go(func() {
			for i := range 40 {
				n := w*20 + i // half of them come from two writers
				_, err := s.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{
					Counter("old", 1), Counter("new", 1, "n", fmt.Sprint(n)),
				}})
				switch {
				case err == nil:
					applied.Add(1)
				case requireExhausted(t, err):
					refused.Add(1)
				}
				if _, err := s.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{Counter("old", 1)}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Positive(t, refused.Load())
	require.Len(t, dump(t, s), limit)
	require.Equal(t, applied.Load()+8*40, Total(t, s, "old"))
	require.Equal(t, applied.Load(), Total(t, s, "new"))
	requireLimit(t, s, limit, Counter("newer", 1))
}

func requireExhausted(t *testing.T, err error) bool {
	_, ok := errors.AsType[*storage.SeriesLimitError](err)
	if !ok {
		t.Error(err)
	}
	return ok
}
