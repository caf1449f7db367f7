package app

import (
	"time"

	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/config"
)

// pageOptions is what the pages ask: the state, and the history if there is one.
func pageOptions(cfg config.Config, state pages.State, past openedHistory) pages.Options {
	o := pages.Options{State: state, Now: time.Now}
	if past.History != nil {
		o.Engine, o.Storage, o.Retention = past.Engine(), past.History, cfg.HistoryRetention
	}
	return o
}
