package promapi

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// The functions of this file append what Prometheus' encoder, json-iterator,
// writes. It has two kinds of strings: labels are escaped as little as JSON
// allows, every other text so that it may stand in HTML too.

const hexDigits = "0123456789abcdef"

// appendLabel appends a label's name or value. Bytes that aren't UTF-8 pass.
func appendLabel(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' {
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			start = i + 1
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

// appendText appends a string that isn't a label.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c < ' ' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
				b = append(b, s[start:i]...)
				b = appendEscaped(b, c)
				start = i + 1
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			start = i + size
		case r == '\u2028' || r == '\u2029': // line breaks to JavaScript
			b = append(b, s[start:i]...)
			b = append(b, `\u202`...)
			b = append(b, hexDigits[r&0xf])
			start = i + size
		}
		i += size
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

func appendTexts(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s)
	}
	return append(b, ']')
}

func appendLabels(b []byte, ls labels.Labels) []byte {
	b = append(b, '{')
	first := true
	ls.Range(func(l labels.Label) {
		if !first {
			b = append(b, ',')
		}
		first = false
		b = appendLabel(b, l.Name)
		b = append(b, ':')
		b = appendLabel(b, l.Value)
	})
	return append(b, '}')
}

// appendFloat appends a sample's value: a string, since JSON knows no NaN.
func appendFloat(b []byte, f float64) []byte {
	b = append(b, '"')
	b = appendNumber(b, f)
	return append(b, '"')
}

// appendNumber appends f as JavaScript would write it, but for the zero in
// front of a one-digit exponent.
func appendNumber(b []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64)
}

// appendTimestamp appends milliseconds as seconds.
func appendTimestamp(b []byte, ms int64) []byte {
	if ms < 0 {
		b = append(b, '-')
		ms = -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	rest := ms % 1000
	if rest == 0 {
		return b
	}
	b = append(b, '.')
	if rest < 100 {
		b = append(b, '0')
	}
	if rest < 10 {
		b = append(b, '0')
	}
	return strconv.AppendInt(b, rest, 10)
}

// appendTime appends a time of day.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendPoint appends [t, "v"].
func appendPoint(b []byte, t int64, f float64) []byte {
	b = append(b, '[')
	b = appendTimestamp(b, t)
	b = append(b, ',')
	b = appendFloat(b, f)
	return append(b, ']')
}

// appendHistogramPoint appends [t, {…}].
func appendHistogramPoint(b []byte, t int64, h *histogram.FloatHistogram) []byte {
	b = append(b, '[')
	b = appendTimestamp(b, t)
	b = append(b, ',')
	b = appendHistogram(b, h)
	return append(b, ']')
}

// appendHistogram appends count, sum and the buckets that aren't empty, each as
// [bounds, lower, upper, count]. Bounds says which of them are inclusive: 0 the
// upper, 1 the lower, 2 none, 3 both.
func appendHistogram(b []byte, h *histogram.FloatHistogram) []byte {
	b = append(b, `{"count":`...)
	b = appendFloat(b, h.Count)
	b = append(b, `,"sum":`...)
	b = appendFloat(b, h.Sum)
	sep := `,"buckets":[`
	for it := h.AllBucketIterator(); it.Next(); {
		bucket := it.At()
		if bucket.Count == 0 {
			continue
		}
		b = append(b, sep...)
		sep = ","
		bounds := byte('2')
		switch {
		case bucket.LowerInclusive && bucket.UpperInclusive:
			bounds = '3'
		case bucket.LowerInclusive:
			bounds = '1'
		case bucket.UpperInclusive:
			bounds = '0'
		}
		b = append(b, '[', bounds, ',')
		b = appendFloat(b, bucket.Lower)
		b = append(b, ',')
		b = appendFloat(b, bucket.Upper)
		b = append(b, ',')
		b = appendFloat(b, bucket.Count)
		b = append(b, ']')
	}
	if sep == "," {
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendSample(b []byte, s *promql.Sample) []byte {
	b = append(b, `{"metric":`...)
	b = appendLabels(b, s.Metric)
	if s.H == nil {
		b = append(b, `,"value":`...)
		b = appendPoint(b, s.T, s.F)
	} else {
		b = append(b, `,"histogram":`...)
		b = appendHistogramPoint(b, s.T, s.H)
	}
	return append(b, '}')
}

// vector encodes the result of an instant query.
func (o *output) vector(v promql.Vector) {
	o.b = append(o.b, '[')
	for i := range v {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendSample(o.b, &v[i])
		if !o.spill() {
			return
		}
	}
	o.b = append(o.b, ']')
}

// matrix encodes the result of a range query.
func (o *output) matrix(m promql.Matrix) {
	o.b = append(o.b, '[')
	for i := range m {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		if !o.series(&m[i]) {
			return
		}
	}
	o.b = append(o.b, ']')
}

func (o *output) series(s *promql.Series) bool {
	o.b = append(o.b, `{"metric":`...)
	o.b = appendLabels(o.b, s.Metric)
	sep := `,"values":[`
	for _, p := range s.Floats {
		o.b = append(o.b, sep...)
		sep = ","
		o.b = appendPoint(o.b, p.T, p.F)
		if !o.spill() {
			return false
		}
	}
	if len(s.Floats) > 0 {
		o.b = append(o.b, ']')
	}
	sep = `,"histograms":[`
	for _, p := range s.Histograms {
		o.b = append(o.b, sep...)
		sep = ","
		o.b = appendHistogramPoint(o.b, p.T, p.H)
		if !o.spill() {
			return false
		}
	}
	if len(s.Histograms) > 0 {
		o.b = append(o.b, ']')
	}
	o.b = append(o.b, '}')
	return o.spill()
}

// marshal encodes what the standard library encodes in Prometheus too.
func (o *output) marshal(v any) {
	b, err := json.Marshal(v)
	if err != nil { // only of types that can't fail: a string, a number, a TSDB's metadata
		panic("promapi: " + err.Error())
	}
	o.b = append(o.b, b...)
}
