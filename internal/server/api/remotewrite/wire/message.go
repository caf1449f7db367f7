// Package wire reads the protobuf messages of Prometheus remote write 1.0 and
// 2.0 straight from their bytes, without generated types: what is cut out of a
// message shares its memory.
//
// It takes what a protobuf decoder takes: fields in any order, repeated numbers
// packed or not, unknown fields of every type. It never reads outside the slice
// it was given, and what it allocates is bounded by a budget of its caller.
package wire

import (
	"encoding/binary"
	"errors"
	"math"
)

// ErrMalformed says that bytes are not the message they should be.
var ErrMalformed = errors.New("malformed protobuf message")

// ErrTooMany says that a message holds more than its reader's budget.
var ErrTooMany = errors.New("too many elements")

// Wire types. A field's tag is its number times 8 plus one of these.
const (
	Varint  = 0
	Fixed64 = 1
	Bytes   = 2
	group   = 3
	endOf   = 4
	fixed32 = 5
)

// Message walks the fields of one message.
//
//	for m := wire.Walk(b); m.Next(); { switch m.Tag { … } }
type Message struct {
	// Tag is the number of the current field times 8 plus its wire type.
	Tag uint64
	// Int is the value of a Varint or Fixed64 field.
	Int uint64
	// Bytes is the content of a Bytes field. It shares the message's memory.
	Bytes []byte

	b     []byte
	start int // of the current field's tag
	pos   int // behind the current field
	bad   bool
}

// Walk starts a walk over b.
func Walk(b []byte) Message { return Message{b: b} }

// Number is the number of the current field.
func (m *Message) Number() uint64 { return m.Tag >> 3 }

// Float is the current Fixed64 field as a double.
func (m *Message) Float() float64 { return math.Float64frombits(m.Int) }

// Err tells, once Next said false, whether the message ended well.
func (m *Message) Err() error {
	if m.bad {
		return ErrMalformed
	}
	return nil
}

// Fail ends the walk: the current field is not what its number promises.
func (m *Message) Fail() { m.bad = true }

// Next goes on to the next field; false at the end and at damage.
func (m *Message) Next() bool {
	if m.bad || m.pos >= len(m.b) {
		return false
	}
	m.start = m.pos
	tag, pos := Uvarint(m.b, m.pos)
	if pos < 0 || int32(tag>>3) <= 0 {
		return m.fail()
	}
	m.Tag = tag & (1<<35 - 1) // field numbers have 32 bits; what is above wraps around, as in other decoders
	switch tag & 7 {
	case Bytes:
		n, at := Uvarint(m.b, pos)
		if at < 0 || n > uint64(len(m.b)-at) {
			return m.fail()
		}
		m.pos = at + int(n)
		m.Bytes = m.b[at:m.pos:m.pos]
		return true
	case Fixed64:
		if len(m.b)-pos < 8 {
			return m.fail()
		}
		m.Int = binary.LittleEndian.Uint64(m.b[pos:])
		m.pos = pos + 8
		return true
	case Varint:
		if m.Int, m.pos = Uvarint(m.b, pos); m.pos < 0 {
			return m.fail()
		}
		return true
	case fixed32:
		m.pos = pos + 4
	case group:
		m.pos = skipGroup(m.b, pos)
	default:
		return m.fail()
	}
	if m.pos < 0 || m.pos > len(m.b) {
		return m.fail()
	}
	return true
}

func (m *Message) fail() bool {
	m.bad, m.pos = true, len(m.b)
	return false
}

// Run moves on over the Bytes fields that follow the current one with the same
// one-byte tag, and returns all of them, tags and lengths included.
func (m *Message) Run() []byte {
	tag, pos := m.b[m.start], m.pos
	for pos < len(m.b) && m.b[pos] == tag {
		n, at := Uvarint(m.b, pos+1)
		if at < 0 || n > uint64(len(m.b)-at) {
			break // Next will see it
		}
		pos = at + int(n)
	}
	m.pos = pos
	return m.b[m.start:pos:pos]
}

// Span is where the current field, with its tag, begins and ends.
func (m *Message) Span() (start, end int) { return m.start, m.pos }

// Value is the current Varint field as it stands on the wire, without its tag.
func (m *Message) Value() []byte {
	_, at := Uvarint(m.b, m.start)
	return m.b[at:m.pos:m.pos]
}

// Uvarint reads the varint at pos; next is behind it, or -1 if there is none.
// What doesn't fit in 64 bits is cut off, as protobuf decoders do.
func Uvarint(b []byte, pos int) (v uint64, next int) {
	if pos < len(b) && b[pos] < 0x80 {
		return uint64(b[pos]), pos + 1
	}
	return longVarint(b, pos)
}

func longVarint(b []byte, pos int) (v uint64, next int) {
	for shift := uint(0); shift < 64 && pos < len(b); shift += 7 {
		c := b[pos]
		pos++
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v, pos
		}
	}
	return 0, -1
}

// skipGroup finds the end of a group whose start tag lies before pos. The
// groups in it count their depth, so that no input is recursed into.
func skipGroup(b []byte, pos int) int {
	for depth := 1; depth > 0; {
		var tag, n uint64
		if tag, pos = Uvarint(b, pos); pos < 0 {
			return -1
		}
		switch tag & 7 {
		case Varint:
			_, pos = Uvarint(b, pos)
		case Fixed64:
			pos += 8
		case Bytes:
			if n, pos = Uvarint(b, pos); pos >= 0 {
				if n > uint64(len(b)-pos) {
					return -1
				}
				pos += int(n)
			}
		case group:
			depth++
		case endOf:
			depth--
		case fixed32:
			pos += 4
		default:
			return -1
		}
		if pos < 0 || pos > len(b) {
			return -1
		}
	}
	return pos
}
