package promapi

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"go.uber.org/zap"
)

// DB is a TSDB over an open *tsdb.DB.
type DB struct {
	*tsdb.DB
	// Replay is Head.WALReplayStatus of the DBStats that were given to tsdb.Open.
	// nil: nothing was replayed.
	Replay *tsdb.WALReplayStatus
	// Gatherer has the TSDB's own metrics, the only place that counts its chunks.
	Gatherer prometheus.Gatherer
}

var _ TSDB = DB{}

// Stats is the head's.
func (d DB) Stats(statsByLabelName string, limit int) (*tsdb.Stats, error) {
	return d.Head().Stats(statsByLabelName, limit), nil
}

// BlockMetas are those of the blocks on disk.
func (d DB) BlockMetas() ([]tsdb.BlockMeta, error) { return d.DB.BlockMetas(), nil }

// WALReplay is how far the replay has come.
func (d DB) WALReplay() (WALReplay, error) {
	if d.Replay == nil {
		return WALReplay{}, nil
	}
	d.Replay.RLock()
	defer d.Replay.RUnlock()
	return WALReplay{Min: d.Replay.Min, Max: d.Replay.Max, Current: d.Replay.Current}, nil
}

// HeadChunks is how many chunks the head has.
func (d DB) HeadChunks() (int64, error) {
	families, err := d.Gatherer.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() == "prometheus_tsdb_head_chunks" && len(f.GetMetric()) > 0 {
			return int64(f.GetMetric()[0].GetGauge().GetValue()), nil
		}
	}
	return 0, nil
}

func (a *API) closeQuerier(q storage.Querier) {
	if err := q.Close(); err != nil {
		a.o.Log.Warn("query API: close querier", zap.Error(err))
	}
}
