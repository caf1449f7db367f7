package templates

import (
	"cmp"
	"fmt"
	"io"
	"time"
)

// Host is the page of one machine. What it shows depends on what there is: a
// section without data is not made.
type Host struct {
	Layout
	Instance string
	// State is reporting, late or gone; Seen is when the machine was last heard of,
	// the zero time if that can't be told.
	State State
	Seen  time.Time
	// Slow tells that the history did not give in time, so that some is not here.
	Slow bool
	// Interval is how often its values come.
	Interval time.Duration
	Facts    []Fact
	Tiles    []Tile
	Sections []Section
}

// Fact is something about a machine that seldom changes.
type Fact struct{ Name, Value string }

// Tile is one of the numbers at the top.
type Tile struct {
	Name, Value, Note string
	// Share is from 0 to 1, -1 if it is no share.
	Share float64
}

// Section is one part of the page: charts, which need JavaScript, and tables,
// which don't.
type Section struct {
	ID, Title, Note string
	Charts          []Chart
	Tables          []Table
	Names           []Link
}

// Chart is a query over time. In Query the script puts the window of rates in place
// of $window. ID says what the script makes of the answer.
type Chart struct {
	ID, Title, Unit, Query string
	Stack                  bool
	Max                    string // the least that the axis reaches up to; "": as the data
}

// Table is what is true now.
type Table struct {
	Columns []TableColumn
	Rows    [][]Cell
	More    int // rows that were left out
}

// TableColumn is the head of a column.
type TableColumn struct {
	Title  string
	Number bool
}

// Cell is one value of a table.
type Cell struct {
	Text, Link string
	Number     bool
	Badge      string   // good, warn or bad: how the text is shown
	Share      *float64 // from 0 to 1: shown as a bar
}

// Badge is how the state is shown.
func (h Host) Badge() string {
	return h.State.badge()
}

// LastHour leads to the hour before a machine was gone.
func (h Host) LastHour() string {
	if h.State != Gone || h.Retention == 0 || h.Seen.IsZero() {
		return ""
	}
	return fmt.Sprintf("?from=%d&to=%d", h.Seen.Add(-time.Hour).Unix(), h.Seen.Add(time.Minute).Unix())
}

// RenderHost writes the page of a machine.
func RenderHost(w io.Writer, h Host) error {
	f := frame{
		Nav: "host", Title: h.Instance,
		Styles: []string{"host.css"}, Scripts: []string{"app.js", "host.js"},
	}
	if h.Retention > 0 {
		f = f.withCharts()
	}
	// Layout stands first: of two as deep, neither would be seen.
	if err := pages().ExecuteTemplate(w, "host", struct {
		Layout
		frame
		Host
	}{h.Layout, f, h}); err != nil {
		return fmt.Errorf("write the page of a machine: %w", err)
	}
	return nil
}

// Missing is the page of what isn't there.
type Missing struct {
	Layout
	What, Name string // "machine", "web-1"; empty: an address that leads nowhere
	// Near are some that are there, as links.
	Near []Link
}

// Link is a text that leads somewhere.
type Link struct{ Text, URL, Note string }

// RenderMissing writes it.
func RenderMissing(w io.Writer, m Missing) error {
	f := frame{Nav: "missing", Title: "No such " + cmp.Or(m.What, "page"), Scripts: []string{"app.js"}, Modules: []string{"time.js"}}
	if err := pages().ExecuteTemplate(w, "missing", struct {
		Layout
		frame
		Missing
	}{m.Layout, f, m}); err != nil {
		return fmt.Errorf("write the page of what is missing: %w", err)
	}
	return nil
}
