package api

import (
	"context"
	"net/http"
	"time"

	"github.com/gometheus/gometheus/internal/server/templates"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

const (
	// pageWait is how long a page waits for its turn.
	pageWait = 5 * time.Second
	// chunkTimeout is how long the viewer may take for each chunk of a page. A
	// whole page may take as long as it needs.
	chunkTimeout = 20 * time.Second
)

// patient renews the deadline of an answer with each write.
type patient struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func (p patient) Write(b []byte) (int, error) {
	// A writer that has no deadlines, as in tests, needs none.
	_ = p.rc.SetWriteDeadline(time.Now().Add(chunkTimeout))
	return p.w.Write(b)
}

// Page answers GET /?q=…&sort=…&order=…: the page of all metrics.
func (a *API) Page(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), pageWait)
	release, err := a.pages.Acquire(ctx, 1)
	cancel()
	if err != nil {
		return codes.Wrap(codes.Unavailable, err, "too many pages at once")
	}
	defer release()
	query := r.URL.Query()
	all, err := a.manager.List(r.Context())
	if err != nil {
		return err
	}
	page := templates.Page{
		Query: query.Get("q"),
		Sort:  templates.ParseSort(query.Get("sort"), query.Get("order")),
		Host:  r.Host,
		TLS:   r.TLS != nil,
		Now:   a.now(),
		Total: len(all),
	}
	shown := templates.Select(all, page.Query, page.Sort)
	page.Shown, page.Rows = len(shown), templates.Rows(shown)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", templates.ContentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	if err := templates.Render(patient{w, http.NewResponseController(w)}, page); err != nil {
		// The viewer is gone, with part of the page at most: net/http's way of
		// ending the connection, so that nobody takes the part for the whole.
		panic(http.ErrAbortHandler)
	}
	return nil
}
