package storage

import (
	"errors"
	"strconv"
	"strings"
)

// maxKey is how long an Idempotency-Key may be, in bytes.
const maxKey = 256

// ParseMark reads an Idempotency-Key header: "<producer>/<sequence>" as a
// Structured Field string (RFC 9651, in double quotes) or bare. The sequence is
// an integer from 1 to 2^63-1 without leading zeros. Any other text is a key
// that names one batch. The Producer of the mark says which it is by its first
// byte, # or =, so that the two can't be taken for each other.
func ParseMark(header string) (Mark, error) {
	key, err := unquote(strings.Trim(header, " \t"))
	switch {
	case err != nil:
		return Mark{}, err
	case key == "":
		return Mark{}, errors.New("is empty")
	case len(key) > maxKey:
		return Mark{}, errors.New("is longer than " + strconv.Itoa(maxKey) + " bytes")
	}
	if i := strings.LastIndexByte(key, '/'); i > 0 {
		digits := key[i+1:]
		seq, err := strconv.ParseInt(digits, 10, 64)
		if err == nil && seq > 0 && digits[0] >= '1' && digits[0] <= '9' {
			return Mark{Producer: "#" + key[:i], Sequence: uint64(seq)}, nil
		}
	}
	return Mark{Producer: "=" + key}, nil
}

// unquote reads a Structured Field string, or a bare one. Both hold printable
// ASCII only.
func unquote(s string) (string, error) {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return "", errors.New("holds something other than printable ASCII")
		}
	}
	if s == "" || s[0] != '"' {
		return s, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			if i != len(s)-1 {
				return "", errors.New("goes on after its closing quote")
			}
			return b.String(), nil
		case '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", errors.New(`holds a backslash before something other than " and \`)
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("has no closing quote")
}
