package config

import (
	"encoding"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/gometheus/gometheus/internal/common/logger"
)

// Var is the value of one setting: its default until Set. It is a pflag.Value
// and an encoding.TextUnmarshaler. The functions of this package that return
// one say what it takes; the zero Var takes nothing and is not usable.
type Var[T any] struct {
	value  T
	parse  func(string) (T, error) // an error is a reason
	format func(T) string
	spec
}

// spec is what a Var says about itself.
type spec struct {
	kind    string // one word for help: "seconds"
	allowed string // ends the sentence "want …"
	bare    string // the value of the flag alone; empty: a value is required
	empty   bool   // empty text is a value
	secret  bool
	adds    bool                // to set it again adds to it
	text    string              // that it was set to last
	mask    func(string) string // hides the secret part of a value in errors; nil: nothing to hide
}

func (s *spec) show(value string) string {
	switch {
	case s.secret:
		return logger.Secret(value).String()
	case s.mask != nil:
		return s.mask(value)
	}
	return value
}

// variable is Var without its type.
type variable interface {
	pflag.Value
	encoding.TextUnmarshaler
	about() *spec
}

func (v *Var[T]) about() *spec { return &v.spec }

// Value is the setting's value.
func (v *Var[T]) Value() T { return v.value }

// Set takes the value that s says, or leaves the old one and returns an error.
func (v *Var[T]) Set(s string) error {
	if s == "" && !v.empty {
		return errNotAllowed
	}
	if v.adds && s != "" && v.text != "" {
		s = v.text + "," + s
	}
	value, err := v.parse(s)
	if err != nil {
		return err
	}
	v.value, v.text = value, s
	return nil
}

// UnmarshalText is Set.
func (v *Var[T]) UnmarshalText(text []byte) error { return v.Set(string(text)) }

// String is the value in a form that Set reads back, or redacted if it is
// secret.
func (v *Var[T]) String() string {
	if v.format == nil { // pflag asks zero values too
		return ""
	}
	return v.format(v.value)
}

// Type is one word for what the setting takes: "seconds".
func (v *Var[T]) Type() string { return v.kind }

func same(s string) string { return s }

func text(s string) (string, error) { return s, nil }

// Path is the name of a file or folder.
func Path(def string) Var[string] {
	return Var[string]{def, text, same, spec{kind: "path", allowed: "a path"}}
}

// PathOrEmpty is a Path that may be empty.
func PathOrEmpty(def string) Var[string] {
	return Var[string]{def, text, same, spec{kind: "path", allowed: "a path, or empty", empty: true}}
}

// CheckedPath is a Path, empty by default, of a file that check accepts. allowed
// says what that is. The errors of check must hold no secret.
func CheckedPath(allowed string, check func(path string) error) Var[string] {
	return Var[string]{
		parse: func(s string) (string, error) {
			if s == "" {
				return "", nil
			}
			if err := check(s); err != nil {
				return "", reason(strings.Join(strings.Fields(err.Error()), " ")) // one line
			}
			return s, nil
		},
		format: same,
		spec:   spec{kind: "path", allowed: allowed + ", or empty", empty: true},
	}
}

// Text is any text, empty by default.
func Text() Var[string] {
	return Var[string]{parse: text, format: same, spec: spec{kind: "text", allowed: "text, or empty", empty: true}}
}

// Secret is any text, empty by default. It is never shown.
func Secret() Var[logger.Secret] {
	return Var[logger.Secret]{
		parse:  func(s string) (logger.Secret, error) { return logger.Secret(s), nil },
		format: logger.Secret.String,
		spec:   spec{kind: "text", allowed: "text, or empty", empty: true, secret: true},
	}
}

// Bool is what strconv.ParseBool takes. The flag alone means true.
func Bool(def bool) Var[bool] {
	return Var[bool]{
		def,
		func(s string) (bool, error) {
			b, err := strconv.ParseBool(s)
			if err != nil {
				return false, errNotAllowed
			}
			return b, nil
		},
		strconv.FormatBool,
		spec{kind: "bool", allowed: "true or false", bare: "true"},
	}
}

// Int is a whole number from lo to hi.
func Int(def, lo, hi int) Var[int] {
	return Var[int]{
		def,
		func(s string) (int, error) {
			n, err := strconv.Atoi(s)
			if err != nil || n < lo || n > hi {
				return 0, errNotAllowed
			}
			return n, nil
		},
		strconv.Itoa,
		spec{kind: "number", allowed: fmt.Sprintf("a whole number from %d to %d", lo, hi)},
	}
}

// Choice is one of words, which are in lower case, written in any case.
func Choice(kind, def string, words ...string) Var[string] {
	allowed := words[len(words)-1]
	if len(words) > 1 {
		allowed = strings.Join(words[:len(words)-1], ", ") + " or " + allowed
	}
	return Var[string]{
		def,
		func(s string) (string, error) {
			s = strings.ToLower(s)
			if !slices.Contains(words, s) {
				return "", errNotAllowed
			}
			return s, nil
		},
		same,
		spec{kind: kind, allowed: allowed},
	}
}

// Level is the least level that is logged.
func Level(def string) Var[string] {
	return Choice("level", def, "debug", "info", "warn", "error")
}

// Duration is a Go duration from lo to hi.
func Duration(def, lo, hi time.Duration) Var[time.Duration] {
	return Var[time.Duration]{
		def,
		func(s string) (time.Duration, error) {
			d, err := time.ParseDuration(s)
			if err != nil || d < lo || d > hi {
				return 0, errNotAllowed
			}
			return d, nil
		},
		shortDuration,
		spec{kind: "duration", allowed: fmt.Sprintf("a duration such as 1m30s, from %s to %s", shortDuration(lo), shortDuration(hi))},
	}
}

// Seconds is a time from lo to hi: a plain number of seconds, whole or not, or
// a Go duration. Parts of a nanosecond are rounded.
func Seconds(def, lo, hi time.Duration) Var[time.Duration] {
	return seconds(def, lo, hi, false)
}

// SecondsOrZero is Seconds that may be 0 too, however large lo is.
func SecondsOrZero(def, lo, hi time.Duration) Var[time.Duration] {
	return seconds(def, lo, hi, true)
}

func seconds(def, lo, hi time.Duration, zero bool) Var[time.Duration] {
	allowed := fmt.Sprintf("seconds or a duration such as 1m30s, from %s to %s", shortDuration(lo), shortDuration(hi))
	if zero {
		allowed += ", or 0"
	}
	return Var[time.Duration]{
		def,
		func(s string) (time.Duration, error) {
			d, isZero, ok := parseSeconds(s)
			if !ok || isZero && !zero || !isZero && (d < lo || d > hi) {
				return 0, errNotAllowed
			}
			return d, nil
		},
		formatSeconds,
		spec{kind: "seconds", allowed: allowed},
	}
}

// parseSeconds also says whether s is zero, which 1e-12, though it rounds to
// zero, is not.
func parseSeconds(s string) (d time.Duration, isZero, ok bool) {
	if strings.ContainsAny(s, "xX") { // ParseFloat takes 0x1p-2, people don't
		return 0, false, false
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		nanos := math.Round(f * float64(time.Second))
		if !(math.Abs(nanos) < math.MaxInt64) { // NaN is not
			return 0, false, false
		}
		return time.Duration(nanos), f == 0, true
	}
	d, err := time.ParseDuration(s)
	return d, d == 0, err == nil
}

// formatSeconds is a plain number when it is whole, else a duration, which
// unlike a float is exact.
func formatSeconds(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10)
	}
	return shortDuration(d)
}

// shortDuration is d.String without zero minutes and seconds: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// sizeUnits are the units of a size, those that formatSize uses last, from small
// to large. Upper and lower case don't matter.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"B", 1},
	{"kB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
}

// Size is a number of bytes from lo to hi: a plain number, or one with a unit
// such as KiB (1,024) or kB (1,000) behind it, then whole or not.
func Size(def, lo, hi int64) Var[int64] {
	return Var[int64]{
		def,
		func(s string) (int64, error) {
			n, ok := parseSize(s)
			if !ok || n < lo || n > hi {
				return 0, errNotAllowed
			}
			return n, nil
		},
		formatSize,
		spec{kind: "size", allowed: fmt.Sprintf("bytes or a size such as 64MiB or 1.5GB, from %s to %s", formatSize(lo), formatSize(hi))},
	}
}

func parseSize(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	number := strings.TrimRight(s, "BbKkMmGgTtIi ")
	name := strings.TrimLeft(s[len(number):], " ")
	if strings.TrimLeft(number, "+0123456789.") != "" { // ParseFloat takes more
		return 0, false
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, false
	}
	for _, u := range sizeUnits {
		if n := math.Round(f * float64(u.bytes)); strings.EqualFold(u.name, name) && n < math.MaxInt64 {
			return int64(n), true
		}
	}
	return 0, false
}

// formatSize takes the largest binary unit that divides n.
func formatSize(n int64) string {
	for _, u := range slices.Backward(sizeUnits) {
		if u.bytes&(u.bytes-1) == 0 && u.bytes > 1 && n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}
