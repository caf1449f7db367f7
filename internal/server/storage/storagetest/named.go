package storagetest

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// Named is a storage that finds the series of a name without a look at others.
type Named interface {
	storage.Storage
	Named(ctx context.Context, name string) iter.Seq2[metric.Metric, error]
}

// RunNamed tests that those of the name are found, and no others, gauges first.
func RunNamed(t *testing.T, s Named) {
	const many = 6000 // more than a page of any storage
	var ms []metric.Metric
	for i := range many {
		ms = append(ms, Counter("a", int64(i), "n", fmt.Sprint(i)))
	}
	ms = append(ms, Gauge("a", 1.5), Gauge("a", 2, "n", "1"), Gauge("aa", 3), Counter("b", 4), Counter("A", 5))
	Apply(t, s, ms...)
	got := map[string]string{}
	counters := false
	for m, err := range s.Named(t.Context(), "a") {
		require.NoError(t, err)
		require.Equal(t, "a", m.Name)
		require.False(t, counters && m.Kind == metric.Gauge, "gauges first")
		counters = m.Kind == metric.Counter
		got[m.Kind.String()+m.Labels.Get("n")] = string(m.AppendValue(nil))
	}
	require.Len(t, got, many+2)
	require.Equal(t, "1.5", got["gauge"])
	require.Equal(t, "2", got["gauge1"])
	require.Equal(t, "5999", got["counter5999"])
	for m, err := range s.Named(t.Context(), "nothing") {
		t.Fatal("there is none", m, err)
	}
	for _, err := range s.Named(t.Context(), "a") {
		require.NoError(t, err)
		break // whoever has seen enough may go
	}
}
