package app

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// condition is a state of trouble that is worth a line in the log when it begins
// and when it ends. The zero value is no trouble.
type condition struct {
	mu    sync.Mutex
	since time.Time
	n     int // what happened in it so far
}

// enter notes n more of the trouble; first tells that it just began.
func (c *condition) enter(n int) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		c.since = time.Now()
	}
	first = c.n == 0
	c.n += n
	return first
}

// leave ends the trouble: how long it was and how much. n is zero when there was
// none.
func (c *condition) leave() (since time.Duration, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		return 0, 0
	}
	since, n = time.Since(c.since), c.n
	c.n = 0
	return since, n
}

// stats counts what became of the batches.
type stats struct {
	sent     tally // accepted, replayed ones included
	replayed tally // had been applied by an earlier try
	refused  tally // refused for good
	expired  tally // older than maxAge

	start  time.Time    // so that jumps of the clock don't matter
	answer atomic.Int64 // when the server last decided on a batch, since start
}

// now is the time since the start.
func (s *stats) now() time.Duration { return time.Since(s.start) }

func (s *stats) answered() { s.answer.Store(int64(s.now())) }

func (s *stats) lastAnswer() time.Duration { return time.Duration(s.answer.Load()) }

// tally counts batches and the metrics in them.
type tally struct{ batches, metrics atomic.Int64 }

func (t *tally) add(metrics int) {
	t.batches.Add(1)
	t.metrics.Add(int64(metrics))
}

// summary logs what became of everything. All loops have ended.
func (a *agent) summary() {
	var given tally
	if a.inHand != nil {
		given.add(a.inHand.Count)
	}
	for _, s := range a.outbox.Rest() {
		given.add(s.Count)
	}
	waiting := int64(a.buffer.Len()) // never sealed
	lost := given.metrics.Load() + waiting

	log := a.log.Info
	if lost > 0 {
		log = a.log.Warn
	}
	log("agent stopped",
		zap.Int64("sent_batches", a.stats.sent.batches.Load()),
		zap.Int64("sent_metrics", a.stats.sent.metrics.Load()),
		zap.Int64("replayed_batches", a.stats.replayed.batches.Load()),
		zap.Int64("refused_metrics", a.stats.refused.metrics.Load()),
		zap.Int64("expired_metrics", a.stats.expired.metrics.Load()),
		zap.Uint64("dropped_samples", a.buffer.Dropped()),
		zap.Int64("given_up_batches", given.batches.Load()),
		zap.Int64("given_up_metrics", lost))
}
