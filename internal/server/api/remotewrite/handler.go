// Package remotewrite is the receiver of Prometheus remote write, 1.0 and 2.0:
// it writes what Prometheus servers, agents and collectors send into a TSDB.
//
// How a request goes: the body is unpacked into pooled memory (body.go); its
// bytes are walked, without generated types (package wire); the labels of a
// series, as they stand there, are looked up in a cache (cache.go), which leads
// to the TSDB's reference, so that for a series that was seen before no label is
// parsed, checked or copied; the samples go into one appender, which is
// committed once (batch.go).
//
// What is invalid is left out, the rest is written, and the answer is 400 with
// the reasons, in both versions: senders don't try that again. Where sending
// again can help, the answer is 5xx and nothing is written. A body that is not
// what it should be is 400, one beyond the limits 413, and neither writes
// anything.
//
// # Births
//
// A write-ahead log must hold a series before its samples, or a restart can't
// tell whose they are. The TSDB logs a new series when the appender that made it
// commits, but other appenders can see the series before. So a request that meets
// a series it doesn't know holds the lock births until it has committed, and only
// committed series come into the cache: whoever knows a series may write to it,
// whoever doesn't waits for whom it may just be born by.
package remotewrite

import (
	"hash/maphash"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/pkg/semaphore"
)

// maxAhead is how far ahead of the clock a sample may be, in milliseconds. One
// far ahead would make the TSDB refuse all that come after it.
const maxAhead = int64(10 * time.Minute / time.Millisecond)

// Handler answers POST /api/v1/write. Make it with New, one for each time the
// TSDB is opened. The body must reach it as sent: it unpacks snappy itself.
type Handler struct {
	o       Options
	cache   *cache
	symbols *symbolTable
	seed    maphash.Seed

	bodies *semaphore.Semaphore // bytes of bodies larger than smallBody
	pool   sync.Pool            // of *batch

	// births is held by a request from the first unknown series it meets until
	// its commit. It may hold the cache's locks meanwhile, never the other way.
	births sync.Mutex
}

// New makes a Handler.
func New(o Options) *Handler {
	o.Limits = o.Limits.orDefault()
	h := &Handler{
		o:       o,
		cache:   newCache(o.Limits.Series),
		symbols: newSymbolTable(2 * o.Limits.Series),
		seed:    maphash.MakeSeed(),
		bodies:  semaphore.New(o.Limits.InFlight),
	}
	if o.Bodies != nil {
		h.bodies = o.Bodies
	}
	h.pool.New = func() any { return newBatch(h) }
	return h
}

// Series is how many label sets are remembered now.
func (h *Handler) Series() int { return h.cache.len() }

// InFlight is how many bytes of large bodies are held now.
func (h *Handler) InFlight() int64 { return h.bodies.InUse() }

// version is one of the protocol's.
type version int

const (
	none version = iota
	v1
	v2
)

func (v version) String() string { return [...]string{"", "1.0", "2.0"}[v] }

const (
	mediaType = "application/x-protobuf"
	protoV1   = "prometheus.WriteRequest"
	protoV2   = "io.prometheus.write.v2.Request"
)

// failure is an answer that is not a success. cause is for the log alone.
type failure struct {
	status int
	text   string
	cause  error
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, f := negotiate(r)
	var wrote counts
	if f == nil {
		wrote, f = h.take(r, v)
	}
	h.answer(w, r, v, wrote, f)
}

// take reads the body and writes what is in it.
func (h *Handler) take(r *http.Request, v version) (counts, *failure) {
	b := h.pool.Get().(*batch)
	defer b.free()
	if f := b.read(r); f != nil {
		return counts{}, f
	}
	if h.o.Enter != nil {
		leave, ok := h.o.Enter(r.Context(), b.size())
		if !ok {
			return counts{}, errBusy
		}
		defer leave()
	}
	if f := b.unpack(); f != nil {
		return counts{}, f
	}
	return b.write(r.Context(), v)
}

func (h *Handler) answer(w http.ResponseWriter, r *http.Request, v version, wrote counts, f *failure) {
	header := w.Header()
	if v == v2 {
		header["X-Prometheus-Remote-Write-Samples-Written"] = []string{strconv.Itoa(wrote.samples)}
		header["X-Prometheus-Remote-Write-Histograms-Written"] = []string{strconv.Itoa(wrote.histograms)}
		header["X-Prometheus-Remote-Write-Exemplars-Written"] = []string{strconv.Itoa(wrote.exemplars)}
	}
	status := http.StatusNoContent
	if f != nil {
		status = f.status
	}
	if hook := h.o.Hooks.Written; hook != nil && wrote != (counts{}) {
		hook(wrote.samples, wrote.histograms, wrote.exemplars)
	}
	if hook := h.o.Hooks.Answered; hook != nil {
		hook(v.String(), status)
	}
	if f == nil {
		w.WriteHeader(status)
		return
	}
	if status == http.StatusInternalServerError && r.Context().Err() == nil {
		h.o.Log.Error("remote write failed", zap.Int("status", status), zap.String("answer", f.text), zap.Error(f.cause))
	}
	switch status {
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", "1")
	case http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	}
	http.Error(w, f.text, status)
}

// negotiate tells the version from the headers.
func negotiate(r *http.Request) (version, *failure) {
	if r.Method != http.MethodPost {
		return none, &failure{status: http.StatusMethodNotAllowed, text: "remote write is a POST"}
	}
	v, f := contentType(r.Header.Get("Content-Type"))
	if f != nil {
		return none, f
	}
	// Without the header it is snappy all the same: nothing else is in use.
	encodings := r.Header["Content-Encoding"]
	if len(encodings) > 1 || len(encodings) == 1 && encodings[0] != "" && encodings[0] != "snappy" {
		return v, &failure{
			status: http.StatusUnsupportedMediaType,
			text:   "Content-Encoding " + short(strings.Join(encodings, ", ")) + ": remote write is snappy (block format) alone",
		}
	}
	return v, nil
}

func contentType(header string) (version, *failure) {
	switch header {
	case mediaType + ";proto=" + protoV2:
		return v2, nil
	case "", mediaType:
		return v1, nil
	}
	unsupported := &failure{
		status: http.StatusUnsupportedMediaType,
		text:   "Content-Type " + short(header) + ": allowed are " + mediaType + " with proto=" + protoV1 + " (the default) or proto=" + protoV2,
	}
	media, params, err := mime.ParseMediaType(header)
	if err != nil || media != mediaType {
		return none, unsupported
	}
	switch proto, ok := params["proto"]; {
	case !ok || proto == protoV1:
		return v1, nil
	case proto == protoV2:
		return v2, nil
	}
	return none, unsupported
}
