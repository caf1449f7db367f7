package statsd_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// running is a server on a port of its own, and what stops it.
//
// The counts in these tests are exact although UDP may lose packets: on the
// loopback a packet is in the receiver's buffer before the sender's write
// returns, and it is only dropped when that is full. So a test sends less than
// the buffer holds (some hundred packets in the smallest that Linux gives), or
// waits until it has been read. And when stop has returned, everything sent before
// has been counted.
func running(t *testing.T, o statsd.Options) (s *statsd.Server, addr string, stop func()) {
	t.Helper()
	if o.Address == "" {
		o.Address = "127.0.0.1:0"
	}
	s = statsd.New(o)
	require.NoError(t, s.Listen(t.Context()))
	return s, s.Addr().String(), runs(t, s)
}

func runs(t *testing.T, s *statsd.Server) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		assert.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("udp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func send(t *testing.T, c net.Conn, lines ...string) {
	t.Helper()
	_, err := c.Write(packet(lines...))
	require.NoError(t, err)
}

func TestRunDrains(t *testing.T) {
	s, addr, stop := running(t, statsd.Options{})
	c := dial(t, addr)
	for range 100 {
		send(t, c, "x:1|c", "y:2|c")
	}
	stop()
	assert.Equal(t, []string{"counter x 100", "counter y 200"}, collected(t, s))
	assert.EqualValues(t, 100, s.Packets())
}

// TestPacketsBeforeRun wait in the socket.
func TestPacketsBeforeRun(t *testing.T) {
	s := statsd.New(statsd.Options{Address: "127.0.0.1:0"})
	require.NoError(t, s.Listen(t.Context()))
	c := dial(t, s.Addr().String())
	send(t, c, "x:1|c")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.Run(ctx), "even if it has to end at once")
	assert.Equal(t, []string{"counter x 1"}, collected(t, s))
}

func TestRunEndsUnderFire(t *testing.T) {
	_, addr, stop := running(t, statsd.Options{})
	c := dial(t, addr)
	done, fire := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-fire:
				return
			default:
				_, _ = c.Write([]byte("x:1|c"))
			}
		}
	}()
	start := time.Now()
	stop()
	assert.Less(t, time.Since(start), 5*time.Second)
	close(fire)
	<-done
}

func TestLargestPacket(t *testing.T) {
	s, addr, stop := running(t, statsd.Options{})
	c := dial(t, addr)
	line := "x:1|c\n"
	n := 65507 / len(line)
	p := make([]byte, 0, 65507)
	for range n {
		p = append(p, line...)
	}
	_, err := c.Write(p)
	require.NoError(t, err)
	_, err = c.Write(nil) // an empty one is no harm
	require.NoError(t, err)
	stop()
	assert.Equal(t, []string{fmt.Sprintf("counter x %d", n)}, collected(t, s))
	assert.EqualValues(t, 2, s.Packets())
}

// TestCollectWhilePacketsArrive holds that no increment is lost or counted twice
// between two Collects.
func TestCollectWhilePacketsArrive(t *testing.T) {
	s, addr, stop := running(t, statsd.Options{})
	const senders, rounds, burst = 4, 60, 20
	var total [senders]int64
	var timers uint64
	sent := make(chan struct{})
	var wg sync.WaitGroup
	for i := range senders {
		c := dial(t, addr)
		wg.Go(func() {
			for round := range rounds {
				for range burst {
					if _, err := fmt.Fprintf(c, "x%d:3|c\nt:1|ms\nx%d:1|c", i, i); err != nil {
						t.Error(err)
						return
					}
				}
				// The others are at most a round ahead or behind: 160 packets wait at most.
				for s.Packets() < uint64(round*burst*senders+burst) {
					runtime.Gosched()
				}
			}
		})
	}
	go func() { wg.Wait(); close(sent) }()
	collect := func() {
		ms, err := s.Collect(t.Context())
		require.NoError(t, err)
		for _, m := range ms {
			require.Equal(t, metric.Counter, m.Kind)
			total[m.Name[1]-'0'] += m.Delta
		}
		timers = max(timers, histogramCount(t, s))
	}
	for more := true; more; {
		select {
		case <-sent:
			more = false
		default:
		}
		collect()
	}
	stop()
	collect()
	for i := range senders {
		assert.EqualValues(t, 4*rounds*burst, total[i], "sender %d", i)
	}
	assert.EqualValues(t, senders*rounds*burst, timers)
}

func histogramCount(t *testing.T, s *statsd.Server) uint64 {
	t.Helper()
	mfs, err := s.Gather()
	require.NoError(t, err)
	for _, f := range mfs {
		if f.GetName() == "t" {
			return f.Metric[0].GetHistogram().GetSampleCount()
		}
	}
	return 0
}

func TestRestart(t *testing.T) {
	s, addr, stop := running(t, statsd.Options{})
	c := dial(t, addr)
	send(t, c, "x:1|c")
	stop()
	assert.Equal(t, []string{"counter x 1"}, collected(t, s))

	// A second process, at the same place.
	second, _, stop := running(t, statsd.Options{Address: addr})
	c = dial(t, addr)
	send(t, c, "x:2|c")
	stop()
	assert.Equal(t, []string{"counter x 2"}, collected(t, second))

	// The same one again.
	require.NoError(t, s.Listen(t.Context()))
	stop = runs(t, s)
	c = dial(t, s.Addr().String())
	send(t, c, "x:3|c")
	stop()
	assert.Equal(t, []string{"counter x 3"}, collected(t, s))
}

func TestListenFails(t *testing.T) {
	_, addr, _ := running(t, statsd.Options{})
	for _, a := range []string{addr, "nowhere", "127.0.0.1:99999", "192.0.2.1:8125"} {
		s := statsd.New(statsd.Options{Address: a})
		err := s.Listen(t.Context())
		require.Error(t, err)
		assert.Contains(t, err.Error(), fmt.Sprintf("listen at STATSD %q: ", a))
		assert.Nil(t, s.Addr())
		require.Error(t, s.Run(t.Context()))
		require.NoError(t, s.Close())
	}
}

func TestCloseWithoutRun(t *testing.T) {
	s := statsd.New(statsd.Options{Address: "127.0.0.1:0"})
	require.NoError(t, s.Listen(t.Context()))
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.ErrorIs(t, s.Run(t.Context()), net.ErrClosed)
	again := statsd.New(statsd.Options{Address: s.Addr().String()})
	require.NoError(t, again.Listen(t.Context()), "the port is free")
	require.NoError(t, again.Close())
}

func TestWarnsOfTheNetwork(t *testing.T) {
	for addr, want := range map[string]int{"127.0.0.1:0": 0, "localhost:0": 0, "0.0.0.0:0": 1, ":0": 1} {
		core, logs := observer.New(zapcore.WarnLevel)
		s := statsd.New(statsd.Options{Address: addr, Log: zap.New(core)})
		require.NoError(t, s.Listen(t.Context()))
		assert.Equal(t, want, logs.FilterMessageSnippet("no authentication").Len(), addr)
		require.NoError(t, s.Close())
	}
}
