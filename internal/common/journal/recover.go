package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Position is a place between two records.
type Position struct {
	Segment uint64
	Offset  int64 // in bytes; 0 is before the first record
}

// Found is a segment that Recover found.
type Found struct {
	Number uint64
	// End is where its records end.
	End int64
	// Torn: it ended in a torn record, which was left out.
	Torn bool
	// Damage is the first that is in it, nil if there is none. What is readable
	// before and behind it was replayed. With Offset -1 the file is missing.
	Damage *CorruptError
}

// Recover opens the log of a queue: it reads all segments there are, whatever
// number they start at, passing each record to replay, and steps over damage.
// The bytes of a record are valid during the call only. An error of replay ends
// it. It writes nothing: the first Append or Prepare starts a new segment.
//
// Damage stays where it is and is found again by the next Recover, until the
// owner moves the file away.
func Recover(o Options, replay func(at Position, rec []byte) error) (*Log, []Found, error) {
	if err := MkdirAll(o.FS, o.Dir); err != nil {
		return nil, nil, err
	}
	numbers, err := Segments(o.FS, o.Dir)
	if err != nil {
		return nil, nil, err
	}
	l := &Log{o: o, queue: true}
	var found []Found
	for i, n := range numbers {
		for missing := l.segment + 1; i > 0 && missing < n; missing++ {
			found = append(found, Found{
				Number: missing, Damage: &CorruptError{path(&o, missing), -1, "this segment of the journal is missing"},
			})
		}
		limit := int64(-1)
		if i+1 < len(numbers) && numbers[i+1] == n+1 {
			limit = validSize(&o, n+1)
		}
		f, err := recoverSegment(&o, n, limit, replay)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, f)
		l.segment, l.good = n, f.End
	}
	return l, found, nil
}

// recoverSegment replays what is readable of a segment. A part that the disk
// can't read is as good as damaged.
func recoverSegment(o *Options, n uint64, limit int64, replay func(Position, []byte) error) (Found, error) {
	info, err := o.FS.Stat(path(o, n))
	if err != nil {
		return Found{}, fmt.Errorf("look at journal segment: %w", err)
	}
	f := Found{Number: n}
	var stop error // replay's
	f.End, f.Torn, err = readSegment(o, n, limit, func(_ string, offset int64, rec []byte) error {
		stop = replay(Position{n, offset}, rec)
		return stop
	})
	if err == nil || stop != nil {
		return f, err
	}
	at := Position{n, f.End}
	if !errors.As(err, &f.Damage) {
		f.Damage = &CorruptError{path(o, n), f.End, err.Error()}
	}
	f.Torn = false
	if f.End = info.Size(); limit >= 0 {
		f.End = min(f.End, limit)
	}
	return f, salvage(o, at, f.End, replay)
}

// salvage replays what is readable behind the damage at a position.
func salvage(o *Options, at Position, limit int64, replay func(Position, []byte) error) error {
	r := NewReader(o)
	defer r.Close()
	for {
		var err error
		if at.Offset, err = r.Resync(at, limit); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		for {
			rec, next, err := r.Read(at, limit)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				break
			}
			if err := replay(at, rec); err != nil {
				return err
			}
			at.Offset = next
		}
	}
}

// Reader reads records by their position. It keeps one file open and one block
// and one record in memory. Its methods must not be called at once, but may be
// while the log is appended to.
type Reader struct {
	o       *Options
	segment uint64 // of file
	file    vfs.File
	salt    []byte // of the segment; nil if its header is damaged
	rec     []byte

	block   []byte // what is cached of the block that starts at blockAt
	blockAt int64
}

// NewReader returns a reader of the log that o describes.
func NewReader(o *Options) *Reader { return &Reader{o: o} }

// Read returns the record at a position and the offset behind it, where the next
// one starts. Its bytes are valid until the next call. limit is where the
// records of the segment end. The error is io.EOF when that is at the position,
// and a *CorruptError when there is no valid record; any other is the file
// system's.
func (r *Reader) Read(at Position, limit int64) (rec []byte, next int64, err error) {
	if at.Offset == 0 && limit > 0 {
		rec, next, err := r.read(at, limit)
		if err != nil {
			return nil, 0, err
		}
		h, err := parseHeader(rec)
		if err == nil && h.number != at.Segment {
			err = fmt.Errorf("this is segment %d", h.number)
		}
		if err != nil {
			return nil, 0, &CorruptError{path(r.o, at.Segment), 0, err.Error()}
		}
		at.Offset = next
	}
	rec, next, err = r.read(at, limit)
	if err != nil {
		return nil, 0, err
	}
	if len(rec) < saltSize || r.salt != nil && !bytes.HasPrefix(rec, r.salt) {
		return nil, 0, &CorruptError{path(r.o, at.Segment), at.Offset, "this record is not of this segment"}
	}
	return rec[saltSize:], next, nil
}

func (r *Reader) read(at Position, limit int64) (rec []byte, next int64, err error) {
	damaged := func(reason string) (_ []byte, _ int64, err error) {
		return nil, 0, &CorruptError{path(r.o, at.Segment), at.Offset, reason}
	}
	offset := at.Offset
	if left := blockSize - offset%blockSize; left < chunkHeader {
		offset += left // too little for a chunk is padding
	}
	if offset >= limit {
		return nil, 0, io.EOF
	}
	if err := r.open(at.Segment); err != nil {
		return nil, 0, err
	}
	r.rec = r.rec[:0]
	for first := true; ; first = false {
		block, err := r.load(offset-offset%blockSize, limit)
		if err != nil {
			return nil, 0, err
		}
		if offset%blockSize >= int64(len(block)) {
			return damaged("it ends within a record")
		}
		chunk := block[offset%blockSize:]
		typ, size := validChunk(chunk)
		switch begins := typ == fullChunk || typ == firstChunk; {
		case typ == 0:
			return damaged("no valid record starts here")
		case begins != first:
			return damaged("its parts don't belong together")
		}
		r.rec = append(r.rec, chunk[chunkHeader:size]...)
		offset += int64(size)
		if typ == fullChunk || typ == lastType {
			return r.rec, offset, nil
		}
		if offset%blockSize != 0 {
			return damaged("its parts don't belong together")
		}
	}
}

// Resync returns the offset of the next record that starts behind the damage at
// a position, io.EOF if there is none.
func (r *Reader) Resync(at Position, limit int64) (int64, error) {
	if err := r.open(at.Segment); err != nil {
		return 0, err
	}
	for offset := at.Offset; offset < limit; offset += blockSize - offset%blockSize {
		block, err := r.load(offset-offset%blockSize, limit)
		if err != nil {
			continue // nothing of this block can be read
		}
		if offset%blockSize >= int64(len(block)) {
			break // the file is shorter than it should be
		}
		if i := recordIn(block[offset%blockSize:], offset == at.Offset, r.salt); i >= 0 {
			return offset + int64(i), nil
		}
	}
	return 0, io.EOF
}

// open makes the file of a segment the reader's.
func (r *Reader) open(segment uint64) error {
	if r.file != nil && r.segment == segment {
		return nil
	}
	r.Close()
	f, err := r.o.FS.Open(path(r.o, segment))
	if errors.Is(err, os.ErrNotExist) { // somebody took it away
		return &CorruptError{path(r.o, segment), -1, "this segment of the journal is missing"}
	}
	if err != nil {
		return fmt.Errorf("open journal segment: %w", err)
	}
	r.segment, r.file, r.salt = segment, f, nil
	if rec, _, err := r.read(Position{segment, 0}, blockSize); err == nil {
		if h, err := parseHeader(rec); err == nil {
			r.salt = h.salt
		}
	}
	return nil
}

// load returns the block at an offset, as much as there is of it before limit.
func (r *Reader) load(at, limit int64) ([]byte, error) {
	want := int(min(blockSize, limit-at))
	if at == r.blockAt && want <= len(r.block) {
		return r.block[:want], nil
	}
	r.block = slices.Grow(r.block[:0], blockSize)[:want]
	n, err := r.file.ReadAt(r.block, at)
	r.block, r.blockAt = r.block[:n], at
	if err != nil && !errors.Is(err, io.EOF) {
		r.block = r.block[:0]
		return nil, fmt.Errorf("read journal segment %s: %w", path(r.o, r.segment), err)
	}
	return r.block, nil
}

// Close closes the file. The reader opens it again when it has to.
func (r *Reader) Close() {
	if r.file != nil {
		_ = r.file.Close() // it was only read
	}
	r.file, r.block = nil, r.block[:0]
}
