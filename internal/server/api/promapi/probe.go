package promapi

import (
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/go-chi/chi/v5"
)

// The probes speak of a Prometheus Server, since there are checks that look for
// the whole sentence.

func healthy(w http.ResponseWriter, r *http.Request) { probe(w, r, "Prometheus Server is Healthy.\n") }

func ready(w http.ResponseWriter, r *http.Request) { probe(w, r, "Prometheus Server is Ready.\n") }

func probe(w http.ResponseWriter, r *http.Request, text string) {
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, text) //nolint:errcheck // the client is gone: nobody to tell
}

// Probes puts the two probes on r where there is no API: a server without history
// is healthy, and ready as soon as it listens.
func Probes(r chi.Router) {
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r.MethodFunc(method, "/-/healthy", healthy)
		r.MethodFunc(method, "/-/ready", ready)
	}
}

// ready lets requests to h only when there is something to ask.
func (a *API) ready(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := a.o.Ready()
		if err == nil {
			h(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Prometheus-Stopping", strconv.FormatBool(errors.Is(err, ErrStopping)))
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "Service Unavailable") //nolint:errcheck // the client is gone: nobody to tell
	}
}
