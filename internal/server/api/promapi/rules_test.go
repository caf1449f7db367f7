package promapi_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/promapi"
)

// testRules are two groups.
type testRules struct{}

func (testRules) RuleGroups(context.Context) []promapi.RuleGroup {
	return []promapi.RuleGroup{
		{
			Name: "records", File: "a.yml", Interval: time.Minute, Limit: 5, EvaluationTime: 1500 * time.Millisecond, LastEvaluation: now,
			Rules: []promapi.Rule{{
				Name: "job:gauge:sum", Query: "sum by (job) (gauge)", Labels: labels.FromStrings("team", "x"), Health: "ok",
				EvaluationTime: 250 * time.Millisecond, LastEvaluation: now,
			}},
		},
		{
			Name: "alerts", File: "b.yml", Interval: 30 * time.Second, LastEvaluation: now,
			Rules: []promapi.Rule{{
				Name: "High", Query: "gauge > 50", Labels: labels.FromStrings("severity", "page"), Health: "err", LastError: "<broken>",
				LastEvaluation: now, Alerting: true, State: "firing", For: 90 * time.Second, KeepFiringFor: time.Second,
				Annotations: labels.FromStrings("summary", "too <high>"),
				Alerts: []promapi.Alert{{
					Labels: labels.FromStrings("alertname", "High", "job", "a"), Annotations: labels.EmptyLabels(),
					State: "firing", ActiveAt: now, KeepFiringSince: now, Value: 51,
				}},
			}},
		},
	}
}

const (
	records = `{"name":"records","file":"a.yml","rules":[{"name":"job:gauge:sum","query":"sum by (job) (gauge)","labels":{"team":"x"},"health":"ok",` +
		`"evaluationTime":0.25,"lastEvaluation":"1970-01-01T00:30:10Z","type":"recording"}],"interval":60,"limit":5,"evaluationTime":1.5,"lastEvaluation":"1970-01-01T00:30:10Z"}`
	alert  = `{"labels":{"alertname":"High","job":"a"},"annotations":{},"state":"firing","activeAt":"1970-01-01T00:30:10Z","keepFiringSince":"1970-01-01T00:30:10Z","value":"5.1e+01"}`
	alerts = `{"name":"alerts","file":"b.yml","rules":[{"state":"firing","name":"High","query":"gauge \u003e 50","duration":90,"keepFiringFor":1,"labels":{"severity":"page"},` +
		`"annotations":{"summary":"too <high>"},"alerts":[` + alert + `],"health":"err","lastError":"\u003cbroken\u003e","evaluationTime":0,"lastEvaluation":"1970-01-01T00:30:10Z","type":"alerting"}],` +
		`"interval":30,"limit":0,"evaluationTime":0,"lastEvaluation":"1970-01-01T00:30:10Z"}`
)

func TestRules(t *testing.T) {
	o, _ := options(t, script)
	o.Rules = testRules{}
	h := handler(o)
	ask := func(params url.Values) string {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/rules?"+params.Encode(), nil))
		require.Equal(t, http.StatusOK, w.Code, w.Body)
		return w.Body.String()
	}
	groups := func(list string) string { return `{"status":"success","data":{"groups":[` + list + `]}}` }
	for _, c := range []struct {
		name   string
		params url.Values
		want   string
	}{
		{"all", nil, groups(records + "," + alerts)},
		{"alert", url.Values{"type": {"ALERT"}}, groups(alerts)},
		{"record", url.Values{"type": {"record"}}, groups(records)},
		{"name", url.Values{"rule_name[]": {"High", "x"}}, groups(alerts)},
		{"group", url.Values{"rule_group[]": {"records"}}, groups(records)},
		{"file", url.Values{"file[]": {"a.yml", "b.yml"}}, groups(records + "," + alerts)},
		{"labels", url.Values{"match[]": {`{severity="page"}`, `{team="y"}`}}, groups(alerts)},
		{"none", url.Values{"match[]": {`{severity="page", team="x"}`}}, groups("")},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, ask(c.params)) })
	}
	require.Contains(t, ask(url.Values{"exclude_alerts": {"true"}}), `"alerts":null`)

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/alerts", nil))
	require.Equal(t, `{"status":"success","data":{"alerts":[`+alert+`]}}`, w.Body.String())

	// Page by page.
	var page struct {
		Data struct {
			Groups []struct{ Name string }
			Next   string `json:"groupNextToken"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(ask(url.Values{"group_limit": {"1"}})), &page))
	require.Equal(t, "records", page.Data.Groups[0].Name)
	next := ask(url.Values{"group_limit": {"1"}, "group_next_token": {page.Data.Next}})
	require.Equal(t, groups(alerts), next)
}
