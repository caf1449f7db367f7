package collector

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Group polls its collectors side by side so that none can harm another: one
// that fails, panics or hangs costs only its own metrics.
//
// Every collector has its own timeout. One that exceeds it is left running and
// is not started again before it returns; until then the poll goes on without
// it. What it returned late comes with the next poll, so that an increment is
// never lost to a slow disk.
//
// A collector's trouble is logged when it begins and when it ends, not at every
// poll.
//
// Collect and Drain are for one goroutine at a time.
type Group struct {
	sources []*source
	labels  metric.Labels
	limits  metric.Limits
	timeout time.Duration
	now     func() time.Time
	log     *zap.Logger
}

// Options says how a Group treats its collectors.
type Options struct {
	// Timeout is what each collector may take for one poll.
	Timeout time.Duration
	// Labels are given to every metric. A label the metric brings itself wins.
	Labels metric.Labels
	// Now is the wall clock that the collectors look at; nil means time.Now.
	Now func() time.Time
	// Log hears of collectors that begin or cease to fail.
	Log *zap.Logger
}

// source is a collector and what the Group knows of it.
type source struct {
	Collector
	// result has room for the one result that can be under way, so the goroutine
	// that collects never waits for anyone.
	result  chan result
	running bool
	// since is when the trouble began; zero when there is none.
	since time.Time
}

type result struct {
	metrics []metric.Metric
	err     error
}

// panicError is a collector's panic, with the place where it happened.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// errTimeout is the trouble of a collector that didn't return in time.
var errTimeout = errors.New("no answer in time")

// NewGroup returns the group of the collectors.
func NewGroup(o Options, collectors ...Collector) *Group {
	g := &Group{labels: o.Labels, limits: metric.DefaultLimits(), timeout: o.Timeout, now: o.Now, log: o.Log}
	if g.now == nil {
		g.now = time.Now
	}
	for _, c := range collectors {
		g.sources = append(g.sources, &source{Collector: c, result: make(chan result, 1)})
	}
	return g
}

// Collect polls every collector that isn't still busy with an earlier poll and
// returns what all of them gave, valid and labelled, within the timeout. When
// ctx ends the collectors are told so and their last metrics still count.
func (g *Group) Collect(ctx context.Context) []metric.Metric {
	var out []metric.Metric
	var started []*source
	for _, s := range g.sources {
		if s.running {
			r, ok := s.late()
			if !ok {
				continue
			}
			out = g.take(out, s, r)
		}
		g.start(ctx, s)
		started = append(started, s)
	}

	timer := time.NewTimer(g.timeout)
	defer timer.Stop()
	expired := false
	for _, s := range started {
		if !expired {
			select {
			case r := <-s.result:
				out = g.take(out, s, r)
				continue
			case <-timer.C:
				expired = true
			}
		}
		// The time is up for all: who has answered meanwhile still counts.
		if r, ok := s.late(); ok {
			out = g.take(out, s, r)
			continue
		}
		g.trouble(s, errTimeout)
	}
	return out
}

// Drain waits for the collectors that are still busy, until ctx ends, and
// returns what they gave. The error names those that did not return: their
// goroutines are left behind.
func (g *Group) Drain(ctx context.Context) ([]metric.Metric, error) {
	var out []metric.Metric
	var errs []error
	for _, s := range g.sources {
		if !s.running {
			continue
		}
		select {
		case r := <-s.result:
			out = g.take(out, s, r)
		case <-ctx.Done():
			errs = append(errs, fmt.Errorf("collector %s: %w", s.Name(), errTimeout))
		}
	}
	return out, errors.Join(errs...)
}

// start runs the collector in a goroutine of its own, which ends when the
// collector returns.
func (g *Group) start(ctx context.Context, s *source) {
	s.running = true
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	go func() {
		defer cancel()
		var r result
		defer func() {
			if v := recover(); v != nil {
				r.err = &panicError{value: v, stack: debug.Stack()}
			}
			s.result <- r
		}()
		r.metrics, r.err = s.Collect(ctx)
	}()
}

// late is the result of a poll that may have ended, without waiting.
func (s *source) late() (result, bool) {
	select {
	case r := <-s.result:
		return r, true
	default:
		return result{}, false
	}
}

// take appends the metrics of r to out and notes how s is. Labels are added
// here, and what the server would refuse is left out: one bad value must not
// cost the whole batch.
func (g *Group) take(out []metric.Metric, s *source, r result) []metric.Metric {
	s.running = false
	now, bad := g.now().UnixMilli(), error(nil)
	for i := range r.metrics {
		m := &r.metrics[i]
		m.Labels = merge(m.Labels, g.labels)
		if err := m.Validate(&g.limits, now); err != nil {
			bad = fmt.Errorf("metric %q: %w", m.Name, err)
			continue
		}
		out = append(out, *m)
	}
	if err := errors.Join(r.err, bad); err != nil {
		g.trouble(s, err)
	} else {
		g.recovered(s)
	}
	return out
}

func (g *Group) trouble(s *source, err error) {
	if !s.since.IsZero() {
		return
	}
	s.since = time.Now()
	fields := []zap.Field{zap.String("collector", s.Name()), zap.Error(err)}
	if p, ok := errors.AsType[*panicError](err); ok {
		fields = append(fields, zap.ByteString("stack", p.stack))
	}
	g.log.Warn("collector fails", fields...)
}

func (g *Group) recovered(s *source) {
	if s.since.IsZero() {
		return
	}
	g.log.Info("collector recovered", zap.String("collector", s.Name()),
		zap.Duration("after", time.Since(s.since).Round(time.Millisecond)))
	s.since = time.Time{}
}

// merge is own with those of base that own doesn't name. Both are sorted; the
// result shares their memory where it can.
func merge(own, base metric.Labels) metric.Labels {
	if len(own) == 0 {
		return base
	}
	out := make(metric.Labels, 0, len(own)+len(base))
	for len(own) > 0 && len(base) > 0 {
		switch {
		case own[0].Name < base[0].Name:
			out, own = append(out, own[0]), own[1:]
		case own[0].Name > base[0].Name:
			out, base = append(out, base[0]), base[1:]
		default:
			base = base[1:]
		}
	}
	return append(append(out, own...), base...)
}
