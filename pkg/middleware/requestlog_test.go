package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/pkg/middleware"
)

func observed(level zapcore.Level) (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(level)
	return zap.New(core), logs
}

var ownID = regexp.MustCompile(`^[0-9a-f]{12}-[0-9]+$`)

func TestRequestLogEntry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		h      http.HandlerFunc
		status int
		bytes  int
		level  zapcore.Level
	}{
		{"nothing written", func(http.ResponseWriter, *http.Request) {}, 200, 0, zapcore.DebugLevel},
		{"a body", func(w http.ResponseWriter, _ *http.Request) { say(w, "hello") }, 200, 5, zapcore.DebugLevel},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204, 0, zapcore.DebugLevel},
		{"302", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, 302, 0, zapcore.DebugLevel},
		{"399", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(399) }, 399, 0, zapcore.DebugLevel},
		{"400", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(400); say(w, "no") }, 400, 2, zapcore.WarnLevel},
		{"499", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(499) }, 499, 0, zapcore.WarnLevel},
		{"a second status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(200) }, 404, 0, zapcore.WarnLevel},
		{"500", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, 500, 0, zapcore.ErrorLevel},
		{"507", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(507) }, 507, 0, zapcore.ErrorLevel},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, logs := observed(zap.DebugLevel)
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/path?secret=1", nil)
			middleware.RequestLog(log)(tt.h).ServeHTTP(w, r)
			require.Equal(t, 1, logs.Len())
			entry := logs.All()[0]
			require.Equal(t, tt.level, entry.Level)
			require.Equal(t, "request", entry.Message)
			fields := entry.ContextMap()
			require.Equal(t, w.Header().Get("X-Request-Id"), fields["request_id"])
			require.Equal(t, "POST", fields["method"])
			require.Equal(t, "/path", fields["path"])
			require.EqualValues(t, tt.status, fields["status"])
			require.EqualValues(t, tt.bytes, fields["bytes"])
			require.Equal(t, r.RemoteAddr, fields["remote"])
			require.GreaterOrEqual(t, fields["duration"], time.Duration(0))
			require.Len(t, fields, 7)
		})
	}
}

func TestRequestLogQuiet(t *testing.T) {
	log, logs := observed(zap.InfoLevel)
	h := middleware.RequestLog(log)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(400)
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/good", nil))
	require.Zero(t, logs.Len())
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/bad", nil))
	require.Equal(t, 1, logs.Len())
}

func TestRequestLogID(t *testing.T) {
	log, logs := observed(zap.DebugLevel)
	var inside string
	h := middleware.RequestLog(log)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		inside = middleware.RequestID(ctx)
	}))
	for id, kept := range map[string]bool{
		"a": true, "A-b_c.9": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a\nb": false, "ä": false, "a\x00": false, `a"b`: false, "<b>": false, "a/b": false, "a:b": false,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["X-Request-Id"] = []string{id}
		h.ServeHTTP(w, r)
		got := w.Header()["X-Request-Id"]
		require.Len(t, got, 1)
		require.Equal(t, got[0], inside)
		require.Equal(t, got[0], logs.TakeAll()[0].ContextMap()["request_id"])
		if kept {
			require.Equal(t, id, got[0])
		} else {
			require.Regexp(t, ownID, got[0])
		}
	}
	require.Empty(t, middleware.RequestID(t.Context()))
}

// TestRequestLogContext: the request's own context is still there.
func TestRequestLogContext(t *testing.T) {
	log, _ := observed(zap.DebugLevel)
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	var inside *http.Request
	middleware.RequestLog(log)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		inside = r
	})).ServeHTTP(httptest.NewRecorder(), r)
	require.Equal(t, "value", inside.Context().Value(key{}))
	require.NoError(t, inside.Context().Err())
	cancel()
	require.ErrorIs(t, inside.Context().Err(), context.Canceled)
}

// TestRequestLogHostile: what a client sends can't fill the log or break its
// lines.
func TestRequestLogHostile(t *testing.T) {
	log, logs := observed(zap.DebugLevel)
	h := middleware.RequestLog(log)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Method = strings.Repeat("M", 10_000)
	r.URL.Path = "/" + strings.Repeat("ä", 10_000)
	h.ServeHTTP(httptest.NewRecorder(), r)
	fields := logs.All()[0].ContextMap()
	for _, name := range []string{"method", "path"} {
		value, ok := fields[name].(string)
		require.True(t, ok)
		require.Less(t, len(value), 300)
		require.True(t, utf8.ValidString(value), "cut within a character: %q", value)
		require.True(t, strings.HasSuffix(value, "…"))
	}
}

// TestRequestLogPanic: a panic goes on to net/http, and is logged.
func TestRequestLogPanic(t *testing.T) {
	log, logs := observed(zap.DebugLevel)
	h := middleware.RequestLog(log)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		say(w, "part")
		panic(http.ErrAbortHandler)
	}))
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	})
	require.Equal(t, 1, logs.Len())
	entry := logs.All()[0]
	require.Equal(t, zapcore.ErrorLevel, entry.Level)
	require.Equal(t, "request aborted", entry.Message)
	require.EqualValues(t, 4, entry.ContextMap()["bytes"])
	require.EqualValues(t, 200, entry.ContextMap()["status"])
}

// TestRequestLogInformational: 1xx is not the status of the request.
func TestRequestLogInformational(t *testing.T) {
	log, logs := observed(zap.DebugLevel)
	srv := serve(t, middleware.RequestLog(log)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNotFound)
	})))
	early := 0
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { early = code; return nil },
	}), http.MethodGet, srv.URL, nil)
	require.NoError(t, err)
	res, err := srv.Client().Do(r)
	require.NoError(t, err)
	res.Body.Close()
	srv.Close()
	require.Equal(t, http.StatusEarlyHints, early)
	require.Equal(t, http.StatusNotFound, res.StatusCode)
	require.EqualValues(t, http.StatusNotFound, logs.All()[0].ContextMap()["status"])
}

// TestRequestLogUnwrap: deadlines and flushing reach net/http's writer.
func TestRequestLogUnwrap(t *testing.T) {
	log, _ := observed(zap.DebugLevel)
	srv := serve(t, middleware.RequestLog(log)(compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
		if err := c.Flush(); err != nil {
			t.Error(err)
		}
	}))))
	res, _ := request(t, srv, "GET", nil)
	require.Equal(t, 200, res.StatusCode)
}

// TestRequestLogPool: many at once, each gets its own id and its own entry.
func TestRequestLogPool(t *testing.T) {
	log, logs := observed(zap.DebugLevel)
	h := middleware.RequestLog(log)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(210 + len(r.URL.Path)%7)
		say(w, r.URL.Path)
		if r.URL.Query().Has("panic") {
			panic("on purpose")
		}
	}))
	const goroutines, each = 16, 200
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				target := fmt.Sprintf("/%d/%s", g, strings.Repeat("x", i))
				if i%10 == 9 {
					target += "?panic"
				}
				func() {
					defer func() { recover() }() //nolint:errcheck // on purpose
					h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, target, nil))
				}()
			}
		})
	}
	wg.Wait()
	require.Equal(t, goroutines*each, logs.Len())
	seen := map[any]bool{}
	for _, entry := range logs.All() {
		fields := entry.ContextMap()
		require.False(t, seen[fields["request_id"]])
		seen[fields["request_id"]] = true
		path, ok := fields["path"].(string)
		require.True(t, ok)
		require.EqualValues(t, len(path), fields["bytes"])
		require.EqualValues(t, 210+len(path)%7, fields["status"])
	}
}
