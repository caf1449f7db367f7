package history_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/history"
)

// TestLateSamplesDuringCompaction: samples of hours ago that come while others are
// being compacted are all there in the end.
func TestLateSamplesDuringCompaction(t *testing.T) {
	h, err := history.Open(history.Options{
		Path: t.TempDir(), Retention: 15 * 24 * time.Hour, OutOfOrder: 7 * 24 * time.Hour,
		QueryTimeout: time.Minute, QueryConcurrency: 1, QueryMaxSamples: 1e8, Now: time.Now, Log: zap.NewNop(),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()

	const writers, series, samples = 4, 150, 700
	now := time.Now().UnixMilli()
	old := now - 6*3_600_000
	write := func(name string, n int, at func(i int) int64) {
		app := h.AppenderV2(t.Context())
		ls := labels.FromStrings("__name__", "late", "s", name)
		for i := range n {
			_, err := app.Append(0, ls, 0, at(i), float64(i), nil, nil, promstorage.AOptions{})
			assert.NoError(t, err)
		}
		assert.NoError(t, app.Commit())
	}
	name := func(w, s int) string { return strconv.Itoa(w*series + s) }
	// All series are there, and their head is at now, so that what follows is late.
	for w := range writers {
		for s := range series {
			write(name(w, s), 1, func(int) int64 { return now })
		}
	}
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for s := range series {
				write(name(w, s), samples, func(i int) int64 { return old + int64(i)*15_000 })
			}
		})
	}
	done := make(chan struct{})
	go func() { writing.Wait(); close(done) }()
	for compacting := true; compacting; {
		select {
		case <-done:
			compacting = false
		default:
		}
		require.NoError(t, h.DB().CompactOOOHead(t.Context()))
	}

	q, err := h.Querier(0, now)
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()
	found := 0
	set := q.Select(t.Context(), true, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "late"))
	for set.Next() {
		n := 0
		it := set.At().Iterator(nil)
		for it.Next() != 0 {
			n++
		}
		assert.Equal(t, samples+1, n, "%s", set.At().Labels())
		found++
	}
	require.NoError(t, set.Err())
	require.Equal(t, writers*series, found)
}
