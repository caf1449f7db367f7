package admission_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/admission"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.New(2)
		enter := func(bytes int) func() {
			leave, ok := g.Enter(t.Context(), bytes)
			require.True(t, ok)
			return leave
		}
		refused := func(bytes int) {
			start := time.Now()
			_, ok := g.Enter(t.Context(), bytes)
			require.False(t, ok)
			require.Equal(t, 500*time.Millisecond, time.Since(start))
		}
		first, second := enter(0), enter(1000)
		refused(10)
		// Large ones have places of their own. One that is larger than all places
		// takes them all.
		huge := enter(1 << 40)
		refused(256 << 10)
		huge()
		enter(256 << 10)()
		// Who waits gets the place as soon as it is free.
		go func() {
			time.Sleep(300 * time.Millisecond)
			first()
		}()
		start := time.Now()
		third := enter(1)
		require.Equal(t, 300*time.Millisecond, time.Since(start))
		refused(1)
		second()
		third()
		enter(1)()
	})
}

func TestNoGate(t *testing.T) {
	var g *admission.Gate
	leave, ok := g.Enter(t.Context(), 1<<40)
	require.True(t, ok)
	leave()
}
