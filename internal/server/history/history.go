// Package history keeps every sample over time, in an embedded Prometheus TSDB,
// and answers PromQL.
package history

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

// Options say where and how to keep the history.
type Options struct {
	Path       string        // the folder
	Retention  time.Duration // how long samples are kept
	MaxSize    int64         // bytes of blocks, WAL and head chunks; 0: no bound
	OutOfOrder time.Duration // how old a sample may be that comes after newer ones
	Registerer prometheus.Registerer
	Now        func() time.Time
	Log        *zap.Logger
}

// History is open until Close.
type History struct {
	o  Options
	db *tsdb.DB
}

// Open opens the TSDB, or makes it.
func Open(o Options) (*History, error) {
	opts := tsdb.DefaultOptions()
	opts.WALCompression = compression.Snappy
	opts.RetentionDuration = o.Retention.Milliseconds()
	opts.MaxBytes = o.MaxSize
	opts.OutOfOrderTimeWindow = o.OutOfOrder.Milliseconds()
	db, err := tsdb.Open(o.Path, slog.New(zapslog.NewHandler(o.Log.Core())), o.Registerer, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("open HISTORY_PATH %s: %w", o.Path, err)
	}
	return &History{o: o, db: db}, nil
}

// Close closes the TSDB. No query and no append may be under way.
func (h *History) Close() error {
	return h.db.Close()
}
