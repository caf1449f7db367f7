package spool

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/response"
)

// Lease is a batch on its way. It is settled once, by Ack or Refuse; Nack gives
// it back.
type Lease struct {
	s  *Spool
	e  *entry
	at time.Time
}

// Batch is the batch, as it was appended.
func (l *Lease) Batch() client.Batch { return l.e.batch }

// At is when the batch was appended, by the monotonic clock: time.Since is its
// age.
func (l *Lease) At() time.Time { return l.at }

// Lease waits for a batch that nobody holds and that may be sent, and lends the
// oldest. The error is ctx's, or ErrClosed after Finish when nothing waits.
func (s *Spool) Lease(ctx context.Context) (*Lease, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s.mu.Lock()
		e, err := s.nextLocked()
		wake := s.wake
		var l *Lease
		if e != nil {
			l = &Lease{s: s, e: e, at: time.Now().Add(-s.clock.age(e.clock))}
		}
		s.mu.Unlock()
		switch {
		case l != nil:
			return l, nil
		case errors.Is(err, ErrClosed):
			return nil, err
		}
		if err != nil {
			s.o.Log.Warn("the spool can't be read; it tries again", zap.Error(err))
			pause(ctx, readPause)
			continue
		}
		select {
		case <-wake:
		case <-ctx.Done():
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// nextLocked takes the entry to lease, nil if there is none now.
func (s *Spool) nextLocked() (*entry, error) {
	if len(s.returned) > 0 {
		e := s.returned[0]
		s.returned = slices.Delete(s.returned, 0, 1)
		return e, nil
	}
	if err := s.peekLocked(); err != nil {
		return nil, err
	}
	if len(s.ready) == 0 {
		if s.closed {
			return nil, ErrClosed
		}
		return nil, nil
	}
	e := s.ready[0]
	if len(s.window) > 0 && e.number-s.window[0].number >= client.MaxAhead {
		return nil, nil
	}
	e.batch.Body = bytes.Clone(e.batch.Body) // it was part of buf
	s.popReadyLocked()
	s.window = append(s.window, e)
	return e, nil
}

func (s *Spool) popReadyLocked() {
	s.passed = s.ready[0].number
	s.ready[0] = nil
	s.ready = s.ready[1:]
}

// peekLocked makes ready begin with the next batch to send, if there is one. It
// drops those that are too old.
func (s *Spool) peekLocked() error {
	var dropped counter
	defer func() {
		if dropped.batches > 0 {
			s.expired.add(int(dropped.batches), int(dropped.metrics))
			s.lowerLocked()
			s.o.Log.Error("batches are lost: they got too old in the spool",
				zap.Int64("batches", dropped.batches), zap.Int64("metrics", dropped.metrics), zap.Duration("max_age", s.o.MaxAge))
		}
	}()
	for {
		if len(s.ready) == 0 {
			if err := s.readLocked(); err != nil || len(s.ready) == 0 {
				return err
			}
		}
		e := s.ready[0]
		if s.clock.age(e.clock) < s.o.MaxAge {
			return nil
		}
		dropped.add(1, e.batch.Count)
		s.settleLocked(e)
		s.popReadyLocked()
	}
}

// readLocked reads on until there is a record with a batch to send, whose
// batches are ready then, or until everything is read. The error is one that
// may go away.
func (s *Spool) readLocked() error {
	if s.current == nil {
		if len(s.segments) == 0 {
			return nil
		}
		s.current, s.offset = s.segments[0], 0
	}
	for len(s.ready) == 0 {
		seg := s.current
		rec, next, err := s.reader.Read(journal.Position{Segment: seg.number, Offset: s.offset}, seg.end)
		var corrupt *journal.CorruptError
		switch {
		case err == nil:
			if err := s.handOutLocked(seg, rec); err != nil {
				s.damagedLocked(seg, &journal.CorruptError{
					Path: s.journal().Path(seg.number), Offset: s.offset, Reason: err.Error(),
				})
			}
			s.offset = next
		case errors.Is(err, io.EOF):
			s.offset = seg.end
			s.lostLocked(seg)
			if !s.nextSegmentLocked() {
				return nil
			}
		case !errors.As(err, &corrupt) && s.failures < patience:
			s.failures++
			s.reader.Close() // to begin afresh
			return err
		default:
			s.damagedLocked(seg, err)
			next, err := s.reader.Resync(journal.Position{Segment: seg.number, Offset: s.offset}, seg.end)
			if err != nil {
				next = seg.end
			}
			s.offset = next
		}
		s.failures = 0
	}
	return nil
}

// handOutLocked makes the batches of a record ready, but for those settled.
func (s *Spool) handOutLocked(seg *segment, rec []byte) error {
	s.buf = append(s.buf[:0], rec...)
	var entries []*entry
	r, err := parseRecord(s.buf, func(number uint64, b client.Batch) {
		if !s.note.has(number) {
			entries = append(entries, &entry{number: number, batch: b, segment: seg})
		}
	})
	if err != nil {
		return err
	}
	if r.first <= s.passed && len(entries) > 0 && entries[0].number <= s.passed {
		return errRecord // known since Open
	}
	for _, e := range entries {
		e.clock = r.at.clock
		seg.unread.add(-1, -e.batch.Count)
	}
	s.ready = entries
	return nil
}

// lostLocked gives up what should have been in a segment that was read to its
// end.
func (s *Spool) lostLocked(seg *segment) {
	n := seg.unread
	if n.batches == 0 {
		return
	}
	seg.unread = counter{}
	s.lost.add(int(n.batches), int(n.metrics))
	s.waiting.add(-int(n.batches), -int(n.metrics))
	seg.pending.add(-int(n.batches), -int(n.metrics))
	s.o.Log.Error("batches in the spool are lost: they can't be read any more",
		zap.Int64("batches", n.batches), zap.Int64("metrics", n.metrics), zap.NamedError("damage", seg.damage))
}

// nextSegmentLocked goes on to the next segment, if there is one.
func (s *Spool) nextSegmentLocked() bool {
	i := slices.Index(s.segments, s.current)
	if i+1 >= len(s.segments) {
		return false
	}
	s.current, s.offset = s.segments[i+1], 0
	return true
}

// damagedLocked notes damage found while reading.
func (s *Spool) damagedLocked(seg *segment, err error) {
	if seg.damage == nil {
		s.o.Log.Error("the spool is damaged; it goes on with what is readable", zap.Error(err))
		seg.damage = err
	}
}

// settleLocked is the end of a batch.
func (s *Spool) settleLocked(e *entry) {
	e.settled = true
	e.segment.pending.add(-1, -e.batch.Count)
	s.waiting.add(-1, -e.batch.Count)
}

// lowerLocked says in acks up to where everything is settled.
func (s *Spool) lowerLocked() {
	for len(s.window) > 0 && s.window[0].settled {
		s.window[0] = nil
		s.window = s.window[1:]
	}
	switch {
	case len(s.window) > 0:
		s.note.raise(s.window[0].number - 1)
	case len(s.ready) > 0:
		s.note.raise(s.ready[0].number - 1)
	default:
		s.note.raise(s.passed)
	}
	s.writeNoteLocked()
	s.wakeLocked()
}

// Ack says that the server has the batch.
func (l *Lease) Ack() { l.settle(&counter{}) }

// Expire gives the batch up because it has become too old on its way.
func (l *Lease) Expire() { l.settle(&l.s.expired) }

// Refuse says that the server refuses the batch for good, which goes to the dead
// letters. It is settled even when an error says that the letter could not be
// written.
func (l *Lease) Refuse(status int, problem response.Problem) error {
	b := l.e.batch
	err := l.s.dead.bury(l.e.number, Letter{
		Key: b.Key, Time: l.s.o.Wall().UTC(), Status: status, Problem: problem,
		ContentType: b.ContentType, ContentEncoding: b.ContentEncoding, Metrics: b.Count,
	}, b)
	l.settle(&l.s.refused)
	return err
}

func (l *Lease) settle(c *counter) {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.e.settled {
		return
	}
	c.add(1, l.e.batch.Count)
	s.settleLocked(l.e)
	s.note.raise(s.window[0].number - 1) // there may be a gap below
	l.e.batch.Body = nil
	s.note.add(l.e.number)
	s.lowerLocked()
}

// Nack gives the batch back, to be leased again.
func (l *Lease) Nack() {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.returned, l.e, byNumber)
	s.returned = slices.Insert(s.returned, i, l.e)
	s.wakeLocked()
}
