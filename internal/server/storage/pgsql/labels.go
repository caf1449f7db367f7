package pgsql

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Labels are stored as JSON: {"a":"1","b":"2"}. The text is part of a series'
// identity, so it must be the same for all times and in all versions: sorted by
// name, no blanks, and escaped only what JSON demands: \" and \\ and, as \u00xx in
// lower case, the characters below 0x20.
//
// An index of PostgreSQL holds keys of up to 2,704 bytes. Labels of more than
// maxLabels bytes are therefore keyed by their digest, and stand beside it. With
// the names that the API takes a key has at most some 1,600 bytes.
const (
	maxLabels    = 1024
	digestPrefix = "sha256:" // no JSON object starts so
)

func appendLabels(dst []byte, labels metric.Labels) []byte {
	dst = append(dst, '{')
	for i := range labels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, labels[i].Name)
		dst = append(dst, ':')
		dst = appendString(dst, labels[i].Value)
	}
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		if c < ' ' {
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		} else {
			dst = append(dst, '\\', c)
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// digest stands for long labels in the key.
func digest(labels string) string {
	sum := sha256.Sum256([]byte(labels))
	return digestPrefix + hex.EncodeToString(sum[:])
}

var errLabels = errors.New("malformed labels in the database")

// parseLabels is the inverse of appendLabels. The strings share the memory of s.
func parseLabels(s string) (metric.Labels, error) {
	if s == "{}" {
		return nil, nil
	}
	if !strings.HasPrefix(s, "{") {
		return nil, errLabels
	}
	labels := make(metric.Labels, 0, 1+strings.Count(s, `","`))
	for rest := s[1:]; ; {
		var l metric.Label
		var ok bool
		if l.Name, rest, ok = cutString(rest); !ok || !strings.HasPrefix(rest, ":") {
			return nil, errLabels
		}
		if l.Value, rest, ok = cutString(rest[1:]); !ok || rest == "" {
			return nil, errLabels
		}
		labels = append(labels, l)
		end := rest[0]
		rest = rest[1:]
		switch {
		case end == '}' && rest == "":
			return labels, nil
		case end != ',':
			return nil, errLabels
		}
	}
}

// cutString reads the string that s starts with.
func cutString(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	s = s[1:]
	i := strings.IndexAny(s, `"\`)
	if i < 0 {
		return "", "", false
	}
	if s[i] == '"' { // nothing is escaped
		return s[:i], s[i+1:], true
	}
	var b strings.Builder
	for {
		b.WriteString(s[:i])
		if s[i] == '"' {
			return b.String(), s[i+1:], true
		}
		s = s[i+1:]
		switch {
		case strings.HasPrefix(s, `"`), strings.HasPrefix(s, `\`):
			b.WriteByte(s[0])
			s = s[1:]
		case strings.HasPrefix(s, "u00") && len(s) >= 5:
			var c [1]byte
			if _, err := hex.Decode(c[:], []byte(s[3:5])); err != nil {
				return "", "", false
			}
			b.WriteByte(c[0])
			s = s[5:]
		default:
			return "", "", false
		}
		if i = strings.IndexAny(s, `"\`); i < 0 {
			return "", "", false
		}
	}
}
