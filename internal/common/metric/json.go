package metric

import (
	"strconv"
	"unicode/utf8"
)

// The JSON of a metric is the push API's:
//
//	{"id":"name","type":"gauge","value":1.5,"labels":{"a":"b"},"timestamp":1795454731960}
//
// with "delta" instead of "value" for counters. labels is left out when empty.

// AppendJSON appends m as JSON. Strings that are not valid UTF-8 can't occur in
// a stored metric; they would be written with replacement characters.
func (m *Metric) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"id":`...)
	dst = appendJSONString(dst, m.Name)
	if m.Kind == Counter {
		dst = append(dst, `,"type":"counter","delta":`...)
	} else {
		dst = append(dst, `,"type":"gauge","value":`...)
	}
	dst = m.AppendValue(dst)
	if len(m.Labels) > 0 {
		dst = append(dst, `,"labels":{`...)
		for i := range m.Labels {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSONString(dst, m.Labels[i].Name)
			dst = append(dst, ':')
			dst = appendJSONString(dst, m.Labels[i].Value)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `,"timestamp":`...)
	dst = strconv.AppendInt(dst, m.Timestamp, 10)
	return append(dst, '}')
}

// AppendJSONArray appends the metrics as a JSON array.
func AppendJSONArray(dst []byte, ms []Metric) []byte {
	dst = append(dst, '[')
	for i := range ms {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = ms[i].AppendJSON(dst)
	}
	return append(dst, ']')
}

// plain marks the bytes that stand for themselves in a JSON string, read or
// written.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendJSONString appends s quoted. Besides what JSON demands it escapes the
// characters that are special in HTML and the two line separators that
// JavaScript once took for line ends, so that the text is harmless wherever it
// ends up.
func appendJSONString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] && c != '<' && c != '>' && c != '&' {
				i++
				continue
			}
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || r == '\u2028' || r == '\u2029' {
			dst = append(dst, s[start:i]...)
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
