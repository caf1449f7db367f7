package api

import (
	"bytes"
	"net/http/httptest"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/semaphore"
)

// TestReadBody: whatever the size, the body is what was sent, and what it took is
// counted and given back.
func TestReadBody(t *testing.T) {
	budget := semaphore.New(64 << 20)
	for _, size := range []int{
		0, 1, smallBody - 1, smallBody, smallBody + 1, 2*smallBody - 1, 2 * smallBody, 2*smallBody + 1, 4 * smallBody,
		1<<20 - 1, 1 << 20, 1<<20 + 1, 13<<20 + 7, 16 << 20,
	} {
		sent := make([]byte, size)
		for i := range sent {
			sent[i] = byte(i * 7 / 3)
		}
		for _, initial := range []int{smallBody, 200 << 10} {
			s := &scratch{bodies: budget, body: make([]byte, 0, initial)}
			r := httptest.NewRequest("POST", "/", iotest.HalfReader(bytes.NewReader(sent)))
			require.NoError(t, s.readBody(r))
			require.True(t, bytes.Equal(sent, s.body), size)
			if cap(s.body) > smallBody {
				require.Equal(t, int64(cap(s.body)), budget.InUse(), size)
			}
			s.letGo(0)
			require.Zero(t, budget.InUse())
		}
	}
	s := &scratch{bodies: budget, body: make([]byte, 0, smallBody)}
	require.ErrorIs(t, s.readBody(httptest.NewRequest("POST", "/", bytes.NewReader(make([]byte, 40<<20)))), errNoRoom)
	s.letGo(0)
	require.Zero(t, budget.InUse())
	s = &scratch{bodies: budget, body: make([]byte, 0, smallBody)}
	broken := httptest.NewRequest("POST", "/", iotest.TimeoutReader(bytes.NewReader(make([]byte, 1<<20))))
	require.ErrorIs(t, s.readBody(broken), iotest.ErrTimeout)
	s.letGo(0)
	require.Zero(t, budget.InUse())
}
