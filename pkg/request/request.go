// Package request holds the JSON models and header names a client of the push
// API sends. They are plain data: pkg/client builds on them, and a program that
// brings its own HTTP client may use them alone.
package request

import "time"

// Headers and preferences a request may carry.
const (
	// HeaderHash carries hex(HMAC-SHA256(key, body as sent on the wire)); where
	// the metric is in the path, of the method, a space and the request target.
	HeaderHash = "HashSHA256"
	// HeaderIdempotencyKey carries "<producer>/<sequence>": a batch with a key
	// that was applied before changes nothing.
	HeaderIdempotencyKey = "Idempotency-Key"
	// HeaderPrefer with PreferMinimal asks for 204 instead of the stored
	// metrics (RFC 7240).
	HeaderPrefer  = "Prefer"
	PreferMinimal = "return=minimal"
	// HeaderReportInterval says how often the producer of a write reports, in
	// seconds, as "10" or "0.5". What it sent before counts as gone when three
	// reports are missed.
	HeaderReportInterval = "Report-Interval"
	// HeaderRequestID names the request in the server's log. A server makes one
	// up when it is missing.
	HeaderRequestID = "X-Request-Id"
)

// Bounds of HeaderReportInterval.
const (
	MinReportInterval = 100 * time.Millisecond
	MaxReportInterval = 24 * time.Hour
)

// Types of a metric.
const (
	TypeGauge   = "gauge"
	TypeCounter = "counter"
)

// Metric is one metric to be stored, or, without Value and Delta, the question
// for one.
type Metric struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	// Value is a gauge's value, finite. Exactly gauges have it.
	Value *float64 `json:"value,omitempty"`
	// Delta is a counter's increment, not negative. Exactly counters have it.
	Delta  *int64            `json:"delta,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Timestamp is in Unix milliseconds; zero is the time of arrival.
	Timestamp int64 `json:"timestamp,omitempty"`
}

// Gauge is a gauge with a value.
func Gauge(id string, value float64) Metric {
	return Metric{ID: id, Type: TypeGauge, Value: &value}
}

// Counter is an increment of a counter.
func Counter(id string, delta int64) Metric {
	return Metric{ID: id, Type: TypeCounter, Delta: &delta}
}

// With returns m with the labels, which it does not copy.
func (m Metric) With(labels map[string]string) Metric {
	m.Labels = labels
	return m
}

// At returns m with the time its value was taken.
func (m Metric) At(t time.Time) Metric {
	m.Timestamp = t.UnixMilli()
	return m
}
