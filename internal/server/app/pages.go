package app

import (
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/config"
)

// pageOptions is what the pages ask: the state, and the history if there is one.
func pageOptions(cfg config.Config, state pages.State, past openedHistory, log *zap.Logger) pages.Options {
	o := pages.Options{State: state, Now: time.Now, Log: log}
	if past.History != nil {
		o.Engine, o.Storage, o.Retention = past.Engine(), past.History, cfg.HistoryRetention
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
