package pages_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

// now is the clock of the tests: 2026-11-23 17:25:31 UTC.
var now = time.UnixMilli(1_795_454_731_960)

type state []metric.Metric

func (s state) List(context.Context) ([]metric.Metric, error) { return append(state(nil), s...), nil }

// brokenDB is a history that can't be read.
type brokenDB struct{}

func (brokenDB) Querier(int64, int64) (promstorage.Querier, error) {
	return nil, errors.New("disk on fire")
}

func openDB(t *testing.T, series ...[]writetest.Series) *tsdb.DB {
	t.Helper()
	db := writetest.OpenDB(t)
	app := db.Appender(t.Context())
	for _, list := range series {
		for _, s := range list {
			var b labelBuilder
			for _, p := range s.Samples {
				_, err := app.Append(0, b.of(s.Labels), p.T, p.V)
				require.NoError(t, err)
			}
		}
	}
	require.NoError(t, app.Commit())
	return db
}

func withHistory(o *pages.Options, q promstorage.Queryable) {
	o.Storage = q
	o.Engine = promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{})})
	o.Retention = 15 * 24 * time.Hour
}

// get asks for the page of a machine, by its escaped name.
func get(o pages.Options, target string) (*httptest.ResponseRecorder, error) {
	o.Now = func() time.Time { return now }
	if o.State == nil {
		o.State = state{}
	}
	w := httptest.NewRecorder()
	return w, pages.New(o).Host(w, httptest.NewRequestWithContext(context.Background(), http.MethodGet, target, nil))
}

func gauge(name, instance string, v float64, age time.Duration) metric.Metric {
	return metric.Metric{Kind: metric.Gauge, Name: name, Value: v, Labels: metric.NewLabels("instance", instance, "zone", "eu"), Timestamp: now.Add(-age).UnixMilli()}
}

func contains(t *testing.T, page string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		require.Contains(t, strings.ReplaceAll(page, "\u00a0", " "), want)
	}
}

// Without a history the page has the latest values of the machine, and says why it has
// no more.
func TestHostWithoutHistory(t *testing.T) {
	o := pages.Options{State: state{gauge("Alloc", "web-1", 1.5, time.Second), gauge("<b>x</b>", "web-1", 2, 30*time.Second), gauge("Alloc", "web-2", 9, 0)}}
	w, err := get(o, "/host/web-1")
	require.NoError(t, err)
	require.Equal(t, 200, w.Code)
	page := w.Body.String()
	contains(t, page, "HISTORY=false", `<span class="badge good">reporting</span>`, `href="../metric/Alloc"`, "zone=eu", ">1.5<", "&lt;b&gt;x&lt;/b&gt;", `href="../metric/%3Cb%3Ex%3C%2Fb%3E"`)
	require.NotContains(t, page, ">9<")
	require.NotContains(t, page, "uPlot")
	require.NotContains(t, page, `id="range"`)
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "script-src 'self'")

	w, err = get(o, "/host/web-9")
	require.NoError(t, err)
	require.Equal(t, 404, w.Code)
	contains(t, w.Body.String(), "no machine called <code>web-9</code>", `<a href="../host/web-2">web-2</a>`, `<a href="../">`)
}

// A machine may be called anything; its name stands in the path, escaped or not, or,
// if it is dots, in the query. The page's addresses go up as far as its path goes down.
func TestHostNames(t *testing.T) {
	for _, tt := range []struct{ name, target, base string }{
		{"web-1", "/host/web-1", "../"},
		{"a/b c", "/host/a%2Fb%20c", "../"},
		{"a/b c", "/host/a/b%20c", "../../"},
		{`<script>&"'`, "/host/" + url.PathEscape(`<script>&"'`), "../"},
		{"50%", "/host/50%25", "../"},
		{"Ünï", "/host/%C3%9Cn%C3%AF", "../"},
		{"..", "/host/?name=..", "../"},
		{"SEL", "/host/SEL", "../"},
	} {
		w, err := get(pages.Options{State: state{gauge("Alloc", tt.name, 1, 0)}}, tt.target)
		require.NoError(t, err, tt.target)
		require.Equal(t, 200, w.Code, tt.target)
		contains(t, w.Body.String(), `data-base="`+tt.base+`"`, `href="`+tt.base+`static/v-`, `href="`+tt.base+`explore"`)
		require.NotContains(t, w.Body.String(), "<script>&")
	}
	for _, target := range []string{"/host/", "/host/%FF", "/host/?name=%FF"} {
		_, err := get(pages.Options{}, target)
		require.Equal(t, codes.NotFound, codes.CodeOf(err), target)
	}
}

// What is shown follows from what there is.
func TestHostSections(t *testing.T) {
	full := browsertest.Machine{Instance: "web-1", Containers: []string{"shop"}}
	own := []writetest.Series{}
	for _, name := range []string{"CPUutilization1", "TotalMemory", "FreeMemory", "PollCount"} {
		s := writetest.Series{Labels: []string{"__name__", name, "instance", "small"}}
		for at := now.Add(-4 * time.Minute); !at.After(now); at = at.Add(10 * time.Second) {
			s.Samples = append(s.Samples, writetest.Sample{T: at.UnixMilli(), V: 1 << 30})
		}
		own = append(own, s)
	}
	gone := browsertest.Machine{Instance: "gone"}
	db := openDB(t, gone.Series(now.Add(-90*time.Minute), now.Add(-time.Hour), time.Minute), full.Series(now.Add(-20*time.Minute), now, browsertest.Interval), own)
	var o pages.Options
	withHistory(&o, db)

	w, err := get(o, "/host/web-1")
	require.NoError(t, err)
	page := w.Body.String()
	contains(t, page, "Debian GNU/Linux 13 (trixie)", "6.12.48&#43;deb13-amd64", "<dt>Cores</dt><dd>4</dd>", "<dt>Agent</dt><dd>0.2.0</dd>", "16 GiB",
		`data-interval="15"`, `data-query="100 * avg by (mode) (rate(node_cpu_seconds_total{instance=&#34;web-1&#34;,mode!~&#34;guest.*&#34;}[$window]))"`,
		`id="cpu"`, `id="filesystems"`, `id="disks"`, `id="network"`, `id="processes"`, `id="containers"`, `id="services"`, `id="names"`,
		`<span class="badge bad">failed</span>`, `href="../metric/node_load1"`)
	for _, not := range []string{`id="own"`, `id="pushed"`, "veth12ab", "loop0", ">tmpfs<", "NaN"} {
		require.NotContains(t, page, not)
	}

	w, err = get(o, "/host/small")
	require.NoError(t, err)
	page = w.Body.String()
	contains(t, page, `id="own"`, `data-chart="own-cpu"`, `data-chart="own-memory"`, `id="names"`, `data-interval="10"`, "1 GiB")
	for _, not := range []string{`id="cpu"`, `id="disks"`, `id="services"`, "NaN"} {
		require.NotContains(t, page, not)
	}

	w, err = get(o, "/host/gone")
	require.NoError(t, err)
	page = w.Body.String()
	contains(t, page, `<span class="badge bad">gone</span>`, `datetime="2026-11-23T16:25:00.000Z"`, "?from=", `id="cpu"`, "Debian")
	require.NotContains(t, page, "NaN")
}

// What goes wrong in the history is no page.
func TestHostWithBrokenHistory(t *testing.T) {
	o := pages.Options{State: state{gauge("Alloc", "web-1", 1, 0)}}
	withHistory(&o, brokenDB{})
	w, err := get(o, "/host/web-1")
	require.ErrorContains(t, err, "disk on fire")
	require.Zero(t, w.Body.Len())
}

type labelBuilder struct{ made labels.Labels }

// of are labels of name, value, …, made once.
func (b *labelBuilder) of(pairs []string) labels.Labels {
	if b.made.IsEmpty() {
		b.made = labels.FromStrings(pairs...)
	}
	return b.made
}
