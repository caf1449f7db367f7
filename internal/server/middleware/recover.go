// Package middleware holds the parts of the HTTP server that know of keys and
// problems: Recover, the Signer's, who may use the server, and what browsers are
// told. What is common to any HTTP server is in
// pkg/middleware.
package middleware

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"sync"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/request"
)

// Recover turns a panic of a handler into a 500 problem and a log entry with
// the stack. When part of the answer is on its way already, it ends the
// connection instead, so that the client can't take the rest for a whole.
func Recover(p problem.Writer) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tracked := trackers.Get().(*tracker)
			*tracked = tracker{ResponseWriter: w}
			defer func() {
				started := tracked.started
				*tracked = tracker{}
				trackers.Put(tracked)
				switch v := recover(); {
				case v == nil:
				case v == http.ErrAbortHandler: //nolint:errorlint // compared as net/http does
					panic(v)
				default:
					p.Log.Error("panic", zap.String("request_id", middleware.RequestID(r.Context())),
						zap.Any("value", v), zap.ByteString("stack", debug.Stack()))
					if started {
						panic(http.ErrAbortHandler)
					}
					// What the handler said of its answer is not true of this one.
					clear(w.Header())
					setSecurityHeaders(w.Header())
					w.Header().Set(request.HeaderRequestID, middleware.RequestID(r.Context()))
					p.Write(w, r, fmt.Errorf("panic: %v", v))
				}
			}()
			next.ServeHTTP(tracked, r)
		})
	}
}

var trackers = sync.Pool{New: func() any { return new(tracker) }}

// tracker knows whether anything was sent.
type tracker struct {
	http.ResponseWriter
	started bool
}

func (t *tracker) WriteHeader(status int) {
	t.started = true
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracker) Write(p []byte) (int, error) {
	t.started = true
	return t.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (t *tracker) Unwrap() http.ResponseWriter { return t.ResponseWriter }
