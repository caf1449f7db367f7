package dump

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
)

// A snapshot is JSON Lines: a header, the metrics in the API's own JSON, the
// producers, and a trailer with the CRC-32C of all bytes before it. So it can be
// read, searched and counted with everyday tools.

// snapshotHeader is the first line.
type snapshotHeader struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	// Metrics and Producers are how many lines of each follow.
	Metrics   int `json:"metrics"`
	Producers int `json:"producers"`
	// Journal is the first segment of the journal that is not in the snapshot.
	Journal uint64 `json:"journal"`
	// Created is for people.
	Created time.Time `json:"created"`
}

const (
	formatName    = "gometheus-snapshot"
	formatVersion = 1
)

// producerLine is a line of the third part.
type producerLine struct {
	Producer string `json:"producer"`
	// Window is storage.Window's binary form; without it the producer had only
	// one batch.
	Window      []byte `json:"window,omitempty"`
	IdleSeconds int64  `json:"idle_seconds"`
}

// trailer is the last line. It is compared byte for byte.
func trailer(crc uint32) string { return fmt.Sprintf(`{"crc32c":"%08x"}`, crc) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const tmpSuffix = ".tmp"

func backupOf(path string) string  { return path + ".bak" }
func journalOf(path string) string { return path + ".journal" }

// Snapshot writes the state to the snapshot file, if it changed, and drops the
// part of the journal that no snapshot needs any more. Writers are held up only
// while the values are copied.
func (s *Store) Snapshot() error {
	s.snapshotMu.Lock()
	defer s.snapshotMu.Unlock()

	s.presync()
	s.commitMu.Lock()
	if s.log.Size() == 0 && !s.stale {
		s.commitMu.Unlock()
		return nil
	}
	position, err := s.log.Segment(), error(nil)
	if s.log.Size() > 0 || position == s.position { // else it was cut for a snapshot that failed
		position, err = s.log.Rotate()
	}
	if err != nil {
		s.commitMu.Unlock()
		return fmt.Errorf("cut journal: %w", err)
	}
	s.stale = true
	s.journal.Store(0)
	snap := s.mem.Snapshot()
	s.commitMu.Unlock()

	size, err := s.writeSnapshot(snap, position)
	if err != nil {
		return err
	}
	s.written.Store(size)
	s.taken.Store(s.o.Now().UnixMilli())
	s.stale = false
	before := s.position
	s.position = position
	// The journal from the older snapshot on stays, for falling back to it.
	return s.removeJournal(before)
}

// presync brings the journal to disk while writers go on, so that little is left
// for the fsync that they will have to wait for. That one also reports the
// errors.
func (s *Store) presync() {
	s.commitMu.Lock()
	path := s.log.Path()
	s.commitMu.Unlock()
	if f, err := s.o.FS.Open(path); err == nil {
		err = errors.Join(f.Sync(), f.Close())
		if err != nil {
			s.o.Log.Warn("journal not synced ahead of its cut", zap.String("file", path), zap.Error(err))
		}
	}
}

func (s *Store) removeJournal(before uint64) error {
	s.commitMu.Lock()
	defer s.commitMu.Unlock()
	return s.log.Remove(before)
}

func (s *Store) writeSnapshot(snap *memory.Snapshot, position uint64) (size int64, err error) {
	fs, path := s.o.FS, s.o.Path
	tmp := path + tmpSuffix
	f, err := fs.Create(tmp, journal.DiskCategory)
	if err != nil {
		return 0, fmt.Errorf("create snapshot: %w", err)
	}
	header := snapshotHeader{
		Format: formatName, Version: formatVersion,
		Metrics: snap.Len(), Producers: snap.CountProducers(),
		Journal: position, Created: s.o.Now().UTC(),
	}
	size, err = encodeSnapshot(f, header, snap)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, fmt.Errorf("write snapshot: %w", errors.Join(err, fs.Remove(tmp)))
	}
	if err := keepBackup(fs, path); err != nil {
		return 0, err
	}
	if err := fs.Rename(tmp, path); err != nil {
		return 0, fmt.Errorf("put snapshot in place: %w", err)
	}
	return size, journal.SyncDir(fs, fs.PathDir(path))
}

// keepBackup makes what is at path the backup. With hard links there is no
// moment without a file at path; without them the loader finds the backup.
func keepBackup(fs vfs.FS, path string) error {
	if _, err := fs.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	bak := backupOf(path)
	if err := fs.Remove(bak); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove old snapshot backup: %w", err)
	}
	if err := fs.Link(path, bak); err == nil {
		return nil
	}
	if err := fs.Rename(path, bak); err != nil {
		return fmt.Errorf("keep snapshot backup: %w", err)
	}
	return nil
}

// encodeSnapshot writes the lines to f and returns how many bytes they are.
func encodeSnapshot(f vfs.File, header snapshotHeader, snap *memory.Snapshot) (int64, error) {
	sum := &summer{f: f}
	w := bufio.NewWriterSize(sum, 256<<10)
	line := func(v any) error {
		b, err := json.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(append(b, '\n'))
		return err
	}
	if err := line(header); err != nil {
		return 0, err
	}
	var buf []byte
	for m := range snap.Metrics() {
		buf = append(m.AppendJSON(buf[:0]), '\n')
		if _, err := w.Write(buf); err != nil {
			return 0, err
		}
	}
	for p := range snap.Producers() {
		out := producerLine{Producer: p.Name, IdleSeconds: int64(p.Idle.Seconds())}
		if p.Window != nil {
			window, err := p.Window.MarshalBinary()
			if err != nil {
				return 0, err
			}
			out.Window = window
		}
		if err := line(out); err != nil {
			return 0, err
		}
	}
	if err := w.Flush(); err != nil {
		return 0, err
	}
	if _, err := w.WriteString(trailer(sum.crc) + "\n"); err != nil {
		return 0, err
	}
	err := w.Flush()
	return sum.size, err
}

// summer counts and sums what goes through it.
type summer struct {
	f    vfs.File
	crc  uint32
	size int64
}

func (s *summer) Write(p []byte) (int, error) {
	s.crc = crc32.Update(s.crc, castagnoli, p)
	s.size += int64(len(p))
	return s.f.Write(p)
}
