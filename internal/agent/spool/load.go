package spool

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/pkg/client"
)

// loader collects what the segments hold.
type loader struct {
	s        *Spool
	segments map[uint64]*segment
	found    bool // acks was readable
	known    bool // a record was found
	last     uint64
	at       stamp // of the newest record
	first    journal.Position
	pending  uint64 // the oldest batch that isn't settled, in the record at first; 0: none
	missing  int64  // batches that should be there and aren't
}

// load reads what is in the folder.
func (s *Spool) load() error {
	start := time.Now()
	s.dead = dead{fs: s.o.FS, dir: s.path("dead"), maxSize: s.o.MaxSize / deadPerSize, log: s.o.Log}
	var found bool
	var err error
	if s.acks, s.note, found, err = openAcks(s.o.FS, s.path("acks")); err != nil {
		s.o.Log.Error("what the server has can't be read", zap.String("file", s.path("acks")), zap.Error(err))
	}
	l := loader{s: s, segments: make(map[uint64]*segment), found: found}
	log, files, err := journal.Recover(*s.journal(), l.replay)
	if err != nil {
		return err
	}
	s.log, s.reader = log, journal.NewReader(s.journal())
	doubt := l.segmentsOf(files)
	if s.note.last > l.last {
		doubt = append(doubt, "batches that were written are missing")
		l.missing += s.note.open(l.last+1, s.note.last)
	}
	if l.missing > 0 {
		s.o.Log.Error("batches are missing in the spool", zap.Int64("batches", l.missing))
		s.lost.add(int(l.missing), 0)
	}
	s.note.last = max(s.note.last, l.last)
	if l.pending > 0 {
		s.note.raise(l.pending - 1)
	} else {
		s.note.raise(s.note.last)
	}
	s.passed = s.note.low
	if err := s.identity(doubt, found); err != nil {
		return err
	}
	if err := s.identify(s.note.last); err != nil {
		// The next Append tries again, and until then nothing is noted.
		s.o.Log.Warn("the spool's producer can't be written", zap.Error(err))
	}
	s.startClock(&l, found)
	s.writeNoteLocked()
	s.clean()
	if s.waiting.batches > 0 {
		s.o.Log.Info("the spool holds batches from before",
			zap.Int64("batches", s.waiting.batches), zap.Int64("metrics", s.waiting.metrics),
			zap.Int("files", len(s.segments)), zap.Duration("took", time.Since(start)))
	}
	return nil
}

// replay notes one record.
func (l *loader) replay(at journal.Position, rec []byte) error {
	seg := l.segments[at.Segment]
	if seg == nil {
		seg = &segment{number: at.Segment}
		l.segments[at.Segment] = seg
	}
	var pending counter
	var oldest uint64
	r, err := parseRecord(rec, func(number uint64, b client.Batch) {
		if !l.s.note.has(number) {
			pending.add(1, b.Count)
			if oldest == 0 {
				oldest = number
			}
		}
	})
	if err == nil && l.known && r.first <= l.last {
		err = fmt.Errorf("batch %d comes after batch %d", r.first, l.last)
	}
	if err != nil {
		seg.damage = &journal.CorruptError{Path: l.s.journal().Path(at.Segment), Offset: at.Offset, Reason: err.Error()}
		return nil //nolint:nilerr // the rest counts
	}
	if expected := max(l.last, l.s.note.low) + 1; r.first > expected && (l.known || l.found) {
		l.missing += l.s.note.open(expected, r.first-1)
	}
	seg.records++
	seg.pending.add(int(pending.batches), int(pending.metrics))
	l.known, l.last, l.at = true, r.last(), r.at
	if l.pending == 0 && oldest > 0 {
		l.pending, l.first = oldest, at
	}
	return nil
}

// segmentsOf makes the spool's table of the files and where reading begins. What
// it returns are reasons for a new epoch.
func (l *loader) segmentsOf(files []journal.Found) (doubt []string) {
	s := l.s
	for _, f := range files {
		seg := l.segments[f.Number]
		if seg == nil {
			seg = &segment{number: f.Number}
		}
		if f.Damage != nil {
			seg.damage = f.Damage
		}
		if seg.damage != nil {
			doubt = append(doubt, "a file is damaged")
			s.o.Log.Error("the spool is damaged; it goes on with what is readable", zap.Error(seg.damage),
				zap.Int64("readable_batches_to_send", seg.pending.batches))
		}
		if f.Torn {
			doubt = append(doubt, "a file ends in a torn record")
		}
		if f.Damage != nil && f.Damage.Offset < 0 {
			continue // it isn't there
		}
		seg.end = f.End
		seg.unread = seg.pending
		s.segments = append(s.segments, seg)
		s.waiting.add(int(seg.pending.batches), int(seg.pending.metrics))
		if l.pending > 0 && f.Number == l.first.Segment {
			s.current, s.offset = seg, l.first.Offset
		}
	}
	if s.current == nil && len(s.segments) > 0 {
		s.current = s.segments[len(s.segments)-1]
		s.offset = s.current.end
	}
	return doubt
}

// identity decides who sends what is appended from now on.
func (s *Spool) identity(doubt []string, found bool) error {
	path := s.path("producer")
	who, err := readProducer(s.o.FS, path)
	switch {
	case err != nil || len(doubt) > 0:
	case !found:
		doubt = append(doubt, "acks is missing or unreadable")
	case who.Base > s.note.last:
		doubt = append(doubt, "the producer knows of batches that are missing")
	}
	switch {
	case err == nil && len(doubt) == 0:
		s.who = who
		return nil
	case err == nil:
		who.Epoch++
		s.who, s.changed = who, true
		s.o.Log.Warn("the spool begins a new epoch, since something may be missing",
			zap.String("producer", s.who.name()), zap.Strings("reasons", doubt))
		return nil
	case errors.Is(err, errProducer):
		s.o.Log.Error("the spool gets a new producer", zap.String("file", path), zap.Error(err))
		if err := s.putAside(path, err); err != nil {
			return err
		}
	case len(s.segments) > 0 || s.note.last > 0:
		s.o.Log.Error("the spool gets a new producer: the file is missing", zap.String("file", path))
	case !errors.Is(err, os.ErrNotExist):
		return err
	}
	s.who, s.changed = newProducer(), true
	return nil
}

// startClock lets the spool's clock go on from the newest moment known.
func (s *Spool) startClock(l *loader, found bool) {
	at := s.note.at
	if !found || l.known && l.at.clock > at.clock {
		at = l.at
	}
	c, jump := resume(s.o.Wall, at, found || l.known)
	s.clock = c
	if jump != 0 {
		s.o.Log.Warn("the clock has jumped; the time since the last run counts as none", zap.Duration("by", jump))
	}
}
