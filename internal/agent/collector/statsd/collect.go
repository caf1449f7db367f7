package statsd

import (
	"context"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Collect implements collector.Collector: the increments since the last call, the
// gauges that have changed or were not told for Hold, and, once in Hold, the
// sizes of the sets. A new counter comes even if its first increment is 0. The
// labels are the series' own from one call to the next, and not to be changed.
func (s *Server) Collect(context.Context) ([]metric.Metric, error) {
	s.mu.Lock()
	at := s.now()
	now := at.Sub(s.start)
	s.sweepLocked(now)
	sets := s.due(s.window, now)
	if sets {
		s.window = now
	}
	out := make([]metric.Metric, 0, s.collected)
	for _, sr := range s.table.all {
		m := metric.Metric{Name: sr.name, Labels: sr.labels, Timestamp: at.UnixMilli(), Kind: metric.Gauge}
		switch sr.form {
		case counter:
			if sr.told && sr.pending == 0 {
				continue
			}
			m.Kind, m.Delta = metric.Counter, sr.pending
			sr.pending = 0
		case gauge:
			if sr.told && sr.value == sr.last && !s.due(sr.toldAt, now) {
				continue
			}
			m.Value = sr.value
			sr.last, sr.toldAt = sr.value, now
		case set:
			if !sets {
				continue
			}
			m.Value = float64(len(sr.values))
			s.table.setValues -= len(sr.values)
			sr.values = nil
		default:
			continue
		}
		sr.told = true
		out = append(out, m)
	}
	s.collected = len(out)
	n := s.note.take()
	s.mu.Unlock()
	n.tell(s.log)
	return out, nil
}

// due reports whether Hold has passed since then, or nearly so: else a poll that
// comes a moment early would leave it to the next. A clock that was set back must
// not make anybody wait.
func (s *Server) due(then, now time.Duration) bool {
	return now-then >= s.hold-s.hold/16 || now < then
}
