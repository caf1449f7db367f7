// Package pages answers the pages: each handler asks the
// history in process for what stands in the HTML, so that a page says something
// without JavaScript too. Charts and what is live the page asks for itself, over the
// HTTP API.
package pages

import (
	"bytes"
	"context"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/templates"
	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// State is the latest value of each pushed series.
type State interface {
	List(ctx context.Context) ([]metric.Metric, error)
}

// Options is what the pages depend on. Now and State are required.
type Options struct {
	State State
	// Engine and Storage are the history; nil: there is none.
	Engine  promql.QueryEngine
	Storage promstorage.Queryable
	// Metadata knows what metrics are; nil: nobody does.
	Metadata Metadata
	// Named yields the series of a name in the state, without a look at others; nil:
	// they are picked from all.
	Named func(ctx context.Context, name string) iter.Seq2[metric.Metric, error]
	// Status tells what the server does; nil: there is no such page.
	Status StatusSource
	// Retention is how far the history goes back.
	Retention time.Duration
	// Reporters are the instances that say how often they report; nil: nobody knows.
	Reporters func() []Reporter
	Now       func() time.Time
	Log       *zap.Logger // nil: nothing is told
}

// Metadata knows what metrics are.
type Metadata interface {
	Metadata(ctx context.Context, metric string) iter.Seq2[string, metadata.Metadata]
}

const (
	// maxCopies is how many copies of all series there are at once.
	maxCopies = 8
	// turnWait is how long a page waits for its turn.
	turnWait = 5 * time.Second
)

// turn waits for a place.
func turn(ctx context.Context, places *semaphore.Semaphore) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, turnWait)
	defer cancel()
	if release, err = places.Acquire(ctx, 1); err != nil {
		return nil, codes.Wrap(codes.Unavailable, err, "too many pages at once")
	}
	return release, nil
}

// Pages holds the handlers.
type Pages struct {
	o       Options
	metrics *semaphore.Semaphore // pages of metrics at once
	copies  *semaphore.Semaphore // of all series, for the pages of all and of one machine
	fleet   *fleet
}

// New makes the handlers.
func New(o Options) *Pages {
	p := &Pages{o: o, metrics: semaphore.New(2), copies: semaphore.New(maxCopies)}
	p.fleet = &fleet{p: p}
	return p
}

// Routes are the handlers by the pattern of their path; GET and HEAD go to each.
func (p *Pages) Routes() map[string]problem.Handler {
	routes := map[string]problem.Handler{
		"/":              p.Overview,
		hostPrefix + "*": p.Host,
		"/metric/*":      p.metric,
		"/explore":       p.Explore,
	}
	if p.o.Status != nil {
		routes["/status"] = p.status
	}
	for pattern, page := range routes {
		if pattern != "/explore" {
			routes[pattern] = shortQuery(page)
		}
	}
	return routes
}

// maxQuery is how long the parameters of a page may be. They stand in its links, so
// that it is longer than they are by a few hundred times.
const maxQuery = 8 << 10

// shortQuery lets no longer parameters through.
func shortQuery(page problem.Handler) problem.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if len(r.URL.RawQuery) > maxQuery {
			return codes.New(codes.TooLarge, "the parameters are longer than %d bytes", maxQuery)
		}
		return page(w, r)
	}
}

// layout is what all pages need of a request.
func (p *Pages) layout(r *http.Request) templates.Layout {
	l := templates.Layout{
		Base: templates.BaseOf(r.URL.EscapedPath()), Host: r.Host, TLS: r.TLS != nil, Now: p.o.Now(),
	}
	if p.history() {
		l.Retention = p.o.Retention
	}
	return l
}

func (p *Pages) history() bool { return p.o.Engine != nil && p.o.Storage != nil }

// respond writes a page that was made whole, so that what goes wrong becomes an
// answer of its own.
func respond(w http.ResponseWriter, status int, render func(io.Writer) error) error {
	var b bytes.Buffer
	if err := render(&b); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", templates.ContentSecurityPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(b.Bytes()) //nolint:errcheck // the client is gone: nobody to tell
	return nil
}

// nameIn is what a path names below prefix: /host/web-1. It may hold slashes,
// escaped or not; a name of dots, which browsers take out of a path, stands in the
// parameter name.
func nameIn(u *url.URL, prefix string) (string, error) {
	rest, _ := strings.CutPrefix(u.EscapedPath(), prefix)
	if rest == "" {
		rest = u.Query().Get("name")
	} else {
		var err error
		if rest, err = url.PathUnescape(rest); err != nil {
			return "", codes.Wrap(codes.Invalid, err, "the path is not escaped rightly")
		}
	}
	if rest == "" || !utf8.ValidString(rest) {
		return "", codes.New(codes.NotFound, "the path names nothing")
	}
	return rest, nil
}
