package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"
)

// header is the first record of a segment.
type header struct {
	number    uint64
	synced    bool
	validPrev int64  // valid bytes of the segment before
	salt      []byte // what each record starts with
}

func parseHeader(rec []byte) (h header, err error) {
	if len(rec) != headerSize {
		return h, fmt.Errorf("header of %d bytes instead of %d", len(rec), headerSize)
	}
	if rec[0] != version {
		return h, fmt.Errorf("version %d, but this program knows only %d", rec[0], version)
	}
	h.number = binary.LittleEndian.Uint64(rec[1:])
	h.synced = rec[9] != 0
	h.validPrev = int64(binary.LittleEndian.Uint64(rec[10:]))
	h.salt = bytes.Clone(rec[18:])
	return h, nil
}

// validSize is what the header of segment n says of the segment before; -1 if
// the header is torn, as a crash while the segment was created leaves it.
func validSize(o *Options, n uint64) int64 {
	f, err := o.FS.Open(path(o, n))
	if err != nil {
		return -1
	}
	defer f.Close() //nolint:errcheck // read only
	r := record.NewReader(f, 0)
	rec, err := next(r, nil)
	if err != nil {
		return -1
	}
	h, err := parseHeader(rec)
	if err != nil {
		return -1
	}
	return h.validPrev
}

// next reads one record into buf.
func next(r *record.Reader, buf *bytes.Buffer) ([]byte, error) {
	rec, err := r.Next()
	if err != nil {
		return nil, err
	}
	if buf == nil {
		buf = new(bytes.Buffer)
	}
	buf.Reset()
	if _, err := buf.ReadFrom(rec); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// readSegment replays segment n and returns its valid size, and whether a torn
// tail was left out. limit is the valid size if its successor states one, else
// -1. With an error the size is that of the part before it.
func readSegment(
	o *Options, n uint64, limit int64, replay func(string, int64, []byte) error,
) (size int64, torn bool, err error) {
	name := path(o, n)
	f, err := o.FS.Open(name)
	if err != nil {
		return 0, false, fmt.Errorf("open journal segment: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	r := record.NewReader(&blockReader{f: f}, 0)
	var (
		buf    bytes.Buffer
		h      header
		offset int64 // end of the last valid record
	)
	for first := true; limit < 0 || offset < limit; first = false {
		rec, err := next(r, &buf)
		if errors.Is(err, io.EOF) && !record.IsInvalidRecord(err) {
			break
		}
		if err != nil {
			if !record.IsInvalidRecord(err) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return offset, false, fmt.Errorf("read journal segment %s: %w", name, err)
			}
			if limit >= 0 {
				return offset, false, &CorruptError{name, offset, fmt.Sprintf("%d bytes must be valid", limit)}
			}
			return offset, true, tornTail(o, name, offset, first || h.synced, h.salt)
		}
		if first {
			h, err = parseHeader(rec)
			if err == nil && h.number != n {
				err = fmt.Errorf("this is segment %d", h.number)
			}
			if err != nil {
				return 0, false, &CorruptError{name, 0, err.Error()}
			}
		} else {
			body, ok := bytes.CutPrefix(rec, h.salt)
			if !ok {
				return offset, false, &CorruptError{name, offset, "this record is not of this segment"}
			}
			if err := replay(name, offset, body); err != nil {
				return offset, false, err
			}
		}
		offset = r.Offset()
	}
	if limit >= 0 && offset != limit {
		return offset, false, &CorruptError{name, offset, fmt.Sprintf("the valid part ends here, but %d bytes must be valid", limit)}
	}
	return offset, false, nil
}

// blockReader hides the other methods of a file from the record reader.
type blockReader struct{ f vfs.File }

func (b *blockReader) Read(p []byte) (int, error) { return b.f.Read(p) }

// tornTail decides whether damage behind offset in a last segment is a torn
// tail (nil, and logged) or corruption.
func tornTail(o *Options, name string, offset int64, synced bool, salt []byte) error {
	more, hole, size, err := behind(o.FS, name, offset, salt)
	if err != nil {
		return fmt.Errorf("read journal segment %s: %w", name, err)
	}
	if more && (synced || !hole) {
		return &CorruptError{name, offset, "records follow behind the damage"}
	}
	o.Log.Warn("the journal ends in a torn record, which is left out",
		zap.String("file", name), zap.Int64("offset", offset), zap.Int64("bytes", size-offset))
	return nil
}

// The chunk format: CRC (4) · length (2) · type (1) · payload.
const (
	blockSize   = 32 << 10
	pageSize    = 4 << 10
	chunkHeader = 7
	fullChunk   = 1
	firstChunk  = 2
	lastType    = 4
)

// behind looks at what follows the damage after offset: whether a valid record
// starts there, and whether the damage is a page of zeros.
func behind(fs vfs.FS, name string, offset int64, salt []byte) (more, hole bool, size int64, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return false, false, 0, err
	}
	defer f.Close() //nolint:errcheck // read only
	data, err := io.ReadAll(&blockReader{f})
	if err != nil {
		return false, false, 0, err
	}
	size = int64(len(data))
	hole = zeroPage(data, firstInvalid(data, int(offset)))
	// The record at offset itself is the damaged one; the next can start right
	// behind its first byte, if the damage is in its length.
	for at := int(offset); at < len(data); {
		end := min((at/blockSize+1)*blockSize, len(data))
		if recordIn(data[at:end], at == int(offset), salt) >= 0 {
			return true, hole, size, nil
		}
		at = end
	}
	return false, hole, size, nil
}

// firstInvalid follows the chunks of the record at an offset to the one that is
// damaged, which may be some blocks on.
func firstInvalid(data []byte, at int) int {
	for at < len(data) {
		end := min((at/blockSize+1)*blockSize, len(data))
		typ, n := validChunk(data[at:end])
		switch {
		case typ != 0:
			at += n
		case end-at < chunkHeader: // padding
			at = end
		default:
			return at
		}
	}
	return at
}

// zeroPage reports whether the first damaged block has a page of only zeros.
func zeroPage(data []byte, offset int) bool {
	end := min((offset/blockSize+1)*blockSize, len(data))
	for at := offset / pageSize * pageSize; at < end; at += pageSize {
		page := data[max(at, offset):min(at+pageSize, end)]
		if len(page) > 0 && len(bytes.TrimLeft(page, "\x00")) == 0 {
			return true
		}
	}
	return false
}

// recordIn finds the first record that starts in the rest of a block, -1 if none
// does. Where the chain of chunks is broken every byte may be a start: types and
// lengths that make no sense are told apart quickly, and a wrong CRC can't match
// by chance often enough to matter. Without salt, as when the header is damaged,
// any record counts.
func recordIn(rest []byte, skipFirst bool, salt []byte) int {
	at := 0
	if skipFirst { // the record at the start is the damaged one
		_, n := validChunk(rest)
		at = max(n, 1)
	}
	for at < len(rest) {
		typ, n := validChunk(rest[at:])
		switch {
		case (typ == fullChunk || typ == firstChunk) && salted(rest[at+chunkHeader:at+n], salt, at+n == len(rest)):
			return at
		case typ != 0:
			at += n
		default:
			at++
		}
	}
	return -1
}

// salted reports whether a record's first chunk starts with the salt. At the end
// of a block it may hold only a part of it; one too short to tell anything from
// chance is passed over.
func salted(payload, salt []byte, atEnd bool) bool {
	const enough = 4
	if len(payload) >= len(salt) {
		return bytes.HasPrefix(payload, salt)
	}
	return atEnd && len(payload) >= enough && bytes.HasPrefix(salt, payload)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// validChunk returns type and size of the chunk that b starts with, 0 if it is
// none.
func validChunk(b []byte) (typ byte, size int) {
	if len(b) < chunkHeader {
		return 0, 0
	}
	size = chunkHeader + int(binary.LittleEndian.Uint16(b[4:]))
	typ = b[6]
	if typ < fullChunk || typ > lastType || size > len(b) {
		return 0, 0
	}
	sum := crc32.Checksum(b[6:size], castagnoli)
	// LevelDB masks the CRC, since a CRC of data that holds CRCs is weak.
	if sum = (sum>>15 | sum<<17) + 0xa282ead8; sum != binary.LittleEndian.Uint32(b) {
		return 0, 0
	}
	return typ, size
}
