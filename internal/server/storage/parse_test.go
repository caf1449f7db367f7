package storage_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/storage"
)

func TestParseMark(t *testing.T) {
	k256 := strings.Repeat("k", 256)
	for header, want := range map[string]storage.Mark{
		`"agent/1"`:                       {Producer: "#agent", Sequence: 1},
		`agent/1`:                         {Producer: "#agent", Sequence: 1},
		" \t\"agent/1\"\t ":               {Producer: "#agent", Sequence: 1},
		` agent/1 `:                       {Producer: "#agent", Sequence: 1},
		`"a b/1"`:                         {Producer: "#a b", Sequence: 1},
		`" agent /1"`:                     {Producer: "# agent ", Sequence: 1},
		`a/b/17`:                          {Producer: "#a/b", Sequence: 17},
		`a//1`:                            {Producer: "#a/", Sequence: 1},
		`//1`:                             {Producer: "#/", Sequence: 1},
		`#/1`:                             {Producer: "##", Sequence: 1},
		`=/1`:                             {Producer: "#=", Sequence: 1},
		`agent/9223372036854775807`:       {Producer: "#agent", Sequence: math.MaxInt64},
		`"a\"b\\c/2"`:                     {Producer: `#a"b\c`, Sequence: 2},
		k256[:254] + "/1":                 {Producer: "#" + k256[:254], Sequence: 1},
		`"` + k256 + `"`:                  {Producer: "=" + k256},
		`"` + strings.Repeat(`\"`, 256):   {},
		`agent/9223372036854775808`:       {Producer: "=agent/9223372036854775808"},
		`agent/99999999999999999999999`:   {Producer: "=agent/99999999999999999999999"},
		`agent/0`:                         {Producer: "=agent/0"},
		`agent/01`:                        {Producer: "=agent/01"},
		`agent/-1`:                        {Producer: "=agent/-1"},
		`agent/+1`:                        {Producer: "=agent/+1"},
		`agent/1 x`:                       {Producer: "=agent/1 x"},
		`"agent/1 "`:                      {Producer: "=agent/1 "},
		`agent/1_0`:                       {Producer: "=agent/1_0"},
		`agent/0x1`:                       {Producer: "=agent/0x1"},
		`agent/`:                          {Producer: "=agent/"},
		`agent`:                           {Producer: "=agent"},
		`/1`:                              {Producer: "=/1"},
		`/`:                               {Producer: "=/"},
		`1`:                               {Producer: "=1"},
		`#agent`:                          {Producer: "=#agent"},
		`=agent`:                          {Producer: "==agent"},
		`ab"c`:                            {Producer: `=ab"c`},
		`ab\c`:                            {Producer: `=ab\c`},
		`" "`:                             {Producer: "= "},
		`8e03978e-40d5-43dd-bc93-6894a57`: {Producer: "=8e03978e-40d5-43dd-bc93-6894a57"},
	} {
		got, err := storage.ParseMark(header)
		if want.IsZero() {
			require.Error(t, err, header)
			continue
		}
		require.NoError(t, err, header)
		require.Equal(t, want, got, header)
	}
	for header, reason := range map[string]string{
		``:                          "is empty",
		" \t ":                      "is empty",
		`""`:                        "is empty",
		`"`:                         "has no closing quote",
		`"agent/1`:                  "has no closing quote",
		`"agent/1\"`:                "has no closing quote",
		`"agent/1"x`:                "goes on after its closing quote",
		`"agent/1";q=1`:             "goes on after its closing quote",
		`"a","b"`:                   "goes on after its closing quote",
		`"\a"`:                      "holds a backslash before something other than \" and \\",
		`"a\`:                       "holds a backslash before something other than \" and \\",
		"a\tb":                      "holds something other than printable ASCII",
		"a\x00b":                    "holds something other than printable ASCII",
		"a\nb":                      "holds something other than printable ASCII",
		"a\x7fb":                    "holds something other than printable ASCII",
		"ä/1":                       "holds something other than printable ASCII",
		"\"\xff\"":                  "holds something other than printable ASCII",
		k256 + "k":                  "is longer than 256 bytes",
		`"` + k256 + `k"`:           "is longer than 256 bytes",
		strings.Repeat("k", 1<<20):  "is longer than 256 bytes",
		k256 + "/1":                 "is longer than 256 bytes",
		`"` + k256[:254] + `\\\\a"`: "is longer than 256 bytes",
	} {
		got, err := storage.ParseMark(header)
		require.EqualError(t, err, reason, "%.300q", header)
		require.Zero(t, got, "%.300q", header)
	}
}

// text is what a header stands for, read by the rules of RFC 9651 in the
// plainest way. It is asked only about headers that ParseMark accepts.
func text(header string) string {
	s := strings.Trim(header, " \t")
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	return strings.NewReplacer(`\\`, `\`, `\"`, `"`).Replace(s[1 : len(s)-1])
}

// FuzzParseMark: nothing panics; a mark tells its key, so that two different
// keys never share one, and both forms of a key do.
func FuzzParseMark(f *testing.F) {
	for _, pair := range [][2]string{
		{`"agent/1"`, "agent/1"},
		{"agent/1", "agent/01"},
		{"a/b/1", "a/b"},
		{"#a", "=a"},
		{"=a/1", "a/1"},
		{`"a\"b"`, `a"b`},
		{`"a\\b"`, `a\b`},
		{"", `""`},
		{`"`, `"\`},
		{" a", "a\t"},
		{"/1", "//1"},
		{"agent/9223372036854775807", "agent/9223372036854775808"},
		{"ä", "\xff"},
		{strings.Repeat("k", 256), strings.Repeat("k", 257)},
		{"a/1", "a/1/1"},
		{`""a`, `a""`},
	} {
		f.Add(pair[0], pair[1])
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		ma, errA := storage.ParseMark(a)
		mb, errB := storage.ParseMark(b)
		for _, one := range []struct {
			header string
			mark   storage.Mark
			err    error
		}{{a, ma, errA}, {b, mb, errB}} {
			if one.err != nil {
				require.True(t, one.mark.IsZero())
				continue
			}
			key := text(one.header)
			require.NotEmpty(t, key)
			require.LessOrEqual(t, len(key), 256)
			quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
			again, err := storage.ParseMark(quoted)
			require.NoError(t, err, quoted)
			require.Equal(t, one.mark, again, "both forms of a key are one")
			require.LessOrEqual(t, one.mark.Sequence, uint64(math.MaxInt64))
			require.Contains(t, "#=", one.mark.Producer[:1])
			require.Equal(t, one.mark.Producer[0] == '#', one.mark.Sequence != 0)
		}
		if errA == nil && errB == nil {
			require.Equal(t, text(a) == text(b), ma == mb, "%q and %q give %v and %v", a, b, ma, mb)
		}
	})
}
