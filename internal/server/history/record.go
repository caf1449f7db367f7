package history

import (
	"context"
	"iter"
	"math"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// slice is, in milliseconds, how much time the increments of a counter share a
// sample.
const slice = 250

// Push is a batch that was committed to the state.
type Push struct {
	Metrics []metric.Metric
	Steps   []metric.Step // one per metric
	// Replayed tells that it had been committed before.
	Replayed bool
	// Producer is who sent it; "" if it has no name.
	Producer string
	// Every is how often the producer says it reports; 0: it says nothing.
	Every time.Duration
}

// Record notes a batch that was committed to the state. Of a replay it notes the
// gauges, which change nothing where they are known already: the process may have
// ended between the commit and the flush.
//
// What is in p is the caller's again when Record returns.
func (h *History) Record(p *Push) {
	now := h.o.Now().UnixMilli()
	h.mu.Lock()
	var from uint32
	if p.Every > 0 {
		from = h.reportLocked(p, now)
	}
	seen := h.clock()
	for i := range p.Steps {
		m, st := &p.Metrics[i], &p.Steps[i]
		if m.Kind == metric.Counter && (p.Replayed || st.Total < 0) {
			continue
		}
		s := h.findLocked(m, st)
		s.reporter, s.seen = from, seen
		switch {
		case m.Kind == metric.Counter:
			h.counterLocked(s, st, now)
		case p.Replayed && s.covers(st.Time): // it is known, or what replaced it
		default:
			h.gaugeLocked(s, st.Time, st.Value)
		}
	}
	full := len(h.pending) >= maxPending
	h.mu.Unlock()
	if full {
		h.Flush()
	}
}

// gaugeLocked notes a gauge's sample. Of several at one time the last stands, as
// in the state; when the one before is in the TSDB already, this one comes a
// millisecond later, and those after it too, as long as they would come before it.
func (h *History) gaugeLocked(s *series, t int64, v float64) {
	switch {
	case !s.covers(t):
		h.addLocked(s, t, v)
		if t == s.last {
			s.ahead = 0
		}
	case s.epoch == h.epoch:
		h.pending[s.at].v, s.value = v, v
		h.counts.Coalesced.Add(1)
	case v != s.value:
		h.addLocked(s, s.last+1, v)
		s.ahead = uint32(min(s.last-t, math.MaxUint32))
	}
}

// counterLocked notes a counter's total. Its time is that of its newest
// increment, but not after now, where nobody would see it, and not before the
// sample before it: a total never goes back in time. What falls into the slice of
// a sample that still waits takes its place.
func (h *History) counterLocked(s *series, st *metric.Step, now int64) {
	if st.Total < s.total {
		return // another batch, committed after this one, was faster
	}
	s.total = st.Total
	t := min(st.Time, now)
	if st.Created {
		h.addLocked(s, max(t-1, s.last+1), 0)
		t = max(t, s.last+1)
	} else if s.epoch == h.epoch && (t <= s.last || t/slice == s.last/slice) {
		waits := &h.pending[s.at]
		waits.t, waits.v = max(t, s.last), float64(s.total)
		s.last, s.value = waits.t, waits.v
		h.counts.Coalesced.Add(1)
		return
	}
	h.addLocked(s, max(t, s.last+1), float64(s.total))
}

func (h *History) addLocked(s *series, t int64, v float64) {
	if t >= s.last {
		s.last, s.value = t, v
		s.epoch, s.at = h.epoch, uint32(len(h.pending))
	}
	h.pending = append(h.pending, sample{s, t, v})
}

// unsure is how long before its end the history of a killed process may miss
// samples.
const unsure = 10 * time.Second

// Reconcile tells the history what the state holds, before the first Record:
// what the process was killed with before it was flushed is taken from there, as
// far as no newer value replaced it.
func (h *History) Reconcile(ctx context.Context, all iter.Seq2[metric.Metric, error]) error {
	from := h.db.Head().MaxTime() - unsure.Milliseconds()
	now := h.o.Now().UnixMilli()
	for m, err := range all {
		if err != nil {
			return err
		}
		h.mu.Lock()
		family := h.families.find(&m)
		full := false
		if m.Timestamp >= from && m.Timestamp <= now {
			// Not of the table: the storage's number for it isn't known yet.
			s := &series{key: string(m.AppendKey(nil)), family: family}
			v := m.Value
			if m.Kind == metric.Counter {
				v = float64(m.Delta)
			}
			h.addLocked(s, m.Timestamp, v)
			full = len(h.pending) >= maxPending
		}
		h.mu.Unlock()
		if full {
			h.Flush()
		}
	}
	h.Flush()
	return ctx.Err()
}
