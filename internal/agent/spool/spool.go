package spool

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/pkg/client"
)

// ErrFull is wrapped by errors of Append for lack of room: MaxSize is reached or
// the disk is full. It ends by itself once there is room.
var ErrFull = journal.ErrFull

// ErrClosed is returned by Append after Finish, and by Lease when nothing waits
// any more.
var ErrClosed = errors.New("the spool is closed")

// Options say where a spool is and what it may hold.
type Options struct {
	FS  vfs.FS
	Dir string
	// MaxSize bounds the segments on disk, in bytes.
	MaxSize int64
	// MaxAge is how old a batch gets. The server forgets after 7 days which batches
	// of a silent producer it has, so it must not be more.
	MaxAge time.Duration
	// Wall is the wall clock, nil for time.Now.
	Wall func() time.Time
	Log  *zap.Logger
}

// A read that fails without being damage is tried again so often and so far
// apart, and then taken for damage.
const (
	patience  = 5
	readPause = time.Second
)

// Spool is an open spool. Its methods may be called from many goroutines.
type Spool struct {
	o    Options
	lock io.Closer
	dead dead
	log  *journal.Log

	writeMu sync.Mutex
	// who sends what is appended; when changed, the file producer doesn't say so yet.
	who     producer
	changed bool
	full    bool   // MaxSize was reached
	rec     []byte // scratch

	mu       sync.Mutex
	closed   bool
	wake     chan struct{} // closed and replaced whenever a waiting Lease may succeed
	clock    clock
	segments []*segment // by number; those with records, and some without
	acks     *acks
	note     note // what acks says, or should
	deaf     bool // the last note wasn't written

	reader   *journal.Reader
	current  *segment // that is being read; nil before the first
	offset   int64    // where in it the next record starts
	failures int      // to read it, in a row
	buf      []byte   // of the record in ready
	ready    []*entry // batches of the last record read that were never leased
	passed   uint64   // the highest number that has left ready
	// window is what was leased once, in that order, from the oldest batch that
	// isn't settled on. Those given back are in returned too, by number.
	window, returned []*entry

	waiting                counter // not settled
	expired, lost, refused counter
}

// counter counts batches and the metrics in them. It is guarded by mu.
type counter struct{ batches, metrics int64 }

func (c *counter) add(batches, metrics int) {
	c.batches += int64(batches)
	c.metrics += int64(metrics)
}

// entry is a batch that is being handed out.
type entry struct {
	number  uint64
	clock   int64 // when it was appended
	batch   client.Batch
	segment *segment
	settled bool
}

// Stats counts batches and metrics.
type Stats struct {
	// Waiting are those not settled.
	WaitingBatches, WaitingMetrics int64
	// Since Open: expired were older than MaxAge, lost couldn't be read any more,
	// refused are dead letters.
	ExpiredBatches, ExpiredMetrics int64
	LostBatches, LostMetrics       int64
	RefusedBatches, RefusedMetrics int64
	// DamagedFiles are segments with damage that are still in use.
	DamagedFiles int
}

// Open opens the spool in o.Dir, which is made if need be. Errors are for what
// the operator must look at: no rights, another agent, a path that is a file.
// Damage is none: the spool goes on with what is readable, and says so.
func Open(o Options) (*Spool, error) {
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if err := journal.MkdirAll(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("spool folder SPOOL_DIR %s: %w", o.Dir, err)
	}
	lock, err := o.FS.Lock(o.FS.PathJoin(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("lock SPOOL_DIR %s: is another agent using it? %w", o.Dir, err)
	}
	s := &Spool{o: o, lock: lock, wake: make(chan struct{})}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("open spool in SPOOL_DIR %s: %w", o.Dir, errors.Join(err, lock.Close()))
	}
	return s, nil
}

func (s *Spool) path(name string) string { return s.o.FS.PathJoin(s.o.Dir, name) }

// Append keeps the batches, whole or none, and gives them their keys. When it
// returns nil they are on disk and may be leased. Their bytes are copied. The
// error is ErrClosed, wraps ErrFull, or is another of the disk; each may be
// tried again.
func (s *Spool) Append(batches []client.Batch) error {
	if len(batches) == 0 {
		return nil
	}
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.clean()

	s.mu.Lock()
	r := record{first: s.note.last + 1, at: s.clock.now(), n: len(batches)}
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if err := s.identify(r.first - 1); err != nil {
		return err
	}
	r.producer, r.base = s.who.name(), s.who.Base
	s.rec = appendRecord(s.rec[:0], r, batches)
	if err := s.makeRoom(int64(len(s.rec))); err != nil {
		return err
	}
	if err := s.log.Prepare(); err != nil {
		return err
	}
	begin := s.log.End()
	if err := s.log.Append(s.rec); err != nil {
		return err
	}
	if cap(s.rec) > largestSegment {
		s.rec = nil
	}
	for i := range batches {
		batches[i].Key = r.key(r.first + uint64(i))
	}
	s.appended(r, batches, begin)
	return nil
}

// appended lets the batches of a record be leased.
func (s *Spool) appended(r record, batches []client.Batch, begin journal.Position) {
	metrics := 0
	for i := range batches {
		metrics += batches[i].Count
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var seg *segment
	if n := len(s.segments); n > 0 && s.segments[n-1].number == begin.Segment {
		seg = s.segments[n-1]
	} else {
		seg = &segment{number: begin.Segment}
		s.segments = append(s.segments, seg)
	}
	seg.end = s.log.End().Offset
	seg.records++
	seg.pending.add(r.n, metrics)
	seg.unread.add(r.n, metrics)
	s.waiting.add(r.n, metrics)
	s.note.last = r.last()
	s.writeNoteLocked() // before the first of them can be leased
	s.wakeLocked()
}

// identify makes sure that the file producer says who sends the next batch. last
// is the number of the one before.
func (s *Spool) identify(last uint64) error {
	if !s.changed {
		return nil
	}
	s.who.Base = last
	if err := s.who.write(s.o.FS, s.path("producer")); err != nil {
		return journal.Classify(err)
	}
	s.changed = false
	return nil
}

// Finish refuses further appends. What is in the spool can still be leased.
func (s *Spool) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.wakeLocked()
}

// Close closes the files, after which no other method but Stats may be called.
// What isn't settled is there at the next Open.
func (s *Spool) Close() error {
	s.Finish()
	s.writeMu.Lock()
	defer s.writeMu.Unlock()
	s.clean()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeNoteLocked() // for the clock
	s.reader.Close()
	return errors.Join(s.log.Close(), s.acks.close(), s.lock.Close())
}

// Stats counts what is and was in the spool.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		WaitingBatches: s.waiting.batches, WaitingMetrics: s.waiting.metrics,
		ExpiredBatches: s.expired.batches, ExpiredMetrics: s.expired.metrics,
		LostBatches: s.lost.batches, LostMetrics: s.lost.metrics,
		RefusedBatches: s.refused.batches, RefusedMetrics: s.refused.metrics,
	}
	for _, seg := range s.segments {
		if seg.damage != nil {
			st.DamagedFiles++
		}
	}
	return st
}

func (s *Spool) wakeLocked() {
	close(s.wake)
	s.wake = make(chan struct{})
}

// writeNoteLocked brings acks up to date.
func (s *Spool) writeNoteLocked() {
	if s.changed {
		// A new epoch that is not on disk yet: should the process end now, the next
		// Open must find the same reasons for one, and a note would hide them.
		return
	}
	s.note.at = s.clock.now()
	s.acks.write(&s.note)
	failed := s.acks.err != nil
	switch {
	case failed && !s.deaf:
		s.o.Log.Warn("what the server has can't be noted; after a restart batches may be sent again, and count once",
			zap.Error(s.acks.err))
	case !failed && s.deaf:
		s.o.Log.Info("what the server has is noted again")
	}
	s.deaf = failed
}

func (s *Spool) journal() *journal.Options {
	return &journal.Options{FS: s.o.FS, Dir: s.o.Dir, Sync: true, Log: s.o.Log}
}

// byNumber orders entries.
func byNumber(a, b *entry) int { return cmp.Compare(a.number, b.number) }
