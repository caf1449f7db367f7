package queue

import "slices"

// Lease is a batch of items that one consumer holds. Its methods may be called
// from any goroutine; the first of Ack and Nack counts, further ones do nothing.
type Lease[T any] struct {
	q       *Queue[T]
	items   []T
	seqs    []uint64 // of items, ascending
	settled bool     // guarded by q.mu
}

// Items returns the leased items, oldest first. The slice is the lease's own: it
// is not to be changed, nor used after Nack.
func (l *Lease[T]) Items() []T { return l.items }

// Ack forgets the items for good and frees their room.
func (l *Lease[T]) Ack() {
	q := l.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.settled {
		return
	}
	l.settled = true
	q.leased -= len(l.items)
	q.wakeLocked()
}

// Nack puts the items back at the place they had. It never blocks.
func (l *Lease[T]) Nack() {
	q := l.q
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.settled {
		return
	}
	l.settled = true
	q.leased -= len(l.items)
	q.giveBackLocked(l)
	q.wakeLocked()
}

// giveBackLocked merges the lease into returned, from the back so that nothing
// but the items above the insertion moves. Leases nacked newest first or oldest
// first are the usual case, and cost one copy.
func (q *Queue[T]) giveBackLocked(l *Lease[T]) {
	n := len(l.items)
	i, j := len(q.returned)-1, n-1
	q.returned = slices.Grow(q.returned, n)[:len(q.returned)+n]
	for k := len(q.returned) - 1; j >= 0; k-- {
		if i >= 0 && q.returned[i].seq > l.seqs[j] {
			q.returned[k] = q.returned[i]
			i--
			continue
		}
		q.returned[k] = entry[T]{l.seqs[j], l.items[j]}
		j--
	}
}

// ring is a FIFO that grows by doubling and forgets what is popped, so that the
// garbage collector gets it.
type ring[T any] struct {
	buf  []entry[T]
	head int
	n    int
}

func (r *ring[T]) len() int { return r.n }

func (r *ring[T]) push(e entry[T]) {
	if r.n == len(r.buf) {
		buf := make([]entry[T], max(2*r.n, 16))
		k := copy(buf, r.buf[r.head:])
		copy(buf[k:], r.buf[:r.head])
		r.buf, r.head = buf, 0
	}
	r.buf[(r.head+r.n)%len(r.buf)] = e
	r.n++
}

func (r *ring[T]) pop() entry[T] {
	e := r.buf[r.head]
	r.buf[r.head] = entry[T]{}
	r.head = (r.head + 1) % len(r.buf)
	r.n--
	return e
}
