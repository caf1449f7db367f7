package spool

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gometheus/gometheus/pkg/client"
)

// A record of the journal holds the batches of one Append, which have
// consecutive numbers:
//
//	version    1 byte: 1, or 2 if one of the batches has a content type
//	first      uvarint: number of the first batch
//	base       uvarint: number of the last batch before the epoch
//	clock      uvarint: the spool's clock in milliseconds
//	wall       varint: Unix milliseconds
//	producer   uvarint length, bytes
//	n          uvarint: number of batches
//	n times:
//	  type     uvarint length, bytes: the Content-Type; in version 2 alone
//	  encoding uvarint length, bytes: the Content-Encoding
//	  count    uvarint: metrics in the batch
//	  body     uvarint length, bytes: exactly as sent
//
// A batch's key is client.Key of the producer and its sequence, which is its
// number less base.
const (
	recordPlain = 1
	recordTyped = 2
)

// versionOf is 1 where that will do: older agents can read it.
func versionOf(batches []client.Batch) byte {
	for i := range batches {
		if batches[i].ContentType != "" {
			return recordTyped
		}
	}
	return recordPlain
}

// record is the head of one.
type record struct {
	first    uint64
	base     uint64
	at       stamp
	producer string
	n        int
}

// key is the key of the batch with a number.
func (r *record) key(n uint64) string { return client.Key(r.producer, n-r.base) }

// last is the number of the last batch.
func (r *record) last() uint64 { return r.first + uint64(r.n) - 1 }

func appendRecord(dst []byte, r record, batches []client.Batch) []byte {
	version := versionOf(batches)
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, r.first)
	dst = binary.AppendUvarint(dst, r.base)
	dst = binary.AppendUvarint(dst, uint64(r.at.clock))
	dst = binary.AppendVarint(dst, r.at.wall)
	dst = appendBytes(dst, r.producer)
	dst = binary.AppendUvarint(dst, uint64(len(batches)))
	for i := range batches {
		b := &batches[i]
		if version == recordTyped {
			dst = appendBytes(dst, b.ContentType)
		}
		dst = appendBytes(dst, b.ContentEncoding)
		dst = binary.AppendUvarint(dst, uint64(b.Count))
		dst = appendBytes(dst, b.Body)
	}
	return dst
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

var errRecord = errors.New("not a record of the spool")

// parseRecord passes the batches to yield, in order. Their bodies are part of
// rec.
func parseRecord(rec []byte, yield func(number uint64, b client.Batch)) (record, error) {
	p := parser{b: rec}
	v := p.take(1)
	if len(v) != 1 || v[0] != recordPlain && v[0] != recordTyped {
		return record{}, fmt.Errorf("%w of a version this program knows", errRecord)
	}
	r := record{
		first: p.uvarint(), base: p.uvarint(),
		at: stamp{clock: int64(p.uvarint()), wall: p.varint()}, producer: string(p.bytes()),
	}
	n := p.uvarint()
	if p.bad || r.first <= r.base || r.at.clock < 0 || n == 0 || n > uint64(len(p.b)) || r.first+n < r.first {
		return record{}, errRecord
	}
	r.n = int(n)
	for i := range n {
		var b client.Batch
		if v[0] == recordTyped {
			b.ContentType = string(p.bytes())
		}
		b.ContentEncoding, b.Count, b.Body = string(p.bytes()), int(p.uvarint()), p.bytes()
		if p.bad {
			return record{}, errRecord
		}
		b.Key = r.key(r.first + i)
		yield(r.first+i, b)
	}
	if len(p.b) != 0 {
		return record{}, errRecord
	}
	return r, nil
}

// parser takes things off the front of b.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) take(n uint64) []byte {
	if p.bad || n > uint64(len(p.b)) {
		p.bad = true
		return nil
	}
	out := p.b[:n:n]
	p.b = p.b[n:]
	return out
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.b)
	p.take(uint64(max(n, 0)))
	p.bad = p.bad || n <= 0
	return v
}

func (p *parser) varint() int64 {
	v, n := binary.Varint(p.b)
	p.take(uint64(max(n, 0)))
	p.bad = p.bad || n <= 0
	return v
}

func (p *parser) bytes() []byte { return p.take(p.uvarint()) }
