package pages

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/gometheus/gometheus/internal/server/templates"
)

// StatusSource tells what the server does.
type StatusSource interface {
	// Status is the caller's to change, but for what it points to. It costs little,
	// whatever the number of series.
	Status(ctx context.Context) (templates.Status, error)
}

// status answers GET /status.
func (p *Pages) status(w http.ResponseWriter, r *http.Request) error {
	s, err := p.o.Status.Status(r.Context())
	if err != nil {
		return err
	}
	if s.Charts, err = p.ownCharts(r.Context()); err != nil {
		return err
	}
	l := p.layout(r)
	return respond(w, http.StatusOK, func(w io.Writer) error { return templates.RenderStatus(w, l, &s) })
}

// ownCharts are those of the server's metrics that somebody writes into its own
// history.
var ownCharts = []struct {
	name string // which must be there
	templates.StatusChart
}{
	// Those of jobs, which agents send of what they scrape, are no reporters.
	{"up", templates.StatusChart{Title: "Reporters that are up", Query: `sum(up{job=""})`}},
	{"gometheus_metrics_total", templates.StatusChart{
		Title: "Pushed metrics", Unit: "ops/s", Query: "sum by (type) (rate(gometheus_metrics_total[$window]))",
	}},
	{"gometheus_remote_write_written_total", templates.StatusChart{
		Title: "Remote write", Unit: "ops/s", Query: "sum by (kind) (rate(gometheus_remote_write_written_total[$window]))",
	}},
	{"gometheus_http_request_duration_seconds_count", templates.StatusChart{
		Title: "Requests", Unit: "ops/s", Query: "sum by (code) (rate(gometheus_http_request_duration_seconds_count[$window]))",
	}},
	{"gometheus_http_request_duration_seconds_bucket", templates.StatusChart{
		Title: "99 % of requests within", Unit: "seconds",
		Query: "histogram_quantile(0.99, sum by (le) (rate(gometheus_http_request_duration_seconds_bucket[$window])))",
	}},
	{"gometheus_series", templates.StatusChart{Title: "Series in the state", Query: "gometheus_series"}},
}

// ownCharts picks those whose metric has been seen of late.
func (p *Pages) ownCharts(ctx context.Context) ([]templates.StatusChart, error) {
	if !p.history() {
		return nil, nil
	}
	now := p.o.Now()
	q, err := p.o.Storage.Querier(now.Add(-6*time.Hour).UnixMilli(), now.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("look for the server's own metrics: %w", err)
	}
	defer func() { _ = q.Close() }() // it only reads
	var out []templates.StatusChart
	for _, c := range ownCharts {
		matchers := []*labels.Matcher{labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, c.name)}
		if c.name == "up" {
			matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, "job", ""))
		}
		set := q.Select(ctx, false, nil, matchers...)
		if set.Next() {
			out = append(out, c.StatusChart)
		}
		if err := set.Err(); err != nil {
			return nil, fmt.Errorf("look for the server's own metrics: %w", err)
		}
	}
	return out, nil
}
