package promapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/prometheus/model/labels"
)

// This server scrapes nobody and knows no Alertmanager: what clients ask about
// them is answered as a Prometheus without any does.

func (*API) targets(r *http.Request) answer {
	counts := "null"
	switch strings.ToLower(r.URL.Query().Get("state")) {
	case "", "any", "dropped":
		counts = "{}"
	}
	return literal(`{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":` + counts + `}`)
}

func (a *API) targetMetadata(r *http.Request) answer {
	if _, err := numberParam(r, "limit"); err != nil {
		return fail(BadData, err)
	}
	if s := r.FormValue("match_target"); s != "" {
		if _, err := a.o.Parser.ParseMetricSelector(s); err != nil {
			return badParam("match_target", err)
		}
	}
	return literal(`[]`)
}

func (*API) scrapePools(*http.Request) answer { return literal(`{"scrapePools":[]}`) }

func (*API) scrapePoolConfig(r *http.Request) answer {
	pool := r.FormValue("scrapePool")
	if pool == "" {
		return fail(BadData, errors.New("no scrapePool parameter provided"))
	}
	return noPool(pool)
}

func (*API) relabelSteps(r *http.Request) answer {
	pool := r.FormValue("scrapePool")
	if pool == "" {
		return fail(BadData, errors.New("no scrapePool parameter provided"))
	}
	text := r.FormValue("labels")
	if text == "" {
		return fail(BadData, errors.New("no labels parameter provided"))
	}
	var ls labels.Labels
	if err := ls.UnmarshalJSON([]byte(text)); err != nil {
		return fail(BadData, fmt.Errorf("error parsing labels: %w", err))
	}
	return noPool(pool)
}

func noPool(name string) answer {
	return fail(BadData, fmt.Errorf("error retrieving scrape config: scrape pool %q not found", name))
}

func (*API) alertmanagers(*http.Request) answer {
	return literal(`{"activeAlertmanagers":[],"droppedAlertmanagers":[]}`)
}

func literal(json string) answer {
	return answer{data: func(o *output) { o.b = append(o.b, json...) }}
}
