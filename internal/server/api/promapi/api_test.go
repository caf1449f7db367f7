package promapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/server/api/promapi"
)

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

// TestReady: nothing but /-/healthy and the replay's status is answered before
// Ready.
func TestReady(t *testing.T) {
	o, _ := options(t, script)
	var err error
	o.Ready = func() error { return err }
	o.Write = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	h := handler(o)
	paths := []string{"/-/ready", "/federate?match[]=gauge", "/api/v1/query?query=1", "/api/v1/label/job/values", "/api/v1/status/buildinfo", "/api/v1/rules"}
	for _, path := range paths {
		require.Equal(t, http.StatusOK, get(h, path).Code, path)
	}
	for stopping, cause := range map[string]error{"false": errors.New("replaying"), "true": fmt.Errorf("closed: %w", promapi.ErrStopping)} {
		err = cause
		for _, path := range paths {
			w := get(h, path)
			require.Equal(t, http.StatusServiceUnavailable, w.Code, path)
			require.Equal(t, stopping, w.Header().Get("X-Prometheus-Stopping"))
			require.Equal(t, "Service Unavailable", w.Body.String())
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/write", nil))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "Prometheus Server is Healthy.\n", get(h, "/-/healthy").Body.String())
		require.Equal(t, http.StatusOK, get(h, "/api/v1/status/walreplay").Code)
	}
	err = nil
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/api/v1/write", nil))
	require.Equal(t, http.StatusNoContent, w.Code)
}

// TestGuard: it stands before what changes something, and only there.
func TestGuard(t *testing.T) {
	o, _ := options(t, script)
	o.Guard = func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	}
	h := handler(o)
	for _, path := range []string{"delete_series?match[]=gauge", "clean_tombstones", "snapshot"} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, "/api/v1/admin/tsdb/"+path, nil))
			require.Equal(t, http.StatusTeapot, w.Code)
		}
	}
	require.Equal(t, http.StatusOK, get(h, "/api/v1/query?query=1").Code)
}

// broken is a storage that fails in every way.
type broken struct {
	storage.LabelQuerier
	open, err error
}

func (b broken) Querier(int64, int64) (storage.Querier, error) { return b, b.open }

func (broken) Close() error { return errors.New("close") }

func (b broken) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	return storage.ErrSeriesSet(b.err)
}

func (b broken) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, b.err
}

func (b broken) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, b.err
}

// TestErrors: each error has Prometheus' type and status.
func TestErrors(t *testing.T) {
	boom := errors.New("<boom>")
	const query, rang, series, names, values = "/api/v1/query?query=gauge", "/api/v1/query_range?query=gauge&start=0&end=1&step=1",
		"/api/v1/series?match[]=gauge", "/api/v1/labels", "/api/v1/label/job/values"
	for _, c := range []struct {
		name    string
		storage storage.Queryable
		change  func(*promql.EngineOpts)
		targets []string
		ctx     func(context.Context) context.Context
		status  int
		typ     promapi.ErrorType
		text    string
	}{
		{name: "select fails", storage: broken{err: boom}, targets: []string{query, rang}, status: 422, typ: promapi.Execution, text: "expanding series: <boom>"},
		{name: "lookups fail", storage: broken{err: boom}, targets: []string{series, names, values}, status: 422, typ: promapi.Execution, text: "<boom>"},
		{name: "storage error", storage: broken{open: promql.ErrStorage{Err: boom}}, targets: []string{query, rang, series, names, values}, status: 500, typ: promapi.Internal, text: "<boom>"},
		{name: "not open yet", storage: broken{open: tsdb.ErrNotReady}, targets: []string{query, rang, series, names, values}, status: 500, typ: promapi.Unavailable, text: "TSDB not ready"},
		{name: "too many samples", change: func(o *promql.EngineOpts) { o.MaxSamples = 1 }, targets: []string{query}, status: 422, typ: promapi.Execution, text: "query processing would load too many samples into memory in query execution"},
		{name: "engine's timeout", change: func(o *promql.EngineOpts) { o.Timeout = time.Nanosecond }, targets: []string{query, rang}, status: 503, typ: promapi.Timeout, text: "query timed out in "},
		{name: "query's timeout", targets: []string{query + "&timeout=1e-9"}, status: 503, typ: promapi.Timeout, text: "query timed out in "},
		{name: "client gone", ctx: func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		}, targets: []string{query, rang}, status: 499, typ: promapi.Canceled, text: "query was canceled in "},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, _ := options(t, script)
			core, logs := observer.New(zap.ErrorLevel)
			o.Log = zap.New(core)
			if c.storage != nil {
				o.Storage = c.storage
			}
			if c.change != nil {
				o.Engine = newEngine(t, o.Parser, c.change)
			}
			h := handler(o)
			for _, target := range c.targets {
				r := httptest.NewRequest(http.MethodGet, target, nil)
				if c.ctx != nil {
					r = r.WithContext(c.ctx(r.Context()))
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				require.Equal(t, c.status, w.Code, "%s: %s", target, w.Body)
				require.Equal(t, "application/json", w.Header().Get("Content-Type"))
				var got struct{ Status, ErrorType, Error string }
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
				require.Equal(t, "error", got.Status)
				require.Equal(t, string(c.typ), got.ErrorType)
				require.Contains(t, got.Error, c.text)
				require.Equal(t, c.status == 500, logs.Len() > 0, "internal errors are logged, others not")
			}
		})
	}
}

// TestQueryErrorCost: the engine's limits on cost have a type of their own.
func TestQueryErrorCost(t *testing.T) {
	for _, err := range []error{promql.ErrTooManySeries("x"), promql.ErrTooManySamplesRead("x")} {
		e := promapi.QueryError(fmt.Errorf("query: %w", err))
		require.Equal(t, promapi.CostLimit, e.Type)
		require.Equal(t, http.StatusUnprocessableEntity, e.Status())
		require.ErrorIs(t, e, err)
	}
}

// TestStatus: the answers that say something of this server alone.
func TestStatus(t *testing.T) {
	o, _ := options(t, script)
	h := handler(o)
	for path, want := range map[string]string{
		"buildinfo": `{"version":"3.16.0","revision":"abc","branch":"","buildUser":"","buildDate":"","goVersion":"go1.26","gometheusVersion":"1.2.3"}`,
		"config":    `{"yaml":"address: localhost:8080\n"}`,
		"flags":     `{"address":"localhost:8080","key":"***"}`,
		"runtimeinfo": `{"startTime":"1970-01-01T00:16:40Z","CWD":"/","hostname":"web-1","serverTime":"1970-01-01T00:30:10Z","reloadConfigSuccess":true,` +
			`"lastConfigTime":"1970-01-01T00:16:40Z","corruptionCount":0,"goroutineCount":7,"GOMAXPROCS":2,"GOMEMLIMIT":1099511627776,"GOGC":"","GODEBUG":"","storageRetention":"15d"}`,
		"walreplay": `{"min":0,"max":0,"current":0}`,
	} {
		w := get(h, "/api/v1/status/"+path)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, `{"status":"success","data":`+want+`}`, w.Body.String())
		require.Empty(t, w.Header().Get("Access-Control-Allow-Origin"))
	}
	o.Runtime = func() (promapi.RuntimeInfo, error) { return promapi.RuntimeInfo{}, errors.New("<no host>") }
	w := get(handler(o), "/api/v1/status/runtimeinfo")
	require.Equal(t, http.StatusInternalServerError, w.Code)
	require.Contains(t, w.Body.String(), `{"status":"error","data":{"startTime":"0001-01-01T00:00:00Z"`)
	require.True(t, strings.HasSuffix(w.Body.String(), `"errorType":"internal","error":"\u003cno host\u003e"}`), w.Body)

	o.Features, o.Metadata, o.Flags = nil, nil, nil
	h = handler(o)
	require.Equal(t, `{"status":"error","errorType":"internal","error":"feature registry not configured"}`, get(h, "/api/v1/features").Body.String())
	require.Equal(t, `{"status":"success","data":{}}`, get(h, "/api/v1/metadata").Body.String())
	require.Equal(t, `{"status":"success","data":{}}`, get(h, "/api/v1/status/flags").Body.String())
}

// TestMetadataJSON: order, escapes and limits.
func TestMetadataJSON(t *testing.T) {
	o, _ := options(t, script)
	h := handler(o)
	for params, want := range map[string]string{
		"":                   `{"gauge":[{"type":"gauge","unit":"","help":"First."},{"type":"gauge","unit":"","help":"Second."}],"total":[{"type":"counter","unit":"bytes","help":"How \u003cmany\u003e."}]}`,
		"limit=0":            `{}`,
		"limit=1":            `{"gauge":[{"type":"gauge","unit":"","help":"First."},{"type":"gauge","unit":"","help":"Second."}]}`,
		"limit_per_metric=1": `{"gauge":[{"type":"gauge","unit":"","help":"First."}],"total":[{"type":"counter","unit":"bytes","help":"How \u003cmany\u003e."}]}`,
		"metric=nothing":     `{}`,
	} {
		require.Equal(t, `{"status":"success","data":`+want+`}`, get(h, "/api/v1/metadata?"+params).Body.String(), params)
	}
}

// TestFederateOpenMetrics: who asks for OpenMetrics gets it, to its end.
func TestFederateOpenMetrics(t *testing.T) {
	o, _ := options(t, script)
	r := httptest.NewRequest(http.MethodGet, "/federate?match[]=gauge&match[]=native", nil)
	r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
	w := httptest.NewRecorder()
	handler(o).ServeHTTP(w, r)
	require.Equal(t, "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores", w.Header().Get("Content-Type"))
	require.Equal(t, `# TYPE gauge unknown
gauge{instance="1",job="a"} 90.0 1800.0
gauge{instance="1",job="b"} 5.0 1800.0
gauge{instance="2",job="a"} -95.0 1800.0
# EOF
`, w.Body.String())
}
