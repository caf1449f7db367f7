// Package generator has sources for range-over-func loops, and one bridge from
// them to channels that never leaks.
//
// [Ticks] and [Count] are plain iter.Seq: they run in the caller's goroutine,
// produce only what is asked for, and are over when the loop is. [Chan] is for
// the one case in which a loop can't be had: a select. Compared with generators
// made of a goroutine and a channel, nothing has to be stopped, and there is no
// back-pressure to think of.
//
// There is no Merge: to merge is to run one goroutine for each source, and a
// sync.WaitGroup over loops that push to a queue says that more plainly.
package generator

import (
	"context"
	"iter"
	"sync"
	"time"
)

// Ticks yields the time at every interval until ctx ends, and once at the start
// if first. The times come from one clock set up when the loop starts: they don't
// drift with how long the loop body takes. A body that takes longer than the
// interval is called once more at its end and then at the next full interval:
// missed ticks don't pile up. An interval below 1 never ticks.
func Ticks(ctx context.Context, interval time.Duration, first bool) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		var ticks <-chan time.Time // nil never ticks
		if interval > 0 {
			t := time.NewTicker(interval)
			defer t.Stop()
			ticks = t.C
		}
		if first && (ctx.Err() != nil || !yield(time.Now())) {
			return
		}
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks:
			}
			// Not the tick's own time: that of a late one is in the past. And of two
			// ready cases select takes any, but an ended context always wins.
			if ctx.Err() != nil || !yield(time.Now()) {
				return
			}
		}
	}
}

// Number is what [Count] counts in.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Count yields from, from+step, from+2*step and so on, and ends before it would
// overflow: a sequence number never comes twice. With a step of 0 it yields from
// for ever. Each loop over it begins anew.
func Count[T Number](from, step T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := from; yield(v); {
			next := v + step
			if (step > 0 && next < v) || (step < 0 && next > v) {
				return
			}
			v = next
		}
	}
}

// Chan runs seq in one goroutine and sends what it yields to a channel with the
// buffer. The channel is closed, and the goroutine gone, when seq ends or ctx
// does; wait waits for that, and can be called any number of times.
//
// A reader that leaves early ends ctx and waits. The goroutine can't be stopped
// inside seq, so a seq that blocks must end with ctx itself, as [Ticks] does.
func Chan[T any](ctx context.Context, seq iter.Seq[T], buffer int) (c <-chan T, wait func()) {
	out := make(chan T, max(buffer, 0))
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(out)
		if ctx.Err() != nil {
			return
		}
		for v := range seq {
			if ctx.Err() != nil {
				return // select might still find room in the buffer
			}
			select {
			case out <- v:
			case <-ctx.Done():
				return
			}
		}
	})
	return out, wg.Wait
}
