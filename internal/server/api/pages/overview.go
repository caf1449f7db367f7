package pages

import (
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gometheus/gometheus/internal/server/templates"
)

// Overview answers GET /: all machines, and all series. The parameters q, sort,
// order and page are of the series; m, msort, morder, group and mpage of the
// machines.
func (p *Pages) Overview(w http.ResponseWriter, r *http.Request) error {
	release, err := turn(r.Context(), p.copies)
	if err != nil {
		return err
	}
	defer release()
	all, err := p.o.State.List(r.Context())
	if err != nil {
		return err
	}
	query := r.URL.Query()
	page := templates.Overview{Layout: p.layout(r)}
	known := p.fleet.get(r.Context(), all)
	page.Fleet = templates.NewFleet(known.machines, query.Get("m"),
		templates.ParseMachineSort(query.Get("msort"), query.Get("morder")), query.Get("group"), pageNumber(query, "mpage"))
	page.Fleet.Missing = known.missing
	page.Series = templates.Select(all, query.Get("q"), templates.ParseSort(query.Get("sort"), query.Get("order")),
		pageNumber(query, "page"), templates.SeriesPage)
	return respond(w, http.StatusOK, func(w io.Writer) error { return templates.RenderOverview(w, page) })
}

// pageNumber is the page asked for; what is none is the first.
func pageNumber(q url.Values, name string) int {
	n, err := strconv.Atoi(q.Get(name))
	if err != nil {
		return 1
	}
	return n
}
