package historytest

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// filled is a server with some pushes.
func filled(t *testing.T, settings ...string) *server {
	t.Helper()
	s := startServer(t, settings...)
	for range 3 {
		s.push(`[{"id":"sales_total","type":"counter","delta":2,"labels":{"till":"7"}},{"id":"sales_total","type":"counter","delta":1,"labels":{"till":"8"}},
			{"id":"load","type":"gauge","value":0.5,"labels":{"instance":"web-1"}}]`)
	}
	return s
}

// TestPromtool asks with the program of another release.
func TestPromtool(t *testing.T) {
	program := debian(t, "promtool")
	s := filled(t)
	query := func(args ...string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), program, append([]string{"query"}, args...)...).CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Contains(t, query("instant", s.url, `sum(sales_total)`), "{} => 9 @[")
	require.Contains(t, query("instant", s.url, `sales_total{till="7"}`), `sales_total{till="7"} => 6 @[`)
	require.Contains(t, query("range", "--step=1s", s.url, `load`), `load{instance="web-1"} =>`+"\n0.5 @[")
	require.Contains(t, query("series", "--match=sales_total", s.url), `{__name__="sales_total", till="8"}`)
	require.Equal(t, "7\n8\n", query("labels", s.url, "till"))
	out, err := exec.CommandContext(t.Context(), program, "query", "instant", s.url, "sum(").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "bad_data")
}

// TestOwnMetricsAreClean: neither an old promtool nor the newest rules object to
// GET /metrics.
func TestOwnMetricsAreClean(t *testing.T) {
	s := filled(t)
	s.get("/api/v1/query?query=up")
	s.get("/value/counter/nothing")
	s.do("POST", "/updates", "[")
	s.do("POST", "/api/v1/write", "x", "Content-Type", "application/x-protobuf", "Content-Encoding", "snappy")
	a := s.get("/metrics")
	for _, name := range []string{
		`gometheus_batches_total{result="applied"} 3`, `gometheus_metrics_total{type="counter"} 6`, `gometheus_rejected_total{reason="`,
		`gometheus_history_samples_total{outcome="appended"} `, `gometheus_storage_apply_duration_seconds_count 3`, `route="/api/v1/query"`,
		"\ngometheus_series 3\n", `gometheus_journal_bytes `, `gometheus_journal_failing 0`, `prometheus_tsdb_head_series `, `prometheus_engine_query_duration_seconds{`, `go_goroutines `, `process_resident_memory_bytes `,
	} {
		require.True(t, strings.Contains(a.body, name), name)
	}
	problems, err := promlint.New(strings.NewReader(a.body)).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)

	cmd := exec.CommandContext(t.Context(), debian(t, "promtool"), "check", "metrics")
	cmd.Stdin = strings.NewReader(a.body)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
}

// TestGoClient asks with the official client library.
func TestGoClient(t *testing.T) {
	s := filled(t, "ENABLE_ADMIN_API=true")
	c, err := api.NewClient(api.Config{Address: s.url, Client: s.client})
	require.NoError(t, err)
	prom := v1.NewAPI(c)
	ctx, now := t.Context(), time.Now()

	v, warnings, infos, err := prom.Query(ctx, `sum(sales_total)`, now.Add(time.Second))
	require.NoError(t, err)
	require.Empty(t, warnings)
	require.Empty(t, infos)
	require.InDelta(t, 9, float64(v.(model.Vector)[0].Value), 0)
	v, _, _, err = prom.Query(ctx, `sales_total[5m]`, now.Add(time.Second))
	require.NoError(t, err)
	require.Len(t, v, 2)
	v, _, _, err = prom.QueryRange(ctx, `load`, v1.Range{Start: now.Add(-time.Minute), End: now.Add(time.Second), Step: time.Second})
	require.NoError(t, err)
	require.Equal(t, model.LabelValue("web-1"), v.(model.Matrix)[0].Metric["instance"])
	_, _, _, err = prom.Query(ctx, `sum(`, now)
	var fault *v1.Error
	require.ErrorAs(t, err, &fault)
	require.Equal(t, v1.ErrBadData, fault.Type)

	sets, _, _, err := prom.Series(ctx, []string{"sales_total"}, now.Add(-time.Hour), now.Add(time.Hour))
	require.NoError(t, err)
	require.Len(t, sets, 2)
	names, _, _, err := prom.LabelNames(ctx, nil, now.Add(-time.Hour), now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, model.LabelNames{"__name__", "instance", "till"}, names)
	values, _, _, err := prom.LabelValues(ctx, "till", nil, now.Add(-time.Hour), now.Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, model.LabelValues{"7", "8"}, values)
	meta, err := prom.Metadata(ctx, "", "")
	require.NoError(t, err)
	require.Equal(t, v1.MetricTypeCounter, meta["sales_total"][0].Type)
	require.Equal(t, v1.MetricTypeGauge, meta["load"][0].Type)
	_, err = prom.QueryExemplars(ctx, "load", now.Add(-time.Hour), now)
	require.NoError(t, err)

	build, err := prom.Buildinfo(ctx)
	require.NoError(t, err)
	require.Regexp(t, `^\d+\.\d+\.\d+`, build.Version)
	info, err := prom.Runtimeinfo(ctx)
	require.NoError(t, err)
	require.WithinDuration(t, now, info.StartTime, time.Minute)
	flags, err := prom.Flags(ctx)
	require.NoError(t, err)
	require.Equal(t, "true", flags["enable-admin-api"])
	_, err = prom.Config(ctx)
	require.NoError(t, err)
	stats, err := prom.TSDB(ctx)
	require.NoError(t, err)
	require.Equal(t, 3, stats.HeadStats.NumSeries)
	targets, err := prom.Targets(ctx)
	require.NoError(t, err)
	require.Empty(t, targets.Active)
	rules, err := prom.Rules(ctx, nil)
	require.NoError(t, err)
	require.Empty(t, rules.Groups)
	alerts, err := prom.Alerts(ctx)
	require.NoError(t, err)
	require.Empty(t, alerts.Alerts)
	_, err = prom.WalReplay(ctx)
	require.NoError(t, err)

	snapshot, err := prom.Snapshot(ctx, false)
	require.NoError(t, err)
	require.NotEmpty(t, snapshot.Name)
	require.NoError(t, prom.DeleteSeries(ctx, []string{`sales_total{till="8"}`}, now.Add(-time.Hour), now.Add(time.Hour)))
	require.NoError(t, prom.CleanTombstones(ctx))
	v, _, _, err = prom.Query(ctx, `count(sales_total)`, now.Add(time.Second))
	require.NoError(t, err)
	require.InDelta(t, 1, float64(v.(model.Vector)[0].Value), 0)
}
