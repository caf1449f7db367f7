package logger

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// redacted stands for what is not shown.
const redacted = "***"

// Secret is a key or a password. However it is printed (fmt with any verb, zap,
// slog, JSON or text encoding, alone or inside something else) it shows as ***, or
// as "" when it is empty, so that one sees whether it is set. Only [Secret.Reveal]
// gives it away.
//
// What stays to be avoided: a Secret in an unexported field of a struct that is
// printed whole (fmt can't call methods there), as the key of a map, and under the
// verbs %p and %w, which go vet refuses.
//
// Reading is free: a flag or a variable is set through its string kind.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String redacts for fmt.Stringer, zap.Stringer and zap.Any.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString redacts for %#v of types that call it directly.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// Format redacts for all of fmt. Without it a verb that doesn't suit a string, such
// as %d, would print the value in its complaint.
func (s Secret) Format(f fmt.State, verb rune) {
	text := s.String()
	if verb == 'q' || (verb == 'v' && f.Flag('#')) {
		text = s.GoString()
	}
	_, _ = io.WriteString(f, text) // fmt's buffer takes everything
}

// LogValue redacts for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText redacts for encodings that are not JSON.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON redacts for encoding/json and zap.Reflect.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }
