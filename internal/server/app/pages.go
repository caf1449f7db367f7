package app

import (
	"context"
	"iter"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/telemetry"
)

// pageOptions is what the pages ask: the state, and the history if there is one.
func pageOptions(
	cfg config.Config, state pages.State, store openedStorage, past openedHistory, tell *telemetry.Telemetry, log *zap.Logger,
) pages.Options {
	o := pages.Options{State: state, Now: time.Now, Log: log, Status: newStatusSource(cfg, store, past, tell)}
	if n, ok := store.Storage.(interface {
		Named(ctx context.Context, name string) iter.Seq2[metric.Metric, error]
	}); ok {
		o.Named = n.Named
	}
	if past.History != nil {
		o.Engine, o.Storage, o.Metadata, o.Retention = past.Engine(), past.History, past.History, cfg.HistoryRetention
		o.Reporters = past.reporters
	}
	return o
}

// reporters are the history's instances, as the pages know them.
func (h openedHistory) reporters() []pages.Reporter {
	instances := h.Instances()
	out := make([]pages.Reporter, len(instances))
	for i, in := range instances {
		out[i] = pages.Reporter(in)
	}
	return out
}
