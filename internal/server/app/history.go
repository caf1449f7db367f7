package app

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/history"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/telemetry"
)

// openedHistory is the history, or, with HISTORY=false, none.
type openedHistory struct {
	*history.History
}

// openHistory opens the history that the configuration asks for and completes it
// from the state.
func openHistory(ctx context.Context, cfg config.Config, state storage.Storage, tell *telemetry.Telemetry, log *zap.Logger) (openedHistory, error) {
	if !cfg.History {
		log.Info("HISTORY is false: the latest values alone are kept")
		return openedHistory{}, nil
	}
	start := time.Now()
	h, err := history.Open(history.Options{
		Path: cfg.HistoryPath, Retention: cfg.HistoryRetention, MaxSize: cfg.HistoryMaxSize, OutOfOrder: cfg.HistoryOutOfOrder,
		QueryTimeout: cfg.QueryTimeout, QueryConcurrency: queriesAtOnce(cfg.QueryConcurrency), QueryMaxSamples: cfg.QueryMaxSamples,
		Registerer: tell.Registry(), Now: time.Now, Log: log,
	})
	if err != nil {
		return openedHistory{}, err
	}
	if err := h.Reconcile(ctx, state.All(ctx)); err != nil {
		return openedHistory{}, fmt.Errorf("complete the history from the state: %w", errors.Join(err, h.Close()))
	}
	tellHistory(tell, h)
	log.Info("history is open", zap.String("folder", cfg.HistoryPath), zap.Duration("took", time.Since(start)))
	return openedHistory{h}, nil
}

// queriesAtOnce is how many queries run at once if asked for. They leave a core to
// pushes: a goroutine that computes is only interrupted every 10 ms, so with one
// on every core each push would wait that long, several times.
func queriesAtOnce(asked int) int { return min(asked, max(1, runtime.GOMAXPROCS(0)-1)) }

// recorder is what the manager tells of pushes; nil if there is no history.
func (h openedHistory) recorder() manager.History {
	if h.History == nil {
		return nil
	}
	return h.History
}

// Run works until ctx ends.
func (h openedHistory) Run(ctx context.Context) error {
	if h.History == nil {
		return idle(ctx)
	}
	return h.History.Run(ctx)
}

// Close closes the history.
func (h openedHistory) Close() error {
	if h.History == nil {
		return nil
	}
	return h.History.Close()
}

// tellHistory registers what the history tells of itself, beside the TSDB's own
// metrics.
func tellHistory(tell *telemetry.Telemetry, h *history.History) {
	const name, help = "gometheus_history_samples_total", "Pushed samples by what became of them in the history."
	for outcome, n := range map[string]*atomic.Int64{
		"appended": &h.Counts().Appended, "coalesced": &h.Counts().Coalesced, "too_old": &h.Counts().TooOld,
		"duplicate": &h.Counts().Duplicate, "lost": &h.Counts().Lost,
	} {
		tell.CounterFunc(name, help, map[string]string{"outcome": outcome}, func() float64 { return float64(n.Load()) })
	}
}
