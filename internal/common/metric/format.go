package metric

import (
	"fmt"
	"math"
	"strconv"
)

// AppendFloat appends the shortest decimal that reads back as v: integers
// without a point, an exponent only below 1e-6 and from 1e21, as in ECMAScript
// and therefore in JSON. v must be finite.
func AppendFloat(dst []byte, v float64) []byte {
	abs := math.Abs(v)
	// Most gauges are integers that fit exactly; those need no shortest search.
	if abs < 1<<53 && v == math.Trunc(v) && (v != 0 || !math.Signbit(v)) {
		return strconv.AppendInt(dst, int64(v), 10)
	}
	if abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
		if n := len(dst); dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
			dst[n-2] = dst[n-1] // e-07 to e-7
			dst = dst[:n-1]
		}
		return dst
	}
	return strconv.AppendFloat(dst, v, 'f', -1, 64)
}

// AppendValue appends the bare value of m: a gauge's value or a counter's
// total.
func (m *Metric) AppendValue(dst []byte) []byte {
	if m.Kind == Counter {
		return strconv.AppendInt(dst, m.Delta, 10)
	}
	return AppendFloat(dst, m.Value)
}

// SetValue parses the text form of a value into m according to its kind: a
// finite decimal for a gauge, a non-negative int64 for a counter. Forms that
// Go alone knows (hexadecimal, underscores, "inf") are refused.
func (m *Metric) SetValue(s string) error {
	if m.Kind == Counter {
		d, err := strconv.ParseInt(s, 10, 64)
		if err != nil || s[0] == '+' {
			return fmt.Errorf("value %s: a counter needs an integer from 0 to %d", quote(s), int64(math.MaxInt64))
		}
		m.Delta = d
		return nil
	}
	for i := range len(s) {
		switch c := s[i]; {
		case '0' <= c && c <= '9', c == '.', c == '-', c == '+', c == 'e', c == 'E':
		default:
			return fmt.Errorf("value %s: a gauge needs a finite decimal number", quote(s))
		}
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return fmt.Errorf("value %s: a gauge needs a finite decimal number", quote(s))
	}
	m.Value = v
	return nil
}
