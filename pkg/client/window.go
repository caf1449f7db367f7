package client

import "sync"

// MaxAhead is how many batches of a producer the server remembers one by one,
// and so the number of batches of a client that may wait at once.
const MaxAhead = 1024

// window hands out sequence numbers, from 1, and keeps them within MaxAhead of
// the oldest one that isn't settled. The zero value is ready.
type window struct {
	mu sync.Mutex
	// last is the highest number given out; oldest the lowest that may still be
	// open, last+1 when none is.
	last, oldest uint64
	// open is a ring: the bit of number n is at n modulo MaxAhead, and is set
	// while n was given out and not settled.
	open [MaxAhead / 64]uint64
}

// take gives the next number, or false when it would be too far ahead.
func (w *window) take() (uint64, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == 0 {
		w.oldest = 1
	}
	if w.last+1-w.oldest >= MaxAhead {
		return 0, false
	}
	w.last++
	w.open[w.last%MaxAhead/64] |= 1 << (w.last % 64)
	return w.last, true
}

// settle tells that the number won't be sent again. Unknown ones are ignored.
func (w *window) settle(n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < w.oldest || n > w.last {
		return
	}
	w.open[n%MaxAhead/64] &^= 1 << (n % 64)
	for w.oldest <= w.last && w.open[w.oldest%MaxAhead/64]&(1<<(w.oldest%64)) == 0 {
		w.oldest++
	}
}
