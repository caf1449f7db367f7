package spool

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
)

// A segment is about a part of MaxSize, between these.
const (
	segmentsPerSize                  = 16
	smallestSegment, largestSegment  = 64 << 10, 4 << 20
	recordOverhead, overheadPerBytes = 512, 1024
)

// segment is what is known of a file of the journal.
type segment struct {
	number  uint64
	end     int64 // where its records end
	records int
	damage  error
	pending counter // batches that aren't settled
	unread  counter // those of them that weren't read yet
}

func (s *Spool) segmentSize() int64 {
	return min(max(s.o.MaxSize/segmentsPerSize, smallestSegment), largestSegment)
}

// makeRoom starts a new segment if the current one is large, and says whether
// the bytes fit at all.
func (s *Spool) makeRoom(size int64) error {
	numbers, err := journal.Segments(s.o.FS, s.o.Dir)
	if err != nil {
		return err
	}
	jo := s.journal()
	var total int64
	for _, n := range numbers {
		info, err := s.o.FS.Stat(jo.Path(n))
		if err != nil {
			return fmt.Errorf("look at segment: %w", err)
		}
		total += info.Size()
	}
	s.mu.Lock()
	settled := s.waiting.batches == 0
	s.mu.Unlock()
	size += size/overheadPerBytes + recordOverhead
	need := total + size
	if s.full {
		need += s.segmentSize() / 2 // so that it is full, or not, for some time
	}
	s.full = need > s.o.MaxSize
	if s.full && settled {
		// What is left can go as soon as a newer record is there.
		s.full = size > s.o.MaxSize
	} else {
		settled = false
	}
	if s.full {
		return fmt.Errorf("%w: SPOOL_MAX_SIZE is reached", ErrFull)
	}
	if s.log.Size() > 0 && (settled || s.log.End().Offset+size/2 > s.segmentSize()) {
		if _, err := s.log.Rotate(); err != nil {
			return err
		}
	}
	return nil
}

// clean removes the segments that are settled, oldest first, so that those left
// are always a run without gaps. The last one with a record stays: it says how
// far the sequences have come.
func (s *Spool) clean() {
	for synced := false; ; synced = true {
		seg, next := s.settledSegment()
		if seg == nil {
			return
		}
		if !synced {
			// So that acks, after a power cut, knows what became of them. If it doesn't,
			// the next Open takes them for missing, and no more.
			_ = s.acks.sync()
		}
		if err := s.remove(seg, next); err != nil {
			s.o.Log.Warn("a settled segment of the spool can't be removed",
				zap.String("file", s.journal().Path(seg.number)), zap.Error(err))
			s.mu.Lock()
			s.segments = slices.Insert(s.segments, 0, seg)
			s.mu.Unlock()
			return
		}
	}
}

// remove removes a settled segment, and the empty ones before the next.
func (s *Spool) remove(seg *segment, next uint64) error {
	for n := seg.number; n < next; n++ {
		path := s.journal().Path(n)
		var err error
		if n == seg.number && seg.damage != nil {
			err = s.putAside(path, seg.damage)
		} else {
			err = s.o.FS.Remove(path)
		}
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		// Each removal is made durable before the next one.
		if err = errors.Join(err, journal.SyncDir(s.o.FS, s.o.Dir)); err != nil {
			return err
		}
	}
	return nil
}

// settledSegment takes the oldest segment out if all in it is settled. next is
// the number of the one after it.
func (s *Spool) settledSegment() (seg *segment, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segments) == 0 || s.segments[0].pending.batches > 0 ||
		!slices.ContainsFunc(s.segments[1:], func(later *segment) bool { return later.records > 0 }) {
		return nil, 0
	}
	seg = s.segments[0]
	s.segments = s.segments[1:]
	if s.current == seg {
		s.current, s.offset = s.segments[0], 0
		s.reader.Close()
	}
	return seg, s.segments[0].number
}

// putAside renames a damaged file. Of such files only the newest are kept.
func (s *Spool) putAside(path string, why error) error {
	aside := path + corruptMark + s.o.Wall().UTC().Format("20060102T150405Z")
	if err := s.o.FS.Rename(path, aside); err != nil {
		return fmt.Errorf("put damaged file aside: %w", err)
	}
	s.o.Log.Error("a damaged file of the spool is put aside",
		zap.String("file", path), zap.String("put_aside_as", aside), zap.NamedError("damage", why))
	names, err := s.o.FS.List(s.o.Dir)
	if err != nil {
		return fmt.Errorf("list spool folder: %w", err)
	}
	names = slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, corruptMark) })
	slices.Sort(names)
	for _, name := range names[:max(len(names)-maxCorrupt, 0)] {
		s.o.Log.Warn("an old damaged file of the spool is removed", zap.String("file", name))
		err = errors.Join(err, s.o.FS.Remove(s.path(name)))
	}
	return err
}
