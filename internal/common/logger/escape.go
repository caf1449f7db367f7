package logger

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

// How many bytes of a text the log holds. Stacks are longer, and our own.
const (
	maxText  = 4 << 10
	maxBytes = 16 << 10
)

// harmless is zap's JSON with two promises more, for what clients send may stand
// in any text: nothing in a line does anything to a terminal, and no text is
// endless.
//
// JSON escapes what is below a blank, which leaves DEL, the control characters
// from U+0080 on, which many terminals obey, and characters that turn the
// direction of what follows or break lines. All that isn't printable is escaped,
// so reading the JSON gives the same text.
type harmless struct {
	zapcore.Encoder
	pool buffer.Pool
}

func newHarmless(enc zapcore.Encoder) zapcore.Encoder { return &harmless{enc, buffer.NewPool()} }

// Clone implements zapcore.Encoder.
func (h *harmless) Clone() zapcore.Encoder { return &harmless{h.Encoder.Clone(), h.pool} }

// EncodeEntry implements zapcore.Encoder.
func (h *harmless) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	entry.Message = cut(entry.Message, maxText)
	line, err := h.Encoder.EncodeEntry(entry, bounded(fields))
	if err != nil || isPrintable(line.Bytes()) {
		return line, err
	}
	out := h.pool.Get()
	appendPrintable(out, line.Bytes())
	line.Free()
	return out, nil
}

// bounded returns fields with long texts cut. It changes none of them.
func bounded(fields []zapcore.Field) []zapcore.Field {
	out := fields
	for i, f := range fields {
		short, long := shorten(f)
		if !long {
			continue
		}
		if &out[0] == &fields[0] {
			out = slices.Clone(fields)
		}
		out[i] = short
	}
	return out
}

func shorten(f zapcore.Field) (short zapcore.Field, long bool) {
	switch f.Type {
	case zapcore.StringType:
		return zap.String(f.Key, cut(f.String, maxText)), len(f.String) > maxText
	case zapcore.ByteStringType:
		b, ok := f.Interface.([]byte)
		return zap.String(f.Key, cut(string(b), maxBytes)), ok && len(b) > maxBytes
	case zapcore.ErrorType:
		if err, ok := f.Interface.(error); ok && err != nil {
			text, ok := errorText(err)
			return zap.String(f.Key, cut(text, maxText)), ok && len(text) > maxText
		}
	default: // numbers, and what we make ourselves
	}
	return f, false
}

// errorText is the text of an error, unless that panics, as that of a nil pointer
// may: zap then says so in the line.
func errorText(err error) (text string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	return err.Error(), true
}

// cut shortens s to about most bytes and says so.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := most
	for end > most-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return strings.Clone(s[:end]) + "… (" + strconv.Itoa(len(s)) + " bytes)"
}

// isPrintable looks at a whole line, without its end.
func isPrintable(line []byte) bool {
	for i := 0; i < len(line); {
		c := line[i]
		if c < utf8.RuneSelf {
			if c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(line[i:])
		if !unicode.IsPrint(r) || r == utf8.RuneError && size == 1 {
			return false
		}
		i += size
	}
	return true
}

// appendPrintable escapes what JSON may have escaped, and only has in texts.
func appendPrintable(out *buffer.Buffer, line []byte) {
	const digits = "0123456789abcdef"
	unit := func(u uint16) {
		out.AppendString(`\u`)
		for shift := 12; shift >= 0; shift -= 4 {
			out.AppendByte(digits[u>>shift&0xf])
		}
	}
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		switch {
		case r < utf8.RuneSelf && r != 0x7f, unicode.IsPrint(r) && (r != utf8.RuneError || size > 1):
			out.Write(line[:size]) //nolint:errcheck // it never fails
		case r <= 0xffff:
			unit(uint16(r))
		default:
			r -= 0x10000
			unit(uint16(0xd800 + r>>10))
			unit(uint16(0xdc00 + r&0x3ff))
		}
		line = line[size:]
	}
}
