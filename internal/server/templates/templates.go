// Package templates is the pages and the files they load.
//
// A page is a struct with a Layout, a template of its own between the head and the
// tail of layout.html, and a function Render… that makes a frame: what the page
// loads beside app.css and app.js. All texts of pages come from html/template;
// there is no inline script or style, for the policy allows none.
//
// The pages work without JavaScript as far as they can: searching and sorting are
// links and a form that the server answers. The scripts add charts, filtering while
// typing, the viewer's local time, and refreshes. They are modules without a build
// step; static/lib has what is not ours (make vendor-assets).
//
// A page of 100,000 series is written as it is made: head and tail come from
// html/template, the rows between them from a writer of our own (row.go), which
// needs a fortieth of the time that html/template would (BenchmarkRender).
package templates

import (
	"embed"
	"fmt"
	"io"
	"iter"
	"net/url"
	"time"
)

// ContentSecurityPolicy is what the page needs and no more. Whoever serves the
// page sets it as the header of that name.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Page is what one answer shows.
type Page struct {
	// Query is what was searched for, as typed; "" shows all.
	Query string
	Sort  Sort
	// Host is the authority the viewer used, for the commands of the empty page:
	// "localhost:8080". TLS tells that it was reached over TLS.
	Host string
	TLS  bool
	// Now is the server's clock when Rows were read; ages are counted from it.
	Now time.Time
	// Total is the number of series kept, Shown the number that Rows yields.
	Total, Shown int
	// Rows yields what is shown, in the order of Sort. Select and Rows make it.
	Rows iter.Seq[Row]
}

//go:embed *.html
var files embed.FS

// Render writes p as HTML. It returns the first error of w; what was written
// until then is of no use.
func Render(w io.Writer, p Page) error {
	v := view{Page: p, By: p.Sort.normal(), frame: frame{
		Layout: Layout{Host: p.Host, TLS: p.TLS, Now: p.Now}, Nav: "overview", Title: p.Query,
		Styles: []string{"metrics.css"}, Scripts: []string{"app.js", "metrics.js"}, Modules: []string{"time.js"},
	}}
	if err := pages().ExecuteTemplate(w, "metrics-head", v); err != nil {
		return fmt.Errorf("write the page's head: %w", err)
	}
	if p.Total > 0 && p.Rows != nil {
		if err := writeRows(w, p.Rows); err != nil {
			return fmt.Errorf("write the page's rows: %w", err)
		}
	}
	if err := pages().ExecuteTemplate(w, "metrics-tail", v); err != nil {
		return fmt.Errorf("write the page's tail: %w", err)
	}
	return nil
}

// view is what metrics.html sees.
type view struct {
	frame
	Page
	By Sort
}

// Sorted tells whether the order is another than the one without parameters.
func (v view) Sorted() bool { return v.By != Sort{By: ByName} }

// Order is the value of the parameter order.
func (v view) Order() string {
	if v.By.Desc {
		return "desc"
	}
	return "asc"
}

// Columns are the headers of the table, in order.
func (v view) Columns() []column {
	cs := []column{
		{Title: "Kind", by: ByKind},
		{Title: "Name", by: ByName},
		{Title: "Labels"},
		{Title: "Value", by: ByValue},
		{Title: "Updated", by: ByUpdated},
	}
	for i := range cs {
		cs[i].view = v
	}
	return cs
}

type column struct {
	Title string
	by    By
	view  view
}

// Sortable tells whether the rows can be ordered by this column.
func (c column) Sortable() bool { return c.by != "" }

// ARIA is the column's aria-sort, or "" when the order is another's.
func (c column) ARIA() string {
	switch {
	case !c.Sortable() || c.by != c.view.By.By:
		return ""
	case c.view.By.Desc:
		return "descending"
	default:
		return "ascending"
	}
}

// Link is where a click on the header leads: to the order by this column, or to
// its reverse where that is the order already. Numbers and times start with the
// largest.
func (c column) Link() string {
	desc := c.by == ByValue || c.by == ByUpdated
	if c.by == c.view.By.By {
		desc = !c.view.By.Desc
	}
	q := url.Values{"sort": {string(c.by)}, "order": {"asc"}}
	if desc {
		q.Set("order", "desc")
	}
	if c.view.Query != "" {
		q.Set("q", c.view.Query)
	}
	return "?" + q.Encode()
}
