package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/health"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/pkg/generator"
)

// poll collects every PollInterval, at once for the first time, and closes
// polled when the first samples are in the buffer.
func (a *agent) poll(ctx context.Context, alive *health.Loop, polled chan<- struct{}) {
	defer alive.End()
	alive.Within(patience)
	// Else a clock that is far off would cost the first batch. Who doesn't answer
	// quickly is asked no more.
	asking, cancel := context.WithTimeout(ctx, time.Second)
	a.skew.heard(a.client.Date(asking))
	cancel()
	first := true
	for range generator.Ticks(ctx, a.cfg.PollInterval, true) {
		alive.Within(a.cfg.PollInterval + patience)
		a.add(a.group.Collect(ctx))
		if first {
			close(polled)
			first = false
		}
	}
}

// add puts the metrics into the buffer and notes whether it is full.
func (a *agent) add(metrics []metric.Metric) {
	a.skew.correct(metrics)
	dropped := a.buffer.Add(metrics)
	switch {
	case dropped > 0:
		if first := a.full.enter(dropped); first {
			a.log.Warn("the buffer is full: the oldest gauge samples go, increments are kept")
		}
	case len(metrics) > 0:
		if since, n := a.full.leave(); n > 0 {
			a.log.Info("the buffer has room again",
				zap.Int("dropped_samples", n), zap.Duration("full_for", round(since)))
		}
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
