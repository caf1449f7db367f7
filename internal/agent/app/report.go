package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/pkg/generator"
	"github.com/gometheus/gometheus/pkg/request"
)

// report hands what the buffer holds over to the senders every ReportInterval.
func (a *agent) report(ctx context.Context, polled <-chan struct{}) {
	select {
	case <-polled:
	case <-ctx.Done():
		return
	}
	for range generator.Ticks(ctx, a.cfg.ReportInterval, true) {
		if err := a.flush(ctx); err != nil {
			return // ctx has ended; lastFlush goes on from here
		}
	}
}

// flush seals what the buffer holds now and pushes it into the outbox, as fast
// as that has room. What a poll adds meanwhile waits for the next flush, else
// each poll would make a small batch of its own. A batch that didn't get in
// stays in hand for the next flush.
func (a *agent) flush(ctx context.Context) error {
	for left := a.buffer.Len(); a.inHand != nil || left > 0; {
		if a.inHand == nil {
			metrics := a.buffer.Take(min(a.cfg.BatchSize, left))
			if len(metrics) == 0 {
				return nil // samples had to go meanwhile
			}
			left -= len(metrics)
			s, err := a.seal(metrics)
			if err != nil {
				// Neither the metrics, which the Group has checked, nor the window, which
				// the outbox bounds, can cause this.
				a.stats.refused.add(len(metrics))
				a.log.Error("metrics are lost", zap.Error(err), zap.Int("metrics", len(metrics)))
				continue
			}
			a.inHand = &s
		}
		if err := a.outbox.Push(ctx, *a.inHand); err != nil {
			return fmt.Errorf("push batch %s: %w", a.inHand.Key, err)
		}
		a.inHand = nil
	}
	return nil
}

// seal makes a batch of the metrics.
func (a *agent) seal(metrics []metric.Metric) (sealed, error) {
	b, err := a.client.NewBatch(toRequest(metrics))
	if err != nil {
		return sealed{}, fmt.Errorf("seal a batch: %w", err)
	}
	return sealed{Batch: b, at: time.Now()}, nil
}

// toRequest is the metrics as the client takes them. Neighbours with the same
// labels, which is nearly all, share one map.
func toRequest(metrics []metric.Metric) []request.Metric {
	out := make([]request.Metric, len(metrics))
	var labels map[string]string
	for i := range metrics {
		m := &metrics[i]
		if i == 0 || !slices.Equal(m.Labels, metrics[i-1].Labels) {
			labels = make(map[string]string, len(m.Labels))
			for _, l := range m.Labels {
				labels[l.Name] = l.Value
			}
		}
		out[i] = request.Metric{ID: m.Name, Type: m.Kind.String(), Labels: labels, Timestamp: m.Timestamp}
		if m.Kind == metric.Counter {
			out[i].Delta = &m.Delta
		} else {
			out[i].Value = &m.Value
		}
	}
	return out
}
