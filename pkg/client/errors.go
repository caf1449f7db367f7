package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/response"
)

var (
	// ErrSignature: the answer to a read, or with message signatures any answer,
	// is not signed with the key. What it says was not used.
	ErrSignature = errors.New("the signature of the answer is missing or wrong")
	// ErrWindowFull: MaxAhead batches wait already. Send or Discard the oldest.
	ErrWindowFull = errors.New("too many batches wait to be sent")
	// ErrAnswer: the server answered something that isn't of the push API.
	ErrAnswer = errors.New("the answer can't be read")
)

// Error is an answer other than 2xx.
type Error struct {
	// Status is the HTTP status.
	Status int
	// Problem is what the server says about it. When the answer came from
	// something else, a proxy for instance, it has its Status alone, and the first
	// line of a text as Detail.
	Problem response.Problem
	// RetryAfter is how long the server asks to wait, zero if it doesn't. It is
	// already bounded by the client's maximum.
	RetryAfter time.Duration
	// Date is what the server's clock said, zero if the answer doesn't tell.
	Date time.Time
	// Written is how many samples of a remote write count nevertheless.
	Written int

	// text: the answer to a remote write, which has no problems but lines of text.
	text bool
}

// Error is one line: the status, the reason, and the first offending element.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s", e.Status, http.StatusText(e.Status))
	if d := e.Problem.Detail; d != "" {
		b.WriteString(": " + d)
	}
	if es := e.Problem.Errors; len(es) > 0 {
		fmt.Fprintf(&b, " (metric %d: %s", es[0].Index, es[0].Reason)
		if n := max(e.Problem.ErrorCount, len(es)) - 1; n > 0 {
			fmt.Fprintf(&b, "; and %d more", n)
		}
		b.WriteByte(')')
	}
	if e.Problem.RequestID != "" {
		b.WriteString(" [request " + e.Problem.RequestID + "]")
	}
	return b.String()
}

// Permanent reports whether the same batch would always be refused: the server
// says so of the batch itself, in a problem of its own, with a 4xx. Anything else
// may be the way to the server (redirects of a captive portal, for instance), or
// who sends and not what (see Denied), and is worth another try.
func (e *Error) Permanent() bool {
	return e.Status >= 400 && e.Status < 500 && !e.passes() && !e.Denied()
}

// Denied reports whether it is not about the batch but about who sends it and
// where to: a wrong key, password, certificate, network or address (401, 403, 404,
// 405, 407), or a 4xx of something that is no gometheus server. People can cure
// that, so a batch waits for them; reads end with it.
func (e *Error) Denied() bool {
	if e.Problem.Code == string(codes.NoHistory) {
		return false
	}
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired:
		return true
	}
	unknown := e.Problem.Code == "" && !e.text || e.Problem.Code == string(codes.Signature)
	return e.Status >= 400 && e.Status < 500 && !e.passes() && unknown
}

// passes reports whether a 4xx is of the moment: 408, 425, 429, and a 400 without
// a date: Go's server answers so, before any handler, to a request of whose header
// the connection let only a part through.
func (e *Error) passes() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return true
	case http.StatusBadRequest:
		return e.stale() || e.Problem.Code == "" && e.Date.IsZero()
	}
	return false
}

// stale reports that the signature was made at another time than the server's:
// each try has a new one.
func (e *Error) stale() bool { return e.Problem.Code == string(codes.Stale) }

// deniedWait is how long a write waits at least after it was denied.
const deniedWait = 30 * time.Second

// newError makes the Error of an answer whose body may be cut or anything.
func newError(status int, header http.Header, body []byte, maxWait time.Duration) *Error {
	e := &Error{Status: status, RetryAfter: retryAfter(header.Get("Retry-After"), time.Now(), maxWait), Date: dateOf(header)}
	if t, _, err := mime.ParseMediaType(header.Get("Content-Type")); err == nil && t == response.ContentTypeProblem {
		if json.Unmarshal(body, &e.Problem) != nil {
			e.Problem = response.Problem{}
		}
	} else if err == nil && t == "text/plain" {
		line, _, _ := strings.Cut(string(body), "\n")
		e.Problem.Detail = shorten(strings.ToValidUTF8(line, "\uFFFD"))
	}
	e.Problem.Status = status
	for _, what := range [...]string{"Samples", "Histograms"} {
		n, _ := strconv.ParseUint(header.Get("X-Prometheus-Remote-Write-"+what+"-Written"), 10, 31) // zero with an error
		e.Written += int(n)
	}
	return e
}

// shorten keeps what something unknown says within bounds.
func shorten(s string) string {
	const most = 300
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// dateOf is the time in the Date header, zero if there is none that can be read.
func dateOf(header http.Header) time.Time {
	date, _ := http.ParseTime(header.Get("Date")) // zero with an error
	return date
}

// retryAfter reads both forms of the header, seconds and date (RFC 9110,
// 10.2.3), as a wait from now of at most most. What can't be read is no wait.
func retryAfter(v string, now time.Time, most time.Duration) time.Duration {
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseUint(v, 10, 64); err == nil {
		if s > uint64(most/time.Second) {
			return most
		}
		return time.Duration(s) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), most)
}
