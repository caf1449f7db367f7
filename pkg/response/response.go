// Package response holds the JSON models of the push API's answers.
package response

// ContentTypeProblem is the media type of every error (RFC 9457).
const ContentTypeProblem = "application/problem+json"

// HeaderReplayed is "true" on the answer to a batch that had been applied
// before and therefore changed nothing.
const HeaderReplayed = "Idempotency-Replayed"

// Metric is a stored metric.
type Metric struct {
	ID   string `json:"id"`
	Type string `json:"type"`
	// Value is a gauge's newest value.
	Value *float64 `json:"value,omitempty"`
	// Delta is a counter's total.
	Delta  *int64            `json:"delta,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	// Timestamp is the newest time of the series in Unix milliseconds.
	Timestamp int64 `json:"timestamp"`
}

// Problem says why a request failed.
type Problem struct {
	// Type is "about:blank": the status says it all.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Code is the reason for machines, one of the codes of pkg/errors.
	Code string `json:"code"`
	// Detail is the reason for people. Of 5xx it holds no internals.
	Detail string `json:"detail,omitempty"`
	// RequestID is in the server's log too.
	RequestID string `json:"request_id,omitempty"`
	// Errors are the first MaxErrors offending elements of a batch, by index.
	Errors []ElementError `json:"errors,omitempty"`
	// ErrorCount is how many elements offend in all.
	ErrorCount int `json:"error_count,omitempty"`
}

// MaxErrors bounds how many offending elements a Problem lists.
const MaxErrors = 20

// ElementError is one offending element of a batch.
type ElementError struct {
	// Index is the place in the array, from 0.
	Index  int    `json:"index"`
	Reason string `json:"reason"`
}
