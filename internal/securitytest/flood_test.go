package securitytest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// load is what a number of clients do at once, each as fast as it is answered.
type load struct {
	accepted, refused, broken atomic.Int64
	took                      times // of the accepted
	odd                       sync.Map
}

// batch makes the body of a push.
func batch(client, metrics int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range metrics {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"flood%d","type":"counter","delta":1,"labels":{"client":"%d"}}`, i%1000, client%50)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// run lets clients push for some time. Every large-th client sends bodies of
// several MiB; 0: none does.
func (l *load) run(ctx context.Context, s *server, clients, large int, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	big := batch(0, 60_000)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			body := batch(c, 20)
			if large > 0 && c%large == 0 {
				body = big
			}
			for ctx.Err() == nil {
				got, err := s.send("POST", "/updates", body, "Prefer", "return=minimal")
				switch {
				case err != nil:
					l.broken.Add(1) // refused before all of it was sent: a reset may overtake the answer
				case got.status == 204:
					l.accepted.Add(1)
					l.took.add(got.took)
				case (got.status == 429 || got.status == 503) && got.header.Get("Retry-After") != "":
					l.refused.Add(1)
					pause(ctx, 100*time.Millisecond) // ten times sooner than it was told
				default:
					l.odd.Store(fmt.Sprintf("%d, Retry-After %q: %.200s", got.status, got.header.Get("Retry-After"), got.body), true)
				}
			}
		})
	}
	wg.Wait()
}

// pause waits, for some time or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (l *load) String() string {
	return fmt.Sprintf("accepted %d, refused %d, broken off %d; accepted: %v", l.accepted.Load(), l.refused.Load(), l.broken.Load(), &l.took)
}

// TestFlood: with ten times as many clients as keep the server busy, its memory
// stays bounded, whom it refuses it tells when to come again, whom it takes it
// answers soon, and after it all is as before.
func TestFlood(t *testing.T) {
	files(t, 4000)
	const few, many = 20, 200
	d := count(1500*time.Millisecond, 60*time.Second)
	s := start(t)
	s.warmUp()
	var before, flood load
	var afters []*load
	before.run(t.Context(), s, few, 0, count(time.Second, 5*time.Second))
	resident := s.resident()
	flood.run(t.Context(), s, many, 10, d)
	grown := s.peak() - resident
	s.client.CloseIdleConnections()
	// What else runs on the machine may slow it down as well: one of a few tries must
	// be as fast as before.
	ended, tries := time.Now(), 0
	for {
		after := new(load)
		after.run(t.Context(), s, few, 0, count(time.Second, 5*time.Second))
		t.Logf("after: %v", after)
		afters = append(afters, after)
		if tries++; after.accepted.Load() > before.accepted.Load()*3/4 || tries == 20 {
			break
		}
	}
	fast := afters[len(afters)-1]
	t.Logf("full speed is back within %v", time.Since(ended).Round(time.Second))
	t.Logf("capacity, %d clients: %v", few, &before)
	t.Logf("flood, %d clients, every 10th with %d bytes: %v; +%.1f MiB", many, len(batch(0, 60_000)), &flood, float64(grown)/mib)
	for _, l := range append(afters, &before, &flood) {
		l.odd.Range(func(what, _ any) bool {
			t.Errorf("an answer that is neither 204 nor a refusal: %v", what)
			return true
		})
	}
	require.Zero(t, before.refused.Load()+fast.refused.Load())
	require.Less(t, flood.took.quantile(0.99), count(3*time.Second, time.Second))
	// Bodies are within LIMIT_MEMORY, and garbage is at most as much again.
	require.LessOrEqual(t, grown, int64(2*256*mib))
	require.Greater(t, fast.accepted.Load(), before.accepted.Load()/2)
}
