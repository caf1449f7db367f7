package templates

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// Explore is the page where queries are asked. Without JavaScript it shows what
// each of them says at the end of the range.
type Explore struct {
	Layout
	// Queries are what stands in the editors; at least one, which may be empty.
	Queries []ExploreQuery
	// At is when the Queries were asked.
	At time.Time
	// Keep is what the form sends along: the range, the view.
	Keep []ExploreParam
	// Empty tells that the history has no series yet.
	Empty bool
}

// ExploreParam is a parameter of the address.
type ExploreParam struct{ Name, Value string }

// ExploreQuery is a query and what it came to: an error, or rows.
type ExploreQuery struct {
	Text, Error string
	// Asked tells that there is a result or an error.
	Asked bool
	// Notes are the warnings and infos.
	Notes []string
	Rows  []ExploreRow
	// More is how many rows were left out.
	More int
}

// ExploreRow is a series and its value, or its samples one a line.
type ExploreRow struct{ Series, Value string }

// Number is the place of a query, as people count.
func (Explore) Number(i int) string { return strconv.Itoa(i + 1) }

// RenderExplore writes p as HTML.
func RenderExplore(w io.Writer, p Explore) error {
	f := frame{Layout: p.Layout, Nav: "explore", Title: "Explore", Scripts: []string{"app.js"}, Modules: []string{"time.js"}}
	if p.Retention > 0 {
		f.Styles = append(f.Styles, "explore.css")
		f.Scripts = append(f.Scripts, "explore.js")
		f.Modules = append(f.Modules, "complete.js", "editor.js", "promql.js", "raw.js", "recent.js", "results.js")
		f = f.withCharts()
	}
	v := struct {
		frame
		Explore
		Layout
	}{f, p, p.Layout}
	if err := pages().ExecuteTemplate(w, "explore", v); err != nil {
		return fmt.Errorf("write the page of queries: %w", err)
	}
	return nil
}
