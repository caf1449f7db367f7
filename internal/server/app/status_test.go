package app

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/telemetry"
	"github.com/gometheus/gometheus/internal/server/templates"
)

// lookedAt counts who looks at all series.
type lookedAt struct {
	*memory.Store
	looks int
	away  error
}

func (l *lookedAt) All(ctx context.Context) iter.Seq2[metric.Metric, error] {
	l.looks++
	return l.Store.All(ctx)
}

func (l *lookedAt) Ping(context.Context) error { return l.away }

func newStatus(t *testing.T) (*statusSource, *lookedAt, func() templates.Status) {
	t.Helper()
	store := &lookedAt{Store: memory.New()}
	s := newStatusSource(config.Default(), openedStorage{Storage: store}, openedHistory{}, telemetry.New())
	return s, store, func() templates.Status {
		t.Helper()
		st, err := s.Status(t.Context())
		require.NoError(t, err)
		return st
	}
}

// TestStatusRates: rates are since the start at the first look, then over what has
// passed since an earlier one, a minute at most.
func TestStatusRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, look := newStatus(t)
		push := func(n int) {
			for range n {
				s.tell.Batch(make([]metric.Metric, 10), false, time.Millisecond, nil)
			}
			s.tell.Request("/updates", 200, time.Millisecond)
		}
		time.Sleep(100 * time.Second)
		push(50)
		st := look()
		require.True(t, st.Ingest.FromStart)
		require.InDelta(t, 0.5, st.Ingest.Batches, 1e-9)
		require.InDelta(t, 5, st.Ingest.Metrics, 1e-9)
		require.InDelta(t, 0.001, st.Ingest.Lag, 1e-9)
		push(10)
		require.InDelta(t, 0.5, look().Ingest.Batches, 1e-9, "so soon it is the same look")
		time.Sleep(5 * time.Second)
		st = look()
		require.False(t, st.Ingest.FromStart)
		require.Equal(t, 5*time.Second, st.Ingest.Over)
		require.InDelta(t, 2, st.Ingest.Batches, 1e-9)
		require.InDelta(t, 0.2, st.Ingest.Requests, 1e-9)
		for range 30 {
			time.Sleep(5 * time.Second)
			push(5)
			st = look()
			require.LessOrEqual(t, st.Ingest.Over, rateOver)
		}
		require.InDelta(t, 1, st.Ingest.Batches, 1e-9)
		require.Equal(t, rateOver, st.Ingest.Over)
		time.Sleep(time.Hour)
		st = look()
		require.True(t, st.Ingest.FromStart, "nobody looked for so long")
		require.InDelta(t, 210, st.Ingest.TotalBatches, 0)
		require.Equal(t, "/updates", st.Routes[0].Route)
		require.InDelta(t, 0.001, st.Routes[0].Mean, 1e-9)
		require.InDelta(t, 0.002, st.Routes[0].P99, 1e-9)
	})
}

// TestStatusIsCheap: who looks often has nothing counted anew, and a state that is
// too large is not counted at all.
func TestStatusIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, store, look := newStatus(t)
		_, err := store.Apply(t.Context(), &storage.Write{Metrics: []metric.Metric{
			{Kind: metric.Gauge, Name: "a", Labels: metric.NewLabels("x", "1"), Timestamp: 1},
			{Kind: metric.Gauge, Name: "a", Labels: metric.NewLabels("x", "2"), Timestamp: 1},
			{Kind: metric.Gauge, Name: "b", Labels: metric.NewLabels("x", "1"), Timestamp: 1},
		}})
		require.NoError(t, err)
		for range 9 {
			st := look()
			require.Equal(t, []templates.StatusCount{{Name: "a", Count: 2}, {Name: "b", Count: 1}}, st.Names)
			require.Equal(t, []templates.StatusCount{{Name: "x", Count: 2}}, st.LabelNames)
			time.Sleep(time.Second)
		}
		require.Equal(t, 1, store.looks)
		time.Sleep(2 * time.Second)
		look()
		require.Equal(t, 2, store.looks)
	})
}

// TestStatusProblems: what is wrong stands there in words, the worst first, and
// tells nothing that is not for everybody.
func TestStatusProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store, look := newStatus(t)
		require.Empty(t, look().Problems)
		store.away = errors.New("dial postgres://user:password@10.0.0.1: refused")
		s.cfg.Limits.Series = 1
		_, err := store.Apply(t.Context(), &storage.Write{Metrics: []metric.Metric{{Kind: metric.Gauge, Name: "a", Timestamp: 1}}})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		st := look()
		require.Len(t, st.Problems, 1)
		require.True(t, st.Problems[0].Bad)
		require.Contains(t, st.Problems[0].Text, "can't be reached")
		require.NotContains(t, st.Problems[0].Text, "password")

		many := st
		many.State.Series, many.State.Limit = 95, 100
		many.History = nil
		found := s.problems(t.Context(), &many, reading{files: 99, maxFiles: 100}, reading{})
		require.Len(t, found, 3)
		require.Equal(t, []bool{true, true, false}, []bool{found[0].Bad, found[1].Bad, found[2].Bad})
		require.Contains(t, found[2].Text, "95 % of the series")
		many.State.Failing = true
		require.Contains(t, s.problems(t.Context(), &many, reading{}, reading{})[0].Text, "The journal can't be written")
	})
}

func TestDiskProblem(t *testing.T) {
	const gib = 1 << 30
	for _, tt := range []struct {
		free, total uint64
		there, bad  bool
	}{
		{50 * gib, 100 * gib, false, false},
		{11 * gib, 100 * gib, false, false},
		{9 * gib, 100 * gib, true, false},
		{2 * gib, 100 * gib, true, true},
		{30 * gib, 4000 * gib, false, false},
		{0, gib, true, true},
	} {
		p, there := diskProblem("/data", tt.free, tt.total)
		require.Equal(t, tt.there, there, tt)
		require.Equal(t, tt.bad, p.Bad, tt)
	}
}

// TestStatusSettings: each setting is there, and no secret.
func TestStatusSettings(t *testing.T) {
	lookup := func(name string) (string, bool) {
		v, ok := map[string]string{"KEY": "horse", "DATABASE_DSN": "postgres://u:battery@h/d", "QUERY_TIMEOUT": "5"}[name]
		return v, ok
	}
	cfg, err := config.Parse(nil, lookup, nil)
	require.NoError(t, err)
	s := newStatusSource(cfg, openedStorage{Storage: memory.New()}, openedHistory{}, telemetry.New())
	var changed []string
	all := s.settings()
	require.Len(t, all, len(config.Settings()))
	for _, set := range all {
		require.NotContains(t, set.Value, "horse")
		require.NotContains(t, set.Value, "battery")
		if set.Changed {
			changed = append(changed, set.Env+"="+set.Value)
		}
	}
	require.Equal(t, []string{"DATABASE_DSN=***", "QUERY_TIMEOUT=5", "KEY=***"}, changed)
}
