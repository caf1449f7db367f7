package mutex_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/pkg/mutex"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestKeysAreIndependentAndVanish(t *testing.T) {
	var m mutex.Keyed[string]
	a, b := m.Lock("a"), m.Lock("b")
	require.Equal(t, 2, m.Len())
	_, ok := m.TryLock("a")
	require.False(t, ok)
	a()
	require.Equal(t, 1, m.Len())
	a, ok = m.TryLock("a")
	require.True(t, ok)
	a()
	b()
	require.Zero(t, m.Len())
}

func TestUnlockTwiceDoesNothing(t *testing.T) {
	var m mutex.Keyed[string]
	for range 100 { // entries are used again, for this key and for others
		first := m.Lock("a")
		first()
		second, other := m.Lock("a"), m.Lock("b")
		first()
		_, ok := m.TryLock("a")
		require.False(t, ok, "the first holder's unlock must not open the second one's lock")
		_, ok = m.TryLock("b")
		require.False(t, ok)
		second()
		other()
		require.Zero(t, m.Len())
	}
}

func TestWaitersComeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mutex.Keyed[int]
		unlock := m.Lock(7)
		var order []int
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				defer m.Lock(7)()
				order = append(order, i)
			})
			synctest.Wait()
		}
		require.Equal(t, 1, m.Len())
		require.Empty(t, order)
		unlock()
		wg.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4}, order)
		require.Zero(t, m.Len())
	})
}

func TestLockContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mutex.Keyed[string]
		unlock, err := m.LockContext(t.Context(), "a")
		require.NoError(t, err)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		none, err := m.LockContext(ctx, "a")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		none()
		_, ok := m.TryLock("a")
		require.False(t, ok, "one that gave up must not open the lock")

		_, err = m.LockContext(ctx, "free")
		require.ErrorIs(t, err, context.DeadlineExceeded, "an ended context takes not even a free lock")
		unlock()
		require.Zero(t, m.Len())
	})
}

// A waiter that gives up leaves those behind it in their places.
func TestGivingUpInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m mutex.Keyed[string]
		unlock := m.Lock("a")
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp, got := make(chan error, 1), make(chan func(), 1)
		go func() { _, err := m.LockContext(ctx, "a"); gaveUp <- err }()
		synctest.Wait()
		go func() { got <- m.Lock("a") }()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-gaveUp, context.Canceled)
		unlock()
		(<-got)()
		require.Zero(t, m.Len())
	})
}

func TestLockAll(t *testing.T) {
	var m mutex.Keyed[string]
	mutex.LockAll(&m)()
	require.Zero(t, m.Len())

	keys := []string{"c", "a", "b", "a", "c"}
	unlock := mutex.LockAll(&m, keys...)
	require.Equal(t, []string{"c", "a", "b", "a", "c"}, keys)
	require.Equal(t, 3, m.Len())
	unlock()
	require.Zero(t, m.Len())

	again := mutex.LockAll(&m, "a", "b")
	unlock()
	require.Equal(t, 2, m.Len())
	again()
	mutex.LockAll(&m, "a")()
	require.Zero(t, m.Len())
}

// Overlapping sets in any order, beside single locks: none deadlocks, and each key
// has one holder at a time (the plain ints make the race detector say so).
func TestExclusion(t *testing.T) {
	const keys = 6
	var m mutex.Keyed[int]
	var counts [keys]int
	var wg sync.WaitGroup
	want := make(chan [keys]int, 8)
	for g := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 0))
			var mine [keys]int
			for range 500 {
				set := r.Perm(keys)[:1+r.IntN(4)]
				var unlock func()
				switch {
				case len(set) > 1:
					unlock = mutex.LockAll(&m, set...)
				case r.IntN(2) == 0:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(50))*time.Microsecond)
					var err error
					unlock, err = m.LockContext(ctx, set[0])
					cancel()
					if err != nil {
						continue
					}
				default:
					unlock = m.Lock(set[0])
				}
				for _, k := range set {
					counts[k]++
					mine[k]++
				}
				unlock()
			}
			want <- mine
		})
	}
	wg.Wait()
	close(want)
	var sum [keys]int
	for mine := range want {
		for k, n := range mine {
			sum[k] += n
		}
	}
	require.Equal(t, sum, counts)
	require.Zero(t, m.Len())
}

func Example() {
	var producers mutex.Keyed[string]
	unlock := producers.Lock("agent-1")
	_, ok := producers.TryLock("agent-1")
	fmt.Println(ok)
	unlock()

	unlock = mutex.LockAll(&producers, "agent-2", "agent-1", "agent-2")
	fmt.Println(producers.Len())
	unlock()
	fmt.Println(producers.Len())
	// Output:
	// false
	// 2
	// 0
}

func BenchmarkLock(b *testing.B) {
	var m mutex.Keyed[string]
	b.ReportAllocs()
	for b.Loop() {
		m.Lock("agent-1")()
	}
}

func BenchmarkLockAll(b *testing.B) {
	var m mutex.Keyed[int]
	keys := []int{5, 3, 9, 1}
	b.ReportAllocs()
	for b.Loop() {
		mutex.LockAll(&m, keys...)()
	}
}
