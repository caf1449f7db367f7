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
	last  time.Time
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
	c.last = time.Now()
	c.n += n
	return first
}

// leave ends the trouble: how long it was and how much. n is zero when there was
// none.
func (c *condition) leave() (since time.Duration, n int) { return c.leaveAfter(0) }

// leaveAfter is leave once nothing of the trouble happened for so long.
func (c *condition) leaveAfter(quiet time.Duration) (since time.Duration, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 || time.Since(c.last) < quiet {
		return 0, 0
	}
	since, n = time.Since(c.since), c.n
	c.n = 0
	return since, n
}

// recent tells whether something of the trouble happened within d.
func (c *condition) recent(d time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n > 0 && time.Since(c.last) < d
}

// lasts tells whether there is trouble now, and since when.
func (c *condition) lasts() (since time.Duration, yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == 0 {
		return 0, false
	}
	return time.Since(c.since), true
}

// stats counts what became of the batches.
type stats struct {
	sent     tally // accepted, replayed ones included
	replayed tally // had been applied by an earlier try
	refused  tally // refused for good
	expired  tally // got too old on their way

	unspooled atomic.Int64 // samples that a spool had no room for

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

// dropped is how many samples had to go.
func (a *agent) dropped() int64 {
	return int64(a.buffer.Dropped()) + int64(a.requests.Dropped()) + a.stats.unspooled.Load()
}

// summary logs what became of everything. All loops have ended.
func (a *agent) summary() {
	batches, metrics, kept := a.outbox.Left()
	var givenUp, spooled [2]int64
	if kept {
		spooled = [2]int64{batches, metrics}
	} else {
		givenUp = [2]int64{batches, metrics}
	}
	for i := range a.inHand.batches {
		givenUp[0]++
		givenUp[1] += int64(a.inHand.batches[i].Count)
	}
	_, samples := a.requests.Len()
	givenUp[1] += int64(a.buffer.Len() + samples) // never sealed

	expired, lost := a.stats.expired.metrics.Load(), int64(0)
	if a.spool != nil {
		s := a.spool.Stats()
		expired, lost = s.ExpiredMetrics, s.LostBatches
	}

	log := a.log.Info
	if givenUp[1] > 0 {
		log = a.log.Warn
	}
	log("agent stopped",
		zap.Int64("sent_batches", a.stats.sent.batches.Load()),
		zap.Int64("sent_metrics", a.stats.sent.metrics.Load()),
		zap.Int64("replayed_batches", a.stats.replayed.batches.Load()),
		zap.Int64("refused_metrics", a.stats.refused.metrics.Load()),
		zap.Int64("expired_metrics", expired),
		zap.Int64("dropped_samples", a.dropped()),
		zap.Int64("given_up_batches", givenUp[0]),
		zap.Int64("given_up_metrics", givenUp[1]),
		zap.Int64("spooled_batches", spooled[0]),
		zap.Int64("spooled_metrics", spooled[1]),
		zap.Int64("unreadable_batches", lost))
}
