package middleware

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// headerRequestID is taken from the request, if it is harmless, and set on the
// answer.
const headerRequestID = "X-Request-Id"

type requestIDKey struct{}

// requestContext carries the id, and the answer's header value with it, in one
// piece of memory.
type requestContext struct {
	context.Context
	id    [1]string
	route string
}

type requestContextKey struct{}

func (c *requestContext) Value(key any) any {
	switch key {
	case requestIDKey{}:
		return c.id[0]
	case requestContextKey{}:
		return c
	}
	return c.Context.Value(key)
}

// SetRoute tells the RequestLog that ctx belongs to by which route the request
// went: one of a few names, whatever clients ask for.
func SetRoute(ctx context.Context, route string) {
	if c, ok := ctx.Value(requestContextKey{}).(*requestContext); ok {
		c.route = route
	}
}

// RequestID is the id of the request that ctx belongs to, "" outside
// RequestLog.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// RequestLog gives each request an id (X-Request-Id, in and out) and logs it
// when it is done: 5xx at error, 4xx at warning level, the rest at debug, so
// that the ordinary business of a server stays quiet. What the client sent is
// logged as fields, which the encoder escapes, and shortened. Each done is told
// the route, if somebody has set it, the status, and how long it took.
func RequestLog(log *zap.Logger, done ...func(route string, status int, took time.Duration)) func(http.Handler) http.Handler {
	ids := newRequestIDs()
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id := r.Header.Get(headerRequestID)
			if !harmless(id) {
				id = ids.next()
			}
			ctx := &requestContext{Context: r.Context(), id: [1]string{id}}
			w.Header()[headerRequestID] = ctx.id[:]
			start := time.Now()
			rec := recorders.Get().(*recorder)
			*rec = recorder{ResponseWriter: w}
			defer func() {
				status, size := rec.status, rec.size
				recovered := recover()
				*rec = recorder{}
				recorders.Put(rec)
				if recovered != nil { // on its way to net/http, which ends the connection
					log.Error("request aborted", fields(r, id, status, size, start)...)
					panic(recovered)
				}
				for _, f := range done {
					f(ctx.route, max(status, http.StatusOK), time.Since(start))
				}
				if entry := log.Check(level(status), "request"); entry != nil {
					entry.Write(fields(r, id, status, size, start)...)
				}
			}()
			next.ServeHTTP(rec, r.WithContext(ctx))
		})
	}
}

func fields(r *http.Request, id string, status int, size int64, start time.Time) []zap.Field {
	return []zap.Field{
		zap.String("request_id", id),
		zap.String("method", shorten(r.Method)),
		zap.String("path", shorten(r.URL.Path)),
		zap.Int("status", max(status, http.StatusOK)),
		zap.Int64("bytes", size),
		zap.Duration("duration", time.Since(start)),
		zap.String("remote", r.RemoteAddr),
	}
}

func level(status int) zapcore.Level {
	switch {
	case status >= 500:
		return zapcore.ErrorLevel
	case status >= 400:
		return zapcore.WarnLevel
	default:
		return zapcore.DebugLevel
	}
}

func shorten(s string) string {
	const most = 256
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// harmless tells whether an id from outside may go into the log and the answer.
func harmless(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}

// requestIDs makes ids that differ within a process by a counter and between
// processes by a random prefix.
type requestIDs struct {
	prefix string
	count  atomic.Uint64
}

func newRequestIDs() *requestIDs {
	var b [6]byte
	rand.Read(b[:]) // never fails
	return &requestIDs{prefix: hex.EncodeToString(b[:]) + "-"}
}

func (r *requestIDs) next() string {
	var b [40]byte
	return string(strconv.AppendUint(append(b[:0], r.prefix...), r.count.Add(1), 10))
}

var recorders = sync.Pool{New: func() any { return new(recorder) }}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	size   int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.size += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
