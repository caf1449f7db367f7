// Package api answers the push API: it decodes and validates what comes in,
// asks the manager, and encodes what goes out. It decides on no status by
// itself: handlers return errors, which package problem turns into answers.
package api

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/admission"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/storage"
	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/response"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// Manager is what the API needs of package manager.
type Manager interface {
	Update(ctx context.Context, w *storage.Write, every time.Duration) (replayed bool, err error)
	Value(ctx context.Context, sel storage.Selector) (metric.Metric, error)
	List(ctx context.Context) ([]metric.Metric, error)
	Ping(ctx context.Context) error
}

// API holds the handlers.
type API struct {
	manager Manager
	limits  metric.Limits
	now     func() time.Time
	last    atomic.Int64 // the last time of arrival
	scratch sync.Pool
	bodies  *semaphore.Semaphore // bytes of large bodies
	gate    *admission.Gate      // of updates; nil: all may come at once
}

const (
	// defaultMemory is how many bytes all bodies larger than smallBody take at
	// once, unless an option says otherwise. What a connection needs for a smaller
	// one is bounded by the number of connections.
	defaultMemory = 256 << 20
	smallBody     = 32 << 10
	// keptBody is up to which size a body's memory is used again.
	keptBody = 256 << 10
)

// Option changes a default of New.
type Option func(*API)

// WithMemory bounds, by its size in bytes, what large bodies take at once. It may
// be shared with others who hold bodies.
func WithMemory(s *semaphore.Semaphore) Option { return func(a *API) { a.bodies = s } }

// WithGate bounds how many updates are worked on at once.
func WithGate(g *admission.Gate) Option { return func(a *API) { a.gate = g } }

// New makes the handlers. now tells the time of arrival.
func New(m Manager, limits metric.Limits, now func() time.Time, options ...Option) *API {
	a := &API{
		manager: m, limits: limits, now: now,
		bodies: semaphore.New(defaultMemory),
	}
	for _, option := range options {
		option(a)
	}
	a.scratch.New = func() any { return &scratch{bodies: a.bodies, body: make([]byte, 0, smallBody)} }
	return a
}

// scratch is the memory one request works in. The batch's strings share body,
// so all of it is given back together, after the answer is written.
type scratch struct {
	now   int64 // time of arrival, Unix ms
	body  []byte
	batch metric.Batch
	write storage.Write
	every time.Duration // how often the producer reports; 0: it doesn't say
	out   []byte

	bodies   *semaphore.Semaphore
	releases []func() // give back what was taken of bodies
}

func (a *API) take() *scratch {
	s := a.scratch.Get().(*scratch)
	s.now = a.arrival()
	return s
}

// arrival is the time of arrival. When the clock is set back a little it stands
// still, so that gauges without a time of their own go on replacing older ones.
func (a *API) arrival() int64 {
	now, last := a.now().UnixMilli(), a.last.Load()
	if last > now && last-now <= metric.MaxAhead {
		return last
	}
	a.last.Store(now)
	return now
}

func (a *API) give(s *scratch) {
	s.letGo(0)
	const most = 1 << 20 // one large request must not keep its memory for ever
	if cap(s.body) > keptBody || cap(s.out) > most {
		return
	}
	s.batch.Reset()
	s.write = storage.Write{}
	s.body, s.out = s.body[:0], s.out[:0]
	a.scratch.Put(s)
}

// writeJSON answers with s.out.
func (s *scratch) writeJSON(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = jsonType
	h["Content-Length"] = []string{strconv.Itoa(len(s.out))}
	w.Write(s.out) //nolint:errcheck // the client is gone: nobody to tell
}

// Header values that never change, so that setting them allocates nothing.
var (
	jsonType = []string{"application/json"}
	textType = []string{"text/plain; charset=utf-8"}
)

// prepare fills s.write from the headers and the decoded batch.
func (s *scratch) prepare(r *http.Request) error {
	s.write.Metrics, s.write.Arrived = s.batch.Metrics, s.now
	s.write.Minimal = prefersMinimal(r.Header[request.HeaderPrefer])
	every, err := reportInterval(r.Header[request.HeaderReportInterval])
	if err != nil {
		return err
	}
	s.every = every
	keys, ok := r.Header[request.HeaderIdempotencyKey]
	if !ok {
		return nil
	}
	if len(keys) > 1 {
		return codes.New(codes.Invalid, "header %s stands %d times", request.HeaderIdempotencyKey, len(keys))
	}
	mark, err := storage.ParseMark(keys[0])
	if err != nil {
		return codes.New(codes.Invalid, "header %s %s", request.HeaderIdempotencyKey, err.Error())
	}
	s.write.Mark = mark
	return nil
}

// reportInterval reads what a producer says of how often it reports.
func reportInterval(headers []string) (time.Duration, error) {
	if len(headers) == 0 {
		return 0, nil
	}
	seconds, err := strconv.ParseFloat(headers[0], 64)
	if err != nil || len(headers) > 1 ||
		!(seconds >= request.MinReportInterval.Seconds() && seconds <= request.MaxReportInterval.Seconds()) {
		return 0, codes.New(codes.Invalid, "header %s %s: allowed is one number of seconds from %v to %.0f", request.HeaderReportInterval,
			strconv.Quote(strings.Join(headers, ", ")), request.MinReportInterval.Seconds(), request.MaxReportInterval.Seconds())
	}
	return time.Duration(seconds * float64(time.Second)), nil
}

// prefersMinimal looks for return=minimal in Prefer headers (RFC 7240).
func prefersMinimal(headers []string) bool {
	for _, header := range headers {
		for item := range strings.SplitSeq(header, ",") {
			item, _, _ = strings.Cut(item, ";")
			name, value, _ := strings.Cut(item, "=")
			if strings.EqualFold(strings.TrimSpace(name), "return") {
				// The first one counts, says the RFC.
				return strings.EqualFold(strings.Trim(value, " \t\""), "minimal")
			}
		}
	}
	return false
}

// answer sets what headers tell about an update; done is true if there is no
// body to follow.
func answer(w http.ResponseWriter, write *storage.Write, replayed bool) (done bool) {
	if replayed {
		w.Header().Set(response.HeaderReplayed, "true")
	}
	if write.Minimal {
		w.Header()["Preference-Applied"] = []string{request.PreferMinimal}
		w.WriteHeader(http.StatusNoContent)
	}
	return write.Minimal
}

// Ping answers GET /ping: 200 when the storage could take a write, 500 when
// not.
func (a *API) Ping(w http.ResponseWriter, r *http.Request) error {
	if err := a.manager.Ping(r.Context()); err != nil {
		return &problem.Error{Status: http.StatusInternalServerError, Detail: "the storage does not answer", Cause: err}
	}
	w.Header()["Content-Type"] = textType
	io.WriteString(w, "OK\n") //nolint:errcheck // the client is gone: nobody to tell
	return nil
}
