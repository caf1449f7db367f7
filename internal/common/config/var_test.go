package config_test

import (
	"encoding"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
)

// cases are texts and the values they stand for; bad ones are refused.
type cases[T any] struct {
	good map[string]T
	bad  []string
}

func (c cases[T]) run(t *testing.T, newVar func() config.Var[T]) {
	t.Helper()
	for text, want := range c.good {
		t.Run("good "+text, func(t *testing.T) {
			v := newVar()
			require.NoError(t, v.Set(text))
			require.Equal(t, want, v.Value())

			again := newVar()
			var u encoding.TextUnmarshaler = &again
			require.NoError(t, u.UnmarshalText([]byte(v.String())))
			require.Equal(t, want, again.Value(), "what String prints, %q, reads back", v.String())
		})
	}
	for _, text := range c.bad {
		t.Run("bad "+text, func(t *testing.T) {
			v := newVar()
			before := v.Value()
			require.Error(t, v.Set(text))
			require.Equal(t, before, v.Value(), "a refused value changes nothing")
		})
	}
}

func TestSeconds(t *testing.T) {
	cases[time.Duration]{
		good: map[string]time.Duration{
			"300": 300 * time.Second, "0.5": 500 * time.Millisecond, "1m30s": 90 * time.Second,
			"1e1": 10 * time.Second, "0.001": time.Millisecond, "+2": 2 * time.Second, "86400": 24 * time.Hour,
			"1.5h": 90 * time.Minute, "1.000000001": time.Second + 1, "0.1": 100 * time.Millisecond, "24h": 24 * time.Hour,
		},
		bad: []string{
			"", "0", "-1", "-5s", "abc", "NaN", "Inf", "-inf", "1e300", "1e10", "1e-12", "86401", "25h", "0x10", "10 ", "5 s", "1,5", "99999999999h", "1us",
		},
	}.run(t, func() config.Var[time.Duration] {
		return config.Seconds(10*time.Second, time.Millisecond, 24*time.Hour)
	})
}

func TestSecondsOrZero(t *testing.T) {
	cases[time.Duration]{
		good: map[string]time.Duration{"0": 0, "0s": 0, "0.0": 0, "-0": 0, "1ms": time.Millisecond, "300": 300 * time.Second},
		bad:  []string{"", "1e-12", "1ns", "-1", "-0.0001", "1e10"},
	}.run(t, func() config.Var[time.Duration] {
		return config.SecondsOrZero(10*time.Second, time.Millisecond, 24*time.Hour)
	})
}

func TestDuration(t *testing.T) {
	cases[time.Duration]{
		good: map[string]time.Duration{"30s": 30 * time.Second, "1h0m0s": time.Hour, "1h0m1s": time.Hour + time.Second, "1.5s": 1500 * time.Millisecond},
		bad:  []string{"", "30", "0", "-1s", "25h", "1 s", "x"},
	}.run(t, func() config.Var[time.Duration] {
		return config.Duration(30*time.Second, time.Millisecond, 24*time.Hour)
	})
}

func TestSize(t *testing.T) {
	cases[int64]{
		good: map[string]int64{
			"1024": 1024, "1KiB": 1024, "1kib": 1024, "1 KiB": 1024, "1kB": 1000, "1KB": 1000, "1.5MiB": 3 << 19,
			"512MiB": 512 << 20, "1GiB": 1 << 30, "2gb": 2e9, "1TiB": 1 << 40, "1000B": 1000, "0.5TB": 5e11, "1001": 1001,
		},
		bad: []string{
			"", "0", "-1", "999", "999B", "-1KiB", "1M", "1K", "MiB", "1e6B", "1e6", "NaN", "NaNB", "Inf", "0x400", "1,5MiB",
			"1PiB", "2TiB", "99999999999999999999", "9999999999TiB", "1 0KiB", "1KiBB", "1MiB ", " 1MiB", "1..5MiB", "1K iB",
		},
	}.run(t, func() config.Var[int64] { return config.Size(4<<20, 1000, 1<<40) })
	v := config.Size(512<<20, 1<<20, 1<<50)
	require.Equal(t, "512MiB", v.String())
	require.NoError(t, v.Set("1500000000"))
	require.Equal(t, "1500000000", v.String())
}

func TestBool(t *testing.T) {
	cases[bool]{
		good: map[string]bool{
			"true": true, "false": false, "1": true, "0": false, "t": true, "f": false,
			"T": true, "F": false, "TRUE": true, "FALSE": false, "True": true, "False": false,
		},
		bad: []string{"", "yes", "no", "on", "2", " true", "tRUE"},
	}.run(t, func() config.Var[bool] { return config.Bool(true) })
}

func TestInt(t *testing.T) {
	cases[int]{
		good: map[string]int{"1": 1, "100": 100, "007": 7, "+5": 5},
		bad:  []string{"", "0", "101", "-1", "1.0", "1e2", "0x10", "1_0", "99999999999999999999", "ten"},
	}.run(t, func() config.Var[int] { return config.Int(7, 1, 100) })
}

func TestLevel(t *testing.T) {
	cases[string]{
		good: map[string]string{"debug": "debug", "info": "info", "warn": "warn", "error": "error", "WARN": "warn", "Info": "info"},
		bad:  []string{"", "warning", "trace", "info ", "0"},
	}.run(t, func() config.Var[string] { return config.Level("info") })
}

func TestHostPort(t *testing.T) {
	good := make(map[string]string)
	for _, s := range []string{
		"localhost:8080", ":8080", "[::1]:8080", "0.0.0.0:0", "127.0.0.1:65535", "my_service-1.example.org:80",
		"[fe80::1%eth0]:8080", "[::]:80", "bücher.example:80",
	} {
		good[s] = s
	}
	cases[string]{good: good, bad: []string{
		"", "localhost", "8080", "localhost:", "localhost:http", "localhost:65536", "localhost:-1", "localhost:+1", "::1:8080", "[::1]",
		"[localhost]:80", "[]:80", "a b:80", "host/path:80", "http://localhost:8080", "user@host:80", "a,b:80", "\xff:80", "host:80\n",
	}}.run(t, func() config.Var[string] { return config.HostPort("localhost:1") })
}

func TestServer(t *testing.T) {
	good := map[string]string{
		"http://host:8080/":       "http://host:8080",
		"https://host/a/b/":       "https://host/a/b",
		"http://[::1]:8080//":     "http://[::1]:8080",
		"https://host/a%20b":      "https://host/a%20b",
		"HTTP://Host:8080/prefix": "HTTP://Host:8080/prefix",
	}
	for _, s := range []string{"localhost:8080", ":8080", "[::1]:8080", "http://localhost:8080", "https://metrics.example.org", "http://h:1", "http://h:65535"} {
		good[s] = s
	}
	cases[string]{good: good, bad: []string{
		"", "localhost", "localhost:0", "http://", "https://:8080", "http:///path", "http://host:0", "http://host:65536", "http://host:", "http://host:x",
		"ftp://host", "://host", "http:/host", "http://host?a=b", "http://host/#x", "http://host/?",
		"http://ho st", "http://a,b", "http://[::1", "http://host/\n", "http://[]/",
	}}.run(t, func() config.Var[string] { return config.Server("localhost:1") })
}

func TestPath(t *testing.T) {
	cases[string]{good: map[string]string{"/tmp/a b": "/tmp/a b", "a,b=c": "a,b=c", " ": " "}, bad: []string{""}}.
		run(t, func() config.Var[string] { return config.Path("x") })
	cases[string]{good: map[string]string{"/tmp/x": "/tmp/x", "": ""}}.
		run(t, func() config.Var[string] { return config.PathOrEmpty("x") })
}

func TestLabels(t *testing.T) {
	type m = map[string]string
	many := func(n int) string {
		var pairs []string
		for i := range n {
			pairs = append(pairs, "l"+strings.Repeat("x", i)+"=1")
		}
		return strings.Join(pairs, ",")
	}
	cases[m]{
		good: map[string]m{
			"":                            {},
			"  ":                          {},
			"a=b":                         {"a": "b"},
			"b=2,a=1":                     {"a": "1", "b": "2"},
			" a = b , _c1 = d e ":         {"a": "b", "_c1": "d e"},
			"a=b=c":                       {"a": "b=c"},
			"a=,b=1":                      {"b": "1"},
			`a="",b=1`:                    {"b": "1"},
			`a="x,y",b=1`:                 {"a": "x,y", "b": "1"},
			`a="x" , b = "y" `:            {"a": "x", "b": "y"},
			`a="say \"hi\"\n",b=" x "`:    {"a": "say \"hi\"\n", "b": " x "},
			`a=\d`:                        {"a": `\d`},
			"a='x y'":                     {"a": "'x y'"},
			"a=`x`":                       {"a": "`x`"},
			"city=Köln":                   {"city": "Köln"},
			"v=" + strings.Repeat("x", 9): {"v": "xxxxxxxxx"},
		},
		bad: []string{
			"a", "=b", "1a=b", "a-b=c", "__a=b", "a.b=c", "straße=1", "a=1,a=2", "a=,a=2", "a=1,", ",a=1", ",", "a=1,,b=2", "a,b=1", "a b=1",
			`a="x`, `a=x"`, `a="x"y`, `a="x" y,b=1`, `a="\q"`, `a="\xff"`, "a=\xff", "a=\x00", `a="\x00"`,
			strings.Repeat("n", 129) + "=1", "a=" + strings.Repeat("x", 1025), many(33),
		},
	}.run(t, func() config.Var[m] { return config.Labels(m{"host": "here"}) })
}

func TestSecretIsNeverShown(t *testing.T) {
	v := config.Secret()
	require.Empty(t, v.String())
	require.NoError(t, v.Set("hunter2"))
	require.Equal(t, "hunter2", v.Value().Reveal())
	require.NotContains(t, v.String(), "hunter2")
	require.Equal(t, logger.Secret("hunter2").String(), v.String())
}

func TestVarIsAFlagValue(t *testing.T) {
	v := config.Int(7, 1, 100)
	var _ pflag.Value = &v
	require.Equal(t, "number", v.Type())

	var zero config.Var[int]
	require.Empty(t, zero.String(), "pflag prints zero values")
}
