package metric

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// parser walks over JSON bytes (RFC 8259). err is the first syntax error; once
// it is set nothing more is read.
type parser struct {
	buf    []byte
	pos    int
	err    error
	labels []Label // arena of label sets
	query  bool    // reading a question: keep empty label values

	// The metrics of a batch mostly share one label set, so the last one's source
	// is kept: where the same bytes stand again they mean the same set.
	lastLabels Labels
	lastSource []byte // empty: none
	escaped    bool   // a string was unescaped, so its source is gone

	// quiet: something is wrong with the element already, and only the first
	// thing is told, so that a million wrong fields cost no million messages.
	quiet bool
}

// errQuiet stands for an error that nobody will read.
var errQuiet = errors.New("and more")

func (p *parser) errorf(format string, args ...any) error {
	if p.quiet {
		return errQuiet
	}
	return fmt.Errorf(format, args...)
}

// maxDepth bounds nesting in values that are skipped because they are wrong
// anyway.
const maxDepth = 32

func (p *parser) fail(reason string) bool {
	if p.err == nil {
		if p.pos >= len(p.buf) {
			reason = "unexpected end, expected " + reason
		} else {
			reason = "expected " + reason
		}
		p.err = &SyntaxError{min(p.pos, len(p.buf)), reason}
	}
	return false
}

func (p *parser) failAt(pos int, reason string) bool {
	if p.err == nil {
		p.err = &SyntaxError{pos, reason}
	}
	return false
}

// validUTF8 checks all bytes at once, so that strings need no check of their
// own.
func (p *parser) validUTF8() bool {
	if utf8.Valid(p.buf) {
		return true
	}
	for i := 0; ; {
		r, size := utf8.DecodeRune(p.buf[i:])
		if r == utf8.RuneError && size <= 1 {
			return p.failAt(i, "invalid UTF-8")
		}
		i += size
	}
}

// peek skips white space and returns the next byte, 0 at the end or after an
// error.
func (p *parser) peek() byte {
	if p.err != nil {
		return 0
	}
	for p.pos < len(p.buf) {
		c := p.buf[p.pos]
		if c > ' ' {
			return c
		}
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
		p.pos++
	}
	return 0
}

// accept skips white space and reads c if it is next.
func (p *parser) accept(c byte) bool {
	// Senders seldom put white space anywhere. After an error pos may stand at a
	// fitting byte, but whoever parses on then finds err set soon.
	if p.pos < len(p.buf) && p.buf[p.pos] == c {
		p.pos++
		return true
	}
	return p.acceptSlow(c)
}

func (p *parser) acceptSlow(c byte) bool {
	if p.peek() == c && p.pos < len(p.buf) {
		p.pos++
		return true
	}
	return false
}

func (p *parser) expect(c byte, what string) bool {
	return p.accept(c) || p.fail(what)
}

// end demands that nothing but white space follows.
func (p *parser) end() {
	if p.peek(); p.err == nil && p.pos < len(p.buf) {
		p.failAt(p.pos, "something follows after the value")
	}
}

// null reads the literal null if it is next.
func (p *parser) null() bool {
	if p.pos < len(p.buf) && p.buf[p.pos] > ' ' && p.buf[p.pos] != 'n' {
		return false
	}
	return p.peek() == 'n' && p.literal("null")
}

func (p *parser) literal(s string) bool {
	if len(p.buf)-p.pos < len(s) || string(p.buf[p.pos:p.pos+len(s)]) != s {
		return p.fail(s)
	}
	p.pos += len(s)
	return true
}

// key reads a field name and the colon.
func (p *parser) key() (string, bool) {
	if p.peek() != '"' {
		return "", p.fail("a field name in quotes")
	}
	s, ok := p.string()
	return s, ok && p.expect(':', "':' after the field name")
}

// string reads a string; p.pos is at its opening quote. The result shares buf.
func (p *parser) string() (string, bool) {
	start := p.pos + 1
	buf := p.buf
	i := start
	for ; i+8 <= len(buf); i += 8 {
		if special := specials(binary.LittleEndian.Uint64(buf[i:])); special != 0 {
			i += bits.TrailingZeros64(special) / 8
			break
		}
	}
	for ; i < len(buf); i++ {
		c := buf[i]
		if plain[c] {
			continue
		}
		switch c {
		case '"':
			p.pos = i + 1
			return view(buf[start:i]), true
		case '\\':
			return p.unescape(start, i)
		default:
			return "", p.failAt(i, "control character in a string")
		}
	}
	return "", p.failAt(len(buf), "unexpected end in a string")
}

// specials marks, by its high bit, the first of 8 bytes that is a quote, a
// backslash or a control character; bytes above it may be marked wrongly. See
// "Determine if a word has a zero byte" in Sean Eron Anderson's Bit Twiddling
// Hacks.
func specials(x uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote := x ^ ones*'"'
	slash := x ^ ones*'\\'
	return ((x-ones*0x20)&^x | (quote-ones)&^quote | (slash-ones)&^slash) & highs
}

// unescape continues string at the first backslash, writing the result over the
// source, which is never shorter.
func (p *parser) unescape(start, i int) (string, bool) {
	p.escaped = true
	buf := p.buf
	w := i
	for i < len(buf) {
		c := buf[i]
		switch {
		case c == '"':
			p.pos = i + 1
			return view(buf[start:w]), true
		case c < 0x20:
			return "", p.failAt(i, "control character in a string")
		case c != '\\':
			buf[w] = c
			w++
			i++
			continue
		}
		if i+1 >= len(buf) {
			break
		}
		switch e := buf[i+1]; e {
		case '"', '\\', '/':
			buf[w] = e
		case 'b':
			buf[w] = '\b'
		case 'f':
			buf[w] = '\f'
		case 'n':
			buf[w] = '\n'
		case 'r':
			buf[w] = '\r'
		case 't':
			buf[w] = '\t'
		case 'u':
			r, size := hexRune(buf[i:])
			if size == 0 {
				return "", p.failAt(i, "malformed \\u escape or lone surrogate")
			}
			// At most 4 bytes of UTF-8 for 12 of escapes, 3 for 6.
			w += utf8.EncodeRune(buf[w:], r)
			i += size
			continue
		default:
			return "", p.failAt(i, "unknown escape in a string")
		}
		w++
		i += 2
	}
	return "", p.failAt(len(buf), "unexpected end in a string")
}

// hexRune reads \uXXXX, or two of them for a surrogate pair, and returns how
// many bytes it took; 0 when malformed.
func hexRune(b []byte) (rune, int) {
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hex4(b[6:]); ok {
		if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
			return r, 12
		}
	}
	return 0, 0
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

func (p *parser) stringValue(field string) (string, error) {
	if p.peek() != '"' {
		return "", p.skipWrong(field, "a string")
	}
	s, _ := p.string()
	return s, nil
}

// labelsValue reads {"name":"value",…} into the arena, sorts and validates it.
func (p *parser) labelsValue(lim *Limits) (Labels, error) {
	if p.peek() != '{' {
		return nil, p.skipWrong("labels", "an object of strings")
	}
	if n := len(p.lastSource); n > 0 && len(p.buf)-p.pos >= n && string(p.buf[p.pos:p.pos+n]) == string(p.lastSource) {
		p.pos += n
		return p.lastLabels, nil
	}
	source := p.pos
	p.escaped = false
	p.pos++
	start := len(p.labels)
	count := 0
	var wrong error
	for more := !p.accept('}'); more; {
		name, ok := p.key()
		if !ok {
			return nil, nil
		}
		if p.peek() != '"' {
			if wrong != nil {
				p.skip()
			} else {
				wrong = p.skipWrong("label "+quote(name), "a string")
			}
		} else {
			value, ok := p.string()
			if !ok {
				return nil, nil
			}
			// Beyond the limit they are only counted.
			if count++; count <= lim.Labels {
				p.labels = append(p.labels, Label{name, value})
			}
		}
		if more = p.accept(','); !more && !p.expect('}', "',' or '}' after a label") {
			return nil, nil
		}
	}
	if count > lim.Labels {
		return nil, tooManyLabels(count, lim)
	}
	if wrong != nil {
		return nil, wrong
	}
	end := len(p.labels)
	if start == end {
		return nil, nil
	}
	ls := Labels(p.labels[start:end:end])
	if err := ls.Validate(lim); err != nil {
		return nil, err
	}
	if p.query {
		return ls, ls.Sort()
	}
	ls, err := ls.Normalize()
	if err != nil {
		return nil, err
	}
	if !p.escaped {
		p.lastLabels, p.lastSource = ls, p.buf[source:p.pos]
	}
	return ls, nil
}

// skipWrong skips a value that is JSON but not what was wanted.
func (p *parser) skipWrong(field, want string) error {
	if p.quiet {
		p.skip()
		return errQuiet
	}
	got := "nothing"
	switch c := p.peek(); {
	case c == '"':
		got = "a string"
	case c == '{':
		got = "an object"
	case c == '[':
		got = "an array"
	case c == 't', c == 'f':
		got = "a boolean"
	case c == 'n':
		got = "null"
	case p.isNumber():
		got = "a number"
	}
	p.skip()
	return fmt.Errorf("%s must be %s, not %s", field, want, got)
}

// skip reads over any value.
func (p *parser) skip() { p.skipValue(0) }

func (p *parser) skipValue(depth int) {
	if depth > maxDepth {
		p.failAt(p.pos, "nested too deep")
		return
	}
	switch c := p.peek(); c {
	case '"':
		p.string()
	case 't':
		p.literal("true")
	case 'f':
		p.literal("false")
	case 'n':
		p.literal("null")
	case '[':
		p.pos++
		for more := !p.accept(']'); more && p.err == nil; {
			p.skipValue(depth + 1)
			if more = p.accept(','); !more {
				p.expect(']', "',' or ']' after an element")
			}
		}
	case '{':
		p.pos++
		for more := !p.accept('}'); more && p.err == nil; {
			if _, ok := p.key(); !ok {
				return
			}
			p.skipValue(depth + 1)
			if more = p.accept(','); !more {
				p.expect('}', "',' or '}' after a field")
			}
		}
	default:
		if !p.isNumber() {
			p.fail("a value")
			return
		}
		p.number()
	}
}

// view is b as a string without a copy: it changes when b does.
func view(b []byte) string {
	return unsafe.String(unsafe.SliceData(b), len(b))
}
