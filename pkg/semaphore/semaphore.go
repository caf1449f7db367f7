// Package semaphore is a weighted semaphore, on golang.org/x/sync/semaphore.
//
// It bounds what is held at once and is counted in some unit: bytes in decode,
// requests in flight. Waiters are served in the order in which they came, so a
// large request is not starved by small ones behind it.
//
// Compared with x/sync: what is acquired comes back as a release function, so the
// weight is said once and can't be released twice; a request for more than the
// whole size is an error at once instead of waiting for the context; and what is
// in use can be shown as a metric. Compared with a buffered channel: it has
// weights.
package semaphore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// ErrWeight says that a weight is negative or above the size of the semaphore:
// waiting would not help.
var ErrWeight = errors.New("semaphore: weight out of range")

// Semaphore is safe for concurrent use. Make it with [New].
type Semaphore struct {
	size  int64
	inUse atomic.Int64
	sem   *semaphore.Weighted
}

// New returns a semaphore of the size; below 0 counts as 0, which lets nothing
// pass.
func New(size int64) *Semaphore {
	size = max(size, 0)
	return &Semaphore{size: size, sem: semaphore.NewWeighted(size)}
}

// Acquire takes n, and waits until that much is free. release gives it back;
// calling it again does nothing, and after an error it does nothing at all. The
// error wraps [ErrWeight] or is ctx.Err().
func (s *Semaphore) Acquire(ctx context.Context, n int64) (release func(), err error) {
	if n < 0 || n > s.size {
		return nothing, fmt.Errorf("%w: %d of %d", ErrWeight, n, s.size)
	}
	if err := s.sem.Acquire(ctx, n); err != nil {
		return nothing, err
	}
	return s.held(n), nil
}

// TryAcquire takes n if it is free and none waits, and reports whether it did.
// release is as in [Semaphore.Acquire].
func (s *Semaphore) TryAcquire(n int64) (release func(), ok bool) {
	if n < 0 || n > s.size || !s.sem.TryAcquire(n) {
		return nothing, false
	}
	return s.held(n), true
}

func nothing() {}

func (s *Semaphore) held(n int64) (release func()) {
	s.inUse.Add(n)
	var done atomic.Bool
	return func() {
		if done.CompareAndSwap(false, true) {
			s.inUse.Add(-n) // first, so that InUse never shows more than Size
			s.sem.Release(n)
		}
	}
}

// InUse is how much is held now.
func (s *Semaphore) InUse() int64 { return s.inUse.Load() }

// Size is how much can be held at once.
func (s *Semaphore) Size() int64 { return s.size }
