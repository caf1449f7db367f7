package logger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/gometheus/gometheus/internal/common/logger"
)

// texts are what a client may send to play with whoever reads the log.
var texts = []string{
	"plain", "", "ü 日本語 😀", "\x1b[2J\x1b]0;title\a", "line\nfeed\r\nforged {\"level\":\"info\"}", "\x00\x01\x7f\b\t\v\f",
	"\u009b31m\u0085\u0090x\u009c", "\u202egnp.exe\u2066\u200f\ufeff", "\u2028\u2029", "\U000e0041\U000f0000", "\xff\xfe\xc2", "\xc2\x9b31m",
	"\ufffd", `"\`, "<b>&", "\u200d", "\u00a0",
}

// logged is what a line holds of everything that can be logged about a text.
func logged(t testing.TB, s string) (line string, fields map[string]any) {
	t.Helper()
	var out bytes.Buffer
	log, err := logger.New("debug", zapcore.AddSync(&out))
	require.NoError(t, err)
	log.With(zap.String("with", s)).Warn(s, zap.String("string", s), zap.Error(errors.New(s)), zap.ByteString("bytes", []byte(s)),
		zap.Any("any", s), zap.Strings("list", []string{s}), zap.Stringer("stringer", stringer(s)), zap.Reflect("reflect", map[string]string{"a": s}))
	line = out.String()
	require.NoError(t, json.Unmarshal([]byte(line), &fields))
	return line, fields
}

type stringer string

func (s stringer) String() string { return string(s) }

// requireHarmless: one line, valid, of printable characters only.
func requireHarmless(t testing.TB, line string) {
	t.Helper()
	require.Equal(t, 1, strings.Count(line, "\n"))
	require.True(t, strings.HasSuffix(line, "\n"))
	require.True(t, utf8.ValidString(line))
	for _, r := range strings.TrimSuffix(line, "\n") {
		require.True(t, unicode.IsPrint(r), "%U in %q", r, line)
	}
}

func TestLinesAreHarmless(t *testing.T) {
	for _, s := range texts {
		line, fields := logged(t, s)
		requireHarmless(t, line)
		want := strings.ToValidUTF8(s, "\ufffd")
		if !utf8.ValidString(s) {
			continue // how many stand for the invalid ones is zap's matter
		}
		for _, key := range []string{"msg", "with", "string", "error", "bytes", "any", "stringer"} {
			require.Equal(t, want, fields[key], key)
		}
		require.Equal(t, []any{want}, fields["list"])
	}
}

func TestLongTextsAreCut(t *testing.T) {
	for _, s := range []string{strings.Repeat("a", 1<<20), strings.Repeat("ü", 1<<19), strings.Repeat("\x1b", 1<<20)} {
		var out bytes.Buffer
		log, err := logger.New("debug", zapcore.AddSync(&out))
		require.NoError(t, err)
		fields := []zap.Field{zap.String("string", s), zap.Error(fmt.Errorf("wrapped: %w", errors.New(s))), zap.ByteString("stack", []byte(s)), zap.Int("n", 1)}
		before := fmt.Sprint(fields)
		log.Error(s, fields...)
		require.Equal(t, before, fmt.Sprint(fields), "the caller's fields are as they were")
		require.Less(t, out.Len(), 6*32<<10)
		requireHarmless(t, out.String())
		require.Contains(t, out.String(), "… (1048576 bytes)")
		require.Contains(t, out.String(), `"n":1`)
	}
}

type broken struct{}

func (*broken) Error() string { panic("a nil pointer") }

func TestBrokenErrors(t *testing.T) {
	var out bytes.Buffer
	log, err := logger.New("debug", zapcore.AddSync(&out))
	require.NoError(t, err)
	log.Error("x", zap.Error((*broken)(nil)), zap.Error(nil), zap.NamedError("other", nil))
	requireHarmless(t, out.String())
}

func FuzzLinesAreHarmless(f *testing.F) {
	for _, s := range texts {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		line, _ := logged(t, s)
		requireHarmless(t, line)
	})
}

func BenchmarkLine(b *testing.B) {
	log, err := logger.New("debug", zapcore.AddSync(discard{}))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		log.Info("request", zap.String("path", "/value/counter/x"), zap.Int("status", 200), zap.String("remote", "127.0.0.1:1234"))
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
