package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/health"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/generator"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/slice"
)

// report hands what the buffer holds over to the senders every ReportInterval.
func (a *agent) report(ctx context.Context, alive *health.Loop, polled <-chan struct{}) {
	defer alive.End()
	select {
	case <-polled:
	case <-ctx.Done():
		return
	}
	a.firstScrape(ctx)
	for range generator.Ticks(ctx, a.cfg.ReportInterval, true) {
		// The outbox waits for the server when it is full, and the spool for its disk.
		alive.Waits()
		err := a.flush(ctx)
		alive.Within(a.cfg.ReportInterval + patience)
		if err != nil {
			return // ctx has ended; lastFlush goes on from here
		}
	}
}

// handful is encoded batches and, side by side, what they were made of: nil for a
// request that was encoded by whoever took its samples.
type handful struct {
	batches []client.Batch
	metrics [][]metric.Metric
}

// groupBytes is how large a handful gets, or little more.
const groupBytes = 256 << 10

// flush encodes what the buffer holds now and puts it into the outbox, as fast
// as that takes it, and then the requests that wait. What comes meanwhile waits
// for the next flush, else each poll would make a small batch of its own. Batches
// that didn't get in stay in hand for the next flush; but those that a spool
// refuses are taken apart, so that increments go on to add up.
func (a *agent) flush(ctx context.Context) error {
	metrics := a.buffer.Len()
	requests, _ := a.requests.Len()
	for {
		if len(a.inHand.batches) == 0 {
			metrics -= a.fill(metrics)
		}
		if len(a.inHand.batches) == 0 {
			requests -= a.fillRequests(requests)
		}
		if len(a.inHand.batches) == 0 {
			return nil // else samples had to go meanwhile
		}
		switch err := a.outbox.Put(ctx, a.inHand.batches); {
		case errors.Is(err, errNotKept):
			a.takeBack(err)
			return nil
		case err != nil:
			return fmt.Errorf("put batches into the outbox: %w", err)
		}
		a.inHand = handful{}
		a.taken()
	}
}

// batchBytes is how large a batch of many metrics gets, roughly: below what a
// server takes, even if it can't be compressed.
const batchBytes = 6 << 20

// fill takes the hand full of at most left metrics and returns how many left the
// buffer.
func (a *agent) fill(left int) (taken int) {
	h := &a.inHand
	for size := 0; taken < left && len(h.batches) < a.outbox.Group() && size < groupBytes; {
		metrics := a.buffer.Take(min(a.cfg.BatchSize, left-taken), batchBytes)
		if len(metrics) == 0 {
			break
		}
		taken += len(metrics)
		b, err := a.client.Encode(toRequest(metrics))
		if err != nil { // the Group has checked them, so it doesn't happen
			a.stats.refused.add(len(metrics))
			a.log.Error("metrics are lost", zap.Error(err), zap.Int("metrics", len(metrics)))
			continue
		}
		h.batches = append(h.batches, b)
		h.metrics = append(h.metrics, metrics)
		size += len(b.Body)
	}
	return taken
}

// fillRequests is fill for at most left requests.
func (a *agent) fillRequests(left int) (taken int) {
	h := &a.inHand
	for size := 0; taken < left && len(h.batches) < a.outbox.Group() && size < groupBytes; taken++ {
		b, ok := a.requests.Take()
		if !ok {
			break
		}
		h.batches = append(h.batches, b)
		h.metrics = append(h.metrics, nil)
		size += len(b.Body)
	}
	return taken
}

// takeBack empties the hand: increments return to the buffer, where they add up
// until the spool has room, gauge samples go.
func (a *agent) takeBack(err error) {
	dropped := 0
	for i, metrics := range a.inHand.metrics {
		if metrics == nil {
			dropped += a.inHand.batches[i].Count
			continue
		}
		increments, samples := slice.Partition(metrics, func(m metric.Metric) bool { return m.Kind == metric.Counter })
		dropped += len(samples)
		a.buffer.Add(increments)
	}
	a.inHand = handful{}
	a.stats.unspooled.Add(int64(dropped))
	if first := a.stuck.enter(max(dropped, 1)); first {
		a.log.Error("the spool takes nothing: samples go, increments are kept in memory", zap.Error(err))
	}
}

// taken notes that the outbox took something.
func (a *agent) taken() {
	if since, n := a.stuck.leave(); n > 0 {
		a.log.Info("the spool takes samples again",
			zap.Int("dropped_samples", n), zap.Duration("stuck_for", round(since)))
	}
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
