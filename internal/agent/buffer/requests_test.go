package buffer_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/buffer"
	"github.com/gometheus/gometheus/pkg/client"
)

func TestRequests(t *testing.T) {
	r := buffer.NewRequests(100)
	request := func(size, samples int) client.Batch { return client.RemoteWriteBatch(make([]byte, size), samples) }
	_, ok := r.Take()
	require.False(t, ok)

	require.Zero(t, r.Add(request(40, 1)))
	require.Zero(t, r.Add(request(60, 2)))
	require.Equal(t, 1, r.Add(request(30, 4)), "the oldest goes")
	require.True(t, r.Tight())
	requests, samples := r.Len()
	require.Equal(t, []int{2, 6}, []int{requests, samples})
	require.Equal(t, 6, r.Add(request(101, 8)), "one that is too large goes alone")
	require.Equal(t, 7, r.Dropped())

	b, ok := r.Take()
	require.True(t, ok)
	require.Equal(t, 8, b.Count)
	require.False(t, r.Tight())
	requests, samples = r.Len()
	require.Zero(t, requests+samples)

	for i := range 1000 {
		require.Zero(t, r.Add(request(50, i)))
		b, ok = r.Take()
		require.True(t, ok)
		require.Equal(t, i, b.Count)
	}
}
