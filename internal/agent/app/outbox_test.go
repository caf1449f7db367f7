package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/spool"
	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/response"
)

// outboxes are the implementations of the contract, each with room for n.
var outboxes = map[string]func(t *testing.T, n int) outbox{
	"memory": func(t *testing.T, n int) outbox {
		c, err := client.New("localhost:1")
		require.NoError(t, err)
		return newMemory(n, c)
	},
	"disk": func(t *testing.T, _ int) outbox {
		s, err := spool.Open(spool.Options{FS: vfs.NewMem(), Dir: "/spool", MaxSize: 64 << 20, MaxAge: maxAge, Log: zap.NewNop()})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return disk{s, "/spool/dead"}
	},
}

func contract(t *testing.T, n int, test func(t *testing.T, o outbox)) {
	for name, open := range outboxes {
		t.Run(name, func(t *testing.T) { test(t, open(t, n)) })
	}
}

// put puts n batches in, one by one, and returns their keys.
func put(t *testing.T, o outbox, from, n int) (keys []string) {
	t.Helper()
	for i := range n {
		bs := []client.Batch{{Body: fmt.Appendf(nil, "body %d", from+i), Count: 2}}
		require.NoError(t, o.Put(t.Context(), bs))
		require.NotEmpty(t, bs[0].Key)
		keys = append(keys, bs[0].Key)
	}
	return keys
}

func take(t *testing.T, o outbox) lease {
	t.Helper()
	l, err := o.Lease(t.Context())
	require.NoError(t, err)
	return l
}

func empty(t *testing.T, o outbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err := o.Lease(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestOutboxKeepsOrderKeysAndBytes(t *testing.T) {
	contract(t, 10, func(t *testing.T, o outbox) {
		before := time.Now()
		keys := put(t, o, 0, 5)
		for i, key := range keys {
			l := take(t, o)
			require.Equal(t, key, l.Batch().Key)
			require.Equal(t, fmt.Sprintf("body %d", i), string(l.Batch().Body))
			require.Equal(t, 2, l.Batch().Count)
			require.WithinRange(t, l.Batch().at, before.Add(-time.Second), time.Now())
			l.Ack()
		}
		empty(t, o)
	})
}

func TestOutboxNackReturnsToItsPlace(t *testing.T) {
	contract(t, 10, func(t *testing.T, o outbox) {
		keys := put(t, o, 0, 4)
		first, second := take(t, o), take(t, o)
		second.Nack()
		first.Nack()
		for i, key := range keys {
			l := take(t, o)
			require.Equal(t, key, l.Batch().Key)
			require.Equal(t, fmt.Sprintf("body %d", i), string(l.Batch().Body))
		}
	})
}

func TestOutboxSettles(t *testing.T) {
	contract(t, 3, func(t *testing.T, o outbox) {
		put(t, o, 0, 3)
		take(t, o).Ack()
		take(t, o).Expire()
		_, err := take(t, o).Refuse(&client.Error{Status: 400, Problem: response.Problem{Detail: "why"}})
		require.NoError(t, err)
		put(t, o, 3, 3) // there is room again
		batches, metrics, _ := o.Left()
		require.EqualValues(t, 3, batches)
		require.EqualValues(t, 6, metrics)
	})
}

func TestOutboxClose(t *testing.T) {
	contract(t, 3, func(t *testing.T, o outbox) {
		put(t, o, 0, 2)
		o.Close()
		require.Error(t, o.Put(t.Context(), []client.Batch{{Body: []byte("late")}}))
		take(t, o).Ack()
		l := take(t, o)
		_, err := o.Lease(t.Context())
		require.Error(t, err, "nothing waits")
		require.NoError(t, t.Context().Err())
		l.Nack()
		take(t, o).Ack()
		_, err = o.Lease(t.Context())
		require.Error(t, err)
	})
}

func TestOutboxLeaseWaits(t *testing.T) {
	contract(t, 3, func(t *testing.T, o outbox) {
		got := make(chan string)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if l, err := o.Lease(t.Context()); err == nil {
					got <- l.Batch().Key
					l.Ack()
				}
			})
		}
		keys := put(t, o, 0, 2)
		require.ElementsMatch(t, keys, []string{<-got, <-got})
		wg.Wait()
	})
}

// TestOutboxNeverTooFarAhead: with one batch stuck no key is out of the server's
// memory, and nothing is lost.
func TestOutboxNeverTooFarAhead(t *testing.T) {
	contract(t, 10, func(t *testing.T, o outbox) {
		put(t, o, 0, 1)
		stuck := take(t, o)
		for i := 1; i < client.MaxAhead; i++ {
			put(t, o, i, 1)
			take(t, o).Ack()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		bs := []client.Batch{{Body: []byte("one too many")}}
		if err := o.Put(ctx, bs); err != nil { // in memory
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Empty(t, bs[0].Key)
			stuck.Ack()
			require.NoError(t, o.Put(t.Context(), bs))
		} else {
			empty(t, o)
			stuck.Ack()
		}
		require.Equal(t, "one too many", string(take(t, o).Batch().Body))
	})
}

func TestOutboxAtOnce(t *testing.T) {
	contract(t, 10, func(t *testing.T, o outbox) {
		const n = 2000
		var mu sync.Mutex
		seen := map[string]int{}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for i := 0; ; i++ {
					l, err := o.Lease(t.Context())
					if err != nil {
						return
					}
					if i%3 == 0 {
						l.Nack()
						continue
					}
					mu.Lock()
					seen[string(l.Batch().Body)]++
					mu.Unlock()
					l.Ack()
				}
			})
		}
		put(t, o, 0, n)
		require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(seen) == n }, 20*time.Second, time.Millisecond)
		o.Close()
		wg.Wait()
		for body, times := range seen {
			require.Equal(t, 1, times, body)
		}
	})
}

// TestMemoryFollowsTheClient: a batch that was accepted by Try frees its place.
func TestMemoryFollowsTheClient(t *testing.T) {
	c, err := client.New("localhost:1", client.WithTransport(transport(204)))
	require.NoError(t, err)
	m := newMemory(3, c)
	for i := range 3 * client.MaxAhead {
		b, err := c.Encode([]request.Metric{request.Counter("c", int64(i))})
		require.NoError(t, err)
		require.NoError(t, m.Put(t.Context(), []client.Batch{b}))
		l, err := m.Lease(t.Context())
		require.NoError(t, err)
		_, err = c.Try(t.Context(), l.Batch().Batch)
		require.NoError(t, err)
		l.Ack()
	}
}

type transport int

func (s transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get(request.HeaderIdempotencyKey) == "" {
		return nil, errors.New("no key")
	}
	return &http.Response{StatusCode: int(s), Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}
