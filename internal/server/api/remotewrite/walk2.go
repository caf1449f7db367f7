package remotewrite

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/wire"
)

// symbolAt is where a symbol stands in the body.
type symbolAt struct{ start, end uint32 }

// walkV2 walks an io.prometheus.write.v2.Request: first the symbols, which may
// stand anywhere, then the series.
func (b *batch) walkV2(ctx context.Context) error {
	first, err := b.readSymbols()
	if err != nil {
		return err
	}
	m := wire.Walk(b.plain[first:])
	for m.Next() {
		if m.Tag != 5<<3|wire.Bytes {
			continue
		}
		if err := b.cutV2(m.Bytes); err != nil {
			return err
		}
		if err := b.series(ctx); err != nil {
			return err
		}
	}
	return m.Err()
}

// readSymbols reads the table and looks at what else stands on the top level.
// first is where the first series begins.
func (b *batch) readSymbols() (first int, err error) {
	b.symbols = b.symbols[:0]
	most := 2 * b.h.o.Limits.Samples
	first = -1
	m := wire.Walk(b.plain)
	for m.Next() {
		switch m.Tag {
		case 4<<3 | wire.Bytes:
			if len(b.symbols) >= most {
				return 0, wire.ErrTooMany
			}
			_, end := m.Span()
			b.symbols = append(b.symbols, symbolAt{uint32(end - len(m.Bytes)), uint32(end)})
		case 5<<3 | wire.Bytes:
			if first < 0 {
				first, _ = m.Span()
			}
		default:
			switch n := m.Number(); {
			case n == 4 || n == 5:
				m.Fail()
			case n <= 3:
				return 0, &requestError{"the body is no message of remote write 2.0: its fields are those of 1.0"}
			}
		}
	}
	if err := m.Err(); err != nil {
		return 0, err
	}
	if empty, ok := b.symbol(0); first >= 0 && !ok || empty != "" {
		return 0, &requestError{"the first symbol must be the empty string"}
	}
	b.ids = slices.Grow(b.ids[:0], len(b.symbols))[:len(b.symbols)]
	b.h.symbols.resolve(b)
	return max(first, 0), nil
}

// symbol is the string that a reference means.
func (b *batch) symbol(ref uint32) (s string, ok bool) {
	if uint64(ref) >= uint64(len(b.symbols)) {
		return "", false
	}
	at := b.symbols[ref]
	return view(b.plain[at.start:at.end]), true
}

// cutV2 cuts a TimeSeries of 2.0 into its parts.
func (b *batch) cutV2(p []byte) error {
	c := b.next()
	b.keyBuf = append(b.keyBuf[:0], keyV2)
	m := wire.Walk(p)
	for m.Next() {
		var err error
		switch m.Tag {
		case 1<<3 | wire.Bytes:
			if !b.addRefs(m.Bytes) {
				m.Fail()
			}
		case 1<<3 | wire.Varint:
			if !b.addRefs(m.Value()) {
				m.Fail()
			}
		case 2<<3 | wire.Bytes:
			err = b.cutSample(m.Bytes)
		case 3<<3 | wire.Bytes:
			err = b.spend()
			c.histograms = append(c.histograms, m.Bytes)
		case 4<<3 | wire.Bytes:
			err = b.spend()
			c.exemplars = append(c.exemplars, m.Bytes)
		case 5<<3 | wire.Bytes:
			err = c.meta.Merge(m.Bytes)
		default:
			if m.Number() <= 5 {
				m.Fail()
			}
		}
		if err != nil {
			return err
		}
	}
	if err := m.Err(); err != nil {
		return err
	}
	c.key = b.keyBuf
	n := uint64(len(b.symbols))
	switch {
	case c.bad.found():
	case c.nrefs%2 != 0:
		c.bad = fault{References, errOddRefs}
	case uint64(c.meta.Help) >= n || uint64(c.meta.Unit) >= n:
		c.bad = fault{References, errRangeMeta}
	}
	return nil
}

// addRefs adds a packed list of references to the labels of the current series,
// and the symbols' numbers to its key; false if the list is malformed. It is the
// busiest loop of all, so it works on locals.
func (b *batch) addRefs(packed []byte) bool {
	c := &b.cur
	n, refs, ids := c.nrefs, b.labelRefs, b.ids
	key := b.keyBuf[:cap(b.keyBuf)] // it has room for all of refs
	foreign := c.foreign
	for pos := 0; pos < len(packed); {
		ref := uint32(packed[pos])
		if pos++; ref >= 0x80 {
			if pos < len(packed) && packed[pos] < 0x80 {
				ref = ref&0x7f | uint32(packed[pos])<<7
				pos++
			} else {
				var v uint64
				if v, pos = wire.Uvarint(packed, pos-1); pos < 0 {
					return false
				}
				ref = uint32(v)
			}
		}
		if n >= len(refs) || uint(ref) >= uint(len(ids)) {
			b.badRef(n < len(refs))
			continue
		}
		id := ids[ref]
		foreign = foreign || id == 0
		refs[n] = ref
		binary.LittleEndian.PutUint64(key[1+8*n:], id)
		n++
	}
	c.nrefs, c.foreign, b.keyBuf = n, foreign, key[:1+8*n]
	return true
}

func (b *batch) badRef(room bool) {
	if c := &b.cur; !c.bad.found() {
		c.bad = fault{References, errRange}
		if !room {
			c.bad = fault{Labels, b.h.o.Limits.tooMany()}
		}
	}
}

// intern makes the key of the current series, whose labels are checked, with
// numbers for those of its symbols that had none.
func (b *batch) intern() {
	c := &b.cur
	b.keyBuf = append(b.keyBuf[:0], keyV2)
	for _, ref := range b.labelRefs[:c.nrefs] {
		id := b.ids[ref]
		if id == 0 {
			s, _ := b.symbol(ref)
			id = b.h.symbols.intern(s, b.minute)
			b.ids[ref] = id
		}
		b.keyBuf = binary.LittleEndian.AppendUint64(b.keyBuf, id)
	}
	c.key, c.foreign = b.keyBuf, false
}

// metadataV2 keeps the metadata of the current series, if it says anything and
// is not what it was.
func (b *batch) metadataV2() {
	c := &b.cur
	if c.meta == (wire.Metadata2{}) || c.known == nil || b.h.o.Metadata == nil {
		return
	}
	help, _ := b.symbol(c.meta.Help)
	unit, _ := b.symbol(c.meta.Unit)
	hash := maphash.String(b.h.seed, help)*31 + maphash.String(b.h.seed, unit)*17 + c.meta.Type + 1
	if c.known.meta.Load() == hash {
		return
	}
	ls, err := b.appendLabels(b.labels[:0])
	if b.labels = ls; err != nil {
		return
	}
	for _, l := range ls {
		if l.Name == nameLabel {
			typ := typeName(c.meta.Type)
			b.keepMetadata(family{familyOf(l.Value, typ), typ, help, unit, c.known, hash})
		}
	}
}

// familyOf is the name of the family of a series: classic histograms and
// summaries have several series in one.
func familyOf(name, typ string) string {
	var suffixes []string
	switch typ {
	case "histogram":
		suffixes = []string{"_bucket", "_count", "_sum"}
	case "gaugehistogram":
		suffixes = []string{"_bucket", "_gcount", "_gsum"}
	case "summary":
		suffixes = []string{"_count", "_sum"}
	}
	for _, suffix := range suffixes {
		if family, ok := strings.CutSuffix(name, suffix); ok && family != "" {
			return family
		}
	}
	return name
}
