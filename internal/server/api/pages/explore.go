package pages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"

	"github.com/gometheus/gometheus/internal/server/templates"
)

const (
	// exploreQueries is how many queries a page asks at once.
	exploreQueries = 6
	// exploreRows is how many series of a result stand in the page.
	exploreRows = 300
	// exploreSamples is how many samples of one series do.
	exploreSamples = 20
	// explorePatience is how long the page waits for its queries. The script asks
	// them anew, and waits longer.
	explorePatience = 5 * time.Second
)

// Explore answers the page where queries are asked, with their values at the end of
// the range.
func (p *Pages) Explore(w http.ResponseWriter, r *http.Request) error {
	page := templates.Explore{Layout: p.layout(r), At: p.o.Now()}
	if !p.history() {
		return respond(w, http.StatusOK, func(w io.Writer) error { return templates.RenderExplore(w, page) })
	}
	var err error
	if page.Empty, err = p.empty(r.Context()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), explorePatience)
	defer cancel()
	params := r.URL.Query()
	if to, err := strconv.ParseFloat(params.Get("to"), 64); err == nil && to > 0 && to < math.MaxInt64/1e9 {
		page.At = time.UnixMilli(int64(to * 1000))
	}
	for _, name := range []string{"range", "from", "to", "step", "view", "stack"} {
		if v := params.Get(name); v != "" {
			page.Keep = append(page.Keep, templates.ExploreParam{Name: name, Value: v})
		}
	}
	for _, text := range params["query"] {
		// Forms send the ends of lines as on the oldest teleprinters.
		text = strings.ReplaceAll(text, "\r\n", "\n")
		if strings.TrimSpace(text) != "" && len(page.Queries) < exploreQueries {
			page.Queries = append(page.Queries, p.explore(ctx, text, page.At))
		}
	}
	if len(page.Queries) == 0 {
		page.Queries = []templates.ExploreQuery{{}}
	}
	return respond(w, http.StatusOK, func(w io.Writer) error { return templates.RenderExplore(w, page) })
}

// explore asks one query. That it is wrong is a result too.
func (p *Pages) explore(ctx context.Context, text string, at time.Time) templates.ExploreQuery {
	out := templates.ExploreQuery{Text: text, Asked: true}
	q, err := p.o.Engine.NewInstantQuery(ctx, p.o.Storage, nil, text, at)
	if err != nil {
		out.Error = err.Error()
		return out
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		out.Error = res.Err.Error()
		return out
	}
	warnings, infos := res.Warnings.AsStrings(text, 10, 10)
	out.Notes = append(warnings, infos...)
	switch v := res.Value.(type) {
	case promql.Vector:
		out.More = max(0, len(v)-exploreRows)
		for _, s := range v[:len(v)-out.More] {
			out.Rows = append(out.Rows, templates.ExploreRow{Series: seriesText(s.Metric), Value: sampleText(s.F, s.H)})
		}
	case promql.Matrix:
		out.More = max(0, len(v)-exploreRows)
		for _, s := range v[:len(v)-out.More] {
			out.Rows = append(out.Rows, templates.ExploreRow{Series: seriesText(s.Metric), Value: samplesText(s)})
		}
	case promql.Scalar:
		out.Rows = []templates.ExploreRow{{Series: "scalar", Value: sampleText(v.V, nil)}}
	case promql.String:
		out.Rows = []templates.ExploreRow{{Series: "string", Value: v.V}}
	}
	return out
}

// empty tells whether the history has no series at all.
func (p *Pages) empty(ctx context.Context) (_ bool, err error) {
	q, err := p.o.Storage.Querier(math.MinInt64, math.MaxInt64)
	if err != nil {
		return false, fmt.Errorf("look for series: %w", err)
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	names, _, err := q.LabelValues(ctx, model.MetricNameLabel, &promstorage.LabelHints{Limit: 1})
	if err != nil {
		return false, fmt.Errorf("look for series: %w", err)
	}
	return len(names) == 0, nil
}

func seriesText(ls labels.Labels) string {
	if ls.IsEmpty() {
		return "{}"
	}
	return ls.String()
}

// sampleText is a value as the API writes it; h is not nil for a native histogram.
func sampleText(f float64, h *histogram.FloatHistogram) string {
	if h != nil {
		return h.String()
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// samplesText is the newest samples of a series, one a line.
func samplesText(s promql.Series) string {
	var lines []string
	if n := len(s.Floats) + len(s.Histograms); n > exploreSamples {
		lines = append(lines, fmt.Sprintf("… the newest of %d", n))
	}
	for _, f := range s.Floats[max(0, len(s.Floats)-exploreSamples):] {
		lines = append(lines, sampleText(f.F, nil)+" @ "+sampleTime(f.T))
	}
	for _, h := range s.Histograms[max(0, len(s.Histograms)-exploreSamples):] {
		lines = append(lines, sampleText(0, h.H)+" @ "+sampleTime(h.T))
	}
	return strings.Join(lines, "\n")
}

func sampleTime(ms int64) string { return time.UnixMilli(ms).UTC().Format("15:04:05.000") }
