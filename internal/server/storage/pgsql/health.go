package pgsql

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// probeEvery is how often, while the database is away, one call is let through
// to see whether it is back.
const probeEvery = 500 * time.Millisecond

// health knows whether connections can be had. While they can't, calls needn't
// each find that out by themselves, and the log needs no line from each.
type health struct {
	log *zap.Logger

	mu      sync.Mutex
	away    bool
	since   time.Time
	probeAt time.Time
}

// enter tells a call what to expect. probing: the database is away, and this call
// is the one to try. refused: away, and no time to try yet.
func (h *health) enter() (probing, refused bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.away {
		return false, false
	}
	now := time.Now()
	if now.Before(h.probeAt) {
		return false, true
	}
	h.probeAt = now.Add(probeEvery)
	return true, false
}

// failed notes that no connection could be had.
func (h *health) failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.probeAt = now.Add(probeEvery)
	if h.away {
		return
	}
	h.away, h.since = true, now
	h.log.Error("the database is away", zap.Error(err))
}

// succeeded notes that one could.
func (h *health) succeeded() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.away {
		return
	}
	h.away = false
	h.log.Info("the database is back", zap.Duration("after", time.Since(h.since).Round(time.Millisecond)))
}

func (h *health) isAway() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.away
}
