package spool

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/client"
)

// FuzzParseRecord: no bytes make it panic, and what it takes it would write
// itself.
func FuzzParseRecord(f *testing.F) {
	r := record{first: 300, base: 17, at: stamp{clock: 1 << 40, wall: -5}, producer: "P-1", n: 2}
	f.Add(appendRecord(nil, r, []client.Batch{{Body: []byte("one"), Count: 200}, {Body: []byte{}, ContentEncoding: "gzip"}}))
	f.Add(appendRecord(nil, r, []client.Batch{{Body: []byte("one"), Count: 1}, client.RemoteWriteBatch([]byte("two"), 2)}))
	f.Add([]byte{})
	f.Add([]byte{1, 1, 0, 0, 0, 0, 200})
	f.Fuzz(func(t *testing.T, data []byte) {
		var batches []client.Batch
		r, err := parseRecord(bytes.Clone(data), func(_ uint64, b client.Batch) {
			batches = append(batches, b)
		})
		if err != nil {
			return
		}
		require.Len(t, batches, r.n)
		again := appendRecord(nil, r, batches)
		r2, err := parseRecord(again, func(n uint64, b client.Batch) {
			require.Equal(t, batches[n-r.first], b)
		})
		require.NoError(t, err)
		require.Equal(t, r, r2)
	})
}

// TestRecordVersions: an older agent reads what holds nothing that it doesn't
// know.
func TestRecordVersions(t *testing.T) {
	r := record{first: 1, producer: "P", n: 1}
	require.Equal(t, byte(1), appendRecord(nil, r, []client.Batch{{Body: []byte("x"), ContentEncoding: "gzip"}})[0])
	require.Equal(t, byte(2), appendRecord(nil, r, []client.Batch{client.RemoteWriteBatch([]byte("x"), 1)})[0])
}

// FuzzDecodeNote: as FuzzParseRecord for acks.
func FuzzDecodeNote(f *testing.F) {
	n := note{generation: 3, last: 2000, at: stamp{5, 6}}
	n.low = 1500
	n.add(1700)
	f.Add(n.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, ok := decodeNote(data); ok {
			require.Equal(t, data, n.encode())
		}
	})
}

// TestSettled compares the ring with a map.
func TestSettled(t *testing.T) {
	var s settled
	all := map[uint64]bool{}
	low := uint64(0)
	for i := range uint64(20_000) {
		n := low + 1 + (i*7919)%client.MaxAhead
		s.add(n)
		all[n] = true
		if i%3 == 0 {
			step := i % 7
			if i%3000 == 0 {
				step = 5000
			}
			for range step {
				low++
				all[low] = true
			}
			s.raise(low)
			s.raise(low - min(low, 5)) // never back
		}
		if i%97 == 0 {
			var open int64
			for n := low; n <= low+2*client.MaxAhead; n++ {
				want := n <= low || n <= low+client.MaxAhead && all[n]
				require.Equal(t, want, s.has(n), "%d above %d", n, low)
				if !want {
					open++
				}
			}
			require.Equal(t, open, s.open(low, low+2*client.MaxAhead))
		}
	}
}
