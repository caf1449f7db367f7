// Package app is the agent: it polls collectors, seals what they give into
// batches and sends these until the server has them.
//
// # The way of a sample
//
//	poll    collector.Group → buffer     every PollInterval
//	scrape  scrape.Scraper → requests    every ScrapeInterval, encoded as remote write
//	report  buffer → seal → outbox       every ReportInterval, the first time after the first poll
//	        requests → outbox
//	send    outbox → client → server     as soon as a batch is there, RateLimit at once
//
// The loops know nothing of each other's pace. Sealing gives a batch its key and
// its bytes, for good; what has once been sent is never merged or split again.
//
// Without a spool, what the server can't take yet waits in the buffer, where the
// oldest gauge samples go when there is no room and increments are added
// together. A batch is sealed only when the outbox has room for it or next will.
// The outbox holds at most as many batches as can be on their way, and with the
// one in the report loop's hand they are at most client.MaxAhead.
//
// With a spool everything is sealed at each report, into the spool, whatever the
// server does. While the spool takes nothing, because it is full or its disk
// fails, gauge samples go and increments wait in the buffer, added together.
//
// What is scraped is samples alone, for the server's history. Requests wait in
// memory up to a size, of which the oldest go; a spool takes them as it takes
// batches.
//
// # Stopping
//
// When ctx ends, polling and scraping end after what is under way, and StatsD when
// its socket is empty. Then everything in the
// buffer is sealed, pauses between tries are cut short, and sending goes on until
// all is delivered or ShutdownTimeout is over. What is left then stays in the
// spool, or, without one, is given up, counted and logged. Run returns after
// everything it started has ended, except collectors that don't heed their
// context.
package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/buffer"
	"github.com/gometheus/gometheus/internal/agent/collector"
	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/internal/agent/spool"
	"github.com/gometheus/gometheus/internal/common/buildinfo"
	"github.com/gometheus/gometheus/internal/common/health"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/common/pprof"
	"github.com/gometheus/gometheus/internal/common/systemd"
	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
)

const (
	// defaultBuffer is 2.4 MB, over half an hour of polls on a machine with two
	// processors.
	defaultBuffer = 32 << 10
	// defaultRequests is, in bytes, several hours of what node makes every 15 s.
	defaultRequests = 8 << 20
	// defaultShutdown is half of what docker stop allows.
	defaultShutdown = 5 * time.Second
	// A collector's timeout lies between these, whatever the interval.
	shortestCollect, longestCollect = 100 * time.Millisecond, 5 * time.Second
)

// Options is what Run needs besides the configuration. The zero value is right
// outside tests, apart from the two channels.
type Options struct {
	// CPUProfile and MemProfile ask for a profile with each value. nil never
	// does.
	CPUProfile, MemProfile <-chan os.Signal
	// Systemd is told that the agent is ready, lives and stops.
	Systemd systemd.Notifier
	// Collectors are polled, and Targets scraped, instead of those of this machine.
	Collectors []collector.Collector
	Targets    []scrape.Target
	// Transport is used instead of the client's own.
	Transport http.RoundTripper
	// BufferSize is how many gauge samples wait at most; 0 means 32,768.
	BufferSize int
	// ShutdownTimeout is how long sending goes on after ctx ended; 0 means 5 s.
	ShutdownTimeout time.Duration
	// FS holds the spool; nil means the file system of this machine.
	FS vfs.FS
	// Wall is the wall clock, which may jump; nil means time.Now.
	Wall func() time.Time
}

// wall is the clock that tells the time of day.
func (o *Options) wall() func() time.Time {
	if o.Wall == nil {
		return time.Now
	}
	return o.Wall
}

// agent is the parts that the loops share.
type agent struct {
	cfg    config.Config
	log    *zap.Logger
	group  *collector.Group
	buffer *buffer.Buffer
	// scraper brings samples for the history alone; nil without targets.
	scraper *scrape.Scraper
	targets int
	// scrapes is how many requests it has brought; at as many as there are targets
	// first is closed.
	scrapes atomic.Int64
	first   chan struct{}
	// statsd listens to programs, which are a group of their own, so that it can be
	// polled once more when nobody listens any more; nil, both, unless it is asked for.
	statsd   *statsd.Server
	programs *collector.Group
	// requests are those of remote write that are not yet in the outbox.
	requests *buffer.Requests
	outbox   outbox
	spool    *spool.Spool  // in outbox; nil without a disk
	maxAge   time.Duration // of a batch
	client   *client.Client
	skew     skew
	stats    stats
	alive    health.Monitor

	// inHand is what is encoded and not yet in the outbox. It belongs to the report
	// loop, and to Run after that has ended.
	inHand handful

	away      condition // the server doesn't take batches
	denied    reminder  // it doesn't take them from this agent
	refusing  condition // it takes them and refuses what they hold
	rejecting condition // the same of samples for the history
	full      condition // samples go because the buffer is full
	overfull  condition // the same of requests
	stuck     condition // the spool takes nothing
	unkept    condition // the server keeps no history
}

// Run is the agent. It returns nil when ctx has ended and everything is stopped,
// or an error when it can't start.
func Run(ctx context.Context, cfg config.Config, log *zap.Logger, o Options) error {
	a, err := newAgent(cfg, log, o)
	if err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	defer a.close()
	if a.statsd != nil {
		if err := a.statsd.Listen(ctx); err != nil {
			return fmt.Errorf("start the agent: %w", err)
		}
	}
	log.Info("agent started",
		zap.String("version", buildinfo.Read().Version),
		zap.String("server", logger.RedactDSN(cfg.ServerURL())),
		zap.String("spool", cfg.SpoolDir),
		zap.Duration("poll_interval", cfg.PollInterval),
		zap.Duration("report_interval", cfg.ReportInterval))

	// hard goes on after ctx, until the last batch is delivered or given up.
	hard, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()

	var loops, senders, profiles sync.WaitGroup
	// The loops are known before anybody looks at them.
	polling, reporting := a.alive.Loop("poll"), a.alive.Loop("report")
	asked, polled := make(chan struct{}), make(chan struct{})
	loops.Go(func() { a.poll(ctx, polling, asked, polled) })
	loops.Go(func() { a.report(ctx, reporting, polled) })
	if a.scraper != nil {
		loops.Go(func() { a.scrape(ctx, asked) })
	}
	if a.statsd != nil {
		loops.Go(func() { a.listen(ctx) })
	}
	senders.Go(func() { a.send(ctx, hard) })
	profiles.Go(func() { a.profile(ctx, o) })
	profiles.Go(func() { a.tellHealth(ctx) })
	profiles.Go(func() {
		o.Systemd.Run(ctx, log, "sending to "+logger.RedactDSN(cfg.ServerURL()), func(context.Context) error { return a.alive.Check() })
	})

	<-ctx.Done()
	timeout := cmp.Or(o.ShutdownTimeout, defaultShutdown)
	log.Info("agent stops", zap.Duration("within", timeout))
	deadline := time.AfterFunc(timeout, stop)
	defer deadline.Stop()

	loops.Wait()
	a.lastFlush(hard)
	senders.Wait()
	profiles.Wait()
	a.summary()
	return nil
}

func newAgent(cfg config.Config, log *zap.Logger, o Options) (*agent, error) {
	wall := o.wall()
	src := &sources{collectors: o.Collectors, targets: o.Targets}
	if o.Collectors == nil && o.Targets == nil {
		var err error
		if src, err = newSources(&cfg, log); err != nil {
			return nil, err
		}
	}
	labels, err := labelSet(cfg.Labels)
	if err != nil {
		return nil, err
	}
	c, err := newClient(cfg, log, o)
	if err != nil {
		return nil, err
	}
	a := &agent{
		cfg:      cfg,
		log:      log,
		statsd:   src.statsd,
		buffer:   buffer.New(cmp.Or(o.BufferSize, defaultBuffer)),
		requests: buffer.NewRequests(defaultRequests),
		maxAge:   maxAge,
		client:   c,
		skew:     skew{wall: wall, log: log},
		stats:    stats{start: time.Now()},
	}
	if o.Collectors == nil {
		src.collectors = append(src.collectors, &self{a: a, every: cfg.ReportInterval, now: wall})
	}
	groupOptions := collector.Options{
		// Half the interval, so that one slow collector doesn't delay the next poll.
		Timeout: min(max(cfg.PollInterval/2, shortestCollect), longestCollect),
		Labels:  labels,
		Now:     wall,
		Log:     log,
	}
	a.group = collector.NewGroup(groupOptions, src.collectors...)
	if a.statsd != nil {
		a.programs = collector.NewGroup(groupOptions, a.statsd)
	}
	if len(src.targets) > 0 {
		a.first, a.targets = make(chan struct{}), len(src.targets)
		a.scraper, err = newScraper(&cfg, src.targets, labels, scrape.Options{Now: a.skew.now, Log: log, Deliver: a.scraped})
		if err != nil {
			return nil, err
		}
	}
	if cfg.SpoolDir == "" {
		a.outbox = newMemory(min(cfg.RateLimit, client.MaxAhead-1), c)
		return a, nil
	}
	fs := o.FS
	if fs == nil {
		fs = vfs.Default
	}
	a.spool, err = spool.Open(spool.Options{
		FS: fs, Dir: cfg.SpoolDir, MaxSize: cfg.SpoolMaxSize, MaxAge: cfg.SpoolMaxAge, Wall: wall, Log: log,
	})
	if err != nil {
		return nil, err
	}
	a.maxAge = cfg.SpoolMaxAge
	a.outbox = disk{a.spool, fs.PathJoin(cfg.SpoolDir, "dead")}
	return a, nil
}

// close closes what newAgent opened.
func (a *agent) close() {
	a.client.Close()
	if a.spool == nil {
		return
	}
	if err := a.spool.Close(); err != nil {
		a.log.Error("close the spool", zap.Error(err))
	}
}

// newClient is a client as the configuration has it.
func newClient(cfg config.Config, log *zap.Logger, o Options) (*client.Client, error) {
	opts := []client.Option{
		client.WithKey([]byte(cfg.Key.Reveal())),
		client.WithReportInterval(min(max(cfg.ReportInterval, request.MinReportInterval), request.MaxReportInterval)),
		client.WithSignature(cfg.Signature),
		client.WithClock(o.wall()),
		client.WithUserAgent(userAgent()),
	}
	access, err := accessOptions(cfg, o, log)
	if err != nil {
		return nil, err
	}
	return client.New(cfg.ServerURL(), append(opts, access...)...)
}

// labelSet is the configured labels as the model has them.
func labelSet(m map[string]string) (metric.Labels, error) {
	labels := make(metric.Labels, 0, len(m))
	for _, name := range slices.Sorted(maps.Keys(m)) {
		labels = append(labels, metric.Label{Name: name, Value: m[name]})
	}
	return labels.Normalize()
}

// profile writes the profiles asked for until ctx ends.
func (a *agent) profile(ctx context.Context, o Options) {
	err := pprof.Run(ctx, pprof.Config{
		CPUFile:     a.cfg.CPUProfileFile,
		CPUDuration: a.cfg.CPUProfileDuration,
		MemFile:     a.cfg.MemProfileFile,
	}, o.CPUProfile, o.MemProfile, a.log)
	if err != nil {
		a.log.Warn("no more profiles", zap.Error(err))
	}
}

// lastFlush seals all that is left, what slow collectors still bring included,
// and tells the senders that nothing more will come.
func (a *agent) lastFlush(hard context.Context) {
	ctx, cancel := context.WithTimeout(hard, time.Second)
	defer cancel()
	late, err := a.group.Drain(ctx)
	if err != nil {
		a.log.Warn("left behind", zap.Error(err))
	}
	a.add(late)
	if a.programs != nil { // what came until the socket was closed
		a.add(a.programs.Collect(ctx))
		late, err = a.programs.Drain(ctx)
		if err != nil {
			a.log.Warn("left behind", zap.Error(err))
		}
		a.add(late)
	}
	// An error means that the time is up; what remains is counted in the summary.
	if err := a.flush(hard); err != nil {
		a.log.Debug("not everything could be handed over", zap.Error(err))
	}
	a.outbox.Close()
}
