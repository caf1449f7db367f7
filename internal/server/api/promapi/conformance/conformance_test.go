// Package conformance asks Prometheus' own server and ours the same, over the
// same TSDB and the same engine, and wants the same answers, byte for byte. It
// stands in a package of its own because Prometheus' server takes minutes to
// compile.
package conformance

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/notifier"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/scrape"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/notifications"
	"github.com/prometheus/prometheus/util/teststorage"
	"github.com/prometheus/prometheus/web"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/promapi"
)

const lookback = 5 * time.Minute

// bench is the two servers side by side.
type bench struct {
	theirs, ours string // URLs
	client       *http.Client
	parser       parser.Parser
	rules        *rules.Manager              // both tell of its rules
	stores       [2]*teststorage.TestStorage // theirs, ours: the same, unless the test changes it
}

// newBench starts both over their own copy of the same data: they differ in
// nothing but who answers.
func newBench(t *testing.T, admin bool) *bench {
	t.Helper()
	ps := parser.NewParser(promqltest.TestParserOpts)
	b := &bench{
		parser: ps,
		client: &http.Client{
			Transport:     &http.Transport{DisableCompression: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	t.Cleanup(b.client.CloseIdleConnections)
	stores := [2]*teststorage.TestStorage{load(t), nil}
	if stores[1] = stores[0]; admin {
		stores[1] = load(t)
	}
	b.stores = stores
	flags := map[string]string{"web.listen-address": "localhost:8080", "a<b>": "\"&\x01\u2028"}
	b.rules = rules.NewManager(&rules.ManagerOptions{
		Context:      context.Background(),
		QueryFunc:    rules.EngineQueryFunc(newEngine(t, ps, nil), stores[0]),
		NotifyFunc:   func(context.Context, string, ...*rules.Alert) {},
		AppendableV2: stores[0],
		Queryable:    stores[0],
		Logger:       slog.New(slog.DiscardHandler),
		Registerer:   prometheus.NewRegistry(),
		Parser:       ps,
	})
	b.theirs = theirServer(t, b, flags, admin)
	b.ours = ourServer(t, b, flags, admin)
	return b
}

func newEngine(t *testing.T, ps parser.Parser, f features.Collector) *promql.Engine {
	t.Helper()
	return promqltest.NewTestEngineWithOpts(t, promql.EngineOpts{
		MaxSamples:               50_000,
		Timeout:                  time.Minute,
		LookbackDelta:            lookback,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		EnablePerStepStats:       true,
		EnableDelayedNameRemoval: true,
		UseStartTimestamps:       true,
		FeatureRegistry:          f,
		Parser:                   ps,
	})
}

// local is what their server wants of a TSDB.
type local struct{ *teststorage.TestStorage }

func (l local) Stats(name string, limit int) (*tsdb.Stats, error) {
	return l.Head().Stats(name, limit), nil
}

func (l local) WALReplayStatus() (tsdb.WALReplayStatus, error) {
	return tsdb.WALReplayStatus{}, nil
}

func (l local) BlockMetas() ([]tsdb.BlockMeta, error) { return l.DB.BlockMetas(), nil }

func theirServer(t *testing.T, b *bench, flags map[string]string, admin bool) string {
	t.Helper()
	st, ps := b.stores[0], b.parser
	log := slog.New(slog.DiscardHandler)
	scraper, err := scrape.NewManager(nil, log, nil, st, nil, prometheus.NewRegistry())
	require.NoError(t, err)
	t.Cleanup(scraper.Stop)
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := features.NewRegistry()
	external := &url.URL{Scheme: "http", Host: lis.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	h := web.New(log, &web.Options{
		Context:             ctx,
		Storage:             st,
		LocalStorage:        local{st},
		ExemplarStorage:     st,
		TSDBDir:             st.Dir(),
		QueryEngine:         newEngine(t, ps, f),
		LookbackDelta:       lookback,
		ScrapeManager:       scraper,
		RuleManager:         b.rules,
		Notifier:            notifier.NewManager(&notifier.Options{Registerer: prometheus.NewRegistry()}, model.UTF8Validation, log),
		Version:             &web.PrometheusVersion{Version: promapi.PrometheusVersion, Revision: "<r>", GoVersion: "go1"},
		NotificationsGetter: func() []notifications.Notification { return nil },
		Flags:               flags,
		ListenAddresses:     []string{lis.Addr().String()},
		MaxConnections:      16,
		ExternalURL:         external,
		RoutePrefix:         "/",
		EnableAdminAPI:      admin,
		AppName:             "Prometheus Server",
		Gatherer:            prometheus.NewRegistry(),
		Registerer:          prometheus.NewRegistry(),
		FeatureRegistry:     f,
		Parser:              ps,
	})
	require.NoError(t, h.ApplyConfig(&config.Config{}))
	h.SetReady(web.Ready)
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx, []net.Listener{lis}, "") }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
		lis.Close()
	})
	return external.String()
}

func ourServer(t *testing.T, b *bench, flags map[string]string, admin bool) string {
	t.Helper()
	st, ps := b.stores[1], b.parser
	f := features.NewRegistry()
	api := promapi.New(promapi.Options{
		Storage:       st,
		Exemplars:     st,
		Engine:        newEngine(t, ps, f),
		Parser:        ps,
		TSDB:          emptyHead{promapi.DB{DB: st.DB, Gatherer: prometheus.NewRegistry()}},
		Rules:         managed{b.rules},
		Features:      f,
		Flags:         flags,
		Config:        (&config.Config{}).String(),
		Build:         promapi.BuildInfo{Revision: "<r>", GoVersion: "go1"},
		Runtime:       func() (promapi.RuntimeInfo, error) { return promapi.RuntimeInfo{}, nil },
		Ready:         func() error { return nil },
		EnableAdmin:   admin,
		Dir:           st.Dir(),
		LookbackDelta: lookback,
		Now:           time.Now,
		Log:           zap.NewNop(),
	})
	r := chi.NewRouter()
	api.Routes(r)
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	return srv.URL
}

// emptyHead counts chunks as their server does when nothing gathers them.
type emptyHead struct{ promapi.DB }

func (emptyHead) HeadChunks() (int64, error) { return -1 << 63, nil }

func (e emptyHead) Stats(name string, limit int) (*tsdb.Stats, error) {
	s, err := e.DB.Stats(name, limit)
	if err == nil && s.IndexPostingStats == nil {
		s.IndexPostingStats = &index.PostingsStats{}
	}
	return s, err
}

// ask is one request, to be sent to both.
type ask struct {
	method, path string
	params       url.Values // in the query of a GET, in the form of a POST
	header       http.Header
	body         io.ReadSeeker // instead of a form
}

// reply is what must be the same.
type reply struct {
	status                                    int
	contentType, allow, location, stop, nosni string
	body                                      string
}

func (b *bench) send(t *testing.T, base string, q ask) reply {
	t.Helper()
	var body io.Reader
	target := base + q.path
	switch {
	case q.body != nil:
		_, err := q.body.Seek(0, io.SeekStart)
		require.NoError(t, err)
		body = q.body
		if len(q.params) > 0 {
			target += "?" + q.params.Encode()
		}
	case q.method == http.MethodGet || q.method == http.MethodHead || q.method == http.MethodOptions:
		if len(q.params) > 0 {
			target += "?" + q.params.Encode()
		}
	default:
		body = strings.NewReader(q.params.Encode())
	}
	req, err := http.NewRequestWithContext(t.Context(), q.method, target, body)
	require.NoError(t, err)
	if body != nil && q.body == nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(req.Header, q.header)
	res, err := b.client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	h := res.Header
	return reply{
		res.StatusCode, h.Get("Content-Type"), h.Get("Allow"), h.Get("Location"),
		h.Get("X-Prometheus-Stopping"), h.Get("X-Content-Type-Options"), string(text),
	}
}

// timings are the only numbers that can't be the same.
var timings = regexp.MustCompile(`"timings":\{("[a-zA-Z]+":[0-9.e+-]+,?){6}\}`)

// notes are in no order.
var notes = regexp.MustCompile(`"(?:warnings|infos)":(\["(?:[^"\\]|\\.)*"(?:,"(?:[^"\\]|\\.)*")*\])`)

// ordered are queries whose result has an order.
var ordered = regexp.MustCompile(`^(sort|topk|bottomk)`)

func normalized(s string) string {
	s = timings.ReplaceAllString(s, `"timings":{}`)
	return notes.ReplaceAllStringFunc(s, func(m string) string {
		key, list, _ := strings.Cut(m, ":")
		return key + ":" + strings.Join(sorted(splitStrings(list)), "\n")
	})
}

// same sends q to both and compares. It returns our reply.
func (b *bench) same(t *testing.T, q ask) reply {
	t.Helper()
	want, got := b.send(t, b.theirs, q), b.send(t, b.ours, q)
	raw := got
	want.body, got.body = normalized(want.body), normalized(got.body)
	if strings.Contains(want.body, "unsupported value: ") {
		// What can't be encoded is a plain text from them, an error like any other
		// from us.
		want.contentType, want.nosni = got.contentType, got.nosni
		want.body, got.body = "", strings.TrimPrefix(got.body, `{"status":"error","errorType":"internal","error":"fill values of NaN and Inf can't be encoded"}`)
	}
	if want != got && !ordered.MatchString(q.params.Get("query")) {
		// The engine returns the series of an instant query in no order.
		var theirs, ours []string
		want.body, theirs = series(want.body)
		got.body, ours = series(got.body)
		want.body += strings.Join(sorted(theirs), "\n")
		got.body += strings.Join(sorted(ours), "\n")
	}
	if want != got {
		i := 0
		for i < len(want.body) && i < len(got.body) && want.body[i] == got.body[i] {
			i++
		}
		t.Errorf("%s %s?%s\n%s\ntheirs: %d %q allow %q %s\nours:   %d %q allow %q %s",
			q.method, q.path, q.params.Encode(), q.params.Get("query"),
			want.status, want.contentType, want.allow, around(want.body, i),
			got.status, got.contentType, got.allow, around(got.body, i))
	}
	return raw
}

// around cuts a long body to the place where it differs.
func around(s string, i int) string {
	from, to := max(0, i-200), min(len(s), i+200)
	return string(bytes.ToValidUTF8([]byte(s[from:to]), []byte("?")))
}
