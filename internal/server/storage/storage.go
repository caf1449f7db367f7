// Package storage is the contract of what keeps the state: the latest value of
// every pushed series, transactional, each batch at most once.
//
// Implementations are memory (this process only), dump (memory, a snapshot file
// and a journal) and pgsql (PostgreSQL, shared by many servers). storagetest
// holds the tests that all of them pass. internal/server/app alone chooses.
package storage

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Storage keeps the state. All methods may be called at once from many
// goroutines.
type Storage interface {
	// Apply commits the metrics of w: all of them, or none and an error. When it
	// returns nil the effect is visible to Value and All and is as durable as
	// the implementation promises.
	//
	// Metrics must be valid (metric.Validate) and have a timestamp. Counters add
	// up, also within the batch; a gauge's newest timestamp stands, on a tie the
	// later one. Unless w.Minimal is set, Apply overwrites value, delta and
	// timestamp of every metric in w with what is stored after the batch.
	//
	// If w.Mark is set and was applied before, nothing changes and replayed is
	// true. A write with a mark that another call is just applying waits for it.
	// The mark and the effect commit together: there is no moment, and no crash,
	// after which one is kept without the other.
	//
	// Strings in w may share a buffer that its owner reuses: Apply copies what
	// outlives the call.
	//
	// Errors: *metric.InvalidError when elements can't be applied (a counter would
	// overflow), ErrExhausted, *SeriesLimitError, which is an ErrExhausted, when
	// there would be more series than are allowed, ErrFull and ErrUnavailable;
	// anything else is a defect. After ErrUnavailable the outcome
	// may be unknown: the same write with the same mark may be sent again.
	Apply(ctx context.Context, w *Write) (replayed bool, err error)

	// Value answers what is stored for the selector: labels given must match,
	// labels not given are summed away: a counter is the sum over the matching
	// series (saturating at the largest int64), a gauge the one with the newest
	// timestamp. The result has the selector's labels. ErrNotFound if there is
	// none.
	Value(ctx context.Context, sel Selector) (metric.Metric, error)

	// All yields every series once, in no order. A series that comes or changes
	// meanwhile may or may not be seen so. No lock is held while the consumer
	// runs. An error ends the sequence. Labels are the consumer's to keep, but
	// not to change.
	All(ctx context.Context) iter.Seq2[metric.Metric, error]

	// Ping answers nil when a write could be accepted now.
	Ping(ctx context.Context) error

	// Close makes what is kept durable and releases the resources. No other
	// method may be called after or during it. It is called once.
	Close() error
}

// Write is one batch to be applied.
type Write struct {
	Metrics []metric.Metric
	// Mark makes the batch count once. The zero Mark means every call counts.
	Mark Mark
	// Arrived is the server's clock when the write arrived, in Unix milliseconds;
	// 0 if unknown. No metric is accepted that lies more than metric.MaxAhead
	// ahead of it, so a stored time that does was taken while the clock was wrong:
	// such a time gives way to any other, lest it hide every later value.
	Arrived int64
	// Minimal tells that nobody looks at the stored values.
	Minimal bool
	// Steps is what the batch did, for the history: nil, or one per metric, made
	// by metric.Trace. Apply completes them if it returns nil, also of a replay.
	Steps []metric.Step
}

// Selector asks for one metric.
type Selector struct {
	Kind   metric.Kind
	Name   string
	Labels metric.Labels
}

var (
	// ErrNotFound: no series matches.
	ErrNotFound = errors.New("no such metric")
	// ErrExhausted: a limit of the server is reached. Nothing was applied.
	ErrExhausted = errors.New("a limit of the server is reached")
	// ErrFull: there is no room to store the batch durably. Nothing was applied.
	ErrFull = errors.New("the storage has no room left")
	// ErrUnavailable: the storage can't commit now. Nothing is visible, but the
	// outcome on disk or in the database may be unknown until it is back.
	ErrUnavailable = errors.New("the storage is unavailable")
)

// SeriesLimitError says that a batch has series that don't exist yet, more than
// may be added. What exists can be written to as before.
type SeriesLimitError struct {
	Limit int
}

func (e *SeriesLimitError) Error() string {
	return fmt.Sprintf("the batch has new series, and no more than %d are kept in all (LIMIT_SERIES)", e.Limit)
}

// Unwrap is ErrExhausted.
func (e *SeriesLimitError) Unwrap() error { return ErrExhausted }
