package metric

import (
	"encoding/binary"
	"errors"
)

// A key is the canonical form of a series' identity:
//
//	kind (1 byte) · len(name) (uvarint) · name · { len · label name · len · value }…
//
// Two metrics have equal keys exactly if they belong to the same series. Keys
// start with kind and name, so all series of one name share a prefix.

// errBadKey is what ParseKey answers to bytes that AppendKey never wrote.
var errBadKey = errors.New("malformed series key")

// AppendKey appends the key of m's series.
func (m *Metric) AppendKey(dst []byte) []byte {
	return m.Labels.AppendKey(AppendFamilyKey(dst, m.Kind, m.Name))
}

// AppendKey appends the part of a key that the labels make.
func (ls Labels) AppendKey(dst []byte) []byte {
	for i := range ls {
		dst = appendString(dst, ls[i].Name)
		dst = appendString(dst, ls[i].Value)
	}
	return dst
}

// AppendFamilyKey appends the prefix shared by all series of a kind and name.
func AppendFamilyKey(dst []byte, k Kind, name string) []byte {
	return appendString(append(dst, byte(k)), name)
}

func appendString(dst []byte, s string) []byte {
	if len(s) < 0x80 { // one byte of length, and worth not calling for
		dst = append(dst, byte(len(s)))
	} else {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
	}
	return append(dst, s...)
}

// ParseKey is the inverse of AppendKey: it sets kind, name and labels of m. The
// strings share the memory of key. labels is used for the set if its capacity
// allows.
func (m *Metric) ParseKey(key string, labels Labels) error {
	if key == "" || Kind(key[0]) != Gauge && Kind(key[0]) != Counter {
		return errBadKey
	}
	m.Kind = Kind(key[0])
	name, rest, ok := cutString(key[1:])
	if !ok {
		return errBadKey
	}
	m.Name, m.Labels = name, nil
	labels = labels[:0]
	for rest != "" {
		var l Label
		if l.Name, rest, ok = cutString(rest); !ok {
			return errBadKey
		}
		if l.Value, rest, ok = cutString(rest); !ok {
			return errBadKey
		}
		labels = append(labels, l)
	}
	if len(labels) > 0 {
		m.Labels = labels
	}
	return nil
}

func cutString(s string) (head, tail string, ok bool) {
	n, size := uint64(0), 0
	for shift := uint(0); ; shift += 7 {
		if size == len(s) || shift > 28 {
			return "", "", false
		}
		b := s[size]
		size++
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	if n > uint64(len(s)-size) {
		return "", "", false
	}
	return s[size : size+int(n)], s[size+int(n):], true
}
