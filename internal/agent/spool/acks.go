package spool

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/pkg/client"
)

// settled is the set of batches that need not be sent any more: all up to low,
// and some of the client.MaxAhead behind it. The zero value is none.
type settled struct {
	low  uint64
	ring [client.MaxAhead / 64]uint64 // the bit of number n is at n modulo MaxAhead
}

func (s *settled) has(n uint64) bool {
	return n <= s.low || n-s.low <= client.MaxAhead && s.ring[n%client.MaxAhead/64]&(1<<(n%64)) != 0
}

// add needs n to be at most MaxAhead above low.
func (s *settled) add(n uint64) {
	if n > s.low {
		s.ring[n%client.MaxAhead/64] |= 1 << (n % 64)
	}
}

// open is how many of the numbers aren't settled.
func (s *settled) open(from, to uint64) int64 {
	from = max(from, s.low+1)
	if from > to {
		return 0
	}
	n := int64(to - from + 1)
	for i := from; i <= min(to, s.low+client.MaxAhead); i++ {
		if s.has(i) {
			n--
		}
	}
	return n
}

// raise says that all up to low are settled.
func (s *settled) raise(low uint64) {
	if low <= s.low {
		return
	}
	if low-s.low >= client.MaxAhead {
		clear(s.ring[:])
	}
	for n := s.low + 1; n <= min(low, s.low+client.MaxAhead); n++ {
		s.ring[n%client.MaxAhead/64] &^= 1 << (n % 64)
	}
	s.low = low
}

// note is what the file acks holds.
type note struct {
	generation uint64 // counts the notes
	last       uint64 // the highest number given out
	at         stamp
	settled
}

// The file has two slots, a note of even generation is in the first, one of odd
// generation in the second, and the newer one counts. So a note torn by a power
// cut leaves the one before. A slot, little endian:
//
//	magic       4 bytes
//	generation  8
//	last        8
//	clock       8: milliseconds of the spool's clock
//	wall        8: Unix milliseconds
//	low         8: all batches up to it are settled
//	ring        128: of the 1,024 above it, see settled
//	CRC-32C     4: of all before
const (
	acksMagic = "GMa1"
	slotSize  = 4 + 5*8 + client.MaxAhead/8 + 4
	slotApart = 4096 // in pages of their own
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (n *note) encode() []byte {
	b := append(make([]byte, 0, slotSize), acksMagic...)
	for _, v := range []uint64{n.generation, n.last, uint64(n.at.clock), uint64(n.at.wall), n.low} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	for _, v := range n.ring {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeNote(b []byte) (n note, ok bool) {
	if len(b) != slotSize || string(b[:4]) != acksMagic ||
		crc32.Checksum(b[:slotSize-4], castagnoli) != binary.LittleEndian.Uint32(b[slotSize-4:]) {
		return n, false
	}
	b = b[4:]
	next := func() (v uint64) {
		v, b = binary.LittleEndian.Uint64(b), b[8:]
		return v
	}
	n.generation, n.last = next(), next()
	n.at = stamp{clock: int64(next()), wall: int64(next())}
	n.low = next()
	for i := range n.ring {
		n.ring[i] = next()
	}
	return n, n.last >= n.low
}

// acks is the file. Errors are remembered, not returned: a note that isn't
// written is a batch sent twice and counted once.
type acks struct {
	fs   vfs.FS
	path string
	file vfs.File // nil when it could not be opened
	err  error    // of the last write
}

// openAcks returns the newest note; found tells whether there was one. The error
// says why the file can't be read.
func openAcks(fs vfs.FS, path string) (a *acks, n note, found bool, err error) {
	data, err := readFile(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	for at := 0; at < len(data); at += slotApart {
		m, ok := decodeNote(data[at:min(at+slotSize, len(data))])
		if ok && (!found || m.generation > n.generation) {
			n, found = m, true
		}
	}
	return &acks{fs: fs, path: path}, n, found, err
}

func (a *acks) write(n *note) {
	if a.file == nil {
		if a.file, a.err = a.fs.OpenReadWrite(a.path, journal.DiskCategory); a.err != nil {
			a.file = nil
			return
		}
	}
	n.generation++
	_, a.err = a.file.WriteAt(n.encode(), int64(n.generation%2)*slotApart)
}

// sync makes durable what was written.
func (a *acks) sync() error {
	if a.file == nil {
		return nil
	}
	return a.file.Sync()
}

func (a *acks) close() error {
	if a.file == nil {
		return nil
	}
	return errors.Join(a.file.Sync(), a.file.Close())
}

func readFile(fs vfs.FS, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<20))
	return data, errors.Join(err, f.Close())
}

// writeFile puts a whole file in place, or nothing, durably.
func writeFile(fs vfs.FS, path string, data []byte) error {
	temp := path + ".tmp"
	f, err := fs.Create(temp, journal.DiskCategory)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = fs.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, fs.Remove(temp))
	}
	return journal.SyncDir(fs, fs.PathDir(path))
}
