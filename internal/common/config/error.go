package config

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"
)

// After --help or --version was printed.
var (
	ErrHelp    = errors.New("help was asked for")
	ErrVersion = errors.New("version was asked for")
)

// Error is a mistake in a flag or a variable. The programs print it and exit
// with code 2.
type Error struct {
	Setting string // as the user wrote it: "-a", "--address" or "ADDRESS"
	Value   string // the value, redacted where it is secret
	Valued  bool   // Value was given; false for a missing one and for unknown flags
	Reason  string // what is wrong, when Allowed does not say it
	Allowed string
}

// Error is one line: `--batch-size "0": want a whole number from 1 to 100000`.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(printable(e.Setting))
	if e.Valued {
		b.WriteString(" " + quote(e.Value))
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	b.WriteString(": want " + e.Allowed)
	return b.String()
}

// maxShown is how many bytes of what the user wrote an error repeats.
const maxShown = 200

func quote(s string) string {
	if len(s) <= maxShown {
		return strconv.Quote(s)
	}
	cut := maxShown
	for cut > maxShown-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "…"
}

// printable is s itself, or quoted where it would break the line.
func printable(s string) string {
	if q := quote(s); q != `"`+s+`"` {
		return q
	}
	return s
}

// reason is what a parser of values says when the setting's Allowed text does
// not say enough; empty when it does.
type reason string

func (r reason) Error() string { return string(r) }

const errNotAllowed = reason("")

// badValue is the error of a value that err, of a Var's Set, refused.
func (f *field) badValue(name, value string, err error) *Error {
	var why reason
	if errors.As(err, &why) && f.Secret {
		why = "" // it may quote the value
	}
	return &Error{Setting: name, Value: f.spec.show(value), Valued: true, Reason: string(why), Allowed: f.Allowed}
}
