// Package promapi answers the HTTP API of a Prometheus over the history: the
// same paths, parameters, statuses and bytes, so that Grafana, promtool and
// client libraries take this server for one. Package conformance holds it to
// that, against Prometheus' own handlers.
//
// A request goes through dispatch ([API.ServeHTTP]), an endpoint (a function
// from request to answer) and respond, which encodes the answer in pieces: a
// matrix of millions of points is never held a second time as JSON.
package promapi

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/features"
	"go.uber.org/zap"
)

// Prefix is the path that all of the API but /federate and /-/… stands under.
const Prefix = "/api/v1"

// Options is what the API depends on. Storage, Exemplars, Engine, Parser, TSDB,
// Runtime, Ready, Now, LookbackDelta and Log are required.
type Options struct {
	Storage   storage.Queryable
	Exemplars storage.ExemplarQueryable
	// Engine holds the timeout, the most samples and the concurrency of queries.
	Engine promql.QueryEngine
	// Parser is the one Engine uses, so that parse_query accepts what query does.
	Parser   parser.Parser
	Metadata Metadata // nil: nothing is known of any metric
	TSDB     TSDB
	Rules    Rules // nil: there are none

	// Features is what features answers; New adds the API's own. nil: the
	// endpoint answers with an error, as Prometheus' does.
	Features features.Collector
	// Flags and Config are shown to everybody: secrets must be hidden already.
	Flags   map[string]string
	Config  string
	Build   BuildInfo
	Runtime func() (RuntimeInfo, error)

	// Ready says why queries can't be answered yet, or, with ErrStopping, any
	// more. Until it returns nil everything but /-/healthy answers 503.
	Ready func() error

	// EnableAdmin allows to delete series and to write snapshots, below Dir.
	EnableAdmin bool
	Dir         string
	// Guard stands before the endpoints that change something. nil: nothing does.
	Guard func(http.Handler) http.Handler
	// Write receives remote write, POST /api/v1/write. nil: not found.
	Write http.Handler

	// LookbackDelta is the engine's; federate looks back as far.
	LookbackDelta time.Duration
	Now           func() time.Time
	Log           *zap.Logger
}

// Metadata knows what metrics are.
type Metadata interface {
	// Metadata yields the families whose name is metric, or all if it is "". A
	// family that has been told of in several ways comes several times.
	Metadata(ctx context.Context, metric string) iter.Seq2[string, metadata.Metadata]
}

// TSDB is what the status and admin endpoints need of the storage. [DB] is one
// over a *tsdb.DB. All may return tsdb.ErrNotReady.
type TSDB interface {
	// Stats counts what is in the head. Each list of the postings' statistics
	// has at most limit entries.
	Stats(statsByLabelName string, limit int) (*tsdb.Stats, error)
	HeadChunks() (int64, error)
	BlockMetas() ([]tsdb.BlockMeta, error)
	// WALReplay is how far the replay at start has come, in segments.
	WALReplay() (WALReplay, error)
	// Delete, CleanTombstones and Snapshot do as the methods of *tsdb.DB.
	Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error
	CleanTombstones() error
	Snapshot(dir string, withHead bool) error
}

// API answers. It is an http.Handler of the paths under Prefix.
type API struct {
	o       Options
	routes  map[string]methods
	outputs sync.Pool
}

// methods are the handlers of one path.
type methods map[string]http.HandlerFunc

// New makes the handlers.
func New(o Options) *API {
	a := &API{o: o}
	a.outputs.New = func() any { return &output{b: make([]byte, 0, 4<<10)} }
	a.routes = a.table()
	a.register()
	return a
}

// Routes puts everything on r: the API, /federate and the two probes.
func (a *API) Routes(r chi.Router) {
	r.Handle(Prefix+"/*", a)
	r.Get("/federate", a.ready(a.federate))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r.MethodFunc(method, "/-/healthy", healthy)
		r.MethodFunc(method, "/-/ready", a.ready(ready))
	}
}

// table is every route on one screen. The path of label values has a variable
// part, which find knows.
func (a *API) table() map[string]methods {
	get := func(e endpoint) methods {
		return methods{http.MethodGet: a.ready(a.handle(e))}
	}
	ask := func(e endpoint) methods { // for parameters longer than a URL may be
		h := a.ready(a.handle(e))
		return methods{http.MethodGet: h, http.MethodPost: h}
	}
	change := func(e endpoint) methods {
		h := a.ready(a.handle(e))
		if a.o.Guard != nil {
			h = a.o.Guard(h).ServeHTTP
		}
		return methods{http.MethodPost: h, http.MethodPut: h}
	}
	t := map[string]methods{
		"/query":           ask(a.query),
		"/query_range":     ask(a.queryRange),
		"/query_exemplars": ask(a.queryExemplars),
		"/format_query":    ask(a.formatQuery),
		"/parse_query":     ask(a.parseQuery),

		"/series":   ask(a.series),
		"/labels":   ask(a.labelNames),
		"/metadata": get(a.metadata),

		"/rules":                       get(a.rules),
		"/alerts":                      get(a.alerts),
		"/alertmanagers":               get(a.alertmanagers),
		"/targets":                     get(a.targets),
		"/targets/metadata":            get(a.targetMetadata),
		"/targets/relabel_steps":       get(a.relabelSteps),
		"/scrape_pools":                get(a.scrapePools),
		"/scrape_pools/config":         get(a.scrapePoolConfig),
		"/features":                    get(a.features),
		"/status/buildinfo":            get(a.buildInfo),
		"/status/config":               get(a.config),
		"/status/flags":                get(a.flags),
		"/status/runtimeinfo":          get(a.runtimeInfo),
		"/status/tsdb":                 get(a.tsdbStatus),
		"/status/tsdb/blocks":          get(a.tsdbBlocks),
		"/status/walreplay":            {http.MethodGet: a.handle(a.walReplay)}, // asked before it is ready
		"/admin/tsdb/snapshot":         change(a.snapshot),
		"/admin/tsdb/delete_series":    change(a.deleteSeries),
		"/admin/tsdb/clean_tombstones": change(a.cleanTombstones),
	}
	if a.o.Write != nil {
		t["/write"] = methods{http.MethodPost: a.ready(a.o.Write.ServeHTTP)}
	}
	return t
}

// ServeHTTP finds the endpoint. It goes by the decoded path and answers what it
// doesn't know in plain text, both as Prometheus' router does: Grafana tells by
// "page not found" which kind of server it talks to.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, Prefix)
	if !ok {
		http.NotFound(w, r)
		return
	}
	if r.Method == http.MethodOptions {
		w.WriteHeader(http.StatusNoContent) // no CORS: no page of another origin may ask
		return
	}
	m := a.find(path)
	if h := m[r.Method]; h != nil {
		h(w, r)
		return
	}
	if m == nil {
		http.NotFound(w, r)
		return
	}
	allow := []string{http.MethodOptions}
	for method := range m {
		allow = append(allow, method)
	}
	slices.Sort(allow)
	w.Header().Set("Allow", strings.Join(allow, ", "))
	http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
}

// find returns the methods of a path, nil if there is no such path.
func (a *API) find(path string) methods {
	if m, ok := a.routes[path]; ok {
		return m
	}
	name, ok := strings.CutPrefix(path, "/label/")
	if !ok {
		return nil
	}
	name, ok = strings.CutSuffix(name, "/values")
	if !ok || strings.Contains(name, "/") {
		return nil
	}
	return methods{http.MethodGet: a.ready(a.handle(func(r *http.Request) answer {
		return a.labelValues(r, name)
	}))}
}

// Route is the pattern of the endpoint that a path leads to, Prefix and "/*" for
// none. There are few, whatever clients ask for.
func (a *API) Route(path string) string {
	rest, _ := strings.CutPrefix(path, Prefix)
	switch _, ok := a.routes[rest]; {
	case ok:
		return path
	case a.find(rest) != nil:
		return Prefix + "/label/{name}/values"
	}
	return Prefix + "/*"
}

// endpoint answers a request.
type endpoint func(r *http.Request) answer

// answer is what an endpoint found out. Without data and err it is 204.
type answer struct {
	data     func(*output)
	err      *Error
	warnings annotations.Annotations
	// close is called when the answer was sent: data may refer to memory that
	// close gives back.
	close func()
}

func fail(t ErrorType, err error) answer { return answer{err: &Error{Type: t, Err: err}} }

func badParam(name string, err error) answer {
	return fail(BadData, fmt.Errorf("invalid parameter %q: %w", name, err))
}
