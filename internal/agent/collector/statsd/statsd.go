package statsd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
)

const (
	defaultSeries = 10_000
	defaultHold   = 10 * time.Second
	defaultForget = time.Hour

	// packetSize is more than a UDP packet can hold.
	packetSize = 64 << 10
	// socketBuffer is asked for; the kernel gives what it allows (on Linux
	// net.core.rmem_max).
	socketBuffer = 4 << 20
	// When ctx has ended, reading goes on until nothing came for drainIdle, but not
	// longer than drainMost.
	drainIdle, drainMost = 10 * time.Millisecond, 500 * time.Millisecond
	// pause is waited after a failed read.
	pause = 100 * time.Millisecond
)

// Options says how a Server works. All but Address may be left out.
type Options struct {
	// Address is where to listen, host:port.
	Address string
	// Labels are given to every series. A tag of the same name wins.
	Labels metric.Labels
	// Spare is how many labels others will add to those of a series, which has as
	// many less then.
	Spare int
	// MaxSeries is how many series there are at most; 0 means 10,000.
	MaxSeries int
	// Hold is after how long a gauge is reported though it hasn't changed, and the
	// time over which a set counts; 0 means 10 s. The pace of Collect rounds it: a
	// poll that comes up to a sixteenth of Hold early is on time.
	Hold time.Duration
	// Forget is how long after its last sample a series ends; 0 means 1 h.
	Forget time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log hears of what is wrong; nil means nobody does.
	Log *zap.Logger
}

// Server receives StatsD. Call Listen, then Run; once Run has returned, a last
// Collect takes what came until then, and Listen may be called again. Collect and
// Gather may be called at any time, at once.
type Server struct {
	address   string
	maxSeries int
	hold      time.Duration
	forget    time.Duration
	now       func() time.Time
	log       *zap.Logger
	start     time.Time

	conn   *net.UDPConn // of Listen and Run, which don't run at once
	failed seldom       // reads; of Run

	// mu guards all that follows. A packet is taken, and what is there collected,
	// under one lock; nothing is logged under it.
	mu     sync.Mutex
	parser *parser
	table  table
	tally  tally
	note   note
	// window is when the time began over which sets count.
	window time.Duration
	// collected is how many metrics the last Collect gave: the next may be as many.
	collected int
}

// New returns a server that doesn't listen yet.
func New(o Options) *Server {
	s := &Server{
		address:   o.Address,
		maxSeries: cmp.Or(o.MaxSeries, defaultSeries),
		hold:      cmp.Or(o.Hold, defaultHold),
		forget:    cmp.Or(o.Forget, defaultForget),
		now:       o.Now,
		log:       o.Log,
		parser:    newParser(o.Labels, o.Spare),
		table:     newTable(),
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = zap.NewNop()
	}
	s.table.seed = maphash.MakeSeed()
	s.start = s.now()
	return s
}

// Name implements collector.Collector.
func (s *Server) Name() string { return "statsd" }

// Listen binds the socket. Packets wait in it until Run.
func (s *Server) Listen(ctx context.Context) error {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(ctx, "udp", s.address)
	if err != nil {
		return fmt.Errorf("listen at STATSD %q: %w", s.address, err)
	}
	udp, ok := conn.(*net.UDPConn)
	if !ok {
		return errors.Join(fmt.Errorf("listen at STATSD %q: not UDP, but %T", s.address, conn), conn.Close())
	}
	if err := udp.SetReadBuffer(socketBuffer); err != nil {
		s.log.Debug("the socket of StatsD keeps its small buffer", zap.Error(err))
	}
	s.conn = udp
	s.log.Info("listening for StatsD", zap.Stringer("address", udp.LocalAddr()))
	if a, ok := udp.LocalAddr().(*net.UDPAddr); !ok || !a.IP.IsLoopback() {
		s.log.Warn("StatsD is open to the network, and has no authentication: whoever reaches the port can write metrics",
			zap.Stringer("address", udp.LocalAddr()))
	}
	return nil
}

// Addr is where the server listens, or nil.
func (s *Server) Addr() net.Addr {
	if s.conn == nil {
		return nil
	}
	return s.conn.LocalAddr()
}

// Close closes the socket of a Listen that no Run follows.
func (s *Server) Close() error {
	if s.conn == nil {
		return nil
	}
	if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the socket of StatsD: %w", err)
	}
	return nil
}

// Run reads packets until ctx ends, then what already waits in the socket, and
// closes it. A read that fails is logged, and tried again.
func (s *Server) Run(ctx context.Context) error {
	if s.conn == nil {
		return errors.New("run StatsD: it doesn't listen")
	}
	err := s.read(ctx)
	return errors.Join(err, s.Close())
}

func (s *Server) read(ctx context.Context) error {
	conn, buf := s.conn, make([]byte, packetSize)
	woken := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { woken <- conn.SetReadDeadline(time.Unix(1, 0)) })
	for {
		n, err := conn.Read(buf)
		switch {
		case err == nil:
			s.take(buf[:n])
			continue
		case ctx.Err() != nil:
			// Else the deadline of draining could be set before that one.
			if err := <-woken; err != nil {
				return fmt.Errorf("stop reading StatsD: %w", err)
			}
			return s.drain(buf)
		case errors.Is(err, net.ErrClosed):
			err = fmt.Errorf("read StatsD: %w", err)
			if !stop() {
				err = errors.Join(err, <-woken)
			}
			return err
		}
		if s.failed.due(s.now().Sub(s.start)) {
			s.log.Warn("reading StatsD fails", zap.Error(err))
		}
		wait(ctx, pause)
	}
}

// drain takes what waits in the socket.
func (s *Server) drain(buf []byte) error {
	for end := time.Now().Add(drainMost); ; {
		now := time.Now()
		if now.After(end) {
			return nil // somebody goes on sending
		}
		if err := s.conn.SetReadDeadline(now.Add(drainIdle)); err != nil {
			return fmt.Errorf("drain StatsD: %w", err)
		}
		n, err := s.conn.Read(buf)
		if err != nil {
			return nil //nolint:nilerr // nothing is left, or can be read
		}
		s.take(buf[:n])
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// take counts the lines of a packet.
func (s *Server) take(packet []byte) {
	s.mu.Lock()
	now := s.now().Sub(s.start)
	s.tally.packets++
	for len(packet) > 0 {
		line, rest, _ := cut(packet, '\n')
		packet = rest
		if line = bytes.TrimSuffix(line, []byte("\r")); len(line) > 0 {
			s.lineLocked(line, now)
		}
	}
	n := s.note.take()
	s.mu.Unlock()
	n.tell(s.log)
}

// lineLocked counts a line, which is not empty.
func (s *Server) lineLocked(line []byte, now time.Duration) {
	switch {
	case bytes.HasPrefix(line, []byte("_e{")):
		s.tally.dropped[dropEvent]++
		return
	case bytes.HasPrefix(line, []byte("_sc|")):
		s.tally.dropped[dropCheck]++
		return
	}
	m, why := s.parser.parse(line)
	if why != "" {
		s.invalidLocked(line, why, now)
		return
	}
	s.tally.dropped[dropTag] += m.leftOut
	var sr *series
	refused := kept
	for more := true; more; {
		var value []byte
		if m.form == set { // whose values may hold anything
			value, more = m.values, false
		} else {
			value, m.values, more = cut(m.values, ':')
		}
		x, why := m.check(value)
		if why == "" && sr == nil && refused == kept {
			sr, refused = s.seriesLocked(&m)
		}
		if why == "" && refused == kept {
			sr.seen = now
			why = s.addLocked(sr, &m, value, x, now)
		}
		switch {
		case why != "":
			s.invalidLocked(line, why, now)
		case refused != kept:
			s.tally.dropped[refused]++
		default:
			s.tally.samples++
		}
	}
}

func (s *Server) invalidLocked(line []byte, why fault, now time.Duration) {
	s.tally.invalid++
	s.note.invalid(line, why, now)
}
