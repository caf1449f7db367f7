package generator_test

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/pkg/generator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const s = time.Second

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name     string
		interval time.Duration
		first    bool
		body     []time.Duration // how long the n-th call of the body takes
		want     []time.Duration // until the context ends at 35 s
	}{
		{"after each interval", 10 * s, false, nil, []time.Duration{10 * s, 20 * s, 30 * s}},
		{"first at once", 10 * s, true, nil, []time.Duration{0, 10 * s, 20 * s, 30 * s}},
		{"the body's time makes no drift", 10 * s, true, []time.Duration{3 * s, 4 * s}, []time.Duration{0, 10 * s, 20 * s, 30 * s}},
		{"missed ticks don't pile up", 10 * s, true, []time.Duration{25 * s}, []time.Duration{0, 25 * s, 30 * s}},
		{"zero never ticks", 0, false, nil, nil},
		{"negative never ticks", -s, true, nil, []time.Duration{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 35*s)
				defer cancel()
				start := time.Now()
				var got []time.Duration
				for now := range generator.Ticks(ctx, c.interval, c.first) {
					require.Equal(t, time.Now(), now)
					got = append(got, now.Sub(start))
					if n := len(got); n <= len(c.body) {
						<-time.After(c.body[n-1])
					}
				}
				require.Equal(t, c.want, got)
				require.Error(t, ctx.Err())
			})
		})
	}
}

// When the body is over, both the end of ctx and a tick are there.
func TestTicksPreferTheEnd(t *testing.T) {
	for range 50 { // a select would be right half of the time
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 15*s)
			defer cancel()
			n := 0
			for range generator.Ticks(ctx, 10*s, false) {
				n++
				<-time.After(20 * s)
			}
			require.Equal(t, 1, n)
		})
	}
}

func TestTicksOfAnEndedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Empty(t, slices.Collect(generator.Ticks(ctx, time.Nanosecond, true)))
}

func TestTicksBreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, first := range []bool{true, false} {
			n := 0
			for range generator.Ticks(t.Context(), s, first) {
				n++
				break
			}
			require.Equal(t, 1, n)
		}
	})
}

func take[T any](seq iter.Seq[T], n int) (out []T) {
	for v := range seq {
		if out = append(out, v); len(out) == n {
			break
		}
	}
	return out
}

func TestCount(t *testing.T) {
	require.Equal(t, []int{5, 7, 9}, take(generator.Count(5, 2), 3))
	require.Equal(t, []int{1, 0, -1}, take(generator.Count(1, -1), 3))
	require.Equal(t, []uint{3, 3}, take(generator.Count[uint](3, 0), 2))
	require.Equal(t, []uint64{math.MaxUint64 - 1, math.MaxUint64}, take(generator.Count[uint64](math.MaxUint64-1, 1), 9))
	require.Equal(t, []int8{100, 120}, take(generator.Count[int8](100, 20), 9))
	require.Equal(t, []int8{-100, -120}, take(generator.Count[int8](-100, -20), 9))

	again := generator.Count(1, 1)
	first, second := take(again, 3), take(again, 3)
	require.Equal(t, first, second)
}

func TestChanEndsWithTheSequence(t *testing.T) {
	c, wait := generator.Chan(t.Context(), slices.Values([]int{1, 2, 3}), 1)
	var got []int
	for v := range c {
		got = append(got, v)
	}
	require.Equal(t, []int{1, 2, 3}, got)
	wait()
	wait()
}

func TestChanEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, buffer := range []int{-1, 0, 3} {
			ctx, cancel := context.WithCancel(t.Context())
			yielded := 0
			c, wait := generator.Chan(ctx, func(yield func(int) bool) {
				for v := range generator.Count(1, 1) {
					yielded++
					if !yield(v) {
						return
					}
				}
			}, buffer)
			require.Equal(t, 1, <-c)
			synctest.Wait()
			require.Equal(t, max(buffer, 0)+2, yielded, "the sequence runs no further than the buffer")
			cancel() // nobody reads: the goroutine sits in its send
			wait()
			require.Len(t, slices.Collect(seqOf(c)), max(buffer, 0), "what is buffered can still be read, then the channel is closed")
		}
	})
}

func seqOf[T any](c <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range c {
			if !yield(v) {
				return
			}
		}
	}
}

func TestChanOfAnEndedContextSendsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, wait := generator.Chan(ctx, generator.Count(1, 1), 100)
	wait()
	require.Empty(t, c)
}

// The buffer has room, but what comes after the end of ctx isn't sent.
func TestChanSendsNothingAfterTheContextEnded(t *testing.T) {
	for range 50 { // a select would be right half of the time
		ctx, cancel := context.WithCancel(t.Context())
		c, wait := generator.Chan(ctx, func(yield func(int) bool) {
			if yield(1) {
				cancel()
				yield(2)
			}
		}, 9)
		wait()
		require.Equal(t, []int{1}, slices.Collect(seqOf(c)))
	}
}

func TestChanOfTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 35*s)
		defer cancel()
		c, wait := generator.Chan(ctx, generator.Ticks(ctx, 10*s, false), 0)
		n := 0
		for range c {
			n++
		}
		wait()
		require.Equal(t, 3, n)
	})
}

func ExampleTicks() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n := 0
	for range generator.Ticks(ctx, time.Millisecond, true) {
		if n++; n == 3 {
			cancel()
		}
	}
	fmt.Println(n)
	// Output: 3
}

func ExampleChan() {
	ctx, cancel := context.WithCancel(context.Background())
	numbers, wait := generator.Chan(ctx, generator.Count(10, 5), 0)
	fmt.Println(<-numbers, <-numbers, <-numbers)
	cancel()
	wait()
	// Output: 10 15 20
}

func BenchmarkChan(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, wait := generator.Chan(ctx, generator.Count(0, 1), 64)
	b.ReportAllocs()
	for b.Loop() {
		<-c
	}
	cancel()
	wait()
}
