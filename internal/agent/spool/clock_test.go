package spool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/spool"
	"github.com/gometheus/gometheus/pkg/response"
)

var problem = response.Problem{Title: "Bad Request", Status: 400, Detail: "bad label"}

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// wrong is a wall clock that is off.
type wrong struct{ by time.Duration }

func (w *wrong) now() time.Time { return time.Now().Round(0).Add(w.by) }

// arrivals drains the spool and returns how many batches arrived.
func (r *rig) arrivals() int {
	r.t.Helper()
	before := len(r.applied)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		l, err := r.Lease(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return len(r.applied) - before
		}
		require.NoError(r.t, err)
		r.arrive(l)
		l.Ack()
	}
}

// TestClockJumps: batches of 0 and 2 days wait, the clock jumps, while the agent
// runs or between two runs. Neither goes, and both go 5 days and 7 days later.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 10 * year, -10 * year} {
		for _, restarts := range []bool{false, true} {
			for _, back := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					clock := &wrong{}
					mem := vfs.NewMem()
					r := newRig(t, mem, func(o *spool.Options) { o.Wall = clock.now })
					restart := func() {
						if restarts {
							require.NoError(t, r.Close())
							r.open()
						}
					}
					r.append(1, 10)
					time.Sleep(2 * day) // fake time
					r.append(1, 10)
					if restarts { // the jump comes between two runs
						require.NoError(t, r.Close())
						clock.by = jump
						r.open()
					} else {
						clock.by = jump
					}
					r.append(1, 10)
					if back {
						clock.by = 0
						restart()
					}
					require.EqualValues(t, 3, r.Stats().WaitingBatches, "jump %s restarts %v", jump, restarts)
					copied := clone(t, mem)

					// All of them are still good.
					l := r.lease()
					require.InDelta(t, 2*day, time.Since(l.At()), float64(2*time.Hour))
					l.Nack()
					r.arrivals()
					require.Len(t, r.applied, 3)
					require.NoError(t, r.Close())

					// Had nobody come for them, they would have gone in the end.
					r.reopen(copied)
					time.Sleep(5*day + 2*time.Hour) // fake time
					r.applied = map[string]string{}
					require.Equal(t, 2, r.arrivals(), "jump %s restarts %v", jump, restarts)
					require.EqualValues(t, 1, r.Stats().ExpiredBatches)
					require.Equal(t, 1, r.said("batches are lost: they got too old in the spool"))
					require.NoError(t, r.Close())

					r.reopen(clone(t, copied))
					r.append(1, 10)
					time.Sleep(7*day + 2*time.Hour) // fake time
					require.Zero(t, r.arrivals())
					require.NoError(t, r.Close())
				})
			}
		}
	}
}

// TestLongBreak: the time in which the agent didn't run counts too.
func TestLongBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, vfs.NewMem(), nil)
		r.append(1, 10)
		time.Sleep(3 * day) // fake time
		r.append(1, 10)
		require.NoError(t, r.Close())
		time.Sleep(5 * day) // fake time
		r.open()
		require.Equal(t, 1, r.arrivals())
		require.EqualValues(t, 1, r.Stats().ExpiredBatches)
		require.Zero(t, r.Stats().WaitingBatches)
		require.NoError(t, r.Close())
	})
}

// TestExpiresWhileLeased: the lease tells how old its batch is.
func TestExpiresWhileLeased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, vfs.NewMem(), nil)
		r.append(2, 10)
		l := r.lease()
		time.Sleep(8 * day) // fake time
		require.Equal(t, 8*day, time.Since(l.At()))
		l.Expire()
		r.none()
		require.EqualValues(t, 2, r.Stats().ExpiredBatches)
		require.NoError(t, r.Close())
		r.open()
		require.Zero(t, r.Stats().WaitingBatches)
		require.NoError(t, r.Close())
	})
}
