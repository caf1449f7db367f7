package metric

import (
	"errors"
	"fmt"
)

// The decoder reads exactly the JSON of json.go, in one pass over the bytes,
// and checks it against the model while it reads. It is written by hand because
// it is the hot path of the server; docs/adr tells what was measured. What it
// accepts is a strict subset of what encoding/json accepts into request.Metric
// (a fuzz test holds this): no unknown or doubled fields, names with exact case,
// no invalid UTF-8, no lone surrogates.

// SyntaxError says that the bytes are not the JSON that was asked for. Nothing
// after Offset was looked at.
type SyntaxError struct {
	Offset int // in bytes, from 0
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

// ElementError is what is wrong with one element of a batch.
type ElementError struct {
	Index  int
	Reason string
}

// InvalidError lists the elements of a batch that are JSON but not valid
// metrics: the first MaxElementErrors, and how many there are.
type InvalidError struct {
	Elements []ElementError
	Count    int
}

// MaxElementErrors bounds InvalidError.Elements.
const MaxElementErrors = 20

func (e *InvalidError) Error() string {
	if e.Count == 1 {
		return fmt.Sprintf("metric %d: %s", e.Elements[0].Index, e.Elements[0].Reason)
	}
	return fmt.Sprintf("%d invalid metrics, the first: metric %d: %s", e.Count, e.Elements[0].Index, e.Elements[0].Reason)
}

// Add notes what is wrong with an element.
func (e *InvalidError) Add(index int, reason error) {
	e.Count++
	if len(e.Elements) < MaxElementErrors {
		e.Elements = append(e.Elements, ElementError{index, reason.Error()})
	}
}

// ErrTooMany is wrapped by the error for a batch with more metrics than
// Limits.Metrics.
var ErrTooMany = errors.New("too many metrics in one batch")

// Batch is decoded metrics and the memory they use, to be used again. The zero
// value is ready.
type Batch struct {
	// Metrics share strings with the buffer they were decoded from.
	Metrics []Metric
	labels  []Label
}

// Reset empties b and keeps its memory, unless an unusually large batch would
// keep too much of it. It drops all references to the decoded buffer.
func (b *Batch) Reset() {
	const most = 8192
	if cap(b.Metrics) > most || cap(b.labels) > 8*most {
		*b = Batch{}
		return
	}
	clear(b.Metrics)
	clear(b.labels)
	b.Metrics, b.labels = b.Metrics[:0], b.labels[:0]
}

// DecodeArray reads a JSON array of metrics to be applied. buf must not change
// while b.Metrics is in use, and DecodeArray itself may overwrite it (escaped
// strings are unescaped in place). Metrics without timestamp get now (Unix
// milliseconds). Errors: *SyntaxError, *InvalidError, or one that wraps
// ErrTooMany.
func (b *Batch) DecodeArray(buf []byte, lim *Limits, now int64) error {
	b.Reset()
	p := parser{buf: buf, labels: b.labels}
	if !p.validUTF8() || !p.expect('[', "an array of metrics") {
		return p.err
	}
	var invalid InvalidError
	for more := !p.accept(']'); more; {
		if len(b.Metrics) >= lim.Metrics {
			return fmt.Errorf("%w: at most %d are allowed", ErrTooMany, lim.Metrics)
		}
		b.Metrics = append(b.Metrics, Metric{})
		m := &b.Metrics[len(b.Metrics)-1]
		if err := p.metric(m, lim, now); err != nil {
			invalid.Add(len(b.Metrics)-1, err)
		}
		if p.err != nil {
			break
		}
		if more = p.accept(','); !more {
			p.expect(']', "',' or ']' after a metric")
		}
	}
	p.end()
	b.labels = p.labels
	return p.result(&invalid)
}

// DecodeOne is DecodeArray for a single JSON object; b.Metrics has one element
// then.
func (b *Batch) DecodeOne(buf []byte, lim *Limits, now int64) error {
	b.Reset()
	p := parser{buf: buf, labels: b.labels}
	if !p.validUTF8() {
		return p.err
	}
	b.Metrics = append(b.Metrics, Metric{})
	var invalid InvalidError
	if err := p.metric(&b.Metrics[0], lim, now); err != nil {
		invalid.Add(0, err)
	}
	p.end()
	b.labels = p.labels
	return p.result(&invalid)
}

// DecodeQuery reads the question for one metric: {"id", "type", "labels"?}. A
// value, delta or timestamp beside them is ignored, so that a client may send
// the metric it has. Unlike in a batch, labels with empty values are kept: they
// ask for series without that label. The strings share buf.
func DecodeQuery(buf []byte, lim *Limits) (Metric, error) {
	p := parser{buf: buf, query: true}
	var m Metric
	if !p.validUTF8() {
		return m, p.err
	}
	var invalid InvalidError
	if err := p.metric(&m, lim, 0); err != nil {
		invalid.Add(0, err)
	}
	p.end()
	return m, p.result(&invalid)
}

func (p *parser) result(invalid *InvalidError) error {
	if p.err != nil {
		return p.err
	}
	if invalid.Count > 0 {
		return invalid
	}
	return nil
}

// The fields of a metric, as bits.
const (
	hasID = 1 << iota
	hasType
	hasValue
	hasDelta
	hasLabels
	hasTimestamp
)

// metric reads one object into m and validates it. The returned error is about
// the element; p.err is about the JSON and ends everything.
func (p *parser) metric(m *Metric, lim *Limits, now int64) error {
	if c := p.peek(); c != '{' {
		return p.skipWrong("a metric", "an object")
	}
	p.pos++
	var seen, given uint8 // named in the object; of those, not null
	var first error       // the first thing wrong with the element
	for more := !p.accept('}'); more; {
		p.quiet = first != nil
		bit, err := p.fieldName()
		switch {
		case p.err != nil:
			return nil
		case err != nil:
			p.skip()
		case seen&bit != 0:
			err = p.errorf("field %q stands twice", fieldNames[bit])
			p.skip()
		case bit != hasID && bit != hasType && p.null():
			seen |= bit
		default:
			seen |= bit
			given |= bit
			err = p.field(bit, m, lim)
		}
		if p.err != nil {
			return nil
		}
		if err != nil && first == nil {
			first = err
		}
		if more = p.accept(','); !more && !p.expect('}', "',' or '}' after a field") {
			return nil
		}
	}
	if p.quiet = false; first != nil {
		return first
	}
	if p.query {
		return p.checkQuery(m, given, lim)
	}
	return check(m, given, lim, now)
}

var fieldNames = map[uint8]string{
	hasID: "id", hasType: "type", hasValue: "value", hasDelta: "delta", hasLabels: "labels", hasTimestamp: "timestamp",
}

// fieldName reads a field's name and colon. The error is an unknown name.
func (p *parser) fieldName() (uint8, error) {
	if bit := p.usualFieldName(); bit != 0 {
		return bit, nil
	}
	key, ok := p.key()
	if !ok {
		return 0, nil
	}
	for bit, name := range fieldNames {
		if key == name {
			return bit, nil
		}
	}
	return 0, p.errorf("unknown field %s", quoted(key))
}

// usualFieldName reads a name and colon as nearly every sender writes them,
// without white space or escapes; 0 if something else is next.
func (p *parser) usualFieldName() (bit uint8) {
	const longest = len(`"timestamp":`)
	if len(p.buf)-p.pos < longest {
		return 0
	}
	b := p.buf[p.pos : p.pos+longest]
	size := 0
	switch {
	case string(b[:5]) == `"id":`:
		bit, size = hasID, 5
	case string(b[:7]) == `"type":`:
		bit, size = hasType, 7
	case string(b[:8]) == `"value":`:
		bit, size = hasValue, 8
	case string(b[:8]) == `"delta":`:
		bit, size = hasDelta, 8
	case string(b[:9]) == `"labels":`:
		bit, size = hasLabels, 9
	case string(b) == `"timestamp":`:
		bit, size = hasTimestamp, 12
	}
	p.pos += size
	return bit
}

// field reads the value of one field.
func (p *parser) field(bit uint8, m *Metric, lim *Limits) error {
	var err error
	switch bit {
	case hasID:
		m.Name, err = p.stringValue("id")
	case hasType:
		var s string
		if s, err = p.stringValue("type"); err == nil && p.err == nil {
			m.Kind, err = ParseKind(s)
		}
	case hasValue:
		m.Value, err = p.floatValue("value")
	case hasDelta:
		m.Delta, err = p.intValue("delta")
	case hasLabels:
		m.Labels, err = p.labelsValue(lim)
	case hasTimestamp:
		m.Timestamp, err = p.intValue("timestamp")
	}
	return err
}

// check validates what field could not: everything but the labels.
func check(m *Metric, given uint8, lim *Limits, now int64) error {
	switch {
	case given&hasType == 0:
		return fmt.Errorf("no type: allowed are %s", Kinds)
	case m.Kind == Gauge && given&(hasValue|hasDelta) != hasValue:
		return fmt.Errorf("a gauge needs exactly a value")
	case m.Kind == Counter && given&(hasValue|hasDelta) != hasDelta:
		return fmt.Errorf("a counter needs exactly a delta")
	}
	if m.Timestamp == 0 {
		m.Timestamp = now
	}
	return m.validateButLabels(lim, now)
}

func (p *parser) checkQuery(m *Metric, given uint8, lim *Limits) error {
	if given&hasType == 0 {
		return fmt.Errorf("no type: allowed are %s", Kinds)
	}
	return ValidateName(m.Name, lim)
}
