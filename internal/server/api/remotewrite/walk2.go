package remotewrite

import (
	"context"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/wire"
)

// symbolAt is where a symbol stands in the body: from its length on.
type symbolAt struct {
	raw  []byte // length and bytes, as on the wire
	skip int    // bytes of the length
}

// walkV2 walks an io.prometheus.write.v2.Request: first the symbols, which may
// stand anywhere, then the series.
func (b *batch) walkV2(ctx context.Context) error {
	if err := b.readSymbols(); err != nil {
		return err
	}
	m := wire.Walk(b.plain)
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
func (b *batch) readSymbols() error {
	b.symbols = b.symbols[:0]
	most := 2 * b.h.o.Limits.Samples
	series := false
	m := wire.Walk(b.plain)
	for m.Next() {
		switch m.Tag {
		case 4<<3 | wire.Bytes:
			if len(b.symbols) >= most {
				return wire.ErrTooMany
			}
			raw := m.Content()
			b.symbols = append(b.symbols, symbolAt{raw, len(raw) - len(m.Bytes)})
		case 5<<3 | wire.Bytes:
			series = true
		default:
			switch n := m.Number(); {
			case n == 4 || n == 5:
				m.Fail()
			case n <= 3:
				return &refusedRequest{"the body is no message of remote write 2.0: its fields are those of 1.0"}
			}
		}
	}
	if err := m.Err(); err != nil {
		return err
	}
	if empty, ok := b.symbol(0); series && !ok || empty != "" {
		return &refusedRequest{"the first symbol must be the empty string"}
	}
	return nil
}

// symbol is the string that a reference means.
func (b *batch) symbol(ref uint32) (s string, ok bool) {
	if uint64(ref) >= uint64(len(b.symbols)) {
		return "", false
	}
	at := &b.symbols[ref]
	return view(at.raw[at.skip:]), true
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
			b.addRef(uint32(m.Int))
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
	n := uint32(len(b.symbols))
	switch {
	case c.badRefs != nil:
	case c.nrefs%2 != 0:
		c.badRefs = errOddRefs
	case c.meta.Help >= n || c.meta.Unit >= n:
		c.badRefs = errRangeMeta
	}
	if c.badRefs != nil {
		c.key = nil // it may be half a label
	}
	return nil
}

// addRefs adds the symbols of a packed list to the key.
func (b *batch) addRefs(packed []byte) bool {
	for pos := 0; pos < len(packed); {
		var ref uint64
		if ref, pos = wire.Uvarint(packed, pos); pos < 0 {
			return false
		}
		b.addRef(uint32(ref))
	}
	return true
}

// addRef adds a symbol to the key. One byte can name a symbol of megabytes, so
// what could not be a label doesn't get in.
func (b *batch) addRef(ref uint32) {
	c := &b.cur
	c.nrefs++
	if uint64(ref) >= uint64(len(b.symbols)) {
		c.badRefs = errRange
		return
	}
	raw := b.symbols[ref].raw
	if len(raw) > b.longest || c.nrefs > 2*b.h.o.Limits.Labels {
		b.tooMuch()
		return
	}
	b.keyBuf = append(b.keyBuf, raw...)
}

func (b *batch) tooMuch() {
	c, l := &b.cur, &b.h.o.Limits
	switch {
	case c.badRefs != nil:
	case c.nrefs > 2*l.Labels:
		c.badRefs = l.tooMany()
	default:
		c.badRefs = fmt.Errorf("a label of more than %d bytes", b.longest)
	}
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
	ls, err := fields(b.labels[:0], c.key, b.h.o.Limits.Labels)
	if b.labels = ls; err != nil {
		return
	}
	for _, l := range ls {
		if l.Name == labels.MetricName {
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
