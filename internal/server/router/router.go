// Package router says which handler answers which path, and what stands before
// it.
package router

import (
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/api/promapi"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	codes "github.com/gometheus/gometheus/pkg/errors"
	common "github.com/gometheus/gometheus/pkg/middleware"
)

// Options is what the routes depend on.
type Options struct {
	API *api.API
	// Pages are the pages; nil: there are none.
	Pages *pages.Pages
	// Static makes the handler of /static/ from that of paths that don't exist.
	Static  func(notFound http.Handler) http.Handler
	Problem problem.Writer
	Signer  *middleware.Signer
	Limits  common.BodyLimits
	Metrics http.Handler // what the server tells of itself
	// Prometheus makes the handlers of what a Prometheus would answer; nil: there
	// is no history. write stands before remote write, and change before what
	// changes the history otherwise.
	Prometheus func(write, change func(http.Handler) http.Handler) *promapi.API
	// QueryTime is how long a query may take.
	QueryTime time.Duration
	// Done is told of every request, if it is set: its route, "" for none, its
	// status, and how long it took.
	Done    func(route string, status int, took time.Duration)
	Trusted middleware.Trusted
	// Credentials: browsers may send some by themselves, so writes must not be such
	// as a form of another site can make.
	Credentials bool
}

// compressed are the media types sent with gzip to those who accept it.
var compressed = []string{
	"application/json", "text/html", "text/plain", "text/css", "text/javascript", "image/svg+xml",
}

// New makes the handler of all routes: Outer around Inner.
func New(o Options) http.Handler { return Outer(o)(Inner(o)) }

// Outer is what stands before everything, from outside in: log, headers for
// browsers, signature of the answer, recover, who may use the server. Whatever
// asks for passwords stands within it.
func Outer(o Options) func(http.Handler) http.Handler {
	var done []func(string, int, time.Duration)
	if o.Done != nil {
		done = append(done, o.Done)
	}
	return chi.Chain(
		common.RequestLog(o.Problem.Log, done...),
		middleware.Headers,
		o.Signer.Sign,
		middleware.Recover(o.Problem),
		o.Trusted.Middleware(o.Problem),
	).Handler
}

// Inner is the routes. From outside in: no writes for other sites, gzip of the
// answer; then, for routes that read a body, the signature of the request and its
// decompression.
func Inner(o Options) http.Handler {
	r := chi.NewRouter()
	var prom *promapi.API
	r.Use(
		noteRoute(&prom),
		common.Compress(compressed...),
		o.Signer.Mark,
		middleware.SameOrigin(o.Problem),
	)
	verify := func(rule middleware.Rule) func(http.Handler) http.Handler {
		return o.Signer.Verify(rule, o.Limits.Wire, o.Problem)
	}
	decompress := common.Decompress(o.Limits, o.Problem.Write)
	changing := r.With()
	if o.Credentials {
		changing = r.With(middleware.NoForms(o.Problem))
	}
	write := changing.With(verify(middleware.WriteBody), decompress, o.Signer.RefuseAnswers)
	writePath := changing.With(verify(middleware.WritePath), decompress)
	ask := r.With(verify(middleware.Ask), decompress)
	read := r.With(verify(middleware.Read))
	h := o.Problem.Handle
	notFound := h(func(w http.ResponseWriter, req *http.Request) error {
		if o.Pages != nil && strings.Contains(req.Header.Get("Accept"), "text/html") {
			return o.Pages.NotFound(w, req)
		}
		return &problem.Error{Status: http.StatusNotFound, Detail: "no such path"}
	})

	post(write, "/update", h(o.API.UpdateOne))
	post(write, "/updates", h(o.API.UpdateMany))
	writePath.Post("/update/*", h(o.API.UpdatePath))
	post(ask, "/value", h(o.API.ValueJSON))
	if o.Prometheus != nil {
		noForms := func(h http.Handler) http.Handler { return h }
		if o.Credentials {
			noForms = middleware.NoForms(o.Problem)
		}
		prom = o.Prometheus(
			func(h http.Handler) http.Handler { return noForms(verify(middleware.WriteBody)(h)) },
			func(h http.Handler) http.Handler { return noForms(o.guardChange(h)) },
		)
		prom.Routes(r.With(patient(o.QueryTime), o.roomForForm))
	} else {
		// Otherwise it would look like a wrong address.
		none := h(func(http.ResponseWriter, *http.Request) error {
			return codes.New(codes.NoHistory, "this server keeps no history: HISTORY is false")
		})
		r.Handle(promapi.Prefix+"/*", none)
		r.Get("/federate", none)
		promapi.Probes(r)
	}
	if o.Metrics != nil {
		get(r, "/metrics", o.Metrics.ServeHTTP)
	}
	get(read, "/value/*", h(o.API.ValuePath))
	get(read, "/ping", h(o.API.Ping))
	get(read, "/ping/", h(o.API.Ping))
	get(read, "/static/*", o.Static(notFound).ServeHTTP)
	if o.Pages != nil {
		for pattern, page := range o.Pages.Routes() {
			get(read.With(patient(o.QueryTime)), pattern, h(page))
		}
	}

	r.NotFound(notFound)
	r.MethodNotAllowed(h(func(w http.ResponseWriter, req *http.Request) error {
		allow := strings.Join(allowed(r, req.URL.EscapedPath()), ", ")
		if allow == "" { // a method nobody ever heard of
			notFound(w, req)
			return nil
		}
		w.Header().Set("Allow", allow)
		return &problem.Error{Status: http.StatusMethodNotAllowed, Detail: "allowed on this path: " + allow}
	}))
	return r
}

// noteRoute tells the request log the route, by its pattern. Behind that of the
// Prometheus API is another table.
func noteRoute(prom **promapi.API) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer func() { // of a panic too
				pattern := chi.RouteContext(r.Context()).RoutePattern()
				if *prom != nil && strings.HasPrefix(pattern, promapi.Prefix) {
					pattern = (*prom).Route(r.URL.Path)
				}
				common.SetRoute(r.Context(), pattern)
			}()
			next.ServeHTTP(w, r)
		})
	}
}

const (
	// smallForm is how large a form may be that is not counted.
	smallForm = 64 << 10
	// formMemory is what a larger one takes: net/http reads up to 10 MB, and what is
	// in it is there once more when it is parsed.
	formMemory = 20 << 20
)

// roomForForm lets in as many large forms at once as LIMIT_MEMORY has room for.
// Remote write, which is no form, counts its own body.
func (o Options) roomForForm(next http.Handler) http.Handler {
	if o.Limits.Memory == nil {
		return next
	}
	return o.Problem.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && (r.ContentLength > smallForm || r.ContentLength < 0) && r.URL.Path != promapi.Prefix+"/write" {
			release, ok := o.Limits.Memory.TryAcquire(formMemory)
			if !ok {
				return codes.New(codes.Unavailable, "too many large requests at once")
			}
			defer release()
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// guardChange stands before what changes the history other than by samples: the
// signature is of the path and its parameters, so with a key there must be no body
// with others.
func (o Options) guardChange(next http.Handler) http.Handler {
	if !o.Signer.Enabled() {
		return next
	}
	return o.Signer.Verify(middleware.WritePath, o.Limits.Wire, o.Problem)(o.Problem.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if r.ContentLength != 0 {
			return codes.New(codes.Invalid, "no body is allowed here: parameters go into the query")
		}
		next.ServeHTTP(w, r)
		return nil
	}))
}

// answerTime is how long an answer may take to be sent, from when it is known.
const answerTime = time.Minute

// patient gives an answer as much time as the query before it may take, and some
// for being sent.
func patient(query time.Duration) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			// A writer that has no deadlines, as in tests, needs none.
			_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(query + answerTime))
			next.ServeHTTP(w, r)
		})
	}
}

// post registers h with and without a trailing slash.
func post(r chi.Router, path string, h http.HandlerFunc) {
	r.Post(path, h)
	r.Post(path+"/", h)
}

// get registers h for GET and HEAD.
func get(r chi.Router, path string, h http.HandlerFunc) {
	r.Get(path, h)
	r.Head(path, h)
}

// allowed lists the methods that a path answers to.
func allowed(r chi.Routes, path string) (out []string) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		if r.Match(chi.NewRouteContext(), method, path) {
			out = append(out, method)
		}
	}
	return out
}
