// Package history keeps every sample over time, in an embedded Prometheus TSDB,
// and answers PromQL over it.
//
// # From a push to a sample
//
//	Record (after the commit to state)  →  pending  →  Flush  →  TSDB
//
// Record notes what a batch did in a list in memory, which costs little and
// waits for nothing. Run writes the list to the TSDB every flushInterval, in one
// go, and so does a query before it looks, so whoever asks sees what was
// acknowledged before. A killed process loses what was noted since the last
// flush; Reconcile fills in what the state still knows of it.
//
// A gauge's sample has its own time. A counter's sample is its total, and its
// time never goes back: see counterLocked. Increments that fall into the same
// slice of time become one sample.
//
// Each series has a record with the TSDB's reference, found by the number that
// the storage gave the series, so that appending looks nothing up. Storages
// without such numbers have their series found by key.
//
// # Staleness
//
// A producer may say how often it reports. Then a gauge that it doesn't send
// three times gets a staleness marker, and so do its counters when all of it is
// silent; while it reports, its counters hold their total, incremented or not.
// up{instance="…"} is 1 while it reports and 0 after. See reporters.go.
//
// # Locks
//
// flushMu is taken before mu. flushMu guards what concerns the TSDB: references,
// flushed times; mu the rest, and is never held while the TSDB works.
package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/compression"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
)

const (
	// flushInterval is how long a pushed sample waits at most before it is in the
	// TSDB.
	flushInterval = 250 * time.Millisecond
	// maxPending is how many samples wait at most before the pushers write them
	// themselves.
	maxPending = 64 << 10
	// maxKept is how many samples wait while the TSDB takes none; more are lost.
	maxKept = 1 << 20
	// maxExemplars is how many exemplars are kept, in memory.
	maxExemplars = 20_000
)

// Options say where and how to keep the history.
type Options struct {
	Path       string        // the folder
	Retention  time.Duration // how long samples are kept
	MaxSize    int64         // bytes of blocks, WAL and head chunks; 0: no bound
	OutOfOrder time.Duration // how old a sample may be that comes after newer ones

	QueryTimeout     time.Duration
	QueryConcurrency int // queries that run at once
	QueryMaxSamples  int // samples that one query holds in memory

	Registerer prometheus.Registerer // of the TSDB's and the engine's own metrics; may be nil
	Now        func() time.Time
	Log        *zap.Logger
}

// History is open until Close. Run must run while it is used.
type History struct {
	o      Options
	db     *tsdb.DB
	engine *promql.Engine
	parser parser.Parser
	gate   *gate
	start  time.Time // of the clock that the wall can't turn back

	flushMu sync.Mutex
	spare   []sample // the memory of the list after this one
	kept    []sample // what the TSDB didn't take
	failing bool     // the last flush failed

	mu        sync.Mutex
	pending   []sample
	epoch     uint32 // of pending; a series' position in it is good for one epoch
	table     table
	families  families
	reporters reporters

	metaMu sync.Mutex
	meta   map[string]metadata.Metadata // by metric family, of what is not pushed

	counts Counts
}

// Counts is what happened to samples since the start.
type Counts struct {
	Appended  atomic.Int64
	Coalesced atomic.Int64 // fell into the sample of another
	TooOld    atomic.Int64 // lay before the out-of-order window
	Duplicate atomic.Int64 // another value stands at their time
	Lost      atomic.Int64 // not written: the TSDB failed
}

// Open opens the TSDB, or makes it. It reads back the write-ahead log, which can
// take a minute for a million series.
func Open(o Options) (*History, error) {
	opts := tsdb.DefaultOptions()
	opts.WALCompression = compression.Snappy
	opts.RetentionDuration = o.Retention.Milliseconds()
	opts.MaxBytes = o.MaxSize
	opts.OutOfOrderTimeWindow = o.OutOfOrder.Milliseconds()
	// As Prometheus does: large blocks make old data cheap, but whole blocks are
	// what retention deletes.
	opts.MaxBlockDuration = max(opts.MinBlockDuration, min(31*24*time.Hour, o.Retention/10).Milliseconds())
	opts.EnableExemplarStorage = true
	opts.MaxExemplars = maxExemplars
	opts.EnableMemorySnapshotOnShutdown = true
	opts.EnableSTAsZeroSample = true
	compact := new(compactor)
	opts.NewCompactorFunc = compact.new
	log := slog.New(zapslog.NewHandler(o.Log.Core(), zapslog.WithName("tsdb")))
	db, err := tsdb.Open(o.Path, log, o.Registerer, opts, nil)
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return nil, fmt.Errorf("open HISTORY_PATH %s: another server uses it", o.Path)
	case err != nil:
		return nil, fmt.Errorf("open HISTORY_PATH %s: %w", o.Path, err)
	}
	compact.head.Store(db.Head())
	h := &History{
		o: o, db: db, start: o.Now(),
		// What Prometheus has behind feature flags: those who know it ask for it, and
		// nothing else changes.
		parser: parser.NewParser(parser.Options{EnableExperimentalFunctions: true, EnableBinopFillModifiers: true}),
		gate:   newGate(o.QueryConcurrency),
		meta:   make(map[string]metadata.Metadata),
	}
	h.engine = promql.NewEngine(promql.EngineOpts{
		Logger: log, Reg: o.Registerer, MaxSamples: o.QueryMaxSamples, Timeout: o.QueryTimeout,
		ActiveQueryTracker: h.gate, LookbackDelta: Lookback, EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		Parser:                   h.parser,
	})
	h.epoch = 1 // that of a series which never waited is 0
	h.table.init()
	h.families.init()
	h.reporters.init()
	if err := h.loadReporters(); err != nil {
		o.Log.Warn("who reported before is not known; up is only kept for those that report again", zap.Error(err))
	}
	return h, nil
}

// Run writes to the TSDB what was recorded, and looks for producers that have
// gone silent, until ctx ends.
func (h *History) Run(ctx context.Context) error {
	tick := time.NewTicker(flushInterval)
	defer tick.Stop()
	swept, saved := h.clock(), h.clock()
	h.warnOfFuture()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := h.clock()
		if now-swept >= h.sweepInterval() {
			h.sweep()
			swept = now
		}
		if now-saved >= saveInterval {
			if err := h.saveReporters(); err != nil {
				h.o.Log.Warn("who reports is not saved", zap.Error(err))
			}
			saved = now
			h.warnOfFuture()
		}
		h.Flush()
	}
}

// warnOfFuture tells when the TSDB has samples of a time to come, which only a
// clock that was wrong can have made: it takes nothing that is older than the
// newest sample by more than the out-of-order window.
func (h *History) warnOfFuture() {
	if newest, wrong := h.Future(); wrong {
		h.o.Log.Error("the history has samples of a time to come, taken while this machine's clock was wrong; "+
			"current ones are refused if they are older than these by more than HISTORY_OUT_OF_ORDER: "+
			"stop the server and move HISTORY_PATH away, or wait", zap.Time("newest", newest))
	}
}

// Close writes what is pending and closes the TSDB. No query and no append may
// be under way.
func (h *History) Close() error {
	h.Flush()
	return errors.Join(h.saveReporters(), h.engine.Close(), h.db.Close())
}

// Counts is what happened to samples so far.
func (h *History) Counts() *Counts { return &h.counts }

// clock is the milliseconds since the start, whatever is done to the wall clock.
func (h *History) clock() int64 { return h.o.Now().Sub(h.start).Milliseconds() }
