package history

import (
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Queries is how many queries run, how many wait for their turn, and how many may
// run at once.
func (h *History) Queries() (running, waiting, most int) {
	most = cap(h.gate.slots)
	return most - len(h.gate.slots), int(h.gate.waiting.Load()), most
}

// Reporters is for how many instances somebody reports who said how often, and how
// many of those that were reported for are silent.
func (h *History) Reporters() (up, late int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, inst := range h.reporters.instances {
		if inst.alive > 0 {
			up++
		} else {
			late++
		}
	}
	return up, late
}

// Future is the newest sample's time if it lies so far ahead that only a clock
// that was wrong can have made it.
func (h *History) Future() (newest time.Time, wrong bool) {
	newest = time.UnixMilli(h.db.Head().MaxTime())
	return newest, h.db.Head().NumSeries() > 0 && newest.After(h.o.Now().Add(2*metric.MaxAhead*time.Millisecond))
}
