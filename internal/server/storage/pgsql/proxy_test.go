package pgsql_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

// proxy stands between a store and the database.
type proxy struct {
	listener net.Listener
	network  string
	address  string
	mode     atomic.Int32
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

const (
	forward = iota
	silence // nothing gets through, and nobody is told
	swallow // what the database answers is lost, and with it the connection
)

func newProxy(t *testing.T, dsn string) (p *proxy, through string) {
	t.Helper()
	cfg, err := pgconn.ParseConfig(dsn)
	require.NoError(t, err)
	p = &proxy{}
	p.network, p.address = pgconn.NetworkAddress(cfg.Host, cfg.Port)
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p.wg.Go(func() {
		for {
			client, err := p.listener.Accept()
			if err != nil {
				return
			}
			database, err := net.Dial(p.network, p.address)
			if err != nil {
				client.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, database)
			p.mu.Unlock()
			p.wg.Go(func() { p.copy(database, client, false) })
			p.wg.Go(func() { p.copy(client, database, true) })
		}
	})
	t.Cleanup(func() {
		p.listener.Close()
		p.cut()
		p.wg.Wait()
	})
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	u.Host = p.listener.Addr().String()
	q := u.Query()
	q.Del("host")
	u.RawQuery = q.Encode()
	return p, u.String()
}

func (p *proxy) copy(to io.WriteCloser, from io.ReadCloser, answers bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		switch mode := p.mode.Load(); {
		case err != nil, mode == swallow && answers:
			return
		case mode == silence:
		default:
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	}
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// TestLostAnswer: the database commits, but its answer is lost. With a mark the
// batch is sent again and counts once; without one it is not sent again.
func TestLostAnswer(t *testing.T) {
	ctx := context.Background()
	dsn := server.Database(t)
	p, through := newProxy(t, dsn)
	s, direct := open(t, through), open(t, dsn)
	for i, mark := range []storage.Mark{{Producer: "#p", Sequence: 1}, {}} {
		name := fmt.Sprint("c", i)
		storagetest.Apply(t, s, storagetest.Counter(name, 1))
		p.mode.Store(swallow)
		done := make(chan error, 1)
		w := &storage.Write{Metrics: []metric.Metric{storagetest.Counter(name, 2)}, Mark: mark}
		go func() {
			_, err := s.Apply(ctx, w)
			done <- err
		}()
		require.Eventually(t, func() bool { return storagetest.Total(t, direct, name) == 3 }, 10*time.Second, time.Millisecond)
		p.mode.Store(forward)
		err := <-done
		if mark.IsZero() {
			require.ErrorIs(t, err, storage.ErrUnavailable)
		} else {
			require.NoError(t, err)
			require.Equal(t, int64(3), w.Metrics[0].Delta)
		}
		require.Equal(t, int64(3), storagetest.Total(t, direct, name))
	}
}

// TestSilence: a network that swallows everything hangs nobody.
func TestSilence(t *testing.T) {
	ctx := context.Background()
	p, through := newProxy(t, server.Database(t))
	logs, observe := observed()
	s := open(t, through, quick, observe)
	storagetest.Apply(t, s, storagetest.Counter("c", 1))
	p.mode.Store(silence)
	for range 4 {
		within(t, 10*time.Second, func() {
			_, err := s.Apply(ctx, &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
			require.ErrorIs(t, err, storage.ErrUnavailable)
		})
		within(t, 10*time.Second, func() { require.ErrorIs(t, s.Ping(ctx), storage.ErrUnavailable) })
	}
	p.mode.Store(forward)
	p.cut()
	require.Eventually(t, func() bool { return s.Ping(ctx) == nil }, 10*time.Second, 10*time.Millisecond)
	storagetest.Apply(t, s, storagetest.Counter("c", 1))
	require.Equal(t, int64(2), storagetest.Total(t, s, "c"))
	require.Equal(t, 1, logs.FilterMessage("the database is away").Len())
	require.Equal(t, 1, logs.FilterMessage("the database is back").Len())
}

// TestCutConnections: every attempt may meet a broken connection.
func TestCutConnections(t *testing.T) {
	dsn := server.Database(t)
	p, through := newProxy(t, dsn)
	s := open(t, through)
	s.SetDelays(slices.Repeat([]time.Duration{10 * time.Millisecond}, 50)...)
	for i := range 20 {
		p.cut()
		_, err := s.Apply(context.Background(), &storage.Write{
			Metrics: []metric.Metric{storagetest.Counter("c", 1)}, Mark: storage.Mark{Producer: "#p", Sequence: uint64(i + 1)},
		})
		require.NoError(t, err)
	}
	require.Equal(t, int64(20), storagetest.Total(t, s, "c"))
}
