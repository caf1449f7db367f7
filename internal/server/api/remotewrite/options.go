package remotewrite

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/pkg/semaphore"
)

// Options is what a Handler depends on.
type Options struct {
	// Appendable takes the samples. Its appenders must also be
	// storage.ExemplarAppenderV2; from those that aren't exemplars are dropped.
	// References are kept from request to request: a database that was opened
	// again needs a new Handler.
	Appendable storage.AppendableV2
	// Metadata is told type, help and unit of metric families; nil: nobody is.
	Metadata Metadata
	// Bodies bounds, by its size in bytes, what large bodies take at once, also those
	// of others that it is shared with; nil: Limits.InFlight does.
	Bodies *semaphore.Semaphore
	// Enter waits for a place among the requests that are worked on at once, once the
	// body is there; ok is false if there is none. nil: there always is.
	Enter func(ctx context.Context, bytes int) (leave func(), ok bool)
	// Limits; what is 0 in it is as in DefaultLimits.
	Limits Limits
	Now    func() time.Time
	Log    *zap.Logger
	Hooks  Hooks
}

// Metadata keeps what is known of metric families. It is called by many
// requests at once, after the samples of the request are committed, and for a
// series of 2.0 only if something changed.
type Metadata interface {
	// SetMetadata: typ is counter, gauge, histogram, gaugehistogram, summary,
	// info, stateset or unknown.
	SetMetadata(family, typ, help, unit string)
}

// Limits bounds what one request may hold, and all of them together.
type Limits struct {
	Wire     int64 // bytes of the body as sent
	Plain    int64 // bytes of the body unpacked
	InFlight int64 // bytes of all bodies larger than 64 KiB, sent and unpacked, at once

	// Of one request. More is answered 413 and nothing of it is written.
	Samples int // samples, histograms and exemplars
	Buckets int // spans, buckets and bounds of its histograms

	// Of one series. More is a refused series.
	Labels     int // how many
	LabelName  int // bytes
	LabelValue int // bytes; the metric's name is one of the values

	// Series is how many label sets are remembered with their reference in the
	// TSDB. More can be written, the ones beyond are slower.
	Series int
}

// DefaultLimits take what senders send by default many times over.
func DefaultLimits() Limits {
	return Limits{
		Wire: 8 << 20, Plain: 32 << 20, InFlight: 256 << 20,
		Samples: 500_000, Buckets: 2_000_000,
		Labels: 128, LabelName: 1024, LabelValue: 4096,
		Series: 1_000_000,
	}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ v, d *int64 }{{&l.Wire, &d.Wire}, {&l.Plain, &d.Plain}, {&l.InFlight, &d.InFlight}} {
		if *f.v <= 0 {
			*f.v = *f.d
		}
	}
	for _, f := range []struct{ v, d *int }{
		{&l.Samples, &d.Samples},
		{&l.Buckets, &d.Buckets},
		{&l.Labels, &d.Labels},
		{&l.LabelName, &d.LabelName},
		{&l.LabelValue, &d.LabelValue},
		{&l.Series, &d.Series},
	} {
		if *f.v <= 0 {
			*f.v = *f.d
		}
	}
	// The TSDB's label sets can't hold longer strings.
	const most = 1<<24 - 1
	l.LabelName, l.LabelValue = min(l.LabelName, most), min(l.LabelValue, most)
	l.Plain = min(l.Plain, 1<<30) // positions in it are kept in 32 bits
	return l
}

// Hooks are called with what happened, for metrics. Each may be nil; all are
// called by many requests at once.
type Hooks struct {
	// Answered: one request got its answer. version is "1.0", "2.0", or "" if
	// the request was neither.
	Answered func(version string, status int)
	// Written: so much of one request was committed.
	Written func(samples, histograms, exemplars int)
	// Refused: n samples, histograms, exemplars or metadata were not taken.
	Refused func(reason Reason, n int)
}

// Reason is why something was not taken; the value of a metric's label.
type Reason string

// The reasons.
const (
	Labels     Reason = "labels"       // no, invalid or doubled labels, or beyond a limit
	References Reason = "references"   // to symbols that don't exist
	Nothing    Reason = "empty"        // a series of 2.0 without samples
	Future     Reason = "future"       // more than 10 minutes ahead
	OutOfOrder Reason = "out_of_order" // a newer one is there, and the out-of-order window is 0
	TooOld     Reason = "too_old"      // beyond the out-of-order window, or of what is in memory
	Duplicate  Reason = "duplicate"    // another value for the same time
	Malformed  Reason = "histogram"    // a histogram that contradicts itself
	Exemplars  Reason = "exemplar"     // out of order, too long, or with invalid labels
	TooMany    Reason = "series"       // a new one, and there are as many as may be
	Meta       Reason = "metadata"     // without a family, not UTF-8, or too long
)
