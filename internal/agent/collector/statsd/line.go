package statsd

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"unicode/utf8"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// form is what the samples of a line are.
type form uint8

const (
	counter form = iota
	gauge
	set
	timer   // in milliseconds
	measure // histogram or distribution, in its own unit
)

// kindHistogram is, in a key, the kind beside metric.Gauge and metric.Counter.
const kindHistogram = 3

// kind is the first byte of the keys of such series. A gauge and a set have the
// same, for both are gauges to the server.
func (f form) kind() byte {
	switch f {
	case counter:
		return byte(metric.Counter)
	case gauge, set:
		return byte(metric.Gauge)
	default:
		return kindHistogram
	}
}

// fault is why a line or a value is invalid, or empty.
type fault string

const (
	faultEncoding fault = "not UTF-8, or a NUL byte"
	faultName     fault = "no name"
	faultLongName fault = "the name is too long"
	faultNoValue  fault = "no value"
	faultNoType   fault = "no type"
	faultType     fault = "unknown type: allowed are c, g, ms, h, d, s"
	faultField    fault = "unknown field"
	faultRate     fault = "the sample rate must be above 0 and at most 1"
	faultTime     fault = "the time must be in whole seconds"
	faultLabels   fault = "too many tags"
	faultNumber   fault = "the value must be a finite number"
	faultNegative fault = "a counter can't be decreased"
	faultLarge    fault = "the value is too large"
)

// sample is a line of which only the values are not yet understood. Its slices
// are valid until the next line.
type sample struct {
	form   form
	values []byte
	weight float64 // 1/rate, at least 1
	name   []byte
	// key identifies the series. It is written as metric.Metric.AppendKey does.
	key []byte
	// leftOut is how many tags were no labels.
	leftOut uint64
}

type tag struct{ name, value []byte }

// parser reads lines without allocating: what it needs for one, it uses again
// for the next.
type parser struct {
	limits metric.Limits
	base   []tag // labels of every series, sorted
	tags   []tag // sorted
	arena  []byte
	key    []byte
}

func newParser(base metric.Labels, spare int) *parser {
	p := &parser{limits: metric.DefaultLimits()}
	p.limits.Labels -= spare
	for _, l := range base {
		p.base = append(p.base, tag{[]byte(l.Name), []byte(l.Value)})
	}
	return p
}

// parse reads a line, which is not empty.
func (p *parser) parse(l []byte) (m sample, why fault) {
	if !utf8.Valid(l) || bytes.IndexByte(l, 0) >= 0 {
		return m, faultEncoding
	}
	name, rest, ok := cut(l, ':')
	switch {
	case len(name) == 0:
		return m, faultName
	case !ok:
		return m, faultNoValue
	}
	m.values, rest, ok = cut(rest, '|')
	if !ok {
		return m, faultNoType
	}
	field, rest, more := cut(rest, '|')
	if m.form, ok = parseForm(field); !ok {
		return m, faultType
	}
	p.tags, p.arena, m.weight = append(p.tags[:0], p.base...), p.arena[:0], 1
	for more {
		field, rest, more = cut(rest, '|')
		if why = p.field(&m, field); why != "" {
			return m, why
		}
	}
	if m.name = p.clean(name); len(m.name) > p.limits.Name {
		return m, faultLongName
	}
	p.key = appendString(append(p.key[:0], m.form.kind()), m.name)
	for i := range p.tags {
		p.key = appendString(appendString(p.key, p.tags[i].name), p.tags[i].value)
	}
	m.key = p.key
	return m, ""
}

func parseForm(b []byte) (form, bool) {
	switch string(b) {
	case "c":
		return counter, true
	case "g":
		return gauge, true
	case "s":
		return set, true
	case "ms":
		return timer, true
	case "h", "d":
		return measure, true
	}
	return 0, false
}

// field reads one of the fields after the type.
func (p *parser) field(m *sample, b []byte) fault {
	if len(b) == 0 {
		return faultField
	}
	switch b[0] {
	case '@':
		rate, ok := number(b[1:])
		if !ok || !(rate >= 1.0/maxIncrement && rate <= 1) {
			return faultRate
		}
		m.weight = 1 / rate
	case '#':
		return p.readTags(m, b[1:])
	case 'T':
		if len(b) == 1 {
			return faultTime
		}
		for _, c := range b[1:] {
			if c < '0' || c > '9' {
				return faultTime
			}
		}
	default:
		for i, c := range b {
			if c == ':' && i > 0 {
				return "" // c:<container>, e:<data>, card:<cardinality>, and what will come
			}
			if c < 'a' || c > 'z' {
				break
			}
		}
		return faultField
	}
	return ""
}

// readTags makes labels of the tags a:1,b:2.
func (p *parser) readTags(m *sample, rest []byte) fault {
	var one []byte
	for more := len(rest) > 0; more; {
		one, rest, more = cut(rest, ',')
		more = more && len(rest) > 0
		one = bytes.TrimPrefix(one, []byte("#"))
		name, value, _ := cut(one, ':')
		if len(name) == 0 || len(value) == 0 {
			m.leftOut++
			continue
		}
		if name = p.label(name, m.form); len(name) > p.limits.LabelName {
			m.leftOut++
			continue
		}
		if !p.add(tag{name, shorten(value, p.limits.LabelValue)}) {
			return faultLabels
		}
	}
	return ""
}

// add puts a label in its place. It takes that of one with the same name.
func (p *parser) add(t tag) bool {
	i := len(p.tags)
	for ; i > 0; i-- {
		c := bytes.Compare(p.tags[i-1].name, t.name)
		if c == 0 {
			p.tags[i-1].value = t.value
			return true
		}
		if c < 0 {
			break
		}
	}
	if len(p.tags) >= p.limits.Labels {
		return false
	}
	p.tags = append(p.tags, tag{})
	copy(p.tags[i+1:], p.tags[i:])
	p.tags[i] = t
	return true
}

// label is the name of a tag as that of a label. The names that belong to
// Prometheus, __x and, of a histogram, le, get "tag" or "tag_" before.
func (p *parser) label(name []byte, f form) []byte {
	name = p.clean(name)
	switch {
	case len(name) > 1 && name[0] == '_' && name[1] == '_':
		return p.prefixed("tag", name)
	case string(name) == "le" && f.kind() == kindHistogram:
		return p.prefixed("tag_", name)
	}
	return name
}

func (p *parser) prefixed(prefix string, name []byte) []byte {
	start := len(p.arena)
	p.arena = append(append(p.arena, prefix...), name...)
	return p.arena[start:len(p.arena):len(p.arena)]
}

// plain is the bytes that names may hold.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
	}
	return t
}()

// clean is the name with "_" for each character that isn't allowed, and before a
// leading digit. A name that is fine is returned as it is, any other stands in the
// arena.
func (p *parser) clean(name []byte) []byte {
	digit := '0' <= name[0] && name[0] <= '9'
	bad := 0
	for bad < len(name) && plain[name[bad]] {
		bad++
	}
	if bad == len(name) && !digit {
		return name
	}
	start := len(p.arena)
	if digit {
		p.arena = append(p.arena, '_')
	}
	p.arena = append(p.arena, name[:bad]...)
	for rest := name[bad:]; len(rest) > 0; {
		size := 1
		if c := rest[0]; plain[c] {
			p.arena = append(p.arena, c)
		} else {
			_, size = utf8.DecodeRune(rest)
			p.arena = append(p.arena, '_')
		}
		rest = rest[size:]
	}
	return p.arena[start:len(p.arena):len(p.arena)]
}

// shorten cuts UTF-8 to at most n bytes.
func shorten(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

// number reads a finite number. Of what strconv takes, it wants decimal digits.
func number(b []byte) (float64, bool) {
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false
		}
	}
	v, err := strconv.ParseFloat(string(b), 64) // on the stack, unless it is very long
	return v, err == nil
}

func cut(b []byte, sep byte) (before, after []byte, found bool) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:], true
	}
	return b, nil, false
}

func appendString(dst, s []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
