package queue_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/queue"
)

// model is the queue said in the simplest way: what waits is a sorted slice,
// because items are numbered as they are pushed.
type model struct {
	capacity int
	waiting  []int
	leases   [][]int
	closed   bool
	next     int
}

func (m *model) leased() (n int) {
	for _, l := range m.leases {
		n += len(l)
	}
	return n
}

func TestAgainstAModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		m := &model{capacity: 1 + r.IntN(30)}
		q := queue.New[int](m.capacity)
		var leases []*queue.Lease[int]
		for step := range 400 {
			switch op := r.IntN(100); {
			case op < 45:
				ok := !m.closed && len(m.waiting)+m.leased() < m.capacity
				require.Equal(t, ok, q.TryPush(m.next), "seed %d step %d", seed, step)
				if ok {
					m.waiting = append(m.waiting, m.next)
				}
				m.next++
			case op < 65:
				limit := r.IntN(6)
				n := min(max(limit, 1), len(m.waiting))
				l := q.TryLease(limit)
				require.Equal(t, n > 0, l != nil)
				if l == nil {
					break
				}
				require.Equal(t, m.waiting[:n], l.Items(), "seed %d step %d", seed, step)
				m.leases, leases = append(m.leases, slices.Clone(m.waiting[:n])), append(leases, l)
				m.waiting = slices.Clone(m.waiting[n:])
			case op < 98:
				if len(leases) == 0 {
					break
				}
				i := r.IntN(len(leases))
				if r.IntN(3) == 0 {
					leases[i].Ack()
				} else {
					leases[i].Nack()
					m.waiting = append(m.waiting, m.leases[i]...)
					slices.Sort(m.waiting)
				}
				m.leases, leases = slices.Delete(m.leases, i, i+1), slices.Delete(leases, i, i+1)
			case op < 99:
				require.Equal(t, append([]int{}, m.waiting...), q.Drain())
				m.waiting = nil
			case step > 300:
				q.Close()
				m.closed = true
			}
			require.Equal(t, len(m.waiting), q.Len(), "seed %d step %d", seed, step)
			require.Equal(t, m.leased(), q.Leased(), "seed %d step %d", seed, step)
		}
	}
}

// Producers and consumers at once, half of the leases nacked: every item is acked
// exactly once, and no more than the capacity is ever inside.
func TestEveryItemIsAckedOnce(t *testing.T) {
	const producers, consumers, each, capacity = 4, 4, 2000, 37
	q := queue.New[int](capacity)
	acked := make([]atomic.Int32, producers*each)
	var in, out sync.WaitGroup
	for p := range producers {
		in.Go(func() {
			for i := range each {
				assert.NoError(t, q.Push(t.Context(), p*each+i))
			}
		})
	}
	for c := range consumers {
		out.Go(func() {
			r := rand.New(rand.NewPCG(uint64(c), 1))
			for {
				l, err := q.Lease(t.Context(), 1+r.IntN(10))
				if errors.Is(err, queue.ErrClosed) {
					return
				}
				if !assert.NoError(t, err) || !assert.True(t, perProducerInOrder(l.Items(), each)) {
					return
				}
				if r.IntN(2) == 0 {
					l.Nack()
					continue
				}
				for _, v := range l.Items() {
					acked[v].Add(1)
				}
				l.Ack()
			}
		})
	}
	in.Wait()
	q.Close()
	out.Wait()
	// A consumer leaves when nothing waits, so another one's last nack can remain.
	for _, v := range q.Drain() {
		acked[v].Add(1)
	}
	for v := range acked {
		require.EqualValues(t, 1, acked[v].Load(), "item %d", v)
	}
	require.Zero(t, q.Leased())
}

func perProducerInOrder(items []int, each int) bool {
	last := map[int]int{}
	for _, v := range items {
		p := v / each
		if before, ok := last[p]; ok && before >= v {
			return false
		}
		last[p] = v
	}
	return true
}

func BenchmarkPushLeaseAck(b *testing.B) {
	q := queue.New[int](1000)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		for i := range 200 {
			q.TryPush(i)
		}
		l := q.TryLease(200)
		n += len(l.Items())
		l.Ack()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/item")
}

// The worst case of a nack: its items stand before all that was returned.
func BenchmarkNack(b *testing.B) {
	q := queue.New[int](10_000)
	for i := range 10_000 {
		q.TryPush(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		first, rest := q.TryLease(200), q.TryLease(9_000)
		rest.Nack()
		first.Nack()
	}
}
