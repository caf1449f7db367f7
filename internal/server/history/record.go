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

// Record notes a batch that was committed to the state. Of a replay too: the
// process may have ended between the commit and the flush, and what is known
// already changes nothing.
//
// What is in p is the caller's again when Record returns.
func (h *History) Record(p *Push) {
	if h.note(p) {
		h.Flush()
	}
}

// note is Record without the flush that is due if it returns true.
func (h *History) note(p *Push) (full bool) {
	now := h.o.Now().UnixMilli()
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := h.clock()
	who := h.senderLocked(p, now)
	for i := range p.Steps {
		m, st := &p.Metrics[i], &p.Steps[i]
		if !st.Stored {
			continue // nobody has seen to it that there is room for such a series
		}
		s := h.findLocked(m, st)
		s.reporter, s.seen = who.of(m), seen
		switch {
		case m.Kind == metric.Counter:
			h.counterLocked(s, st, now, st.Created && !p.Replayed)
		case p.Replayed && s.covers(st.Time): // it is known, or what replaced it
		default:
			h.gaugeLocked(s, st.Time, st.Value)
		}
	}
	return len(h.pending) >= maxPending
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
//
// A series that was just created starts with a zero, just before its first total.
func (h *History) counterLocked(s *series, st *metric.Step, now int64, created bool) {
	t := min(st.Time, now)
	switch {
	case created && s.last == 0:
		h.zeroLocked(s, t-1)
	case created && s.single && s.total > 0:
		// A batch that was committed after this one was faster: its total is there.
		h.zeroLocked(s, min(t, s.last)-1)
		s.single = false
	}
	if st.Total < s.total {
		return
	}
	s.total = st.Total
	if s.epoch == h.epoch && !s.atBirth() && (t <= s.last || t/slice == s.last/slice) {
		waits := &h.pending[s.at]
		waits.t, waits.v = max(t, s.last), float64(s.total)
		s.last, s.value = waits.t, waits.v
		h.counts.Coalesced.Add(1)
		return
	}
	h.addLocked(s, max(t, s.last+1), float64(s.total))
}

func (h *History) addLocked(s *series, t int64, v float64) {
	if s.last == 0 || t >= s.last {
		s.single = s.last == 0
		s.last, s.value = t, v
		s.epoch, s.at = h.epoch, uint32(len(h.pending))
	}
	h.pending = append(h.pending, sample{s: s, t: t, v: v})
}

// zeroLocked notes the zero from which a counter starts.
func (h *History) zeroLocked(s *series, t int64) {
	h.addLocked(s, t, 0)
	h.pending[len(h.pending)-1].zero = true
}

// atBirth tells that the newest sample of a counter is its first zero.
func (s *series) atBirth() bool { return s.single && s.value == 0 }

// firstLook is how far back the state is told to a history that is empty.
const firstLook = time.Hour

// Reconcile tells the history what the state holds, before the first Record. What
// the process was killed with before it was flushed is taken from there, as far as
// no newer value replaced it; and counters that aren't incremented hold their
// total while whoever reported for their instance goes on. Series that have been
// quiet for as long as the TSDB's head goes back are left alone.
func (h *History) Reconcile(ctx context.Context, all iter.Seq2[metric.Metric, error]) error {
	now := h.o.Now().UnixMilli()
	from := now - firstLook.Milliseconds()
	if head := h.db.Head(); head.NumSeries() > 0 {
		from = head.MinTime()
	}
	for m, err := range all {
		if err != nil {
			return err
		}
		if h.reconcile(&m, from, now) {
			h.Flush()
		}
	}
	h.Flush()
	return ctx.Err()
}

func (h *History) reconcile(m *metric.Metric, from, now int64) (full bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.families.find(m)
	if m.Timestamp < from || m.Timestamp > now+metric.MaxAhead {
		return false
	}
	s := h.findLocked(m, &metric.Step{})
	s.reporter, s.seen = h.reporters.byInstance[m.Labels.Get(instanceLabel)], h.clock()
	if m.Kind == metric.Counter {
		// What the history has of it is not known: its total stands in no sample of
		// this process.
		s.total = m.Delta
		h.addLocked(s, min(m.Timestamp, now), float64(m.Delta))
	} else {
		h.addLocked(s, m.Timestamp, m.Value)
	}
	return len(h.pending) >= maxPending
}
