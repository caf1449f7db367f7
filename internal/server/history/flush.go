package history

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// commitSize is how many samples one commit to the TSDB holds: large ones are
// cheaper, but keep what the TSDB isolates from queries.
const commitSize = 10_000

// Flush writes what is pending to the TSDB. If the TSDB takes none of it (the
// disk is full), it is kept for the next time, within bounds.
func (h *History) Flush() {
	h.mu.Lock()
	none := len(h.pending) == 0
	h.mu.Unlock()
	h.flushMu.Lock()
	defer h.flushMu.Unlock()
	// Even with nothing pending the lock was worth waiting for: another may just be
	// writing what the caller wants to see.
	if none && len(h.kept) == 0 {
		return
	}
	h.mu.Lock()
	batch := h.pending
	h.pending = h.spare[:0]
	h.epoch++
	h.mu.Unlock()

	if len(h.kept) > 0 {
		h.kept = append(h.kept, batch...)
		if excess := len(h.kept) - maxKept; excess > 0 {
			h.counts.Lost.Add(int64(excess))
			h.kept = append(h.kept[:0], h.kept[excess:]...)
		}
		h.kept = h.kept[h.write(h.kept):]
	} else if n := h.write(batch); n < len(batch) {
		h.kept = append(h.kept[:0], batch[n:]...)
	}
	if len(h.kept) == 0 {
		h.kept = nil
	}
	clear(batch)
	if cap(batch) > 2*maxPending {
		batch = nil
	}
	h.spare = batch[:0]
}

// write appends samples and commits them by and by. It returns how many it is
// done with.
func (h *History) write(batch []sample) (done int) {
	w := writer{h: h}
	for done < len(batch) {
		n := min(commitSize, len(batch)-done)
		if err := w.commit(batch[done : done+n]); err != nil {
			if !h.failing {
				h.o.Log.Error("the history takes no samples; they wait in memory", zap.Error(err), zap.Int("samples", len(batch)-done))
			}
			h.failing = true
			return done
		}
		done += n
	}
	if h.failing {
		h.failing = false
		h.o.Log.Info("the history takes samples again")
	}
	return done
}

// writer appends to the TSDB. flushMu is held.
type writer struct {
	h       *History
	app     promstorage.AppenderV2
	builder labels.ScratchBuilder
}

func (w *writer) commit(batch []sample) error {
	w.app = w.h.db.AppenderV2(context.Background())
	for i := range batch {
		w.append(&batch[i])
	}
	if err := w.app.Commit(); err != nil {
		// The references of series that this commit would have made are gone.
		for i := range batch {
			batch[i].s.ref, batch[i].s.flushed = 0, 0
		}
		return err
	}
	w.h.counts.Appended.Add(int64(len(batch)))
	return nil
}

// append hands one sample to the TSDB. What the TSDB refuses is counted and let
// go: it would refuse it again.
func (w *writer) append(smp *sample) {
	s := smp.s
	if kinded := s.kind() == metric.Gauge && s.family.counter.Load(); kinded != s.kinded {
		s.ref, s.kinded = 0, kinded
	}
	counter := s.kind() == metric.Counter
	// A zero that comes late has its place before all others.
	if counter && smp.t <= s.flushed && s.flushed != 0 && !smp.zero {
		smp.t = s.flushed + 1 // the time was given out before the newest was known
	}
	// A counter whose newest time isn't known, since the process is new, must not
	// slip in before it: that would look like a reset.
	strict := counter && s.flushed == 0
	err := w.appendAt(smp, strict)
	if err != nil && strict {
		t, v, found := w.newest(s, smp.t)
		switch {
		case found && v == smp.v:
			s.flushed = t
			return
		case found:
			smp.t = max(smp.t, t+1)
		}
		err = w.appendAt(smp, false)
	} else if errors.Is(err, promstorage.ErrDuplicateSampleForTimestamp) {
		smp.t++
		err = w.appendAt(smp, false)
	}
	switch {
	case err == nil:
		if smp.t > s.flushed {
			s.flushed = smp.t
			w.h.mu.Lock()
			s.last = max(s.last, smp.t)
			w.h.mu.Unlock()
		}
	case errors.Is(err, promstorage.ErrTooOldSample), errors.Is(err, promstorage.ErrOutOfBounds), errors.Is(err, promstorage.ErrOutOfOrderSample):
		w.h.counts.TooOld.Add(1)
	case errors.Is(err, promstorage.ErrDuplicateSampleForTimestamp):
		w.h.counts.Duplicate.Add(1)
	default:
		w.h.counts.Lost.Add(1)
		w.h.o.Log.Error("the history refuses a sample", zap.Error(err))
	}
}

func (w *writer) appendAt(smp *sample, strict bool) error {
	s := smp.s
	opts := promstorage.AOptions{RejectOutOfOrder: strict}
	if s.ref != 0 {
		_, err := w.app.Append(s.ref, labels.EmptyLabels(), 0, smp.t, smp.v, nil, nil, opts)
		if !isUnknownRef(err) {
			return err
		}
	}
	ref, err := w.app.Append(0, labelsOf(s.key, s.kinded, &w.builder), 0, smp.t, smp.v, nil, nil, opts)
	if err == nil {
		s.ref = ref
	}
	return err
}

// newest looks for the newest sample that the TSDB has of a series, from a time
// on.
func (w *writer) newest(s *series, from int64) (t int64, v float64, found bool) {
	q, err := w.h.db.Querier(from, math.MaxInt64)
	if err != nil {
		return 0, 0, false
	}
	defer func() { _ = q.Close() }() // nothing was written
	ls := labelsOf(s.key, s.kinded, &w.builder)
	var matchers []*labels.Matcher
	ls.Range(func(l labels.Label) {
		matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, l.Name, l.Value))
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	set := q.Select(ctx, false, nil, matchers...)
	for set.Next() {
		if set.At().Labels().Hash() != ls.Hash() {
			continue // the matchers let series with more labels through
		}
		it := set.At().Iterator(nil)
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind == chunkenc.ValFloat {
				t, v = it.At()
				found = true
			}
		}
	}
	return t, v, found
}

// isUnknownRef tells that the TSDB has forgotten a series, which it does when its
// samples have all left the head.
func isUnknownRef(err error) bool {
	return err != nil && errors.Is(err, tsdb.ErrInvalidSample)
}
