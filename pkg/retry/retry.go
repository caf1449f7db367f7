// Package retry calls a function until it succeeds, on cenkalti/backoff v5.
//
// Compared with calling backoff directly: a policy is one plain struct with an
// explicit list of delays if wanted, the error at the end holds what the
// function said last and not only that the context ended, [After] is a lower
// bound that leaves the growth of the delays alone, and a mark by [Permanent]
// works at any depth of wrapping without losing what is wrapped around it.
//
// Calls never overlap, and no goroutine is started.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Policy says how often and how far apart. The zero value retries without
// jitter until the context ends; use [Default] as the start for another one.
type Policy struct {
	Initial    time.Duration // the first wait; 0 means Default's
	Max        time.Duration // the longest wait, before jitter; 0 means Default's
	Multiplier float64       // growth from one wait to the next; below 1 means Default's
	Jitter     float64       // a wait w becomes a random one in [w-w*Jitter, w+w*Jitter]; 0..1
	Attempts   int           // calls in all, the first included; 0: until ctx ends

	// Delays, if not empty, are the waits themselves instead of the exponential
	// ones: with n delays there are at most n+1 calls. Jitter applies to them too.
	Delays []time.Duration

	// Notify, if not nil, is called before each wait with what the call returned
	// and how long the wait is.
	Notify func(err error, next time.Duration)
}

// Default is 500 ms doubled up to 30 s, ± 50 %, until the context ends: many
// senders that fail together don't come back together.
func Default() Policy {
	return Policy{Initial: 500 * time.Millisecond, Max: 30 * time.Second, Multiplier: 2, Jitter: 0.5}
}

// Do calls f until it returns nil, an error marked by [Permanent], or the policy
// or ctx ends it. When ctx has ended already f is not called.
//
// The error wraps the last one of f and, when ctx ended, the cause of that too.
// Marks stay in it, so an outer Do obeys them as well.
func Do(ctx context.Context, policy Policy, f func(ctx context.Context) error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	s := policy.schedule()
	var last error
	calls := 0
	options := []backoff.RetryOption{
		backoff.WithBackOff(s),
		backoff.WithMaxElapsedTime(0), // the library's default would end it after 15 minutes
		backoff.WithMaxTries(uint(max(policy.Attempts, 0))),
	}
	if policy.Notify != nil {
		options = append(options, backoff.WithNotify(func(_ error, next time.Duration) { policy.Notify(last, next) }))
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		calls++
		if last = f(ctx); last == nil {
			return struct{}{}, nil
		}
		if _, ok := errors.AsType[*permanentError](last); ok {
			return struct{}{}, backoff.Permanent(errCalled)
		}
		s.floor = 0
		if a, ok := errors.AsType[*afterError](last); ok {
			s.floor = a.wait
		}
		return struct{}{}, errCalled
	}, options...)
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, errCalled):
		return stopped(last, err, calls)
	}
	if _, ok := errors.AsType[*permanentError](last); ok || calls == 1 {
		return last
	}
	return fmt.Errorf("gave up after %d attempts: %w", calls, last)
}

// errCalled stands for what f returned while the library has it, which otherwise
// returns the cause of a context. It can't be told by comparing with f's error:
// that may be of a type that can't be compared.
var errCalled = errors.New("f returned an error")

// stopped is the error for a Do that its context ended.
func stopped(last, cause error, calls int) error {
	if errors.Is(last, cause) {
		return last
	}
	return fmt.Errorf("stopped after %d attempts: %w: %w", calls, cause, last)
}

// schedule is a backoff.BackOff: the policy's waits, each at least floor.
type schedule struct {
	next   func() time.Duration // negative when there are no more
	jitter float64
	floor  time.Duration
}

func (p Policy) schedule() *schedule {
	s := &schedule{jitter: min(max(p.Jitter, 0), 1)}
	if len(p.Delays) > 0 {
		left := p.Delays
		s.next = func() time.Duration {
			if len(left) == 0 {
				return backoff.Stop
			}
			d := left[0]
			left = left[1:]
			return max(d, 0)
		}
		return s
	}
	d := Default()
	if p.Initial > 0 {
		d.Initial = p.Initial
	}
	if p.Max > 0 {
		d.Max = p.Max
	}
	if p.Multiplier >= 1 {
		d.Multiplier = p.Multiplier
	}
	s.next = (&backoff.ExponentialBackOff{
		InitialInterval: min(d.Initial, d.Max),
		MaxInterval:     d.Max,
		Multiplier:      d.Multiplier,
	}).NextBackOff
	return s
}

func (s *schedule) NextBackOff() time.Duration {
	d := s.next()
	if d < 0 {
		return backoff.Stop
	}
	if s.jitter > 0 {
		d += time.Duration(float64(d) * s.jitter * (2*rand.Float64() - 1))
	}
	return max(d, s.floor)
}

// Reset is called by the library once before the first call, when there is
// nothing to reset yet.
func (s *schedule) Reset() {}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// Permanent marks err as one that another call won't cure: [Do] returns it at
// once. Its text stays the same. Permanent of nil is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type afterError struct {
	err  error
	wait time.Duration
}

func (e *afterError) Error() string { return e.err.Error() }
func (e *afterError) Unwrap() error { return e.err }

// After marks err as one after which [Do] waits for at least d, as a Retry-After
// asks; longer if the policy's own wait is longer. Its text stays the same. The
// caller bounds a d that comes from outside. After of nil is nil.
func After(err error, d time.Duration) error {
	if err == nil {
		return nil
	}
	return &afterError{err, d}
}
