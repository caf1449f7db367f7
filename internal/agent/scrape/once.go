package scrape

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Once scrapes each target once and adds what comes of it to x, with up and the
// like. The error says which targets failed; what the others gave, and up of
// those, is in x. It is not for use beside Run.
func (s *Scraper) Once(ctx context.Context, x *Exposition) error {
	defer s.close()
	var (
		wg   sync.WaitGroup
		got  = make([]collected, len(s.o.Targets))
		errs = make([]error, len(s.o.Targets))
	)
	for i, target := range s.o.Targets {
		wg.Go(func() {
			t := newTarget(target, &s.o)
			began, now := time.Now(), s.o.Now()
			b := s.buffer()
			defer s.release(b)
			result, err := t.fetch(ctx, &s.o, s.client, b)
			s.places <- struct{}{}
			defer func() { <-s.places }()
			failed, err := t.take(b.Bytes(), result, err, began, now, &got[i])
			errs[i] = errors.Join(failed, err, result.Partial, s.drain(ctx, t))
			if errs[i] != nil {
				errs[i] = fmt.Errorf("scrape %s: %w", t.Source, errs[i])
			}
		})
	}
	wg.Wait()
	for _, c := range got { // in order, since the first counts
		for _, f := range c.rows {
			x.take(f.family, f.row)
		}
	}
	return errors.Join(errs...)
}

// collected is a scrape on its way to an Exposition.
type collected struct{ rows []found }

type found struct {
	family *family // or nil
	row    row
}

// add implements sink.
func (c *collected) add(s *sample) error {
	r := row{labels: s.labels, value: s.v}
	if s.own {
		r.time = &[]int64{s.t}[0]
	}
	switch {
	case s.h != nil:
		r.native = s.h.ToFloat(nil)
	case s.fh != nil:
		r.native = s.fh
	}
	c.rows = append(c.rows, found{s.meta, r})
	return nil
}

// reset implements output.
func (c *collected) reset() { c.rows = nil }
