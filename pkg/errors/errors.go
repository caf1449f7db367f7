// Package errors gives an error a code for machines and a message for people,
// and lists the leaves of joined errors.
//
// An error has three readers. A program decides by [CodeOf], a person reads
// [Message], and the log gets Error(), which holds everything. What stands
// behind [Wrap] is for the log only, so a handler that answers with Message
// can't leak a table name or a path.
//
// Coded errors are ordinary ones: wrap them with %w, join them with
// errors.Join, ask them with errors.Is. Use this package beside the standard
// one, which it doesn't re-export. Compared with sentinels, a code survives the
// process boundary and says how to answer; compared with gRPC's status it knows
// no protocol: whoever speaks one maps the codes to it.
package errors

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

// Code says to a program what sort of error it is. The text is stable: it goes
// over the wire.
type Code string

const (
	Invalid     Code = "invalid"     // what was asked is wrong; asking again won't help
	Stale       Code = "stale"       // it was signed too long ago, or ahead of time; sign it again
	Signature   Code = "signature"   // it is not signed, or not with the key that is needed
	NotFound    Code = "not_found"   // there is no such thing
	NoHistory   Code = "no_history"  // the server keeps no history; it will not by itself
	TooLarge    Code = "too_large"   // more than one request may hold
	Exhausted   Code = "exhausted"   // a limit of rate or of series is reached
	Full        Code = "full"        // the storage has no room
	Unavailable Code = "unavailable" // not now; asking again later may help
	Canceled    Code = "canceled"    // the caller went away
	Internal    Code = "internal"    // our fault, or unknown
)

// codedError is the only error type here. message is for people, err (may be nil)
// for logs and Unwrap, text is what Error returns.
type codedError struct {
	code    Code
	message string
	text    string
	err     error
}

func (e *codedError) Error() string { return e.text }
func (e *codedError) Unwrap() error { return e.err }

// New returns an error of the code whose message for people is made as
// fmt.Errorf does. An error given to %w is wrapped, and its text becomes part
// of that message: to keep a cause from people, use [Wrap].
func New(code Code, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	e := &codedError{code: code, message: err.Error(), text: err.Error()}
	switch err.(type) {
	case interface{ Unwrap() error }, interface{ Unwrap() []error }:
		e.err = err
	}
	return e
}

// Wrap returns err with a code and a message for people. The text of err shows
// in Error() and never in [Message]. Wrap of nil is nil.
func Wrap(code Code, err error, message string) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if message != "" {
		text = message + ": " + text
	}
	return &codedError{code: code, message: message, text: text, err: err}
}

// CodeOf returns the code of the outermost coded error in the tree of err; of
// joined ones the first. Without any, context.Canceled is [Canceled],
// context.DeadlineExceeded is [Unavailable] and the rest is [Internal]. The code
// of nil is "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*codedError](err); ok {
		return e.code
	}
	switch {
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	}
	return Internal
}

// Message returns the message for people of the outermost coded error in the
// tree of err, "" if there is none: the text of an uncoded error is for logs.
func Message(err error) string {
	if e, ok := errors.AsType[*codedError](err); ok {
		return e.message
	}
	return ""
}

// Leaves yields, in order, the errors in the tree of err that wrap no other. An
// error is reached through Unwrap() error and Unwrap() []error, so nested
// errors.Join and several %w come out flat. nil has no leaves.
func Leaves(err error) iter.Seq[error] {
	return func(yield func(error) bool) { leaves(err, yield) }
}

// leaves reports whether to go on.
func leaves(err error, yield func(error) bool) bool {
	if err == nil {
		return true
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return leaves(inner, yield)
		}
	case interface{ Unwrap() []error }:
		if inner := e.Unwrap(); len(inner) > 0 {
			for _, err := range inner {
				if !leaves(err, yield) {
					return false
				}
			}
			return true
		}
	}
	return yield(err)
}
