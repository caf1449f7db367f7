package scrape

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// Source gives the exposition of a target.
type Source interface {
	// Fetch writes the present exposition to b. It is called by one goroutine at a
	// time and returns soon after ctx ends. One that panics fails this scrape only.
	Fetch(ctx context.Context, r Request, b *bytes.Buffer) (Result, error)
	// Drain waits until nothing of an earlier Fetch runs, or ctx ends, which is an
	// error.
	Drain(ctx context.Context) error
	// String is for logs and tells no secrets.
	String() string
}

// Request is what a Source is told.
type Request struct {
	Client    *http.Client
	UserAgent string
	// Timeout is when ctx ends, counted from the beginning.
	Timeout time.Duration
	// MaxBody is the size that an exposition may have; more is a LimitError.
	MaxBody int64
}

// Result is what is known of an exposition.
type Result struct {
	// ContentType is its format, as of HTTP.
	ContentType string
	// Partial is why something is missing in it.
	Partial error
}

// panicError is a panic, with the place where it happened.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// panicked is the error of a panic that was just recovered.
func panicked(value any) error { return &panicError{value, debug.Stack()} }

func bodyLimit(limit int64) error {
	return &LimitError{Setting: SettingBody, Limit: limit, What: "the exposition has too many bytes"}
}
