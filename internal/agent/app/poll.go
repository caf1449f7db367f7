package app

import (
	"context"
	"time"

	"github.com/gometheus/gometheus/internal/common/health"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/pkg/generator"
)

// poll collects every PollInterval, at once for the first time. It closes asked
// when the server was asked for the time, and polled when the first samples are in
// the buffer.
func (a *agent) poll(ctx context.Context, alive *health.Loop, asked, polled chan<- struct{}) {
	defer alive.End()
	alive.Within(patience)
	// Else a clock that is far off would cost the first batch. Who doesn't answer
	// quickly is asked no more.
	asking, cancel := context.WithTimeout(ctx, time.Second)
	a.skew.heard(a.client.Date(asking))
	cancel()
	close(asked)
	first := true
	for range generator.Ticks(ctx, a.cfg.PollInterval, true) {
		alive.Within(a.cfg.PollInterval + patience)
		a.add(a.group.Collect(ctx))
		if a.programs != nil {
			a.add(a.programs.Collect(ctx))
		}
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
	if dropped > 0 || len(metrics) > 0 {
		a.filled(dropped, &a.full, "the buffer is full: the oldest gauge samples go, increments are kept")
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
