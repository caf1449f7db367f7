// Package dump keeps the state in memory and on disk: a snapshot file and a
// journal beside it.
//
// # A write
//
//	Stage (memory)  →  queue  →  one record for all that wait  →  Commit (memory)
//
// Apply stages a batch, which checks it and finds its series, and queues it.
// Whoever finds the queue without a leader leads: it takes all that waits,
// writes it to the journal as one record (with an fsync when the interval is 0),
// commits every batch to memory in that order, and wakes the others. So a batch
// is visible and answered only after it is in the journal; one fsync serves all
// that wait, more the more there are; and a failed write leaves no trace in
// memory. Alone, a writer leads itself and switches to no other goroutine.
//
// The mark of a batch is in the same record as its metrics, and is applied to
// memory by the same Commit: neither is ever kept without the other.
//
// # Files
//
// FILE_STORAGE_PATH is the snapshot, path.bak the one before, path.journal the
// folder of the journal, path.lock keeps a second server out. A snapshot says
// with which segment of the journal it goes on. Segments are kept from the older
// of the two snapshots on, so falling back to .bak loses nothing.
//
// # Locks
//
// commitMu is held by the leader from writing to the journal until the last
// commit, and by a snapshot while it cuts the journal and copies the memory.
// queueMu guards the queue alone and is never held while waiting.
package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
)

// Options say where and how to keep the state.
type Options struct {
	FS   vfs.FS
	Path string
	// Interval is how often a snapshot is taken. Zero: every answer waits for an
	// fsync, and snapshots are taken as the journal grows.
	Interval time.Duration
	// Restore loads what is there. Otherwise the store starts empty and what is
	// there is kept as .bak.
	Restore bool
	// MaxSeries is how many series there may be; 0: any number. What is loaded is
	// kept, however many these are.
	MaxSeries int
	Now       func() time.Time
	Log       *zap.Logger
}

// Store is the storage. Open makes one; Run must run while it is used.
type Store struct {
	o    Options
	mem  *memory.Store
	lock io.Closer

	queueMu sync.Mutex
	queue   []*pending
	leading bool
	pending sync.Pool

	commitMu sync.Mutex
	log      *journal.Log
	enc      encoder
	group    []*pending // scratch of the leader

	// failure is why writes are refused now; nil when they are accepted.
	failure atomic.Pointer[error]

	snapshotMu sync.Mutex    // one snapshot at a time; guards the fields below
	position   uint64        // where in the journal the snapshot on disk goes on
	stale      bool          // the snapshot on disk misses more than the journal holds since its cut
	written    atomic.Int64  // size of the snapshot on disk
	taken      atomic.Int64  // when it was taken, Unix ms; 0: not in this process
	journal    atomic.Int64  // size of the journal since the last cut
	grown      chan struct{} // told when the journal has grown large
}

// pending is a staged write that waits for its group.
type pending struct {
	tx   *memory.Tx
	done chan bool // false: committed or failed, see err; true: lead the next group
	err  error
}

// Apply implements storage.Storage. It doesn't give up when ctx ends after the
// write was queued: its outcome would be unknown for no reason.
func (s *Store) Apply(ctx context.Context, w *storage.Write) (replayed bool, err error) {
	tx, err := s.mem.Stage(ctx, w)
	if err != nil {
		return false, err
	}
	if tx.Replayed() || len(w.Metrics) == 0 && w.Mark.IsZero() {
		replayed = tx.Replayed()
		tx.Commit()
		tx.Release()
		return replayed, nil
	}
	p := s.pending.Get().(*pending)
	p.tx, p.err = tx, nil

	s.queueMu.Lock()
	s.queue = append(s.queue, p)
	lead := !s.leading
	s.leading = true
	s.queueMu.Unlock()
	if !lead {
		lead = <-p.done
	}
	if lead {
		s.commit()
	}
	err = p.err
	p.tx = nil
	s.pending.Put(p)
	tx.Release()
	return false, err
}

// commit leads one group: everything in the queue, the leader's own write first.
func (s *Store) commit() {
	s.commitMu.Lock()
	s.queueMu.Lock()
	s.group, s.queue = s.queue, s.group[:0]
	s.queueMu.Unlock()

	err := s.write()
	own := s.group[0]
	for _, p := range s.group {
		if err == nil {
			p.tx.Commit()
		} else {
			p.tx.Rollback()
			p.err = err
		}
		if p != own {
			p.done <- false
		}
	}
	s.journal.Store(s.log.Size())
	grown := s.journal.Load() > s.snapshotAt()
	clear(s.group) // the writes belong to their callers again
	s.commitMu.Unlock()

	s.queueMu.Lock()
	if len(s.queue) > 0 {
		s.queue[0].done <- true
	} else {
		s.leading = false
	}
	s.queueMu.Unlock()
	if grown {
		select {
		case s.grown <- struct{}{}:
		default:
		}
	}
}

// outcome notes whether the journal took a group and turns its error into the
// storage's.
func (s *Store) outcome(err error) error {
	if err == nil {
		s.failed(nil)
		return nil
	}
	kind := storage.ErrUnavailable
	if errors.Is(err, journal.ErrFull) {
		kind = storage.ErrFull
	}
	err = fmt.Errorf("%w: %w", kind, err)
	s.failed(err)
	return err
}

// failed notes the state of the journal, and logs it when it changes.
func (s *Store) failed(err error) {
	before := s.failure.Load()
	switch {
	case err == nil && before != nil:
		s.failure.Store(nil)
		s.o.Log.Info("the journal accepts writes again")
	case err != nil:
		s.failure.Store(&err)
		if before == nil {
			s.o.Log.Error("the journal refuses writes; reads go on", zap.Error(err))
		}
	}
}

// Ping implements storage.Storage. While the disk is full it looks whether there
// is room again.
func (s *Store) Ping(context.Context) error {
	if s.failure.Load() == nil {
		return nil
	}
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	if err := s.log.Prepare(); err != nil {
		return err
	}
	s.failed(nil)
	return nil
}

// Value implements storage.Storage.
func (s *Store) Value(ctx context.Context, sel storage.Selector) (metric.Metric, error) {
	return s.mem.Value(ctx, sel)
}

// All implements storage.Storage.
func (s *Store) All(ctx context.Context) iter.Seq2[metric.Metric, error] {
	return s.mem.All(ctx)
}

// minJournal is the size of the journal, in bytes, at which a snapshot is taken
// whatever the interval. Above it the journal may grow to twice the snapshot, so
// that writing snapshots stays a fraction of all writing.
const minJournal = 64 << 20

func (s *Store) snapshotAt() int64 {
	return max(minJournal, 2*s.written.Load())
}

// Stats is what the store tells of itself.
type Stats struct {
	Series        int64
	JournalBytes  int64     // written since the last cut
	SnapshotBytes int64     // 0: there is no snapshot
	SnapshotAt    time.Time // zero: this process has taken none
	Failing       bool      // writes are refused
}

// Stats tells how the store is. It waits for nothing.
func (s *Store) Stats() Stats {
	st := Stats{
		Series: s.mem.Series(), JournalBytes: s.journal.Load(), SnapshotBytes: s.written.Load(), Failing: s.failure.Load() != nil,
	}
	if ms := s.taken.Load(); ms != 0 {
		st.SnapshotAt = time.UnixMilli(ms)
	}
	return st
}

// Run takes snapshots until ctx ends: every interval, and when the journal has
// grown large.
func (s *Store) Run(ctx context.Context) error {
	var tick <-chan time.Time
	if s.o.Interval > 0 {
		t := time.NewTicker(s.o.Interval)
		defer t.Stop()
		tick = t.C
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		case <-s.grown:
		}
		if err := s.Snapshot(); err != nil {
			// The journal goes on and nothing is lost; the next interval tries again.
			s.o.Log.Error("snapshot not taken", zap.String("file", s.o.Path), zap.Error(err))
		}
	}
}

// Close implements storage.Storage: it takes a last snapshot.
func (s *Store) Close() error {
	err := s.Snapshot()
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	return errors.Join(err, s.log.Close(), s.lock.Close())
}
