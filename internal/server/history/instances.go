package history

import (
	"time"
)

// Instance is what is known of an instance for which a producer reports that said
// how often it does so.
type Instance struct {
	Name string
	// Seen is when the last report came; after a restart of the server, when that
	// started if none has come since.
	Seen time.Time
	// Every is how often it reports, by the producer that was heard of last.
	Every time.Duration
	// Up tells that a producer of it hasn't missed its reports, as up{instance} will.
	Up bool
}

// Instances are all that reported within the last 7 days, in no order.
func (h *History) Instances() []Instance {
	now := h.o.Now()
	clock := h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &h.reporters
	out := make([]Instance, 0, len(r.instances))
	at := make(map[string]int, len(r.instances))
	for i := range r.list {
		rep := &r.list[i]
		if rep.producer == "" {
			continue
		}
		n, ok := at[rep.instance]
		if !ok {
			n = len(out)
			at[rep.instance] = n
			out = append(out, Instance{Name: rep.instance})
		}
		in := &out[n]
		silent := max(0, clock-rep.seen)
		if seen := now.Add(-time.Duration(silent) * time.Millisecond); seen.After(in.Seen) {
			in.Seen, in.Every = seen, time.Duration(rep.every)*time.Millisecond
		}
		in.Up = in.Up || !rep.late && !missed(silent, rep.every)
	}
	return out
}
