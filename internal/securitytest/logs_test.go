package securitytest

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// checkLog demands that each line of the server's log is one JSON object, and
// that nothing in it does anything to a terminal.
func (s *server) checkLog() {
	s.t.Helper()
	n := 0
	for line := range bytes.Lines(s.log()) {
		n++
		if why := harmful(line); why != "" {
			s.t.Errorf("line %d of the log %s: %.300q", n, why, line)
			return
		}
	}
	if n == 0 {
		s.t.Error("the server logged nothing")
	}
}

// harmful says what is wrong with a line of a log; "" for nothing.
func harmful(line []byte) string {
	line, ok := bytes.CutSuffix(line, []byte("\n"))
	if !ok {
		return "has no end"
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return "is not JSON"
	}
	if fields["msg"] == nil || fields["level"] == nil {
		return "has no message or level"
	}
	for i := 0; i < len(line); {
		r, size := utf8.DecodeRune(line[i:])
		if !unicode.IsPrint(r) || r == utf8.RuneError && size == 1 {
			return "holds what is not printable"
		}
		i += size
	}
	if len(line) > 128<<10 {
		return "is endless"
	}
	return ""
}

// TestHarmful: what checkLog must find.
func TestHarmful(t *testing.T) {
	good := `{"level":"info","msg":"x \u001b[2J ä"}`
	require.Empty(t, harmful([]byte(good+"\n")))
	for _, bad := range []string{
		good, "\n", "{}\n", `{"msg":"x"}` + "\n", "panic: x\n", good + good + "\n", good[:len(good)-1] + "\n",
		`{"level":"info","msg":"` + "\x1b[2J" + `"}` + "\n", `{"level":"info","msg":"` + "\x7f" + `"}` + "\n",
		`{"level":"info","msg":"` + "\u009b2J" + `"}` + "\n", `{"level":"info","msg":"` + "\u202e" + `"}` + "\n",
		`{"level":"info","msg":"` + "\u2028" + `"}` + "\n", `{"level":"info","msg":"` + "\xff" + `"}` + "\n",
	} {
		require.NotEmpty(t, harmful([]byte(bad)), "%q", bad)
	}
}
