package securitytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slow is a client that sends something and then nothing.
type slow struct {
	conn net.Conn
	open time.Duration // until the server closed; set when it has
	got  string
}

// slowClients opens n connections, each with what request makes, and returns when
// all are open. wait waits until the server has closed them, within most.
func slowClients(t testing.TB, s *server, n int, most time.Duration, request func(i int) string) (clients []*slow, wait func()) {
	t.Helper()
	clients = make([]*slow, n)
	var wg sync.WaitGroup
	for i := range clients {
		conn, err := net.DialTimeout("tcp", s.address, 10*time.Second)
		require.NoError(t, err, "connection %d", i)
		_, err = io.WriteString(conn, request(i))
		require.NoError(t, err, "connection %d", i)
		c := &slow{conn: conn}
		clients[i] = c
		start := time.Now()
		wg.Go(func() {
			defer conn.Close()
			if err := conn.SetReadDeadline(start.Add(most)); err != nil {
				t.Error(err)
				return
			}
			got, err := io.ReadAll(conn)
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				t.Errorf("connection %d is still open after %v", i, most)
			}
			c.got, c.open = string(got), time.Since(start)
		})
	}
	return clients, wg.Wait
}

// everyday is what a well-behaved client does all the time, once every gap, until
// ctx ends: pushes, values and queries. Each must be answered 200.
func everyday(ctx context.Context, s *server, gap time.Duration) (*times, func()) {
	var took times
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			tick := time.NewTicker(gap)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				var a answer
				var err error
				switch i % 8 {
				case 0:
					a, err = s.send("GET", "/value/counter/everyday", nil)
				case 1:
					a, err = s.send("GET", "/api/v1/query?query=everyday", nil)
				default:
					a, err = s.send("POST", "/updates", fmt.Appendf(nil, `[{"id":"everyday","type":"counter","delta":1},{"id":"w%d","type":"gauge","value":1}]`, w))
				}
				if err != nil || a.status != 200 {
					s.t.Errorf("an everyday request got %d, %v: %s", a.status, err, a.body)
					return
				}
				took.add(a.took)
			}
		})
	}
	return &took, wg.Wait
}

// TestSlowClients: half-open headers and half-sent bodies are closed in time, and
// nobody else notices.
func TestSlowClients(t *testing.T) {
	n := count(500, 5000)
	files(t, uint64(2*n+1000))
	headerTime, requestTime := 5*time.Second, 30*time.Second
	settings := []string{}
	if !long {
		headerTime, requestTime = time.Second, 2*time.Second
		settings = []string{"LIMIT_HEADER_TIME=1", "LIMIT_REQUEST_TIME=2"}
	}
	s := start(t, settings...)
	s.warmUp()
	require.Equal(t, 200, s.do("POST", "/updates", []byte(`[{"id":"everyday","type":"counter","delta":1}]`)).status)
	before := s.resident()
	const slack = 5 * time.Second // for n connections to be closed on a busy machine
	headers, waitHeaders := slowClients(t, s, n, headerTime+slack, func(i int) string {
		return "POST /updates HTTP/1.1\r\nHost: x\r\nX-Slow: " + strings.Repeat("a", i%100)
	})
	bodies, waitBodies := slowClients(t, s, n, requestTime+slack, func(i int) string {
		path, head := "/updates", ""
		if i%4 == 0 {
			path, head = "/api/v1/write", "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n"
		}
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n[{", path, head, 3+i*100)
	})
	ctx, cancel := context.WithCancel(t.Context())
	took, waitEveryday := everyday(ctx, s, 5*time.Millisecond)
	waitHeaders()
	waitBodies()
	cancel()
	waitEveryday()
	grown := s.peak() - before
	latest := func(cs []*slow) (most time.Duration) {
		for _, c := range cs {
			most = max(most, c.open)
		}
		return most.Round(time.Millisecond)
	}
	t.Logf("%d half-open headers were closed within %v, %d half-sent bodies within %v; meanwhile %v; +%.1f MiB", n, latest(headers), n,
		latest(bodies), took, float64(grown)/mib)
	answered := 0
	for _, c := range bodies {
		if strings.HasPrefix(c.got, "HTTP/1.1 408 ") {
			answered++
		}
	}
	require.Equal(t, n, answered, "half-sent bodies that were answered 408")
	require.Less(t, took.quantile(0.99), count(500*time.Millisecond, 50*time.Millisecond))
	require.Greater(t, took.len(), 100)
	require.LessOrEqual(t, grown, int64(2*n)*64<<10+32*mib)
}

// TestNoFilesLeft: more clients than the server can have files open. It goes on
// for those it has, keeps what they push, and is well when the others are gone.
func TestNoFilesLeft(t *testing.T) {
	const most = 200
	files(t, 2*most+1000)
	s := startAs(t, "prlimit --nofile="+fmt.Sprint(most)+" "+build(t), "LIMIT_HEADER_TIME=3", "STORE_INTERVAL=0")
	s.warmUp() // leaves a connection open
	var conns []net.Conn
	for range 2 * most { // the kernel takes those that the server doesn't
		conn, err := net.DialTimeout("tcp", s.address, 5*time.Second)
		if err != nil {
			break // its queue is full
		}
		conns = append(conns, conn)
	}
	require.Greater(t, len(conns), most)
	for i := range 50 {
		got := s.do("POST", "/updates", []byte(`[{"id":"held","type":"counter","delta":1}]`))
		require.Equal(t, 200, got.status, "push %d: %s", i, got.body)
	}
	require.Equal(t, 200, s.do("GET", "/api/v1/query?query=held", nil).status)
	for _, c := range conns {
		c.Close()
	}
	s.client.CloseIdleConnections()
	require.Eventually(t, func() bool {
		got, err := s.send("GET", "/value/counter/held", nil)
		return err == nil && got.status == 200 && got.body == "50"
	}, 15*time.Second, 20*time.Millisecond)
	require.Equal(t, 200, s.do("GET", "/ping", nil).status)
	s.mustLive()
}
