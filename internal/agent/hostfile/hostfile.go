// Package hostfile reads the small files of /proc and /sys, many at a time, for
// the collectors that look at hundreds of them in each interval: into a buffer
// that is used again, and on Linux with three system calls a file, past the
// poller that os.Open asks about each.
package hostfile

import (
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSize is how much of a file is read; what is longer is cut. The longest that
// are of use, lists of process ids, have 8 bytes a line.
const maxSize = 1 << 20

// oneRead is up to which size what a read returned was all, if there was room for
// more: the kernel makes these files in pages, of records shorter than half a page, and
// gives out as many as fit. So most files need no second read that only says "end".
const oneRead = 2048

// readAll fills buf from its start until the end of the file, growing it when
// it is full.
func readAll(r io.Reader, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for {
		if len(buf) == cap(buf) {
			if len(buf) >= maxSize {
				return buf, nil
			}
			buf = slices.Grow(buf, max(len(buf), 2*oneRead))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
		if n == len(buf) && n <= oneRead && len(buf) < cap(buf) {
			return buf, nil
		}
	}
}

// ID tells one file from another: two paths that lead to one file have the same.
type ID struct{ Device, Inode uint64 }

// Clean makes a label value of what a program chose itself: valid UTF-8, without
// control characters (each becomes U+FFFD, as invalid bytes do), and at most limit
// bytes long, cut between two characters.
func Clean(s string, limit int) string {
	plain := len(s) <= limit
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsControl(r) {
			r = utf8.RuneError
		}
		if b.Len()+utf8.RuneLen(r) > limit {
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
