package storage

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Mark names a batch of a producer, so that it counts once. The sequence of a
// producer that numbers its batches starts at 1; a producer with only one batch
// has sequence 0.
type Mark struct {
	Producer string
	Sequence uint64
}

// IsZero reports whether the batch carries no mark.
func (m Mark) IsZero() bool { return m.Producer == "" }

// Name is the name of a producer that numbers its batches, and "" otherwise: a
// key that stands for one batch says nothing of who sends the next.
func (m Mark) Name() string {
	if name, ok := strings.CutPrefix(m.Producer, "#"); ok {
		return name
	}
	return ""
}

// WindowSize is how many sequence numbers below the highest are remembered one
// by one. A sender never runs further ahead of its oldest unacknowledged batch,
// so what lies below the window was applied.
const WindowSize = 1024

// Window is the memory of one producer: which of its sequence numbers were
// applied. The zero value has seen nothing. It has a fixed size whatever the
// number of batches.
type Window struct {
	// next is the highest applied sequence number plus one; zero: none yet.
	next uint64
	// bits is a ring: the bit of sequence s is at s modulo WindowSize, and means
	// something for the WindowSize numbers below the highest.
	bits [WindowSize / 64]uint64
}

// Applied reports whether the sequence number was applied.
func (w *Window) Applied(seq uint64) bool {
	if w.next == 0 || seq >= w.next {
		return false
	}
	highest := w.next - 1
	return seq == highest || highest-seq > WindowSize || w.bits[seq%WindowSize/64]&(1<<(seq%64)) != 0
}

// Apply remembers the sequence number. seq must be below the largest uint64.
func (w *Window) Apply(seq uint64) {
	switch highest := w.next - 1; {
	case w.next == 0:
		w.next = seq + 1
	case seq > highest:
		if seq-highest > WindowSize {
			w.bits = [WindowSize / 64]uint64{}
		} else {
			// The numbers skipped were not applied; their places in the ring still
			// hold the bits of numbers that leave the window.
			for s := highest + 1; s < seq; s++ {
				w.bits[s%WindowSize/64] &^= 1 << (s % 64)
			}
			w.bits[highest%WindowSize/64] |= 1 << (highest % 64)
		}
		w.next = seq + 1
	case seq < highest && highest-seq <= WindowSize:
		w.bits[seq%WindowSize/64] |= 1 << (seq % 64)
	}
}

// AppendBinary appends the window in a fixed size: the highest applied number
// plus one, then the ring, all little endian. It never fails.
func (w *Window) AppendBinary(dst []byte) ([]byte, error) {
	dst = binary.LittleEndian.AppendUint64(dst, w.next)
	for _, b := range w.bits {
		dst = binary.LittleEndian.AppendUint64(dst, b)
	}
	return dst, nil
}

// MarshalBinary is AppendBinary to nothing.
func (w *Window) MarshalBinary() ([]byte, error) {
	return w.AppendBinary(make([]byte, 0, windowBytes))
}

const windowBytes = 8 + WindowSize/8

// UnmarshalBinary is the inverse of MarshalBinary.
func (w *Window) UnmarshalBinary(b []byte) error {
	if len(b) != windowBytes {
		return fmt.Errorf("window of %d bytes instead of %d", len(b), windowBytes)
	}
	w.next = binary.LittleEndian.Uint64(b)
	for i := range w.bits {
		w.bits[i] = binary.LittleEndian.Uint64(b[8+8*i:])
	}
	return nil
}
