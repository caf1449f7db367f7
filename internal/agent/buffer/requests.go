package buffer

import (
	"sync"

	"github.com/gometheus/gometheus/pkg/client"
)

// Requests holds requests that are encoded and not yet in the outbox, oldest
// first, up to a size. When there is no room the oldest go: they hold samples,
// never increments. Its methods may be called at once from many goroutines.
type Requests struct {
	limit int

	mu      sync.Mutex
	waiting []client.Batch
	size    int // of their bodies
	dropped int
}

// NewRequests returns a buffer of at most limit bytes, or of one request that is
// larger.
func NewRequests(limit int) *Requests { return &Requests{limit: limit} }

// Add takes a request in and returns how many older samples had to go for it.
func (r *Requests) Add(b client.Batch) (dropped int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, b)
	r.size += len(b.Body)
	for r.size > r.limit && len(r.waiting) > 1 {
		dropped += r.popLocked().Count
	}
	r.dropped += dropped
	return dropped
}

// Take removes and returns the oldest request.
func (r *Requests) Take() (b client.Batch, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		return client.Batch{}, false
	}
	return r.popLocked(), true
}

func (r *Requests) popLocked() client.Batch {
	b := r.waiting[0]
	r.waiting[0] = client.Batch{} // or the array would hold its bytes
	r.waiting = r.waiting[1:]
	r.size -= len(b.Body)
	if len(r.waiting) == 0 {
		r.waiting = nil // a long absence of the server costs nothing after it
	}
	return b
}

// Len is how many requests wait, and how many samples are in them.
func (r *Requests) Len() (requests, samples int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.waiting {
		samples += r.waiting[i].Count
	}
	return len(r.waiting), samples
}

// Tight tells whether there is little room left. As requests are of many sizes,
// one may find room where the next doesn't.
func (r *Requests) Tight() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size > r.limit-r.limit/8
}

// Dropped is how many samples had to go since the start.
func (r *Requests) Dropped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropped
}
