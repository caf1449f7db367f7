package promapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/tsdb"
)

// ErrorType is what an answer's errorType says.
type ErrorType string

// The types of errors. Prometheus' not_found and not_acceptable never come up:
// unknown paths are answered in plain text, and JSON is all there is to accept.
const (
	BadData     ErrorType = "bad_data"
	Execution   ErrorType = "execution"
	Canceled    ErrorType = "canceled"
	Timeout     ErrorType = "timeout"
	Internal    ErrorType = "internal"
	Unavailable ErrorType = "unavailable"
	CostLimit   ErrorType = "cost_limit"
)

// statusClientClosed is what nginx began to log for clients that went away.
const statusClientClosed = 499

// ErrStopping is what Options.Ready returns once the server is going down.
var ErrStopping = errors.New("the server is stopping")

// Error is an error as the API answers it.
type Error struct {
	Type ErrorType
	Err  error
}

func (e *Error) Error() string { return string(e.Type) + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Status is the HTTP status of the error's type. Unavailable is a 500 in
// Prometheus too.
func (e *Error) Status() int {
	switch e.Type {
	case BadData:
		return http.StatusBadRequest
	case Execution, CostLimit:
		return http.StatusUnprocessableEntity
	case Canceled:
		return statusClientClosed
	case Timeout:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// QueryError says what kind of error the engine or the storage returned.
func QueryError(err error) *Error {
	var (
		canceled promql.ErrQueryCanceled
		timeout  promql.ErrQueryTimeout
		series   promql.ErrTooManySeries
		samples  promql.ErrTooManySamplesRead
		stored   promql.ErrStorage
	)
	switch {
	case errors.As(err, &canceled):
		return &Error{Canceled, err}
	case errors.As(err, &timeout):
		return &Error{Timeout, err}
	case errors.As(err, &series), errors.As(err, &samples):
		return &Error{CostLimit, err}
	case errors.As(err, &stored):
		return &Error{Internal, err}
	case errors.Is(err, context.Canceled):
		return &Error{Canceled, err}
	}
	return &Error{Execution, err}
}

// buildError is QueryError for a query that didn't come to run: its text is at
// fault, unless it waited too long for its turn.
func buildError(err error) *Error {
	_, timeout := errors.AsType[promql.ErrQueryTimeout](err)
	_, canceled := errors.AsType[promql.ErrQueryCanceled](err)
	if timeout || canceled {
		return QueryError(err)
	}
	return &Error{BadData, fmt.Errorf("invalid parameter %q: %w", "query", err)}
}

// available turns any error of a storage that isn't open yet into Unavailable.
func available(e *Error) *Error {
	if e != nil && errors.Is(e.Err, tsdb.ErrNotReady) {
		e.Type = Unavailable
	}
	return e
}
