package queue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/pkg/queue"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// filled returns a queue that holds 1..n.
func filled(t *testing.T, capacity, n int) *queue.Queue[int] {
	t.Helper()
	q := queue.New[int](capacity)
	for i := range n {
		require.True(t, q.TryPush(i+1))
	}
	return q
}

// lease is TryLease that must succeed.
func lease(t *testing.T, q *queue.Queue[int], limit int, want ...int) *queue.Lease[int] {
	t.Helper()
	l := q.TryLease(limit)
	require.NotNil(t, l)
	require.Equal(t, want, l.Items())
	return l
}

func TestLeasesTakeTheOldest(t *testing.T) {
	q := filled(t, 10, 5)
	lease(t, q, 2, 1, 2)
	lease(t, q, 0, 3) // at least one
	lease(t, q, 100, 4, 5)
	require.Nil(t, q.TryLease(1))
	require.Equal(t, 0, q.Len())
	require.Equal(t, 5, q.Leased())
}

func TestNackInAnyOrderKeepsTheOrder(t *testing.T) {
	orders := [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}
	for _, order := range orders {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			q := filled(t, 8, 7)
			ls := []*queue.Lease[int]{lease(t, q, 2, 1, 2), lease(t, q, 2, 3, 4), lease(t, q, 2, 5, 6)}
			for _, i := range order {
				ls[i].Nack()
			}
			require.True(t, q.TryPush(8))
			lease(t, q, 8, 1, 2, 3, 4, 5, 6, 7, 8)
		})
	}
}

// Leases need not be runs of neighbours: then a nack interleaves.
func TestNackInterleaves(t *testing.T) {
	q := filled(t, 6, 6)
	a, b, c := lease(t, q, 1, 1), lease(t, q, 2, 2, 3), lease(t, q, 1, 4)
	c.Nack()
	a.Nack()
	d := lease(t, q, 3, 1, 4, 5)
	b.Nack()
	d.Nack()
	lease(t, q, 6, 1, 2, 3, 4, 5, 6)
}

func TestCapacityCountsLeasedItems(t *testing.T) {
	q := filled(t, 3, 3)
	require.False(t, q.TryPush(4))
	l := lease(t, q, 2, 1, 2)
	require.False(t, q.TryPush(4), "leased items keep their room")
	l.Nack()
	require.False(t, q.TryPush(4))
	lease(t, q, 2, 1, 2).Ack()
	require.True(t, q.TryPush(4))
	require.True(t, q.TryPush(5))
	require.False(t, q.TryPush(6))
	require.Equal(t, []int{3, 4, 5}, q.Drain())
	require.True(t, q.TryPush(6), "Drain frees the room")
	require.Equal(t, 3, q.Cap())
}

func TestCapacityIsAtLeastOne(t *testing.T) {
	q := filled(t, -1, 1)
	require.False(t, q.TryPush(2))
}

func TestSettlingTwiceDoesNothing(t *testing.T) {
	for name, settle := range map[string]func(*queue.Lease[int]){
		"ack ack":   func(l *queue.Lease[int]) { l.Ack(); l.Ack() },
		"ack nack":  func(l *queue.Lease[int]) { l.Ack(); l.Nack() },
		"nack ack":  func(l *queue.Lease[int]) { l.Nack(); l.Ack() },
		"nack nack": func(l *queue.Lease[int]) { l.Nack(); l.Nack() },
	} {
		t.Run(name, func(t *testing.T) {
			q := filled(t, 2, 2)
			settle(lease(t, q, 1, 1))
			require.Equal(t, 0, q.Leased())
			if name[0] == 'a' {
				require.Equal(t, []int{2}, q.Drain())
			} else {
				require.Equal(t, []int{1, 2}, q.Drain())
			}
		})
	}
}

func TestClose(t *testing.T) {
	q := filled(t, 9, 3)
	a := lease(t, q, 1, 1)
	q.Close()
	q.Close()
	require.False(t, q.TryPush(4))
	require.ErrorIs(t, q.Push(t.Context(), 4), queue.ErrClosed)

	b, err := q.Lease(t.Context(), 9)
	require.NoError(t, err)
	require.Equal(t, []int{2, 3}, b.Items())
	_, err = q.Lease(t.Context(), 9)
	require.ErrorIs(t, err, queue.ErrClosed)

	b.Ack()
	a.Nack()
	a, err = q.Lease(t.Context(), 9)
	require.NoError(t, err)
	require.Equal(t, []int{1}, a.Items())
	a.Nack()
	require.Equal(t, []int{1}, q.Drain())
	require.Zero(t, q.Len()+q.Leased())
}

func TestPushWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := filled(t, 1, 1)
		pushed := make(chan error, 1)
		go func() { pushed <- q.Push(t.Context(), 2) }()
		synctest.Wait()
		l := lease(t, q, 1, 1)
		synctest.Wait()
		require.Empty(t, pushed, "a lease makes no room")
		l.Ack()
		require.NoError(t, <-pushed)
		lease(t, q, 1, 2)
	})
}

func TestLeaseWaitsForAnItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := queue.New[int](2)
		leased := make(chan *queue.Lease[int], 1)
		consume := func() {
			l, _ := q.Lease(t.Context(), 5)
			leased <- l
		}
		go consume()
		synctest.Wait()
		require.Empty(t, leased)
		require.True(t, q.TryPush(1))
		l := <-leased
		go consume()
		synctest.Wait()
		require.Empty(t, leased)
		l.Nack()
		require.Equal(t, []int{1}, (<-leased).Items())
	})
}

// One Ack or one push can serve many that wait: all of them must wake.
func TestOneChangeWakesAllItServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := filled(t, 5, 5)
		l := lease(t, q, 5, 1, 2, 3, 4, 5)
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() { assert.NoError(t, q.Push(t.Context(), i)) })
		}
		synctest.Wait()
		l.Ack()
		wg.Wait()
		require.Equal(t, 5, q.Len())

		l = q.TryLease(5)
		for range 5 {
			wg.Go(func() {
				_, err := q.Lease(t.Context(), 1) // not settled: that would wake the next
				assert.NoError(t, err)
			})
		}
		synctest.Wait()
		l.Nack()
		wg.Wait()
		require.Equal(t, 5, q.Leased())
	})
}

func TestCloseWakesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, empty := filled(t, 1, 1), queue.New[int](1)
		errs := make(chan error, 6)
		for range 3 {
			go func() { errs <- full.Push(t.Context(), 2) }()
			go func() { _, err := empty.Lease(t.Context(), 1); errs <- err }()
		}
		synctest.Wait()
		require.Empty(t, errs)
		full.Close()
		empty.Close()
		for range 6 {
			require.ErrorIs(t, <-errs, queue.ErrClosed)
		}
	})
}

func TestContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		full, empty := filled(t, 1, 1), queue.New[int](1)
		start := time.Now()
		require.ErrorIs(t, full.Push(ctx, 2), context.DeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(start))

		// An ended context does nothing, even where nothing has to be waited for.
		_, err := full.Lease(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, empty.Push(ctx, 1), context.DeadlineExceeded)
		require.Equal(t, 1, full.Len())
		require.Equal(t, 0, empty.Len())
	})
}

// A waiter may be woken and find its context ended: the wake-up is then passed
// on to another one. Whether it comes to that is up to the scheduler, so it is
// tried many times.
func TestWakeUpIsNotLostWithAWaiterThatGivesUp(t *testing.T) {
	for name, c := range map[string]struct {
		before int // items in a queue of one
		wait   func(context.Context, *queue.Queue[int]) error
	}{
		"push":  {1, func(ctx context.Context, q *queue.Queue[int]) error { return q.Push(ctx, 2) }},
		"lease": {0, func(ctx context.Context, q *queue.Queue[int]) error { _, err := q.Lease(ctx, 1); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			for range 200 {
				synctest.Test(t, func(t *testing.T) {
					q := filled(t, 1, c.before)
					ctx, cancel := context.WithCancel(t.Context())
					quitter, patient := make(chan error, 1), make(chan error, 1)
					go func() { quitter <- c.wait(ctx, q) }()
					synctest.Wait() // the quitter is the first in line
					go func() { patient <- c.wait(t.Context(), q) }()
					synctest.Wait()
					if c.before == 1 {
						q.Drain()
					} else {
						q.TryPush(1)
					}
					cancel()
					if <-quitter == nil { // it was faster than cancel: wake once more
						q.Close()
					}
					synctest.Wait()
					require.Len(t, patient, 1)
				})
			}
		})
	}
}

func Example() {
	q := queue.New[string](100)
	for _, s := range []string{"a", "b", "c"} {
		q.TryPush(s)
	}
	first, second := q.TryLease(1), q.TryLease(1)
	second.Nack() // the send failed
	first.Nack()  // this one too, a little later
	q.Close()

	for {
		l, err := q.Lease(context.Background(), 2)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(l.Items())
		l.Ack()
	}
	// Output:
	// [a b]
	// [c]
	// queue: closed
}
