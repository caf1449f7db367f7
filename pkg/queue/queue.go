// Package queue is a bounded FIFO queue in memory whose consumers lease items
// and then ack or nack them.
//
// # Order
//
// Items stand in the order in which the pushes took effect. A lease takes the
// oldest that wait, so its items are in that order, though not always
// neighbours: what another consumer holds is left out. A nack puts items back
// at the place they had, whichever order the leases are nacked in. Among callers
// that wait (in [Queue.Push] or [Queue.Lease]) no order is promised.
//
// # Room and back-pressure
//
// The capacity counts items that wait and items that are leased, so a nack
// always finds room and never blocks, and a consumer that is stuck stops the
// producers rather than growing the memory. Room appears on [Lease.Ack] and
// [Queue.Drain] only. Push waits for room, TryPush does not; who would rather
// lose the oldest leases and acks it.
//
// # Ownership
//
// A pushed item belongs to the queue, a leased one to the consumer until it is
// nacked. A lease has no timeout: whoever takes one settles it. A nacked item can
// be leased again at once; the pause between tries is the consumer's.
//
// Compared with a channel: what was received can be given back, many items are
// taken at once, and at shutdown what is left can be counted. Compared with the
// journal: nothing survives the process.
package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrClosed is returned by a push after Close, and by a lease when nothing waits
// any more.
var ErrClosed = errors.New("queue: closed")

// Queue holds items for any number of producers and consumers. Make it with
// [New].
type Queue[T any] struct {
	capacity int

	// Each channel holds at most one token, which says that there may be room (or
	// an item) for one who waits. Whoever leaves some behind passes the token on,
	// so none sleeps beside what it waits for, and only one is woken at a time.
	room, items chan struct{}
	closed      chan struct{} // closed by Close under mu

	mu sync.Mutex // guards all below, and the state of every Lease
	// What waits is returned, then fresh: whatever was leased once is older than
	// all that never was.
	returned []entry[T] // nacked, by seq
	fresh    ring[T]    // never leased, by seq
	seq      uint64     // of the newest item
	leased   int
}

type entry[T any] struct {
	seq uint64
	v   T
}

// New returns an empty queue for capacity items, at least 1. The memory grows
// with what is pushed.
func New[T any](capacity int) *Queue[T] {
	return &Queue[T]{
		capacity: max(capacity, 1),
		room:     make(chan struct{}, 1),
		items:    make(chan struct{}, 1),
		closed:   make(chan struct{}),
	}
}

// TryPush appends v and reports whether it did: not when the queue is full or
// closed.
func (q *Queue[T]) TryPush(v T) bool {
	ok, err := q.tryPush(v)
	return ok && err == nil
}

// Push appends v, and waits for room. The error is ErrClosed or ctx.Err(); v is
// not in the queue then.
func (q *Queue[T]) Push(ctx context.Context, v T) error {
	for {
		if err := ctx.Err(); err != nil {
			q.wake()
			return err
		}
		if ok, err := q.tryPush(v); ok || err != nil {
			return err
		}
		select {
		case <-q.room:
		case <-q.closed:
		case <-ctx.Done():
		}
	}
}

func (q *Queue[T]) tryPush(v T) (bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.isClosedLocked() {
		return false, ErrClosed
	}
	if q.lenLocked()+q.leased >= q.capacity {
		return false, nil
	}
	q.seq++
	q.fresh.push(entry[T]{q.seq, v})
	q.wakeLocked()
	return true, nil
}

// Lease takes up to limit items (at least 1), oldest first, and waits until
// there is one. The error is ctx.Err(), or ErrClosed when the queue is closed and
// nothing waits: a later nack by another consumer makes it succeed again.
func (q *Queue[T]) Lease(ctx context.Context, limit int) (*Lease[T], error) {
	for {
		if err := ctx.Err(); err != nil {
			q.wake()
			return nil, err
		}
		l, closed := q.lease(limit)
		if l != nil {
			return l, nil
		}
		if closed {
			return nil, ErrClosed
		}
		select {
		case <-q.items:
		case <-q.closed:
		case <-ctx.Done():
		}
	}
}

// TryLease is Lease without waiting; nil when nothing waits.
func (q *Queue[T]) TryLease(limit int) *Lease[T] {
	l, _ := q.lease(limit)
	return l
}

func (q *Queue[T]) lease(limit int) (l *Lease[T], closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(max(limit, 1), q.lenLocked())
	if n == 0 {
		return nil, q.isClosedLocked()
	}
	l = &Lease[T]{q: q, items: make([]T, 0, n), seqs: make([]uint64, 0, n)}
	q.takeLocked(n, func(e entry[T]) {
		l.items = append(l.items, e.v)
		l.seqs = append(l.seqs, e.seq)
	})
	q.leased += n
	q.wakeLocked()
	return l, false
}

// Drain takes everything that waits, oldest first, and frees its room. Items
// that are leased stay so.
func (q *Queue[T]) Drain() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.lenLocked()
	out := make([]T, 0, n)
	q.takeLocked(n, func(e entry[T]) { out = append(out, e.v) })
	q.wakeLocked()
	return out
}

// Close lets nothing more in and wakes all that wait. What is in the queue can
// still be leased, acked, nacked and drained. Closing twice does nothing.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.isClosedLocked() {
		close(q.closed)
	}
}

// Len is the number of items that wait.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.lenLocked()
}

// Leased is the number of items in leases that are not settled yet.
func (q *Queue[T]) Leased() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.leased
}

// Cap is the number of items, waiting and leased, that the queue holds at most.
func (q *Queue[T]) Cap() int { return q.capacity }

func (q *Queue[T]) lenLocked() int { return len(q.returned) + q.fresh.len() }

func (q *Queue[T]) isClosedLocked() bool {
	select {
	case <-q.closed:
		return true
	default:
		return false
	}
}

// takeLocked removes the n oldest items, which must be there.
func (q *Queue[T]) takeLocked(n int, f func(entry[T])) {
	k := min(n, len(q.returned))
	for _, e := range q.returned[:k] {
		f(e)
	}
	q.returned = slices.Delete(q.returned, 0, k)
	for range n - k {
		f(q.fresh.pop())
	}
}

// wake passes on the token that a waiter may have taken before it gave up.
func (q *Queue[T]) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wakeLocked()
}

// wakeLocked is called after every change: it leaves a token for whom there is
// something.
func (q *Queue[T]) wakeLocked() {
	if q.lenLocked() > 0 {
		offer(q.items)
	}
	if q.lenLocked()+q.leased < q.capacity {
		offer(q.room)
	}
}

func offer(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
