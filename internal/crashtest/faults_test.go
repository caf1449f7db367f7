package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/server/app"
	"github.com/gometheus/gometheus/internal/server/config"
)

// fault is what befalls a connection.
type fault int

const (
	cut   fault = iota // both sides are closed
	reset              // both sides get a RST
	half               // the direction ends, the other goes on
	delay              // the direction stops for some milliseconds
	stall              // the direction stops for ever
)

const faults = int(stall) + 1 // how many there are

func (f fault) String() string {
	return [...]string{"cut", "reset", "half-closed", "delayed", "stalled"}[f]
}

// plan is the fault of one connection: in which direction, after which byte.
type plan struct {
	fault fault
	up    bool // in what the client sends
	after int64
	wait  time.Duration
}

// proxy is a TCP proxy with a fault on each connection.
type proxy struct {
	listener net.Listener
	server   string // address
	happened [faults][2]atomic.Int64
	all      atomic.Int64

	mu  sync.Mutex
	rng *rand.Rand
	wg  sync.WaitGroup
}

func newProxy(t *testing.T, server string, rng *rand.Rand) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return &proxy{listener: l, server: server, rng: rng}
}

// run serves connections until the proxy is closed.
func (p *proxy) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer p.wg.Wait()
	defer cancel()
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		pl := p.plan()
		p.wg.Go(func() { p.serve(ctx, conn.(*net.TCPConn), pl) })
	}
}

// plan draws a fault. A request is some 400 to 700 bytes and an answer some 150,
// and a connection is used for many, so faults fall into all of them.
func (p *proxy) plan() plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	pl := plan{fault: fault(p.rng.IntN(faults)), up: p.rng.IntN(2) == 0, wait: within(p.rng, 30*time.Millisecond)}
	pl.after = p.rng.Int64N(2000)
	if !pl.up {
		pl.after = p.rng.Int64N(600)
	}
	return pl
}

func (p *proxy) serve(ctx context.Context, client *net.TCPConn, pl plan) {
	defer client.Close()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.server)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	// What ends the connection at once ends both directions.
	stop := context.AfterFunc(ctx, func() { client.Close(); server.Close() })
	defer stop()

	var wg sync.WaitGroup
	wg.Go(func() { p.copy(ctx, server, client, pl, pl.up) })
	wg.Go(func() { p.copy(ctx, client, server, pl, !pl.up) })
	wg.Wait()
}

// copy passes on bytes from one side to the other; mine tells whether the fault
// is in this direction.
func (p *proxy) copy(ctx context.Context, to, from *net.TCPConn, pl plan, mine bool) {
	if mine {
		n, err := io.CopyN(to, from, pl.after)
		if n == pl.after && err == nil {
			direction := 0
			if pl.up {
				direction = 1
			}
			p.happened[pl.fault][direction].Add(1)
			p.all.Add(1)
			switch pl.fault {
			case cut:
				to.Close()
				from.Close()
				return
			case reset:
				_ = to.SetLinger(0)   // it may be gone
				_ = from.SetLinger(0) // it may be gone
				to.Close()
				from.Close()
				return
			case half:
				_ = to.CloseWrite()              // it may be gone
				_, _ = io.Copy(io.Discard, from) // until it ends
				return
			case stall:
				_, _ = io.Copy(io.Discard, from) // until it ends
				to.Close()
				return
			case delay:
				pause(ctx, pl.wait)
			}
		}
	}
	_, _ = io.Copy(to, from) // either side may end it
	_ = to.CloseWrite()      // it may be gone
}

// inProcess is a server in this process, over the real file system.
type inProcess struct {
	address string
	cancel  context.CancelFunc
	done    chan error
}

func runInProcess(t *testing.T, path string, interval time.Duration) *inProcess {
	t.Helper()
	cfg := config.Default()
	cfg.Address, cfg.FileStoragePath, cfg.StoreInterval, cfg.History = "127.0.0.1:0", path, interval, false
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	s := &inProcess{cancel: cancel, done: make(chan error, 1)}
	go func() { s.done <- app.Run(ctx, cfg, zap.New(core), app.Signals{}) }()
	require.Eventually(t, func() bool {
		l := logs.FilterMessage("listening").All()
		if len(l) == 1 {
			s.address = fmt.Sprint(l[0].ContextMap()["address"])
		}
		return s.address != "" || len(s.done) > 0
	}, 20*time.Second, time.Millisecond)
	require.NotEmpty(t, s.address, "the server doesn't start")
	return s
}

func (s *inProcess) stop() error {
	s.cancel()
	select {
	case err := <-s.done:
		return err
	case <-time.After(30 * time.Second):
		return errors.New("the server doesn't stop")
	}
}

// TestAnswersLost: whatever happens to connections between client and server,
// what is acknowledged counts once, and nothing counts twice.
func TestAnswersLost(t *testing.T) {
	for _, tt := range []struct {
		name     string
		interval time.Duration
		faults   int64
	}{
		{"default interval", 300 * time.Second, int64(count(500, 5000))},
		{"interval 0", 0, int64(count(500, 5000))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng, ctx := newRand(t), deadline(t)
			path := filepath.Join(folder(t), "db.json")
			s := runInProcess(t, path, tt.interval)
			p := newProxy(t, s.address, fork(rng))
			var wg sync.WaitGroup
			wg.Go(func() { p.run(ctx) })

			o, tg := &oracle{}, new(target)
			tg.set(p.listener.Addr().String())
			l := &load{oracle: o, target: tg, timeout: 60 * time.Millisecond, mayRefuse: true}
			l.run(ctx, 16, 0, rng)
			for p.all.Load() < tt.faults && o.failure() == nil && pause(ctx, 5*time.Millisecond) {
			}
			err := l.finish()
			require.NoError(t, p.listener.Close())
			wg.Wait()
			t.Logf("%d faults: %s", p.all.Load(), o.numbers())
			for f := range fault(faults) {
				t.Logf("  %-11v %5d on the way up, %5d on the way down", f, p.happened[f][1].Load(), p.happened[f][0].Load())
			}
			require.NoError(t, err)
			require.GreaterOrEqual(t, p.all.Load(), tt.faults)

			direct := new(target)
			direct.set(s.address)
			view := newHTTPView(ctx, direct)
			defer view.close()
			require.NoError(t, quiet(o, view))
			view.close()
			require.NoError(t, s.stop())
			require.Zero(t, l.refused.Load(), "batches were refused for good for no fault of their own; the last one: %v", l.reason.Load())
		})
	}
}
