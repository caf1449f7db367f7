package history_test

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/promqltest"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/history"
)

// scripted is a history as Prometheus' test scripts want a storage.
type scripted struct {
	*tsdb.DB
	h *history.History
}

func (s scripted) Querier(mint, maxt int64) (promstorage.Querier, error) {
	return s.h.Querier(mint, maxt)
}

func (s scripted) ChunkQuerier(mint, maxt int64) (promstorage.ChunkQuerier, error) {
	return s.h.ChunkQuerier(mint, maxt)
}

func (s scripted) Close() error { return s.h.Close() }

// withoutStartTimes leaves out the script about samples that keep the time when
// their counter started: an option of Prometheus' TSDB that is experimental and
// off, there and here.
type withoutStartTimes struct{ *testing.T }

func (t withoutStartTimes) Run(name string, f func(*testing.T)) bool {
	if strings.Contains(name, "start_timestamps") {
		return true
	}
	return t.T.Run(name, f)
}

// TestPromQLScripts runs Prometheus' own test scripts against this storage.
func TestPromQLScripts(t *testing.T) {
	promqltest.RunBuiltinTestsWithStorage(withoutStartTimes{t}, promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery), func(t testing.TB) promstorage.Storage {
		h, err := history.Open(history.Options{
			Path: t.TempDir(), Retention: 100 * 365 * 24 * time.Hour, OutOfOrder: 7 * 24 * time.Hour,
			QueryTimeout: time.Minute, QueryConcurrency: 4, QueryMaxSamples: 1e6, Now: time.Now, Log: zap.NewNop(),
		})
		require.NoError(t, err)
		return scripted{h.DB(), h}
	})
}
