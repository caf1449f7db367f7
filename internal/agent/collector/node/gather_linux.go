package node

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	upstream "github.com/prometheus/node_exporter/collector"
	"go.uber.org/zap"
)

// maxRuns is how many runs of one collector may hang at once. Another one may get
// through where the first hangs: upstream's filesystem collector passes over the
// mounts that it found to be silent, of which one run finds up to 4. Beyond that
// the collector is not started before a run returns.
const maxRuns = 4

var (
	durationDesc = prometheus.NewDesc("node_scrape_collector_duration_seconds",
		"How long a collector took.", []string{"collector"}, nil)
	successDesc = prometheus.NewDesc("node_scrape_collector_success",
		"1 if a collector gave what it should.", []string{"collector"}, nil)
)

// errTimeout is the trouble of a collector that didn't return in time.
var errTimeout = errors.New("no answer in time")

// source is one collector.
type source struct {
	name      string
	collector upstream.Collector
	// runs counts those that have not returned. What returns late is thrown away.
	runs chan struct{}
	// size is how many metrics it gave, for the next time.
	size int
}

// result is what a run gave, and how.
type result struct {
	metrics []prometheus.Metric
	err     error
	took    time.Duration
}

// panicError is a collector's panic, with the place where it happened.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// gatherer runs all collectors side by side, each with a timeout.
type gatherer struct {
	mu       sync.Mutex // held while it gathers
	registry *prometheus.Registry
	sources  []*source
	timeout  time.Duration
	troubles *troubles
}

func newGatherer(sources []*source, timeout time.Duration, t *troubles) (*gatherer, error) {
	g := &gatherer{registry: prometheus.NewRegistry(), sources: sources, timeout: timeout, troubles: t}
	for _, s := range sources {
		s.runs = make(chan struct{}, maxRuns)
	}
	if err := g.registry.Register(g); err != nil {
		return nil, fmt.Errorf("register the node collectors: %w", err)
	}
	return g, nil
}

// Gather implements prometheus.Gatherer. It takes no longer than the timeout, and
// what it takes to put the metrics in order.
func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	families, err := g.registry.Gather()
	if err != nil && len(families) > 0 {
		// Some were in conflict, which a text file can bring about at any time.
		g.troubles.begin("registry", "some metrics of the node collectors are left out", zap.Error(err))
		err = nil
	}
	g.troubles.sweep()
	return families, err
}

// Describe implements prometheus.Collector.
func (g *gatherer) Describe(ch chan<- *prometheus.Desc) {
	ch <- durationDesc
	ch <- successDesc
}

// Collect implements prometheus.Collector.
func (g *gatherer) Collect(ch chan<- prometheus.Metric) {
	started := make([]<-chan result, len(g.sources))
	for i, s := range g.sources {
		started[i] = s.start()
	}
	timer := time.NewTimer(g.timeout)
	defer timer.Stop()
	expired := false
	for i, s := range g.sources {
		r := result{err: errTimeout, took: g.timeout}
		if !expired && started[i] != nil {
			select {
			case r = <-started[i]:
			case <-timer.C:
				expired = true
			}
		}
		if expired {
			select { // the time is up for all: who has answered meanwhile still counts
			case r = <-started[i]:
			default:
			}
		}
		g.take(ch, s, r)
	}
}

// start runs the collector and returns where its result will be: never, when too
// many of its runs hang.
func (s *source) start() <-chan result {
	select {
	case s.runs <- struct{}{}:
	default:
		return nil
	}
	out, size := make(chan result, 1), s.size // has room: nobody may be waiting any more
	go func() {
		defer func() { <-s.runs }()
		begin, r := time.Now(), result{metrics: make([]prometheus.Metric, 0, size)}
		ch := make(chan prometheus.Metric)
		go func() {
			defer close(ch)
			defer func() {
				if v := recover(); v != nil {
					r.err = &panicError{value: v, stack: debug.Stack()}
				}
			}()
			r.err = s.collector.Update(ch)
		}()
		for m := range ch {
			r.metrics = append(r.metrics, m)
		}
		r.took = time.Since(begin)
		out <- r
	}()
	return out
}

// take passes on what a collector gave, with how it went.
func (g *gatherer) take(ch chan<- prometheus.Metric, s *source, r result) {
	success := 1.0
	if r.err != nil {
		success = 0
	}
	if r.err != nil && !upstream.IsNoDataError(r.err) {
		g.troubles.collector(s.name, r.err)
	}
	if s.size = max(s.size, len(r.metrics)); len(r.metrics) < s.size/2 {
		s.size = len(r.metrics)
	}
	for _, m := range r.metrics {
		ch <- m
	}
	ch <- prometheus.MustNewConstMetric(durationDesc, prometheus.GaugeValue, r.took.Seconds(), s.name)
	ch <- prometheus.MustNewConstMetric(successDesc, prometheus.GaugeValue, success, s.name)
}

// collector notes that a collector failed.
func (t *troubles) collector(name string, err error) {
	fields := []zap.Field{zap.String("collector", name), zap.Error(err)}
	if errors.Is(err, fs.ErrPermission) {
		t.rights(name, fields...)
		return
	}
	if p, ok := errors.AsType[*panicError](err); ok {
		fields = append(fields, zap.ByteString("stack", p.stack))
	}
	t.begin(name, "node collector fails", fields...)
}
