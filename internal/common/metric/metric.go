// Package metric is the model every other package speaks: a metric of a kind,
// with a name, labels, a value and the time of that value.
//
// A series is kind + name + labels. Two metrics with the same name and
// different kinds belong to two series.
//
// The package also holds the forms a metric takes outside memory: its JSON
// (json.go, decode.go), its text form (format.go) and the canonical bytes that
// identify its series (key.go). All of them read back what they write.
package metric

import (
	"fmt"
	"math"
	"strings"
)

// Kind says how the values of a series combine.
type Kind uint8

const (
	// Gauge is a float64 of which the newest value stands.
	Gauge Kind = 1
	// Counter is an int64 to which increments add up.
	Counter Kind = 2
)

// Kinds lists the names of all kinds, for messages.
const Kinds = "gauge, counter"

// String is the name of the kind in the API: "gauge" or "counter".
func (k Kind) String() string {
	switch k {
	case Gauge:
		return "gauge"
	case Counter:
		return "counter"
	default:
		return fmt.Sprintf("kind(%d)", uint8(k))
	}
}

// ParseKind is the inverse of String. Names are case-sensitive.
func ParseKind(s string) (Kind, error) {
	switch s {
	case "gauge":
		return Gauge, nil
	case "counter":
		return Counter, nil
	default:
		return 0, fmt.Errorf("unknown type %s: allowed are %s", quote(s), Kinds)
	}
}

// MaxAhead is how far, in milliseconds, a timestamp may lie ahead of the
// server's clock: one sample from the far future would otherwise hide every
// later one.
const MaxAhead = 10 * 60 * 1000

// Metric is one value of one series.
//
// For a counter Delta is an increment on the way in and the total on the way
// out; Value is unused. For a gauge Value is the value and Delta is unused.
type Metric struct {
	Name   string
	Labels Labels // sorted by name, no empty values; may be nil
	Value  float64
	Delta  int64
	// Timestamp is in Unix milliseconds. Zero on the way in means "the time of
	// arrival".
	Timestamp int64
	Kind      Kind
}

// Limits bounds what a metric may hold. Lengths are in bytes.
type Limits struct {
	Metrics    int // metrics in one batch
	Name       int
	Labels     int // labels of one series
	LabelName  int
	LabelValue int
}

// DefaultLimits are wide enough for every exporter known to us and narrow
// enough that a mistaken client can't fill the memory with one name.
func DefaultLimits() Limits {
	return Limits{Metrics: 100_000, Name: 512, Labels: 32, LabelName: 128, LabelValue: 1024}
}

// Validate reports the first thing wrong with a metric that is to be applied,
// in words meant for whoever sent it. now is in Unix milliseconds. The
// encoding of strings is not its business: decoders have checked it.
func (m *Metric) Validate(lim *Limits, now int64) error {
	if err := m.Labels.Validate(lim); err != nil {
		return err
	}
	return m.validateButLabels(lim, now)
}

func (m *Metric) validateButLabels(lim *Limits, now int64) error {
	if err := ValidateName(m.Name, lim); err != nil {
		return err
	}
	switch m.Kind {
	case Gauge:
		if math.IsNaN(m.Value) || math.IsInf(m.Value, 0) {
			return fmt.Errorf("value %v: a gauge needs a finite number", m.Value)
		}
	case Counter:
		if m.Delta < 0 {
			return fmt.Errorf("delta %d: a counter can't be decreased", m.Delta)
		}
	default:
		return fmt.Errorf("no type: allowed are %s", Kinds)
	}
	switch {
	case m.Timestamp < 0:
		return fmt.Errorf("timestamp %d: must be Unix milliseconds, not negative", m.Timestamp)
	case m.Timestamp > now+MaxAhead:
		return fmt.Errorf("timestamp %d: more than 10 minutes ahead of the server's clock (%d)", m.Timestamp, now)
	}
	return nil
}

// ValidateName reports what is wrong with the name of a metric. Any UTF-8 but
// NUL is allowed.
func ValidateName(name string, lim *Limits) error {
	if name == "" {
		return fmt.Errorf("no id: the name of the metric is missing")
	}
	if len(name) > lim.Name {
		return fmt.Errorf("id of %d bytes: at most %d are allowed", len(name), lim.Name)
	}
	if i := strings.IndexByte(name, 0); i >= 0 {
		return fmt.Errorf("id holds a NUL byte at %d", i)
	}
	return nil
}

// quoted is a string that is quoted only if somebody formats it.
type quoted string

func (q quoted) String() string { return quote(string(q)) }

// quote shortens and escapes what a client sent, for messages.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
