// Package journal is an append-only log of records in numbered files, for what
// must survive a crash: the server's journal and the agent's spool.
//
// # Files
//
// A log is a folder of segments, 00000001.log and so on without gaps. A segment
// is never appended to after it was closed or abandoned; opening a log starts a
// new one. The bytes within a segment are the LevelDB log format (32 KiB blocks
// of chunks, each with a CRC-32C) as written by
// github.com/cockroachdb/pebble/v2/record. The first record of a segment is its
// header: version, number, whether its appends were synced, how many bytes of the
// segment before are valid, and a random salt that each record starts with. The
// salt is why nobody who decides what is written can write something that looks
// like a record when the log is searched for one.
//
// # Damage
//
// Reading tells two things apart. A torn tail is what a crash leaves of the last
// append: it is cut, by the next segment's header, and logged. Anything else is
// a *CorruptError with file and offset, and opening fails. What decides:
//
//   - A segment with a successor must be intact up to the size that the
//     successor's header states, which is on disk before that header is. What lies
//     behind was never acknowledged.
//   - In the last segment damage is a torn tail exactly if no record starts
//     behind it. An append is one record and, with Sync, the next one starts only
//     after the former is on disk, so a power cut, too, can only leave damage in
//     the last one, however the disk reorders its pages.
//   - Without Sync, a power cut may leave holes: pages that were never written
//     read as zeros. Damage with such a page in it is a torn tail as well.
//
// # Errors while appending
//
// ErrFull (no space, quota): the segment is abandoned at its last good byte, and
// the next append tries a new one, so the log recovers by itself. Any other
// error of write or fsync is final, since after a failed fsync nobody knows
// which pages are on disk: all appends fail until the log is opened anew.
//
// # Queues
//
// A log opened by Recover belongs to somebody who would rather go on with what
// is readable than stop, and who reads records back by their Position, with a
// Reader, while others are appended. It differs in that damage is told and
// stepped over, in that it can be opened without room on the disk, and in that
// no error of an append is final: with Sync, what earlier appends returned for
// is on disk whatever a later fsync says, and the next segment's header cuts off
// the rest.
package journal

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// ErrFull is wrapped by errors of Append and Rotate for lack of space.
var ErrFull = errors.New("no space left")

// CorruptError tells what is damaged.
type CorruptError struct {
	Path   string
	Offset int64 // in bytes; -1 if the file as a whole is meant
	Reason string
}

func (e *CorruptError) Error() string {
	if e.Offset < 0 {
		return fmt.Sprintf("%s: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s: damaged at byte %d: %s", e.Path, e.Offset, e.Reason)
}

// Options say where a log is and how it is written.
type Options struct {
	FS  vfs.FS
	Dir string
	// Sync makes Append return after an fsync. Otherwise Append returns when the
	// operating system has the bytes: they survive the process, not a power cut.
	Sync bool
	Log  *zap.Logger
}

// Log is an open log. Its methods must not be called at once; Segment, Size and
// Err may be called from anywhere the caller's own lock allows.
type Log struct {
	o        Options
	segment  uint64 // number of the current or, without one, of the last segment
	file     vfs.File
	w        *record.Writer
	good     int64 // valid bytes of the segment
	size     int64 // valid bytes of all segments since the last Rotate
	finalErr error

	salt   []byte // of the segment
	buf    []byte // scratch: salt and record
	synced bool   // the good bytes of the last segment are on disk

	queue  bool  // opened by Recover
	start  int64 // where the segment's first record goes, behind the header
	before int64 // valid bytes of the segment before
}

// DiskCategory labels the writes for the file system's accounting.
const DiskCategory vfs.DiskWriteCategory = "gometheus-journal"

const (
	version    = 1
	suffix     = ".log"
	saltSize   = 8
	headerSize = 1 + 8 + 1 + 8 + saltSize
)

// Open reads the segments from number `from` on (0: all there are, and they must
// start at 1), passing each record to replay, and starts a new segment. The
// bytes of a record are valid during the call only; offset is where it starts. An
// error of replay ends Open.
func Open(o Options, from uint64, replay func(path string, offset int64, rec []byte) error) (*Log, error) {
	if err := MkdirAll(o.FS, o.Dir); err != nil {
		return nil, err
	}
	numbers, err := Segments(o.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	from = max(from, 1)
	if i, _ := slices.BinarySearch(numbers, from); i < len(numbers) {
		numbers = numbers[i:]
	} else if len(numbers) > 0 {
		return nil, &CorruptError{path(&o, from), -1, "this segment of the journal is missing"}
	}
	l := &Log{o: o, segment: from - 1}
	for i, n := range numbers {
		if want := from + uint64(i); n != want {
			return nil, &CorruptError{path(&o, want), -1, "this segment of the journal is missing"}
		}
		limit := int64(-1)
		if i+1 < len(numbers) {
			limit = validSize(&o, n+1)
		}
		if l.good, _, err = readSegment(&o, n, limit, replay); err != nil {
			return nil, err
		}
		l.segment = n
	}
	if err := l.create(); err != nil {
		return nil, err
	}
	return l, nil
}

// Segments lists the numbers of the segments in a folder, sorted.
func Segments(fs vfs.FS, dir string) ([]uint64, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, fmt.Errorf("list journal folder: %w", err)
	}
	var out []uint64
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, suffix)
		if !ok {
			continue
		}
		if n, err := strconv.ParseUint(digits, 10, 64); err == nil && n > 0 {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// Path is the file of segment n.
func (o *Options) Path(n uint64) string { return path(o, n) }

func path(o *Options, n uint64) string {
	return o.FS.PathJoin(o.Dir, fmt.Sprintf("%08d%s", n, suffix))
}

// create starts the segment after the current one. On return its header and its
// name are on disk.
func (l *Log) create() (err error) {
	if err := l.syncLast(); err != nil {
		return err
	}
	n := l.segment + 1
	name := path(&l.o, n)
	f, err := l.o.FS.Create(name, DiskCategory)
	if err != nil {
		return classify(fmt.Errorf("create journal segment: %w", err))
	}
	defer func() {
		if err != nil {
			// Without a header it would read as a torn, empty segment, but better not
			// to leave it behind.
			err = classify(errors.Join(err, f.Close(), l.o.FS.Remove(name)))
		}
	}()
	header := make([]byte, 0, headerSize)
	header = append(header, version)
	header = binary.LittleEndian.AppendUint64(header, n)
	header = append(header, btoi(l.o.Sync))
	header = binary.LittleEndian.AppendUint64(header, uint64(l.good))
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	header = append(header, salt...)
	w := record.NewWriter(f)
	if _, err = w.WriteRecord(header); err != nil {
		return fmt.Errorf("write journal header: %w", err)
	}
	if err = f.Sync(); err != nil {
		return fmt.Errorf("sync journal header: %w", err)
	}
	if err = SyncDir(l.o.FS, l.o.Dir); err != nil {
		return err
	}
	l.before = l.good
	l.segment, l.file, l.w, l.good, l.salt = n, f, w, w.Size(), salt
	l.start = l.good
	return nil
}

// syncLast brings the last segment to disk before a header says that it is valid:
// it may have been replayed from the page cache, or abandoned, without.
func (l *Log) syncLast() error {
	if l.synced || l.segment == 0 {
		return nil
	}
	f, err := l.o.FS.Open(path(&l.o, l.segment))
	if errors.Is(err, os.ErrNotExist) { // nothing of it is kept
		return nil
	}
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		err = fmt.Errorf("sync the last journal segment: %w", err)
		if !l.queue {
			l.finalErr = err
		}
		return err
	}
	l.synced = true
	return nil
}

func btoi(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// Append writes one record. When it returns nil the record will be replayed
// after a crash of the process and, with Sync, of the machine. After ErrFull it
// will not be; after another error it may or may not.
func (l *Log) Append(rec []byte) error {
	if err := l.Prepare(); err != nil {
		return err
	}
	l.buf = append(append(l.buf[:0], l.salt...), rec...)
	if _, err := l.w.WriteRecord(l.buf); err != nil {
		return l.abandon(fmt.Errorf("append to journal: %w", err))
	}
	if l.o.Sync {
		if err := l.file.SyncData(); err != nil {
			return l.syncFailed(err)
		}
	}
	l.size += l.w.Size() - l.good
	l.good = l.w.Size()
	return nil
}

// Prepare makes sure that there is a segment to append to: after it returned nil
// Segment is the one that the next Append writes to.
func (l *Log) Prepare() error {
	if l.finalErr != nil {
		return l.finalErr
	}
	if l.file == nil {
		return l.create()
	}
	return nil
}

// syncFailed is the end of the log, or of the segment if it is a queue.
func (l *Log) syncFailed(err error) error {
	err = fmt.Errorf("sync journal: %w", err)
	if l.queue {
		return l.abandon(err)
	}
	l.finalErr = err
	return err
}

// abandon gives up the current segment after a failed write.
func (l *Log) abandon(err error) error {
	err = classify(errors.Join(err, l.file.Close()))
	l.file, l.w = nil, nil
	l.synced = l.o.Sync // then each append was synced by itself
	switch {
	case !l.queue && !errors.Is(err, ErrFull):
		l.finalErr = err
	case l.good == l.start:
		// It holds nothing. A disk that stays full must not collect such segments.
		if l.o.FS.Remove(path(&l.o, l.segment)) == nil {
			l.segment--
			l.good, l.synced = l.before, true
		}
	}
	return err
}

// Classify marks an error of a file system with ErrFull if it is for lack of
// space.
func Classify(err error) error { return classify(err) }

func classify(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// Rotate ends the current segment, makes it durable, and starts the next, whose
// number it returns: all records appended so far are in segments below it.
func (l *Log) Rotate() (uint64, error) {
	if l.finalErr != nil {
		return 0, l.finalErr
	}
	if l.file != nil {
		old := l.file
		if err := old.Sync(); err != nil {
			return 0, l.syncFailed(err)
		}
		l.file, l.w, l.synced = nil, nil, true
		if err := old.Close(); err != nil {
			return 0, fmt.Errorf("close journal segment: %w", err)
		}
	}
	if err := l.create(); err != nil {
		return 0, err
	}
	l.size = 0
	return l.segment, nil
}

// Remove deletes the segments below number n.
func (l *Log) Remove(n uint64) error {
	numbers, err := Segments(l.o.FS, l.o.Dir)
	if err != nil {
		return err
	}
	for _, number := range numbers {
		if number >= n || number == l.segment {
			break
		}
		if err := l.o.FS.Remove(path(&l.o, number)); err != nil {
			return fmt.Errorf("remove journal segment: %w", err)
		}
	}
	return nil
}

// Segment is the number of the segment last written to.
func (l *Log) Segment() uint64 { return l.segment }

// Path is the file of that segment.
func (l *Log) Path() string { return path(&l.o, l.segment) }

// End is where the next record starts, once Prepare returned nil.
func (l *Log) End() Position { return Position{l.segment, l.good} }

// Size is how many bytes were appended since the last Rotate.
func (l *Log) Size() int64 { return l.size }

// Close makes what was appended durable and closes the log.
func (l *Log) Close() error {
	if l.finalErr == nil {
		l.finalErr = errors.New("journal is closed")
	}
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.file.Sync(), l.file.Close())
	l.file, l.w = nil, nil
	return err
}

// SyncDir makes names in a folder durable.
func SyncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("open folder to sync: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	return nil
}

// MkdirAll creates a folder and the missing ones above it, durably.
func MkdirAll(fs vfs.FS, dir string) error {
	_, err := fs.Stat(dir)
	if err == nil {
		return nil
	}
	parent := fs.PathDir(dir)
	if !errors.Is(err, os.ErrNotExist) || parent == dir {
		return fmt.Errorf("look for folder: %w", err)
	}
	if err := MkdirAll(fs, parent); err != nil {
		return err
	}
	if err := fs.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create folder: %w", err)
	}
	return SyncDir(fs, parent)
}
