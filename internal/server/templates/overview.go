package templates

import (
	"fmt"
	"io"
	"iter"
	"maps"
	"net/url"
	"strconv"
)

// SeriesPage is how many series are shown at most.
const SeriesPage = 100

// Page is the series that one answer shows.
type Page struct {
	// Query is what was searched for, as typed; "" shows all.
	Query string
	Sort  Sort
	// Total is the number of series kept, Found of those that match.
	Total, Found int
	// Number of Pages pages is shown, from 1.
	Number, Pages int
	// Rows yields what is shown, in the order of Sort. Rows makes it.
	Rows iter.Seq[Row]
}

// Overview is the page of all machines and all series.
type Overview struct {
	Layout
	Fleet  Fleet
	Series Page
}

// RenderOverview writes o as HTML. It returns the first error of w; what was written
// until then is of no use.
func RenderOverview(w io.Writer, o Overview) error {
	title := o.Series.Query
	if title == "" {
		title = o.Fleet.Query
	}
	o.Series.Sort = o.Series.Sort.normal()
	v := overview{Fleet: o.Fleet, Series: o.Series, frame: frame{
		Layout: o.Layout, Nav: "overview", Title: title,
		Styles: []string{"overview.css"}, Scripts: []string{"app.js", "overview.js"}, Modules: []string{"time.js"},
	}}
	if err := pages().ExecuteTemplate(w, "overview-head", v); err != nil {
		return fmt.Errorf("write the page's head: %w", err)
	}
	if o.Fleet.Total > 0 {
		if err := v.machines(w); err != nil {
			return err
		}
	}
	if err := pages().ExecuteTemplate(w, "series-head", v); err != nil {
		return fmt.Errorf("write the head of the series: %w", err)
	}
	if o.Series.Total > 0 && o.Series.Rows != nil {
		if err := writeRows(w, o.Layout, o.Series.Rows); err != nil {
			return fmt.Errorf("write the series: %w", err)
		}
	}
	if err := pages().ExecuteTemplate(w, "overview-tail", v); err != nil {
		return fmt.Errorf("write the page's tail: %w", err)
	}
	return nil
}

// overview is what overview.html sees.
type overview struct {
	frame
	Fleet  Fleet
	Series Page
}

func (v overview) machines(w io.Writer) error {
	if err := pages().ExecuteTemplate(w, "machines-head", v); err != nil {
		return fmt.Errorf("write the head of the machines: %w", err)
	}
	rows := writer{l: v.Layout}
	rows.fleetRows(&v.Fleet)
	if _, err := w.Write(rows.b); err != nil {
		return fmt.Errorf("write the machines: %w", err)
	}
	if err := pages().ExecuteTemplate(w, "machines-tail", v); err != nil {
		return fmt.Errorf("write the end of the machines: %w", err)
	}
	return nil
}

// Parameters are those of the page's address, without those at their default.
func (v overview) Parameters() url.Values {
	q := v.machineParameters()
	maps.Copy(q, v.seriesParameters())
	return q
}

func (v overview) machineParameters() url.Values {
	q := url.Values{}
	set := func(name, value, unless string) {
		if value != unless {
			q.Set(name, value)
		}
	}
	set("m", v.Fleet.Query, "")
	if s := v.Fleet.Sort; s.By != "" && s != (MachineSort{By: "name"}) {
		q.Set("msort", string(s.By))
		q.Set("morder", order(s.Desc))
	}
	set("group", v.Fleet.Group, "")
	set("mpage", strconv.Itoa(max(1, v.Fleet.Number)), "1")
	return q
}

func (v overview) seriesParameters() url.Values {
	q := url.Values{}
	if v.Series.Query != "" {
		q.Set("q", v.Series.Query)
	}
	if s := v.Series.Sort; s != (Sort{By: ByName}) {
		q.Set("sort", string(s.By))
		q.Set("order", order(s.Desc))
	}
	if v.Series.Number > 1 {
		q.Set("page", strconv.Itoa(v.Series.Number))
	}
	return q
}

func order(desc bool) string {
	if desc {
		return "desc"
	}
	return "asc"
}

// field is a hidden input of a form.
type field struct{ Name, Value string }

func fields(q url.Values, without ...string) []field {
	for _, name := range without {
		q.Del(name)
	}
	var out []field
	for _, name := range []string{"m", "msort", "morder", "group", "mpage", "q", "sort", "order", "page"} {
		if q.Has(name) {
			out = append(out, field{name, q.Get(name)})
		}
	}
	return out
}

// MachineFields are what the form of the machines keeps of the address, SeriesFields
// what that of the series does.
func (v overview) MachineFields() []field { return fields(v.Parameters(), "m", "mpage", "group") }

// SeriesFields are the other form's.
func (v overview) SeriesFields() []field { return fields(v.Parameters(), "q", "page") }

// column is a column's header.
type column struct {
	Title, Class string
	ARIA         string // its aria-sort; "": the order is another's
	Link         string // where a click leads; "": rows can't be ordered by it
}

// MachineColumns are the headers of the table of machines.
func (v overview) MachineColumns() []column {
	params := v.Parameters()
	params.Del("mpage")
	var out []column
	for _, c := range machineColumns {
		h := column{Title: c.title, Class: c.class}
		if c.by != "" {
			desc := c.desc
			if c.by == v.Fleet.Sort.By || v.Fleet.Sort.By == "" && c.by == "name" {
				desc = !v.Fleet.Sort.Desc
				h.ARIA = aria(v.Fleet.Sort.Desc)
			}
			h.Link = address(params, "msort", string(c.by), "morder", order(desc))
		}
		out = append(out, h)
	}
	return out
}

// SeriesColumns are the headers of the table of series. Numbers and times start with
// the largest.
func (v overview) SeriesColumns() []column {
	params := v.Parameters()
	params.Del("page")
	out := []column{{Title: "Kind"}, {Title: "Name"}, {Title: "Labels"}, {Title: "Value"}, {Title: "Updated"}}
	for i, by := range []By{ByKind, ByName, "", ByValue, ByUpdated} {
		if by == "" {
			continue
		}
		desc := by == ByValue || by == ByUpdated
		if by == v.Series.Sort.By {
			desc = !v.Series.Sort.Desc
			out[i].ARIA = aria(v.Series.Sort.Desc)
		}
		out[i].Link = address(params, "sort", string(by), "order", order(desc))
	}
	return out
}

func aria(desc bool) string {
	if desc {
		return "descending"
	}
	return "ascending"
}

// pager is the links to the pages before and after.
type pager struct {
	What                       string
	Number, Pages              int
	First, Previous, Next, End string // "": there is none
}

func (v overview) pager(what, param, anchor string, number, pages int) pager {
	p := pager{What: what, Number: max(1, number), Pages: max(1, pages)}
	link := func(n int) string {
		value := strconv.Itoa(n)
		if n == 1 {
			value = ""
		}
		return address(v.Parameters(), param, value) + anchor
	}
	if p.Number > 1 {
		p.First, p.Previous = link(1), link(p.Number-1)
	}
	if p.Number < p.Pages {
		p.Next, p.End = link(p.Number+1), link(p.Pages)
	}
	return p
}

// MachinePager leads through the pages of machines.
func (v overview) MachinePager() pager {
	return v.pager("Pages of machines", "mpage", "", v.Fleet.Number, v.Fleet.Pages)
}

// SeriesPager leads through the pages of series.
func (v overview) SeriesPager() pager {
	return v.pager("Pages of metrics", "page", "#metrics", v.Series.Number, v.Series.Pages)
}

// AllMachines is the address with all machines, AllSeries that with all series.
func (v overview) AllMachines() string { return address(v.Parameters(), "m", "", "mpage", "") }

// AllSeries is the address with all series.
func (v overview) AllSeries() string { return address(v.Parameters(), "q", "", "page", "") }
