// Package problem writes errors as answers: application/problem+json (RFC 9457)
// with the status that belongs to the error's code. What a 4xx says is for the
// client; a 5xx hides its cause, which is logged under the request id the
// client gets.
package problem

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/response"
)

// retryAfter is how many seconds a client is asked to wait after 429, 503 and
// 507; retryFull when there are too many series, which people have to cure.
const (
	retryAfter = 1
	retryFull  = 30
)

// Error is an error with a status that its cause, if it has one, would not get.
// Detail is for people; the cause is for the log alone.
type Error struct {
	Status int
	Detail string
	Cause  error
}

func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Detail + ": " + e.Cause.Error()
	}
	return e.Detail
}

func (e *Error) Unwrap() error { return e.Cause }

// Body is the problem of a request body that could not be read: the client's, or
// that of the connection. An error that has its own message keeps it.
func Body(err error) error {
	switch {
	case codes.Message(err) != "":
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{Status: http.StatusRequestTimeout, Detail: "the body took too long to arrive", Cause: err}
	case errors.Is(err, middleware.ErrCut):
		// 408 and not 400: the same request whole may be right.
		return &Error{Status: http.StatusRequestTimeout, Detail: middleware.ErrCut.Error()}
	}
	return codes.Wrap(codes.Invalid, err, "the body could not be read")
}

// Handler is an http.Handler that may fail before it writes anything.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Writer writes problems.
type Writer struct {
	Log *zap.Logger
	// Wrote, if set, is told the code of every problem.
	Wrote func(code string)
}

// Handle adapts h: its error becomes the answer.
func (p Writer) Handle(h Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			p.Write(w, r, err)
		}
	}
}

// Write answers with err.
func (p Writer) Write(w http.ResponseWriter, r *http.Request, err error) {
	body := describe(err)
	body.Type = "about:blank"
	body.Title = http.StatusText(body.Status)
	body.RequestID = middleware.RequestID(r.Context())
	// A request without an id is none from outside: the watchdog's.
	outside := body.RequestID != ""
	if outside && body.Status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		p.Log.Error("request failed", zap.String("request_id", body.RequestID), zap.Int("status", body.Status), zap.Error(err))
	}
	out, failure := json.Marshal(body)
	if failure != nil { // a struct of strings and ints
		panic("problem: " + failure.Error())
	}
	if outside && p.Wrote != nil {
		p.Wrote(body.Code)
	}
	h := w.Header()
	h.Set("Content-Type", response.ContentTypeProblem)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(out)))
	switch body.Status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		wait := retryAfter
		if _, full := errors.AsType[*storage.SeriesLimitError](err); full {
			wait = retryFull
		}
		h.Set("Retry-After", strconv.Itoa(wait))
	}
	w.WriteHeader(body.Status)
	if r.Method != http.MethodHead {
		w.Write(out) //nolint:errcheck // the client is gone: nobody to tell
	}
}

// describe maps an error to status, code and what the client may know of it.
func describe(err error) response.Problem {
	var (
		own     *Error
		invalid *metric.InvalidError
		syntax  *metric.SyntaxError
		large   *http.MaxBytesError
		series  *storage.SeriesLimitError
	)
	switch {
	case errors.As(err, &own):
		return response.Problem{Status: own.Status, Code: string(codeOf(own.Status)), Detail: own.Detail}
	case errors.Is(err, middleware.ErrEncoding):
		return response.Problem{Status: http.StatusUnsupportedMediaType, Code: string(codes.Invalid), Detail: err.Error()}
	case errors.As(err, &invalid):
		out := response.Problem{Status: http.StatusBadRequest, Code: string(codes.Invalid), Detail: invalid.Error(), ErrorCount: invalid.Count}
		for _, e := range invalid.Elements {
			out.Errors = append(out.Errors, response.ElementError{Index: e.Index, Reason: e.Reason})
		}
		return out
	case errors.As(err, &syntax):
		return response.Problem{Status: http.StatusBadRequest, Code: string(codes.Invalid), Detail: syntax.Error()}
	case errors.Is(err, metric.ErrTooMany):
		return response.Problem{Status: http.StatusRequestEntityTooLarge, Code: string(codes.TooLarge), Detail: err.Error()}
	case errors.As(err, &large):
		return response.Problem{
			Status: http.StatusRequestEntityTooLarge, Code: string(codes.TooLarge),
			Detail: "the body is larger than " + strconv.FormatInt(large.Limit, 10) + " bytes",
		}
	case errors.Is(err, storage.ErrNotFound):
		return response.Problem{Status: http.StatusNotFound, Code: string(codes.NotFound), Detail: storage.ErrNotFound.Error()}
	case errors.As(err, &series):
		return response.Problem{Status: http.StatusTooManyRequests, Code: string(codes.Exhausted), Detail: series.Error()}
	case errors.Is(err, storage.ErrExhausted):
		return response.Problem{Status: http.StatusTooManyRequests, Code: string(codes.Exhausted), Detail: storage.ErrExhausted.Error()}
	case errors.Is(err, storage.ErrFull):
		return response.Problem{Status: http.StatusInsufficientStorage, Code: string(codes.Full), Detail: storage.ErrFull.Error()}
	case errors.Is(err, storage.ErrUnavailable):
		return response.Problem{Status: http.StatusServiceUnavailable, Code: string(codes.Unavailable), Detail: storage.ErrUnavailable.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return response.Problem{Status: http.StatusBadRequest, Code: string(codes.Invalid), Detail: "the body ends too early"}
	}
	code := codes.CodeOf(err)
	return response.Problem{Status: status(code), Code: string(code), Detail: codes.Message(err)}
}

// codeOf is the code of a status that no code maps to.
func codeOf(status int) codes.Code {
	switch {
	case status == http.StatusNotFound:
		return codes.NotFound
	case status == http.StatusRequestTimeout:
		return codes.Unavailable
	case status >= http.StatusInternalServerError:
		return codes.Internal
	default:
		return codes.Invalid
	}
}

func status(code codes.Code) int {
	switch code {
	case codes.Invalid, codes.Stale, codes.Signature:
		return http.StatusBadRequest
	case codes.NotFound, codes.NoHistory:
		return http.StatusNotFound
	case codes.TooLarge:
		return http.StatusRequestEntityTooLarge
	case codes.Exhausted:
		return http.StatusTooManyRequests
	case codes.Full:
		return http.StatusInsufficientStorage
	case codes.Unavailable, codes.Canceled:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
