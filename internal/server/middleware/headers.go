package middleware

import (
	"mime"
	"net/http"

	"github.com/gometheus/gometheus/internal/server/problem"
)

// Policy is the Content-Security-Policy of answers that are no pages: nothing may
// be loaded, run or framed, should a browser take one for a page.
const Policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Values that never change, so that setting them allocates nothing.
var (
	policyValue   = []string{Policy}
	nosniffValue  = []string{"nosniff"}
	referrerValue = []string{"no-referrer"}
	resourceValue = []string{"same-origin"}
)

// setSecurityHeaders tells browsers to trust an answer as little as can be. There
// is no header of CORS: no other site may read anything.
func setSecurityHeaders(h http.Header) {
	h["Content-Security-Policy"] = policyValue
	h["X-Content-Type-Options"] = nosniffValue
	h["Referrer-Policy"] = referrerValue
	h["Cross-Origin-Resource-Policy"] = resourceValue
}

// Headers sets them on every answer. A handler whose answer needs more says so.
func Headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setSecurityHeaders(w.Header())
		next.ServeHTTP(w, r)
	})
}

// SameOrigin answers 403 to requests that change something and that a browser
// makes for another site, by what browsers say of themselves (Sec-Fetch-Site,
// Origin). Programs that are no browsers say nothing and pass.
func SameOrigin(p problem.Writer) func(http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(p.Handle(func(http.ResponseWriter, *http.Request) error {
		return &problem.Error{Status: http.StatusForbidden, Detail: "a page of another site may not send this"}
	}))
	return protection.Handler
}

// NoForms answers 415 to requests with a body of a type that a form of another
// site can send, or of none. It is for servers to which browsers send credentials
// by themselves, and holds for browsers that say nothing of whom they work for.
func NoForms(p problem.Writer) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return p.Handle(func(w http.ResponseWriter, r *http.Request) error {
			types := r.Header["Content-Type"]
			media := ""
			if len(types) == 1 {
				// What can't be read, browsers might read.
				media, _, _ = mime.ParseMediaType(types[0])
			}
			switch media {
			case "", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain":
				return &problem.Error{
					Status: http.StatusUnsupportedMediaType,
					Detail: "forms of other sites can send this Content-Type: send application/json",
				}
			}
			next.ServeHTTP(w, r)
			return nil
		})
	}
}
