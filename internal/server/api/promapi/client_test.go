package promapi_test

import (
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/promapi"
)

// TestClient calls every method of the official Go client.
func TestClient(t *testing.T) {
	o, st := options(t, script)
	app := st.AppenderV2(t.Context())
	_, err := app.Append(0, labels.FromStrings("__name__", "traced_total"), 0, 1_000_000, 1, nil, nil, storage.AppendV2Options{
		Exemplars: []exemplar.Exemplar{{Labels: labels.FromStrings("trace_id", "x"), Value: 0.5, Ts: 1_000_001, HasTs: true}},
	})
	require.NoError(t, err)
	require.NoError(t, app.Commit())
	o.Rules = testRules{}
	srv := httptest.NewServer(handler(o))
	t.Cleanup(srv.Close)
	c, err := api.NewClient(api.Config{Address: srv.URL})
	require.NoError(t, err)
	a := v1.NewAPI(c)
	ctx := t.Context()
	from, to := time.Unix(0, 0), time.Unix(1800, 0)

	methods := map[string]func(t *testing.T){
		"Query": func(t *testing.T) {
			v, warnings, infos, err := a.Query(ctx, "rate(gauge[5m])", to, v1.WithTimeout(time.Second), v1.WithLimit(2), v1.WithLookbackDelta(time.Minute), v1.WithStats(v1.AllStatsValue))
			require.NoError(t, err)
			require.Equal(t, v1.Warnings{"results truncated due to limit"}, warnings)
			require.Len(t, infos, 1)
			require.Len(t, v, 2)
			v, _, _, err = a.Query(ctx, "gauge", to)
			require.NoError(t, err)
			require.Len(t, v, 3)
			v, _, _, err = a.Query(ctx, "native", to)
			require.NoError(t, err)
			require.InEpsilon(t, 12.0, float64(v.(model.Vector)[0].Histogram.Count), 1e-9)
			v, _, _, err = a.Query(ctx, "1.5", to)
			require.NoError(t, err)
			require.InEpsilon(t, 1.5, float64(v.(*model.Scalar).Value), 1e-9)
			_, _, _, err = a.Query(ctx, "(", to)
			require.Equal(t, v1.ErrBadData, err.(*v1.Error).Type) //nolint:errorlint // it isn't wrapped
		},
		"QueryRange": func(t *testing.T) {
			v, _, _, err := a.QueryRange(ctx, "gauge", v1.Range{Start: from, End: to, Step: time.Minute})
			require.NoError(t, err)
			m := v.(model.Matrix)
			require.Len(t, m, 3)
			require.Len(t, m[0].Values, 31)
		},
		"QueryExemplars": func(t *testing.T) {
			res, err := a.QueryExemplars(ctx, "traced_total", from, to)
			require.NoError(t, err)
			require.Len(t, res, 1)
			require.Equal(t, model.LabelSet{"trace_id": "x"}, res[0].Exemplars[0].Labels)
		},
		"Series": func(t *testing.T) {
			res, _, _, err := a.Series(ctx, []string{"gauge", `{job="a"}`}, from, to)
			require.NoError(t, err)
			require.Len(t, res, 5)
		},
		"LabelNames": func(t *testing.T) {
			res, _, _, err := a.LabelNames(ctx, []string{"gauge"}, from, to)
			require.NoError(t, err)
			require.Equal(t, model.LabelNames{"__name__", "instance", "job"}, res)
		},
		"LabelValues": func(t *testing.T) {
			res, _, _, err := a.LabelValues(ctx, "job", nil, from, to)
			require.NoError(t, err)
			require.Equal(t, model.LabelValues{"a", "b"}, res)
		},
		"Metadata": func(t *testing.T) {
			res, err := a.Metadata(ctx, "", "")
			require.NoError(t, err)
			require.Equal(t, map[string][]v1.Metadata{
				"gauge": {{Type: "gauge", Help: "First."}, {Type: "gauge", Help: "Second."}}, "total": {{Type: "counter", Help: "How <many>.", Unit: "bytes"}},
			}, res)
			res, err = a.Metadata(ctx, "total", "1")
			require.NoError(t, err)
			require.Len(t, res, 1)
			res, err = a.Metadata(ctx, "", "1")
			require.NoError(t, err)
			require.Equal(t, []string{"gauge"}, slices.Collect(maps.Keys(res)))
		},
		"FormatQuery": func(t *testing.T) {
			res, err := a.FormatQuery(ctx, "sum(gauge)by(job)")
			require.NoError(t, err)
			require.JSONEq(t, `"sum by (job) (gauge)"`, res) // the client leaves it encoded
		},
		"Buildinfo": func(t *testing.T) {
			res, err := a.Buildinfo(ctx)
			require.NoError(t, err)
			require.Equal(t, v1.BuildinfoResult{Version: promapi.PrometheusVersion, Revision: "abc", GoVersion: "go1.26"}, res)
		},
		"Runtimeinfo": func(t *testing.T) {
			res, err := a.Runtimeinfo(ctx)
			require.NoError(t, err)
			require.Equal(t, "15d", res.StorageRetention)
			require.True(t, res.StartTime.Equal(time.Unix(1000, 0)))
			require.Equal(t, 7, res.GoroutineCount)
		},
		"Config": func(t *testing.T) {
			res, err := a.Config(ctx)
			require.NoError(t, err)
			require.Equal(t, "address: localhost:8080\n", res.YAML)
		},
		"Flags": func(t *testing.T) {
			res, err := a.Flags(ctx)
			require.NoError(t, err)
			require.Equal(t, v1.FlagsResult{"address": "localhost:8080", "key": "***"}, res)
		},
		"TSDB": func(t *testing.T) {
			res, err := a.TSDB(ctx, v1.WithLimit(1))
			require.NoError(t, err)
			require.Equal(t, 6, res.HeadStats.NumSeries)
			require.Equal(t, 42, res.HeadStats.ChunkCount)
			require.Equal(t, []v1.Stat{{Name: "gauge", Value: 3}}, res.SeriesCountByMetricName)
		},
		"TSDBBlocks": func(t *testing.T) {
			_, err := a.TSDBBlocks(ctx)
			require.NoError(t, err)
		},
		"WalReplay": func(t *testing.T) {
			_, err := a.WalReplay(ctx)
			require.NoError(t, err)
		},
		"Targets": func(t *testing.T) {
			res, err := a.Targets(ctx)
			require.NoError(t, err)
			require.Empty(t, res.Active)
		},
		"TargetsMetadata": func(t *testing.T) {
			res, err := a.TargetsMetadata(ctx, "", "", "")
			require.NoError(t, err)
			require.Empty(t, res)
		},
		"AlertManagers": func(t *testing.T) {
			res, err := a.AlertManagers(ctx)
			require.NoError(t, err)
			require.Empty(t, res.Active)
		},
		"Alerts": func(t *testing.T) {
			res, err := a.Alerts(ctx)
			require.NoError(t, err)
			require.Len(t, res.Alerts, 1)
			require.Equal(t, model.LabelSet{"alertname": "High", "job": "a"}, res.Alerts[0].Labels)
		},
		"Rules": func(t *testing.T) {
			res, err := a.Rules(ctx, nil)
			require.NoError(t, err)
			require.Len(t, res.Groups, 2)
			require.Equal(t, v1.RecordingRule{Name: "job:gauge:sum", Query: "sum by (job) (gauge)", Labels: model.LabelSet{"team": "x"}, Health: "ok", EvaluationTime: 0.25, LastEvaluation: now}, res.Groups[0].Rules[0])
			require.Equal(t, "High", res.Groups[1].Rules[0].(v1.AlertingRule).Name)
			res, err = a.Rules(ctx, []string{`{severity="page"}`})
			require.NoError(t, err)
			require.Len(t, res.Groups, 1)
		},
		"Snapshot": func(t *testing.T) {
			res, err := a.Snapshot(ctx, false)
			require.NoError(t, err)
			entries, err := os.ReadDir(filepath.Join(o.Dir, "snapshots", res.Name))
			require.NoError(t, err)
			require.NotEmpty(t, entries)
		},
		"DeleteSeries": func(t *testing.T) {
			require.NoError(t, a.DeleteSeries(ctx, []string{"total"}, from, to))
			v, _, _, err := a.Query(ctx, "total", to)
			require.NoError(t, err)
			require.Empty(t, v)
		},
		"CleanTombstones": func(t *testing.T) { require.NoError(t, a.CleanTombstones(ctx)) },
	}
	all := reflect.TypeFor[v1.API]()
	for m := range all.Methods() {
		require.Contains(t, methods, m.Name, "a method that isn't tested")
	}
	// What changes something comes last.
	last := []string{"Snapshot", "DeleteSeries", "CleanTombstones"}
	for _, name := range slices.Sorted(maps.Keys(methods)) {
		if !slices.Contains(last, name) {
			t.Run(name, methods[name])
		}
	}
	for _, name := range last {
		t.Run(name, methods[name])
	}
}
