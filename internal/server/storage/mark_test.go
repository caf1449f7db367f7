package storage_test

import (
	"encoding"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/storage"
)

// model is a Window that remembers everything.
type model struct {
	applied map[uint64]bool
	highest uint64
	any     bool
}

// Applied: what was applied, and what lies below the WindowSize numbers below
// the highest.
func (m *model) Applied(seq uint64) bool {
	if !m.any || seq > m.highest {
		return false
	}
	return m.applied[seq] || m.highest-seq > storage.WindowSize
}

func (m *model) Apply(seq uint64) {
	m.applied[seq] = true
	m.highest, m.any = max(m.highest, seq), true
}

func TestMarkIsZero(t *testing.T) {
	require.True(t, storage.Mark{}.IsZero())
	require.False(t, storage.Mark{Producer: "=x"}.IsZero())
	require.False(t, storage.Mark{Producer: "#x", Sequence: 1}.IsZero())
}

func TestWindowZero(t *testing.T) {
	var w storage.Window
	for _, seq := range []uint64{0, 1, storage.WindowSize, math.MaxInt64, math.MaxUint64} {
		require.False(t, w.Applied(seq))
	}
}

func TestWindowEdges(t *testing.T) {
	const size = storage.WindowSize
	for _, first := range []uint64{0, 1, 63, 64, size - 1, size, size + 1, 10*size + 17, math.MaxInt64} {
		for _, leap := range []uint64{1, 2, 63, 64, 65, size - 1, size, size + 1, 3 * size} {
			if first > math.MaxInt64-leap && first != math.MaxInt64 {
				continue
			}
			t.Run(fmt.Sprintf("%d then %d further", first, leap), func(t *testing.T) {
				var w storage.Window
				m := model{applied: map[uint64]bool{}}
				for _, seq := range []uint64{first, first + leap} {
					require.False(t, w.Applied(seq))
					w.Apply(seq)
					m.Apply(seq)
					require.True(t, w.Applied(seq))
					requireSame(t, &w, &m)
				}
			})
		}
	}
}

// requireSame compares window and model around everything that matters.
func requireSame(t *testing.T, w *storage.Window, m *model) {
	t.Helper()
	low := uint64(0)
	if m.highest > 2*storage.WindowSize+100 {
		low = m.highest - 2*storage.WindowSize - 100
	}
	for seq := low; seq <= m.highest+2*storage.WindowSize+100; seq++ {
		if w.Applied(seq) != m.Applied(seq) {
			require.Equal(t, m.Applied(seq), w.Applied(seq), "%d, the highest is %d", seq, m.highest)
		}
	}
	for _, seq := range []uint64{0, 1, m.highest / 2, math.MaxInt64, math.MaxUint64 - 1, math.MaxUint64} {
		require.Equal(t, m.Applied(seq), w.Applied(seq), "%d, the highest is %d", seq, m.highest)
	}
}

// TestWindowAgainstModel applies random sequences with steps, gaps, late ones,
// and leaps beyond the window, and stores and loads the window now and then.
func TestWindowAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			var w storage.Window
			m := model{applied: map[uint64]bool{}}
			next := rng.Uint64N(3)
			if seed%3 == 0 {
				next = rng.Uint64N(math.MaxInt64 / 2)
			}
			for step := range 400 {
				seq := next
				switch n := rng.IntN(100); {
				case n < 50: // one after the other
				case n < 70: // a gap
					seq += rng.Uint64N(100)
				case n < 90: // a late one, or one again
					seq -= min(seq, rng.Uint64N(storage.WindowSize+50))
				case n < 95: // about the size of the window
					seq += storage.WindowSize - 3 + rng.Uint64N(6)
				case n < 98:
					seq += rng.Uint64N(10 * storage.WindowSize)
				default:
					seq += rng.Uint64N(1 << 40)
				}
				next = max(next, seq+1)
				require.Equal(t, m.Applied(seq), w.Applied(seq), "%d, the highest is %d", seq, m.highest)
				if !m.Applied(seq) { // as a storage does
					w.Apply(seq)
					m.Apply(seq)
				}
				if step%40 == 39 {
					requireSame(t, &w, &m)
					w = reload(t, &w)
					requireSame(t, &w, &m)
				}
			}
		})
	}
}

// TestWindowOutOfOrder: whatever the order of the highest and a window's worth
// of numbers below it, each is new once.
func TestWindowOutOfOrder(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 2))
		start := 1 + rng.Uint64N(1<<50)
		var w storage.Window
		for _, i := range rng.Perm(storage.WindowSize + 1) {
			require.False(t, w.Applied(start+uint64(i)))
			w.Apply(start + uint64(i))
		}
		for i := range uint64(storage.WindowSize + 1) {
			require.True(t, w.Applied(start+i))
		}
		require.False(t, w.Applied(start+storage.WindowSize+1))
	}
}

// TestWindowKeepsThePromise: a sender that never runs more than 1,024 ahead of
// its oldest unacknowledged batch (DESIGN §5) is never told that this batch was
// applied when it was not.
func TestWindowKeepsThePromise(t *testing.T) {
	const ahead = 1024
	for _, oldest := range []uint64{1, 2, 1000, 1 << 40} {
		var w storage.Window
		for seq := oldest + 1; seq <= oldest+ahead; seq++ {
			require.False(t, w.Applied(seq))
			w.Apply(seq)
		}
		require.False(t, w.Applied(oldest), "%d is the oldest unacknowledged, %d the newest sent", oldest, oldest+ahead)
	}
}

func reload(t *testing.T, w *storage.Window) storage.Window {
	t.Helper()
	b, err := w.MarshalBinary()
	require.NoError(t, err)
	require.Len(t, b, 8+storage.WindowSize/8)
	var out storage.Window
	require.NoError(t, out.UnmarshalBinary(b))
	require.Equal(t, *w, out)
	return out
}

func TestWindowBinary(t *testing.T) {
	var (
		_ encoding.BinaryMarshaler   = (*storage.Window)(nil)
		_ encoding.BinaryUnmarshaler = (*storage.Window)(nil)
	)
	var w storage.Window
	require.Equal(t, storage.Window{}, reload(t, &w))
	for _, seq := range []uint64{1, 2, 500, 1024, 1025, math.MaxInt64} {
		w.Apply(seq)
		loaded := reload(t, &w)
		require.True(t, loaded.Applied(seq))
	}
	whole, err := w.MarshalBinary()
	require.NoError(t, err)
	for n := range whole {
		before := w
		require.Error(t, w.UnmarshalBinary(whole[:n]))
		require.Equal(t, before, w, "a refused form changes nothing")
	}
	require.Error(t, w.UnmarshalBinary(append(whole, 0)))
	require.Error(t, w.UnmarshalBinary(nil))
	// What is loaded doesn't share memory with its bytes.
	var loaded storage.Window
	require.NoError(t, loaded.UnmarshalBinary(whole))
	clear(whole)
	require.Equal(t, w, loaded)
}
