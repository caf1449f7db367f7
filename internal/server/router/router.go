// Package router says which handler answers which path, and what stands before
// it.
package router

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	common "github.com/gometheus/gometheus/pkg/middleware"
)

// Options is what the routes depend on.
type Options struct {
	API *api.API
	// Static makes the handler of /static/ from that of paths that don't exist.
	Static  func(notFound http.Handler) http.Handler
	Problem problem.Writer
	Signer  *middleware.Signer
	Limits  common.BodyLimits
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
	return chi.Chain(
		common.RequestLog(o.Problem.Log),
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
	r.Use(
		common.Compress(compressed...),
		middleware.SameOrigin(o.Problem),
	)
	decompress := common.Decompress(o.Limits, o.Problem.Write)
	changing := r.With()
	if o.Credentials {
		changing = r.With(middleware.NoForms(o.Problem))
	}
	write := changing.With(o.Signer.Verify(true, o.Limits.Wire, o.Problem), decompress)
	ask := r.With(o.Signer.Verify(false, o.Limits.Wire, o.Problem), decompress)
	h := o.Problem.Handle
	notFound := h(func(http.ResponseWriter, *http.Request) error {
		return &problem.Error{Status: http.StatusNotFound, Detail: "no such path"}
	})

	post(write, "/update", h(o.API.UpdateOne))
	post(write, "/updates", h(o.API.UpdateMany))
	write.Post("/update/*", h(o.API.UpdatePath))
	post(ask, "/value", h(o.API.ValueJSON))
	get(r, "/value/*", h(o.API.ValuePath))
	get(r, "/ping", h(o.API.Ping))
	get(r, "/ping/", h(o.API.Ping))
	get(r, "/", h(o.API.Page))
	get(r, "/static/*", o.Static(notFound).ServeHTTP)

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
