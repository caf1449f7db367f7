package spool

import "time"

// stamp is a moment by both clocks, in milliseconds.
type stamp struct {
	clock int64 // the spool's
	wall  int64 // Unix
}

// longestBreak is the longest time between two runs that the wall clock is
// believed.
const longestBreak = 365 * 24 * time.Hour

// clock is the spool's own, see the package comment.
type clock struct {
	wall  func() time.Time
	base  time.Duration // what it said at start
	start time.Time     // with its monotonic reading
}

// resume sets the clock that said last before the break. jump is what the wall
// clock says of the break when it isn't believed, zero otherwise.
func resume(wall func() time.Time, last stamp, known bool) (c clock, jump time.Duration) {
	c = clock{wall: wall, start: time.Now()}
	if !known {
		return c, 0
	}
	c.base = time.Duration(last.clock) * time.Millisecond
	slept := wall().Sub(time.UnixMilli(last.wall)) // saturates
	if slept < 0 || slept > longestBreak {
		return c, slept
	}
	c.base += slept
	return c, 0
}

func (c *clock) now() stamp {
	return stamp{clock: (c.base + time.Since(c.start)).Milliseconds(), wall: c.wall().UnixMilli()}
}

// age is how old what was stamped then is.
func (c *clock) age(then int64) time.Duration {
	return max(time.Duration(c.now().clock-then)*time.Millisecond, 0)
}
