package pgsql_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql"
)

// TestLabelsForm: the text is part of what identifies a series in databases that
// exist, so it must never change.
func TestLabelsForm(t *testing.T) {
	for want, labels := range map[string]metric.Labels{
		`{}`:                    nil,
		`{"a":"1"}`:             metric.NewLabels("a", "1"),
		`{"a":"1","b":"2"}`:     metric.NewLabels("b", "2", "a", "1"),
		`{"a":"\"\\\u000a</ä"}`: metric.NewLabels("a", "\"\\\n</ä"),
		"{\"a\":\"\\u001f\x7f\u2028😀\\u0001\"}": metric.NewLabels("a", "\x1f\x7f\u2028😀\x01"),
	} {
		require.Equal(t, want, pgsql.AppendLabels(labels))
		got, err := pgsql.ParseLabels(want)
		require.NoError(t, err)
		require.Equal(t, labels, got)
	}
}

func TestMalformedLabels(t *testing.T) {
	const good = `{"a":"1","b":"\"\u000a"}`
	for n := range len(good) {
		_, err := pgsql.ParseLabels(good[:n])
		require.Error(t, err, good[:n])
	}
	for _, s := range []string{
		"sha256:00", good + " ", good + good, `{"a":"1",}`, `{"a":1}`, `{"a":"\n"}`, `{"a":"\u00zz"}`, `{"a":"\u0100"}`, `{"a" :"1"}`, `[]`,
	} {
		_, err := pgsql.ParseLabels(s)
		require.Error(t, err, s)
	}
}

// FuzzLabels: what is written is JSON that says the same, and reads back.
func FuzzLabels(f *testing.F) {
	f.Add("1", "2")
	f.Add("\"\\\x00\x1f", strings.Repeat("ä\n", 100))
	f.Fuzz(func(t *testing.T, x, y string) {
		if x == "" || y == "" || !utf8.ValidString(x) || !utf8.ValidString(y) {
			t.Skip("not in a valid metric")
		}
		labels := metric.NewLabels("x", x, "y", y)
		text := pgsql.AppendLabels(labels)
		var m map[string]string
		require.NoError(t, json.Unmarshal([]byte(text), &m))
		require.Equal(t, map[string]string{"x": x, "y": y}, m)
		got, err := pgsql.ParseLabels(text)
		require.NoError(t, err)
		require.Equal(t, labels, got)
	})
}

// FuzzParseLabels: whatever is in the table, reading it ends, and what is taken is
// what would be written.
func FuzzParseLabels(f *testing.F) {
	f.Add(`{"a":"1","b":"\"\u000a"}`)
	f.Fuzz(func(t *testing.T, s string) {
		labels, err := pgsql.ParseLabels(s)
		if err != nil {
			return
		}
		again, err := pgsql.ParseLabels(pgsql.AppendLabels(labels))
		require.NoError(t, err)
		require.Equal(t, labels, again)
	})
}
