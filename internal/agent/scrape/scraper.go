package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/scrape/remotewrite"
)

// parallel is how many expositions are parsed at once.
const parallel = 2

// Scraper scrapes targets.
type Scraper struct {
	o       Options
	client  *http.Client
	own     *http.Transport // or nil
	buffers sync.Pool       // of *bytes.Buffer
	places  chan struct{}   // one for each that may parse

	mu   sync.Mutex
	idle []*worker // guarded by mu; the last used is the next, so that mostly one is
}

// worker makes requests of samples.
type worker struct{ enc *remotewrite.Encoder }

// New returns a Scraper. Nothing is scraped yet. An error is that two targets have
// the same job and instance.
func New(o Options) (*Scraper, error) {
	for i, t := range o.Targets {
		for _, before := range o.Targets[:i] {
			if t.Job == before.Job && t.Instance == before.Instance {
				return nil, errSame(before.Source.String(), t.Source.String(), t.Job, t.Instance)
			}
		}
	}
	s := &Scraper{o: o.orDefault(), places: make(chan struct{}, parallel)}
	s.buffers.New = func() any { return new(bytes.Buffer) }
	transport := s.o.Transport
	if transport == nil {
		s.own = newTransport(s.o.Interval)
		transport = s.own
	}
	// The context of a scrape ends it.
	s.client = &http.Client{Transport: transport, CheckRedirect: redirected}
	return s, nil
}

// Run scrapes each target at once and then every Interval, until ctx ends: then
// scrapes that are under way are dropped. Without targets it ends at once. The
// error names sources that don't end.
func (s *Scraper) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	errs := make([]error, len(s.o.Targets))
	for i, t := range s.o.Targets {
		wg.Go(func() { errs[i] = s.loop(ctx, newTarget(t, &s.o)) })
	}
	wg.Wait()
	s.close()
	return errors.Join(errs...)
}

func (s *Scraper) close() {
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
}

// loop scrapes one target. Its scrapes are due at multiples of the interval after
// the first; those that come due during another are left out.
func (s *Scraper) loop(ctx context.Context, t *target) error {
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return s.drain(ctx, t)
		case <-timer.C:
		}
		if ctx.Err() != nil {
			continue
		}
		s.scrape(ctx, t)
		due = due.Add(s.o.Interval)
		if late := time.Since(due); late > 0 {
			due = due.Add((late + s.o.Interval - 1).Truncate(s.o.Interval))
		}
		timer.Reset(time.Until(due))
	}
}

// drainTime is how long is waited for a source whose last scrape was dropped. What
// it gathers is of no use any more, and others wait for the end of Run.
const drainTime = time.Second

// drain waits for a source whose last scrape was dropped.
func (s *Scraper) drain(ctx context.Context, t *target) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), min(s.o.Timeout, drainTime))
	defer cancel()
	if err := t.Source.Drain(ctx); err != nil {
		return fmt.Errorf("scrape of %s: %w", t.Source, err)
	}
	return nil
}

// scrape scrapes a target once and delivers what comes of it.
func (s *Scraper) scrape(ctx context.Context, t *target) {
	began, now := time.Now(), t.stamp(s.o.Now(), s.o.Interval)
	b := s.buffer()
	defer s.release(b)
	result, err := t.fetch(ctx, &s.o, s.client, b)
	select {
	case <-ctx.Done():
	case s.places <- struct{}{}:
		defer func() { <-s.places }()
	}
	if ctx.Err() != nil {
		return // it says nothing about the target that its scrape was cut short
	}
	w := s.worker()
	defer s.rest(w)
	w.enc.Reset()
	_, err = t.take(b.Bytes(), result, err, began, now, w)
	payloads, finishErr := w.enc.Finish()
	if err := errors.Join(err, finishErr); err != nil {
		t.log.Error("a scrape is lost", zap.Error(errOutput(err)))
		return
	}
	for _, p := range payloads {
		s.o.Deliver(p)
	}
}

func (s *Scraper) worker() *worker {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		w := s.idle[n-1]
		s.idle = s.idle[:n-1]
		return w
	}
	return &worker{enc: remotewrite.New()}
}

func (s *Scraper) rest(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, w)
}

func (s *Scraper) buffer() *bytes.Buffer {
	b := s.buffers.Get().(*bytes.Buffer) // it has nothing else
	b.Reset()
	return b
}

func (s *Scraper) release(b *bytes.Buffer) {
	if b.Cap() <= 1<<20 {
		s.buffers.Put(b)
	}
}

// add implements sink.
func (w *worker) add(s *sample) error {
	x := remotewrite.Sample{Labels: s.labels, ST: s.st, T: s.t, V: s.v, H: s.h, FH: s.fh, Exemplars: s.exemplars}
	if s.meta != nil {
		x.Meta = &s.meta.Metadata
	}
	return w.enc.Add(&x)
}

// reset implements output.
func (w *worker) reset() { w.enc.Reset() }
