package retry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/pkg/retry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("down")

const s = time.Second

// calls runs Do on a function that returns errs one after another, the last one
// for ever, and returns the times of its calls since the start.
func calls(ctx context.Context, p retry.Policy, errs ...error) ([]time.Duration, error) {
	start := time.Now()
	var at []time.Duration
	err := retry.Do(ctx, p, func(context.Context) error {
		at = append(at, time.Since(start))
		return errs[min(len(at), len(errs))-1]
	})
	return at, err
}

func TestWhenItCalls(t *testing.T) {
	for _, c := range []struct {
		name   string
		policy retry.Policy
		errs   []error
		want   []time.Duration
		err    string
	}{
		{"success at once", retry.Policy{}, []error{nil}, []time.Duration{0}, ""},
		{"success later", retry.Policy{Initial: s}, []error{errDown, errDown, nil}, []time.Duration{0, s, 3 * s}, ""},
		{"exponential up to max", retry.Policy{Initial: s, Max: 5 * s, Multiplier: 3, Attempts: 5}, []error{errDown}, []time.Duration{0, s, 4 * s, 9 * s, 14 * s}, "gave up after 5 attempts: down"},
		{"initial above max", retry.Policy{Initial: 9 * s, Max: 2 * s, Attempts: 3}, []error{errDown}, []time.Duration{0, 2 * s, 4 * s}, "gave up after 3 attempts: down"},
		{"constant", retry.Policy{Initial: s, Multiplier: 1, Attempts: 4}, []error{errDown}, []time.Duration{0, s, 2 * s, 3 * s}, "gave up after 4 attempts: down"},
		{"zero policy grows as the default", retry.Policy{Attempts: 3}, []error{errDown}, []time.Duration{0, s / 2, 3 * s / 2}, "gave up after 3 attempts: down"},
		{"delays", retry.Policy{Delays: []time.Duration{s, 3 * s, 5 * s}}, []error{errDown}, []time.Duration{0, s, 4 * s, 9 * s}, "gave up after 4 attempts: down"},
		{"delays override the exponential", retry.Policy{Initial: 7 * s, Delays: []time.Duration{s}}, []error{errDown}, []time.Duration{0, s}, "gave up after 2 attempts: down"},
		{"attempts end delays", retry.Policy{Attempts: 2, Delays: []time.Duration{s, s, s}}, []error{errDown}, []time.Duration{0, s}, "gave up after 2 attempts: down"},
		{"one attempt returns the error as it is", retry.Policy{Attempts: 1}, []error{errDown}, []time.Duration{0}, "down"},
		{"a negative delay is none", retry.Policy{Delays: []time.Duration{-s, s}}, []error{errDown}, []time.Duration{0, 0, s}, "gave up after 3 attempts: down"},
		{"permanent", retry.Policy{Initial: s}, []error{errDown, retry.Permanent(errDown)}, []time.Duration{0, s}, "down"},
		{"permanent deep inside", retry.Policy{Initial: s}, []error{fmt.Errorf("push: %w", retry.Permanent(errDown))}, []time.Duration{0}, "push: down"},
		{"after is a lower bound", retry.Policy{Initial: s}, []error{retry.After(errDown, 10*s), nil}, []time.Duration{0, 10 * s}, ""},
		{"after below the policy's wait", retry.Policy{Initial: 4 * s}, []error{retry.After(errDown, s), nil}, []time.Duration{0, 4 * s}, ""},
		{"after keeps the growth and holds once", retry.Policy{Initial: s}, []error{errDown, fmt.Errorf("x: %w", retry.After(errDown, 10*s)), errDown, nil}, []time.Duration{0, s, 11 * s, 15 * s}, ""},
		{"after does not add an attempt", retry.Policy{Delays: []time.Duration{s}}, []error{retry.After(errDown, 2*s)}, []time.Duration{0, 2 * s}, "gave up after 2 attempts: down"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at, err := calls(t.Context(), c.policy, c.errs...)
				require.Equal(t, c.want, at)
				if c.err == "" {
					require.NoError(t, err)
					return
				}
				require.EqualError(t, err, c.err)
				require.ErrorIs(t, err, errDown)
			})
		})
	}
}

func TestJitterStaysInItsRangeAndVaries(t *testing.T) {
	for name, p := range map[string]retry.Policy{
		"exponential": {Initial: 10 * s, Multiplier: 1, Jitter: 0.2, Attempts: 200},
		"delays":      {Delays: slices.Repeat([]time.Duration{10 * s}, 199), Jitter: 0.2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				waits := map[time.Duration]bool{}
				p.Notify = func(_ error, next time.Duration) {
					require.InDelta(t, 10*s, next, float64(2*s))
					waits[next] = true
				}
				_, err := calls(t.Context(), p, errDown)
				require.ErrorIs(t, err, errDown)
				require.Greater(t, len(waits), 100)
			})
		})
	}
}

// The library under Do gives up after 15 minutes unless told not to.
func TestDefaultGoesOnForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
		defer cancel()
		at, err := calls(ctx, retry.Default(), errDown)
		require.ErrorIs(t, err, errDown)
		require.Greater(t, at[len(at)-1], 9*time.Hour)
	})
}

func TestContextEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(90*s, func() { cancel(cause) })
		start := time.Now()
		_, err := calls(ctx, retry.Policy{Initial: time.Minute, Max: time.Hour}, errDown)
		require.Equal(t, 90*s, time.Since(start))
		require.ErrorIs(t, err, cause)
		require.ErrorIs(t, err, errDown)
		require.EqualError(t, err, "stopped after 2 attempts: shutting down: down")
	})
}

func TestContextEndsDuringTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), s)
		defer cancel()
		n := 0
		err := retry.Do(ctx, retry.Policy{}, func(ctx context.Context) error {
			n++
			<-ctx.Done()
			return fmt.Errorf("read: %w", ctx.Err())
		})
		require.Equal(t, 1, n)
		require.EqualError(t, err, "read: context deadline exceeded")
	})
}

func TestEndedContextCallsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	at, err := calls(ctx, retry.Policy{}, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, at)
}

func TestNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		p := retry.Policy{Delays: []time.Duration{s, 3 * s}, Notify: func(err error, next time.Duration) {
			got = append(got, fmt.Sprint(err, " ", next))
		}}
		_, err := calls(t.Context(), p, errDown, retry.After(errDown, 7*s), errDown)
		require.ErrorIs(t, err, errDown)
		require.Equal(t, []string{"down 1s", "down 7s"}, got)
	})
}

// listError can't be compared with ==.
type listError []string

func (e listError) Error() string { return e[0] }

func TestErrorsThatCannotBeCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := calls(t.Context(), retry.Policy{Attempts: 2}, listError{"bad"})
		require.EqualError(t, err, "gave up after 2 attempts: bad")
	})
}

func TestMarksOfNil(t *testing.T) {
	require.NoError(t, retry.Permanent(nil))
	require.NoError(t, retry.After(nil, s))
}

func TestPermanentReachesAnOuterDo(t *testing.T) {
	n := 0
	err := retry.Do(t.Context(), retry.Policy{}, func(ctx context.Context) error {
		return retry.Do(ctx, retry.Policy{}, func(context.Context) error {
			n++
			return retry.Permanent(errDown)
		})
	})
	require.ErrorIs(t, err, errDown)
	require.Equal(t, 1, n)
}

func Example() {
	policy := retry.Policy{Delays: []time.Duration{time.Millisecond, 3 * time.Millisecond, 5 * time.Millisecond}}
	policy.Notify = func(err error, next time.Duration) { fmt.Println(err, "- again in", next) }
	n := 0
	err := retry.Do(context.Background(), policy, func(context.Context) error {
		if n++; n < 3 {
			return errors.New("503")
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// 503 - again in 1ms
	// 503 - again in 3ms
	// <nil>
}
