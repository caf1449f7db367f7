package api

import (
	"net/http"

	"github.com/gometheus/gometheus/internal/server/templates"
)

// Page answers GET /?q=…&sort=…&order=…: the page of all metrics.
func (a *API) Page(w http.ResponseWriter, r *http.Request) error {
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
	if err := templates.Render(w, page); err != nil {
		// The viewer is gone, with part of the page at most: net/http's way of
		// ending the connection, so that nobody takes the part for the whole.
		panic(http.ErrAbortHandler)
	}
	return nil
}
