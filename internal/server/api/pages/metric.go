package pages

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

const (
	// kindLabel tells a gauge in the history apart from a counter of its name.
	kindLabel = "__kind__"
	// maxPage is more than any metric has; the rows before it can be counted.
	maxPage = 1 << 30
	// maxFilters is how many filters a page takes: each stands in every other's link.
	maxFilters = 20
	// filterPrefix starts the parameters that filter by a label: l.instance=web-1.
	filterPrefix = "l."
)

// ofMetric is what is known of a metric name.
type ofMetric struct {
	name    string
	filters []templates.Label
	meta    metadata.Metadata
	family  []string // names that belong together with it
	// rows is the name whose series are listed: of a classic histogram, which has
	// none of its own name, that of its counts.
	rows           string
	gauge, counter bool // it is pushed as such
	found          found
}

// metric answers GET /metric/{name}.
func (p *Pages) metric(w http.ResponseWriter, r *http.Request) error {
	name, err := nameIn(r.URL, "/metric/")
	if err != nil {
		return p.NotFound(w, r)
	}
	release, err := turn(r.Context(), p.metrics)
	if err != nil {
		return err
	}
	defer release()
	query := r.URL.Query()
	page := min(max(1, pageNumber(query, "page")), maxPage)
	m := ofMetric{name: name, rows: name, filters: filtersIn(query)}
	if len(m.filters) > maxFilters {
		return codes.New(codes.Invalid, "more than %d filters", maxFilters)
	}
	if err := p.learn(r.Context(), &m, page); err != nil {
		return err
	}
	if pages := pagesOf(m.found.total); page > max(1, pages) {
		page = max(1, pages)
		if err := p.learn(r.Context(), &m, page); err != nil {
			return err
		}
	}
	if !m.found.known && m.meta == (metadata.Metadata{}) {
		near, err := p.near(r.Context(), name)
		if err != nil {
			return err
		}
		missing := templates.Missing{Layout: p.layout(r), What: "metric", Name: name}
		for _, name := range near {
			missing.Near = append(missing.Near, templates.Link{Text: name, URL: missing.MetricURL(name)})
		}
		return respond(w, http.StatusNotFound, func(w io.Writer) error { return templates.RenderMissing(w, missing) })
	}
	out := m.page(page)
	out.Layout = p.layout(r)
	if !p.history() {
		out.Chart, out.Queries = templates.MetricChart{}, nil
	}
	return respond(w, http.StatusOK, func(w io.Writer) error { return templates.RenderMetric(w, out) })
}

// NotFound answers an address that leads nowhere.
func (p *Pages) NotFound(w http.ResponseWriter, r *http.Request) error {
	missing := templates.Missing{Layout: p.layout(r)}
	return respond(w, http.StatusNotFound, func(w io.Writer) error { return templates.RenderMissing(w, missing) })
}

// filtersIn are the filters that the parameters ask for, sorted by name.
func filtersIn(query url.Values) (out []templates.Label) {
	for key, values := range query {
		if name, ok := strings.CutPrefix(key, filterPrefix); ok && name != "" {
			out = append(out, templates.Label{Name: name, Value: values[0]})
		}
	}
	slices.SortFunc(out, func(a, b templates.Label) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// learn finds out what there is to know.
func (p *Pages) learn(ctx context.Context, m *ofMetric, page int) error {
	m.meta = p.metadata(ctx, m.name)
	if err := p.find(ctx, m, page); err != nil {
		return err
	}
	siblings, err := p.siblings(ctx, m.name)
	if err != nil {
		return err
	}
	m.family = siblings
	if m.found.known {
		return nil
	}
	// A histogram or summary may have series of other names alone.
	for _, suffix := range []string{"_count", "_bucket", "_sum"} {
		if slices.Contains(siblings, m.name+suffix) {
			m.rows = m.name + suffix
			return p.find(ctx, m, page)
		}
	}
	return nil
}

// metadata is what its sender says of a metric, or of the family it belongs to.
func (p *Pages) metadata(ctx context.Context, name string) metadata.Metadata {
	if p.o.Metadata == nil {
		return metadata.Metadata{}
	}
	for _, n := range familyNames(name) {
		for _, meta := range p.o.Metadata.Metadata(ctx, n) {
			if meta.Help != "" || meta.Unit != "" || n == name ||
				meta.Type == model.MetricTypeHistogram || meta.Type == model.MetricTypeSummary {
				return meta
			}
		}
	}
	return metadata.Metadata{}
}

// memberSuffixes are what the series of one family have behind its name.
var memberSuffixes = []string{"", "_bucket", "_count", "_sum", "_total", "_created"}

// familyNames are a name and what it may be a member of.
func familyNames(name string) []string {
	out := []string{name}
	for _, suffix := range memberSuffixes[1:] {
		if base, ok := strings.CutSuffix(name, suffix); ok && base != "" {
			out = append(out, base)
		}
	}
	return out
}

// base is the name without what a member has behind it.
func base(name string) string {
	names := familyNames(name)
	return names[len(names)-1]
}

// siblings are the names of the family that name belongs to, without itself.
func (p *Pages) siblings(ctx context.Context, name string) ([]string, error) {
	if !p.history() {
		return nil, nil
	}
	now := p.o.Now()
	q, err := p.o.Storage.Querier(now.Add(-day).UnixMilli(), now.UnixMilli())
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.Close() }() // it only reads
	var out []string
	for _, suffix := range memberSuffixes {
		other := base(name) + suffix
		if other == name {
			continue
		}
		set := q.Select(ctx, false, nil, labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, other))
		there := set.Next()
		if err := set.Err(); err != nil {
			return nil, err
		}
		if there {
			out = append(out, other)
		}
	}
	return out, nil
}

// near is the known names that a name may have been meant for, the most alike
// first.
func (p *Pages) near(ctx context.Context, name string) ([]string, error) {
	names := map[string]bool{}
	if p.o.Metadata != nil {
		for n := range p.o.Metadata.Metadata(ctx, "") {
			names[n] = true
		}
	}
	if p.history() {
		now := p.o.Now()
		q, err := p.o.Storage.Querier(now.Add(-day).UnixMilli(), now.UnixMilli())
		if err != nil {
			return nil, err
		}
		defer func() { _ = q.Close() }() // it only reads
		values, _, err := q.LabelValues(ctx, model.MetricNameLabel, nil)
		if err != nil {
			return nil, err
		}
		for _, n := range values {
			names[n] = true
		}
	} else {
		all, err := p.o.State.List(ctx)
		if err != nil {
			return nil, err
		}
		for i := range all {
			names[all[i].Name] = true
		}
	}
	return nearest(name, names, 10), nil
}

// named are the series of a name in the state, in no order.
func (p *Pages) named(ctx context.Context, name string) ([]metric.Metric, error) {
	var out []metric.Metric
	if p.o.Named != nil {
		for m, err := range p.o.Named(ctx, name) {
			if err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	} else {
		all, err := p.o.State.List(ctx)
		if err != nil {
			return nil, err
		}
		out = slices.DeleteFunc(all, func(m metric.Metric) bool { return m.Name != name })
	}
	return out, nil
}
