package app

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// skew corrects the times of samples on a machine whose clock is wrong, so that
// it neither has its batches refused (a server takes nothing that is 10 minutes
// ahead of it) nor its samples taken for old ones. It knows the server's time
// from its last answer and the monotonic clock; before the first answer it
// corrects nothing.
type skew struct {
	wall func() time.Time
	log  *zap.Logger

	mu     sync.Mutex
	server time.Time // what the server's clock said
	at     time.Time // when that was, with its monotonic reading
	off    bool
}

// tolerance is how far the clocks may be apart before the times are corrected:
// less than what the server takes, and more than the way of an answer.
const tolerance = 5 * time.Minute

// heard notes what time it is at the server.
func (s *skew) heard(server time.Time) {
	if server.IsZero() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server, s.at = server, time.Now()
}

// now is the time to give a sample that is taken now.
func (s *skew) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.wall()
	if ahead, off := s.aheadLocked(now); off {
		return now.Add(-ahead)
	}
	return now
}

// aheadLocked is how far now is ahead of the server's clock, and whether that is
// more than can be tolerated. It notes when that changes.
func (s *skew) aheadLocked(now time.Time) (ahead time.Duration, off bool) {
	if s.server.IsZero() {
		return 0, false
	}
	ahead = now.Sub(s.server.Add(time.Since(s.at)))
	off = ahead.Abs() > tolerance
	switch {
	case off && !s.off:
		s.log.Warn("the clock of this machine is wrong; the times of samples are corrected", zap.Duration("ahead_of_server", ahead.Round(time.Second)))
	case !off && s.off:
		s.log.Info("the clock of this machine is right again")
	}
	s.off = off
	return ahead, off
}

// correct sets the times of metrics that were taken just now.
func (s *skew) correct(metrics []metric.Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(metrics) == 0 {
		return
	}
	ahead, off := s.aheadLocked(s.wall())
	if !off {
		return
	}
	for i := range metrics {
		if metrics[i].Timestamp != 0 {
			metrics[i].Timestamp -= ahead.Milliseconds()
		}
	}
}
