package dump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
)

// A record of the journal is the batches of one group, one after the other:
//
//	batch  = uvarint(len(producer)) producer uvarint(sequence)   ; length 0: no mark
//	         varint(base) varint(arrived - base) uvarint(count) metric…
//	metric = uvarint(ref<<1 | defined)                           ; defined: key follows
//	         [ uvarint(len(key)) key ]
//	         uvarint(delta) | float64 (8 bytes, little endian)   ; by the kind in the key
//	         varint(timestamp - base)
//
// Refs number the series of one segment in the order of their first appearance,
// with which the key of the series is written; so a segment can be read on its
// own, and a known series costs a byte or two.

// encoder writes records.
type encoder struct {
	buf  []byte
	refs []segmentRef // by memory.ID
	next uint32       // ref of the next new series
	// segment is what refs refer to; another one starts over.
	segment uint64
}

// segmentRef is what a series is called in a segment, of whose number the low
// half is enough to tell it from any other a running process will see.
type segmentRef struct{ segment, ref uint32 }

// group encodes the writes of a group for a segment. The result is valid until
// the next call. If it doesn't reach the journal, the segment must not be
// written to again.
func (e *encoder) group(segment uint64, mem *memory.Store, group []*pending) []byte {
	if segment != e.segment {
		e.segment, e.next = segment, 0
	}
	e.buf = e.buf[:0]
	for _, p := range group {
		e.batch(mem, p.tx)
	}
	return e.buf
}

func (e *encoder) batch(mem *memory.Store, tx *memory.Tx) {
	w := tx.Write()
	b := appendMark(e.buf, w.Mark)
	base := int64(0)
	if len(w.Metrics) > 0 {
		base = w.Metrics[0].Timestamp
	}
	b = binary.AppendVarint(b, base)
	b = binary.AppendVarint(b, w.Arrived-base)
	b = binary.AppendUvarint(b, uint64(len(w.Metrics)))
	for i := range w.Metrics {
		m := &w.Metrics[i]
		id := tx.ID(i)
		if int(id) >= len(e.refs) {
			e.refs = append(e.refs, make([]segmentRef, int(id)+1-len(e.refs))...)
		}
		if r := &e.refs[id]; r.segment == uint32(e.segment) {
			b = binary.AppendUvarint(b, uint64(r.ref)<<1)
		} else {
			*r = segmentRef{uint32(e.segment), e.next}
			e.next++
			key := mem.Key(id)
			b = binary.AppendUvarint(b, uint64(r.ref)<<1|1)
			b = binary.AppendUvarint(b, uint64(len(key)))
			b = append(b, key...)
		}
		if m.Kind == metric.Counter {
			b = binary.AppendUvarint(b, uint64(m.Delta))
		} else {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(m.Value))
		}
		b = binary.AppendVarint(b, m.Timestamp-base)
	}
	e.buf = b
}

func appendMark(b []byte, m storage.Mark) []byte {
	b = binary.AppendUvarint(b, uint64(len(m.Producer)))
	if m.IsZero() {
		return b
	}
	b = append(b, m.Producer...)
	return binary.AppendUvarint(b, m.Sequence)
}

// decoder applies the records of a journal to a store.
type decoder struct {
	mem     *memory.Store
	path    string // of the segment that refs refer to
	refs    []decodedRef
	batches int
}

type decodedRef struct {
	id   memory.ID
	kind metric.Kind
}

var errShort = errors.New("record ends too early")

// apply applies one record of the segment at path.
func (d *decoder) apply(path string, rec []byte) error {
	if path != d.path {
		d.path, d.refs = path, d.refs[:0]
	}
	r := reader{b: rec}
	for len(r.b) > 0 && r.err == nil {
		d.batch(&r)
		d.batches++
	}
	return r.err
}

func (d *decoder) batch(r *reader) {
	mark := storage.Mark{Producer: string(r.bytes())}
	if !mark.IsZero() {
		mark.Sequence = r.uvarint()
	}
	base := r.varint()
	arrived := base + r.varint()
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		d.metric(r, base, arrived)
	}
	if r.err == nil && !mark.IsZero() {
		d.mem.RestoreMark(mark)
	}
}

func (d *decoder) metric(r *reader, base, arrived int64) {
	ref := r.uvarint()
	if ref&1 != 0 && r.err == nil {
		key := r.bytes()
		id, err := d.mem.Resolve(key)
		if err != nil {
			r.fail(err)
			return
		}
		d.refs = append(d.refs, decodedRef{id, metric.Kind(key[0])})
	}
	ref >>= 1
	if r.err == nil && ref >= uint64(len(d.refs)) {
		r.fail(fmt.Errorf("series %d was never defined", ref))
	}
	if r.err != nil {
		return
	}
	series := d.refs[ref]
	if series.kind == metric.Counter {
		delta := r.uvarint()
		ts := base + r.varint()
		if r.err == nil && !d.mem.RestoreCounter(series.id, int64(delta), ts, arrived) {
			r.fail(errors.New("counter overflows"))
		}
		return
	}
	value := math.Float64frombits(r.uint64())
	ts := base + r.varint()
	if math.IsNaN(value) || math.IsInf(value, 0) {
		r.fail(errors.New("gauge is not finite"))
	}
	if r.err == nil {
		d.mem.RestoreGauge(series.id, value, ts, arrived)
	}
}

// reader takes values from the front of b. After the first error it returns
// zeros.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail(errShort)
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail(errShort)
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.fail(errShort)
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}
