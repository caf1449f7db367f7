package wire

import (
	"encoding/binary"
	"math"
)

// Sample is a float at a time. Times are Unix milliseconds; Start is when the
// count began, 0 if that is not known (always, in 1.0).
type Sample struct {
	Value float64
	Time  int64
	Start int64
}

// DecodeSample reads a Sample. The start is a field of 2.0; in 1.0 its number
// is unknown.
func DecodeSample(b []byte, v2 bool) (s Sample, err error) {
	// As encoders write it: the value, then the time.
	if len(b) > 10 && b[0] == 1<<3|Fixed64 && b[9] == 2<<3|Varint {
		t, end := Uvarint(b, 10)
		if end == len(b) {
			return Sample{Value: math.Float64frombits(binary.LittleEndian.Uint64(b[1:])), Time: int64(t)}, nil
		}
	}
	m := Walk(b)
	for m.Next() {
		switch m.Tag {
		case 1<<3 | Fixed64:
			s.Value = m.Float()
		case 2<<3 | Varint:
			s.Time = int64(m.Int)
		case 3<<3 | Varint:
			if v2 {
				s.Start = int64(m.Int)
			}
		default:
			if n := m.Number(); n < 3 || n == 3 && v2 {
				m.Fail()
			}
		}
	}
	return s, m.Err()
}

// Exemplar is an example of what a series counted. Labels are its Label
// messages of 1.0; 2.0 has references instead.
type Exemplar struct {
	Labels [][]byte
	Value  float64
	Time   int64
}

// DecodeExemplar reads an Exemplar into e, whose Labels it reuses; those of 2.0
// are returned as references to symbols, in refs' memory. Where there are more
// than most labels, or 2*most references, it returns one or two more.
func DecodeExemplar(b []byte, v2 bool, most int, refs []uint32, e *Exemplar) ([]uint32, error) {
	e.Labels, e.Value, e.Time = e.Labels[:0], 0, 0
	refs = refs[:0]
	m := Walk(b)
	for m.Next() {
		switch {
		case m.Tag == 1<<3|Bytes && !v2:
			if len(e.Labels) <= most {
				e.Labels = append(e.Labels, m.Bytes)
			}
		case m.Tag == 1<<3|Bytes:
			var ok bool
			if refs, ok = appendRefs(refs, m.Bytes, 2*most); !ok {
				m.Fail()
			}
		case m.Tag == 1<<3|Varint && v2:
			if len(refs) <= 2*most {
				refs = append(refs, uint32(m.Int))
			}
		case m.Tag == 2<<3|Fixed64:
			e.Value = m.Float()
		case m.Tag == 3<<3|Varint:
			e.Time = int64(m.Int)
		default:
			if m.Number() <= 3 {
				m.Fail()
			}
		}
	}
	return refs, m.Err()
}

// appendRefs appends a packed list of references to symbols, up to one more than
// most.
func appendRefs(dst []uint32, packed []byte, most int) (refs []uint32, ok bool) {
	for pos := 0; pos < len(packed); {
		var v uint64
		if v, pos = Uvarint(packed, pos); pos < 0 {
			return dst, false
		}
		if len(dst) <= most {
			dst = append(dst, uint32(v))
		}
	}
	return dst, true
}

// Label is a name and a value, as on the wire.
type Label struct{ Name, Value []byte }

// DecodeLabel reads a Label of 1.0.
func DecodeLabel(b []byte) (l Label, err error) {
	m := Walk(b)
	for m.Next() {
		switch m.Tag {
		case 1<<3 | Bytes:
			l.Name = m.Bytes
		case 2<<3 | Bytes:
			l.Value = m.Bytes
		default:
			if m.Number() <= 2 {
				m.Fail()
			}
		}
	}
	return l, m.Err()
}

// Metadata1 is what 1.0 says about a metric family.
type Metadata1 struct {
	Type               uint64
	Family, Help, Unit []byte
}

// DecodeMetadata1 reads a MetricMetadata of 1.0.
func DecodeMetadata1(b []byte) (d Metadata1, err error) {
	m := Walk(b)
	for m.Next() {
		switch m.Tag {
		case 1<<3 | Varint:
			d.Type = m.Int
		case 2<<3 | Bytes:
			d.Family = m.Bytes
		case 4<<3 | Bytes:
			d.Help = m.Bytes
		case 5<<3 | Bytes:
			d.Unit = m.Bytes
		default:
			if n := m.Number(); n <= 5 && n != 3 {
				m.Fail()
			}
		}
	}
	return d, m.Err()
}

// Metadata2 is what 2.0 says about a series; Help and Unit are references.
type Metadata2 struct {
	Type       uint64
	Help, Unit uint32
}

// Merge reads a Metadata of 2.0 over what d holds: a message that stands twice
// counts as one.
func (d *Metadata2) Merge(b []byte) error {
	m := Walk(b)
	for m.Next() {
		switch m.Tag {
		case 1<<3 | Varint:
			d.Type = m.Int
		case 3<<3 | Varint:
			d.Help = uint32(m.Int)
		case 4<<3 | Varint:
			d.Unit = uint32(m.Int)
		default:
			if n := m.Number(); n <= 4 && n != 2 {
				m.Fail()
			}
		}
	}
	return m.Err()
}
