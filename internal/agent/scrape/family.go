package scrape

import (
	"strings"

	"github.com/prometheus/common/model"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"

	"github.com/gometheus/gometheus/internal/agent/scrape/remotewrite"
)

// family is what an exposition says of a metric. It doesn't change: what says
// something else is another family.
type family struct {
	name string
	typ  model.MetricType
	remotewrite.Metadata

	seen uint64 // scrape
}

// families are those of a target. What is said of one stands before its series,
// in lines of any order, and holds until the next one's begin.
type families struct {
	gen   uint64
	known map[string]*family // by name

	// What was read of the present one.
	name, help, unit []byte
	typ              model.MetricType
	current          *family // of it, or nil if it isn't looked up yet
	open             bool    // there is one
}

func (f *families) begin() {
	f.gen++
	f.open, f.current = false, nil
}

// of makes the family of this name the present one.
func (f *families) of(name []byte) {
	if f.open && string(f.name) == string(name) {
		f.current = nil
		return
	}
	f.name = append(f.name[:0], name...)
	f.help, f.unit, f.typ = f.help[:0], f.unit[:0], model.MetricTypeUnknown
	f.open, f.current = true, nil
}

func (f *families) setHelp(name, help []byte) {
	f.of(name)
	f.help = append(f.help[:0], help...)
}

func (f *families) setUnit(name, unit []byte) {
	f.of(name)
	f.unit = append(f.unit[:0], unit...)
}

func (f *families) setType(name []byte, typ model.MetricType) {
	f.of(name)
	f.typ = typ
}

// present is the present family, or nil.
func (f *families) present() *family {
	if !f.open || f.current != nil {
		return f.current
	}
	k := f.known[string(f.name)]
	if k == nil || k.typ != f.typ || k.Help != string(f.help) || k.Unit != string(f.unit) {
		k = &family{
			name: string(f.name), typ: f.typ,
			Metadata: remotewrite.Metadata{Type: writev2.FromMetadataType(f.typ), Help: string(f.help), Unit: string(f.unit)},
		}
		f.known[k.name] = k
	}
	k.seen = f.gen
	f.current = k
	return k
}

func (f *families) commit() {
	for name, k := range f.known {
		if k.seen != f.gen {
			delete(f.known, name)
		}
	}
}

// abort keeps what is known, unless it is much: a broken target may say ever new
// things.
func (f *families) abort() {
	if len(f.known) > 10_000 {
		clear(f.known)
	}
}

// has is whether the family has a series of this name.
func (f *family) has(name string) bool {
	suffix, ok := strings.CutPrefix(name, f.name)
	switch {
	case !ok:
		// A counter's family may be written with the suffix of its series.
		base, cut := strings.CutSuffix(f.name, "_total")
		return cut && f.typ == model.MetricTypeCounter && name == base
	case suffix == "":
		return true
	}
	switch f.typ {
	case model.MetricTypeCounter:
		return suffix == "_total"
	case model.MetricTypeHistogram:
		return suffix == "_bucket" || suffix == "_count" || suffix == "_sum"
	case model.MetricTypeGaugeHistogram:
		return suffix == "_bucket" || suffix == "_count" || suffix == "_sum" || suffix == "_gcount" || suffix == "_gsum"
	case model.MetricTypeSummary:
		return suffix == "_count" || suffix == "_sum"
	case model.MetricTypeInfo:
		return suffix == "_info"
	default:
		return false
	}
}
