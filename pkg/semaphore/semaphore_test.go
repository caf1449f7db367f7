package semaphore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/pkg/semaphore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAcquireAndRelease(t *testing.T) {
	s := semaphore.New(10)
	seven, err := s.Acquire(t.Context(), 7)
	require.NoError(t, err)
	require.EqualValues(t, 7, s.InUse())

	release, ok := s.TryAcquire(4)
	require.False(t, ok)
	release() // does nothing
	three, ok := s.TryAcquire(3)
	require.True(t, ok)
	require.EqualValues(t, 10, s.InUse())

	seven()
	seven()
	require.EqualValues(t, 3, s.InUse(), "release is idempotent")
	_, ok = s.TryAcquire(8)
	require.False(t, ok, "the second release freed nothing")
	three()
	require.Zero(t, s.InUse())
	require.EqualValues(t, 10, s.Size())
}

func TestImpossibleWeightsFailAtOnce(t *testing.T) {
	for _, c := range []struct {
		size, n int64
		err     string
	}{
		{10, 11, "semaphore: weight out of range: 11 of 10"},
		{10, -1, "semaphore: weight out of range: -1 of 10"},
		{-3, 1, "semaphore: weight out of range: 1 of 0"},
	} {
		s := semaphore.New(c.size)
		release, err := s.Acquire(t.Context(), c.n)
		require.ErrorIs(t, err, semaphore.ErrWeight)
		require.EqualError(t, err, c.err)
		release()
		_, ok := s.TryAcquire(c.n)
		require.False(t, ok)
		require.Zero(t, s.InUse())
	}
}

func TestWaitersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := semaphore.New(3)
		release, err := s.Acquire(t.Context(), 2)
		require.NoError(t, err)
		var order []string
		var wg sync.WaitGroup
		for _, w := range []struct {
			name string
			n    int64
		}{{"large", 3}, {"small", 1}} {
			wg.Go(func() {
				release, err := s.Acquire(t.Context(), w.n)
				assert.NoError(t, err)
				order = append(order, w.name)
				release()
			})
			synctest.Wait()
		}
		require.Empty(t, order, "small has room but stands behind large")
		_, ok := s.TryAcquire(1)
		require.False(t, ok)
		release()
		wg.Wait()
		require.Equal(t, []string{"large", "small"}, order)
	})
}

func TestContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := semaphore.New(1)
		release, err := s.Acquire(t.Context(), 1)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		none, err := s.Acquire(ctx, 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		none()
		require.EqualValues(t, 1, s.InUse())
		release()
		require.Zero(t, s.InUse())
	})
}

func TestNeverMoreThanTheSize(t *testing.T) {
	const size = 7
	s := semaphore.New(size)
	var held atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				n := 1 + rand.Int64N(size)
				release, err := s.Acquire(t.Context(), n)
				if err != nil || held.Add(n) > size || s.InUse() > size {
					t.Errorf("acquire %d: %v, in use %d", n, err, s.InUse())
				}
				held.Add(-n)
				release()
			}
		})
	}
	wg.Wait()
	require.Zero(t, s.InUse())
}

func Example() {
	bytes := semaphore.New(1 << 20)
	release, err := bytes.Acquire(context.Background(), 64<<10)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer release()
	fmt.Println(bytes.InUse(), "of", bytes.Size())
	_, err = bytes.Acquire(context.Background(), 2<<20)
	fmt.Println(err)
	// Output:
	// 65536 of 1048576
	// semaphore: weight out of range: 2097152 of 1048576
}

func BenchmarkAcquire(b *testing.B) {
	s := semaphore.New(10)
	b.ReportAllocs()
	for b.Loop() {
		release, err := s.Acquire(context.Background(), 1)
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}
