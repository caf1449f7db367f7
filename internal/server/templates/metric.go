package templates

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// The ways in which a metric's last day is drawn.
const (
	ChartGauge     = "gauge"     // as it is
	ChartCounter   = "counter"   // its rate
	ChartHistogram = "histogram" // quantiles of its classic buckets
	ChartNative    = "native"    // quantiles of native histograms
)

// Metric is the page of one metric name.
type Metric struct {
	Layout Layout
	Name   string
	// Type is what it is, "" if nobody knows; Guess tells that only its name says so.
	Type  string
	Guess bool
	Unit  string
	Help  string
	// Family are the names that belong together with this one: x_bucket, x_count.
	Family []string
	// Filters are the labels that a series must have to be among the rows.
	Filters []Label
	// Total is the number of series that match, Seen from when on these were looked
	// for in the history; All is the number without filters if there are some.
	Total, All int
	Seen       time.Duration
	Newest     time.Time // of the rows' values
	Labels     []LabelUse
	Rows       []MetricRow
	// Page of Pages, from 1.
	Page, Pages int
	Kinds       bool // the rows are of several kinds
	Chart       MetricChart
	Queries     []ReadyQuery
}

// LabelUse is a label with what it is worth.
type LabelUse struct {
	Name   string
	Values int
	More   bool // there are more values, which nobody counted
	Top    []LabelValue
}

// LabelValue is a label's value with the number of its series.
type LabelValue struct {
	Value  string
	Series int
}

// MetricRow is one series.
type MetricRow struct {
	Kind   string
	Labels []Label
	Value  string
	Time   time.Time // zero: not known
	// Ended tells that whoever sent it has stopped.
	Ended bool
	// Pushed tells that the value is exact, from the state.
	Pushed bool
}

// MetricChart is what the script draws. An empty Kind: nothing.
type MetricChart struct {
	Kind     string
	Selector string // of what is drawn
	Name     string // in it
	Count    string // of a histogram: the selector of its number of observations
	Unit     string
	Interval time.Duration // between samples, as far as it is known
	Range    time.Duration // to begin with
	Other    string        // of a name of both kinds: the selector of the counters
}

// ReadyQuery is a query to go on with.
type ReadyQuery struct{ Title, Expr string }

// RenderMetric writes the page of a metric.
func RenderMetric(w io.Writer, m Metric) error {
	f := frame{
		Layout: m.Layout, Nav: "metric", Title: m.Name,
		Styles: []string{"metric.css"}, Scripts: []string{"app.js"}, Modules: []string{"time.js"},
	}
	if m.Chart.Kind != "" {
		f.Scripts = append(f.Scripts, "metric.js")
		f = f.withCharts()
	}
	if err := pages().ExecuteTemplate(w, "metric", metricView{f, m}); err != nil {
		return fmt.Errorf("write the page of a metric: %w", err)
	}
	return nil
}

// metricView is what metric.html sees.
type metricView struct {
	frame
	Metric
}

// TypeName says what the metric is.
func (v metricView) TypeName() string {
	switch {
	case v.Type == "":
		return "type unknown"
	case v.Guess:
		return "probably a " + v.Type
	}
	return v.Type
}

// Within says how far back the history was looked through.
func (v metricView) Within() string {
	switch {
	case v.Seen == 0:
		return ""
	case v.Seen <= time.Hour:
		return "in the last hour"
	case v.Seen <= 24*time.Hour:
		return "in the last day"
	}
	return "in the last " + statusView{}.Long(v.Seen)
}

// LabelNames are the labels as JSON, for the script.
func (v metricView) LabelNames() (string, error) {
	names := make([]string, len(v.Metric.Labels))
	for i, l := range v.Metric.Labels {
		names[i] = l.Name
	}
	b, err := json.Marshal(names)
	return string(b), err
}

// address is this page with these filters, at a page of the rows.
func (v metricView) address(filters []Label, page int) string {
	q := url.Values{}
	for _, l := range filters {
		q.Set("l."+l.Name, l.Value)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	at := v.MetricURL(v.Name)
	if len(q) == 0 {
		return at
	}
	if strings.Contains(at, "?") {
		return at + "&" + q.Encode()
	}
	return at + "?" + q.Encode()
}

// With is the address with one more filter.
func (v metricView) With(name, value string) string {
	out := slices.DeleteFunc(slices.Clone(v.Filters), func(l Label) bool { return l.Name == name })
	return v.address(append(out, Label{Name: name, Value: value}), 1)
}

// Without is the address with one filter less.
func (v metricView) Without(name string) string {
	return v.address(slices.DeleteFunc(slices.Clone(v.Filters), func(l Label) bool { return l.Name == name }), 1)
}

// NoFilters is the address of all series.
func (v metricView) NoFilters() string { return v.address(nil, 1) }

// PageURL is the address of a page of the rows.
func (v metricView) PageURL(page int) string { return v.address(v.Filters, page) }

// Previous and Next are the pages beside this one, 0 if there is none.
func (v metricView) Previous() int { return v.Page - 1 }

// Next is the page after this one.
func (v metricView) Next() int {
	if v.Page >= v.Pages {
		return 0
	}
	return v.Page + 1
}

// First and Last are the numbers of the rows shown, from 1.
func (v metricView) First() int { return (v.Page-1)*MetricPageSize + 1 }

// Last is the number of the last row shown.
func (v metricView) Last() int { return v.First() + len(v.Rows) - 1 }

// Machine is the machine that all rows are of, if a filter says so.
func (v metricView) Machine() string {
	for _, l := range v.Filters {
		if l.Name == model.InstanceLabel {
			return l.Value
		}
	}
	return ""
}

// MetricPageSize is how many rows a page has.
const MetricPageSize = 50

// ExploreURL is the address of a query in Explore, from this page.
func (l Layout) ExploreURL(query string) string {
	return l.Base + "explore?" + url.Values{"query": {query}, "range": {"1d"}}.Encode()
}
