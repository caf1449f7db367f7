package conformance

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/promapi"
)

// managed are the rules of their manager, for our API.
type managed struct{ m *rules.Manager }

func (s managed) RuleGroups(context.Context) (out []promapi.RuleGroup) {
	for _, g := range s.m.RuleGroups() {
		group := promapi.RuleGroup{
			Name: g.Name(), File: g.File(), Interval: g.Interval(), Limit: g.Limit(),
			EvaluationTime: g.GetEvaluationTime(), LastEvaluation: g.GetLastEvaluation(),
		}
		for _, r := range g.Rules() {
			rule := promapi.Rule{
				Name: r.Name(), Query: r.Query().String(), Labels: r.Labels(), Health: string(r.Health()),
				EvaluationTime: r.GetEvaluationDuration(), LastEvaluation: r.GetEvaluationTimestamp(),
			}
			if err := r.LastError(); err != nil {
				rule.LastError = err.Error()
			}
			if a, ok := r.(*rules.AlertingRule); ok {
				rule.Alerting, rule.State, rule.For, rule.KeepFiringFor = true, a.State().String(), a.HoldDuration(), a.KeepFiringFor()
				rule.Annotations = a.Annotations()
				for _, active := range a.ActiveAlerts() {
					rule.Alerts = append(rule.Alerts, promapi.Alert{
						Labels: active.Labels, Annotations: active.Annotations, State: active.State.String(),
						ActiveAt: active.ActiveAt, KeepFiringSince: active.KeepFiringSince, Value: active.Value,
					})
				}
			}
			group.Rules = append(group.Rules, rule)
		}
		out = append(out, group)
	}
	return out
}

const ruleFile = `groups:
- name: first <group>
  interval: 45s
  limit: 3
  rules:
  - record: job:gauge:sum
    expr: sum by (job) (gauge)
    labels: {team: "<x>", zone: a}
  - record: broken:rule
    expr: gauge * on () left
- name: second
  rules:
  - alert: One
    expr: gauge{instance="3"} == 0
    labels: {severity: page}
    annotations: {summary: "{{ $labels.job }} is <{{ $value }}>"}
  - alert: Pending
    expr: special{v="inf"} > 0
    for: 1m30s
  - alert: Quiet
    expr: gauge > 1e9
    keep_firing_for: 5m
- name: third
  rules:
  - record: x
    expr: vector(1)
`

// TestRules: the same rules, evaluated once, are told of in the same words.
func TestRules(t *testing.T) {
	b := newBench(t, false)
	file := filepath.Join(t.TempDir(), "<rules>.yml")
	require.NoError(t, os.WriteFile(file, []byte(ruleFile), 0o600))
	require.NoError(t, b.rules.Update(time.Minute, []string{file}, labels.EmptyLabels(), "", nil))
	evaluate := func(at int64) {
		for _, g := range b.rules.RuleGroups() {
			g.Eval(t.Context(), time.Unix(at, 0))
		}
	}
	get := func(params ...string) reply {
		t.Helper()
		return b.same(t, ask{method: http.MethodGet, path: "/api/v1/rules", params: p(params...)})
	}
	get()
	evaluate(1200)
	all := get()
	require.Contains(t, all.body, `"state":"firing"`)
	require.Contains(t, all.body, `"state":"pending"`)
	require.Contains(t, all.body, `"health":"err"`)
	require.Contains(t, b.same(t, ask{method: http.MethodGet, path: "/api/v1/alerts"}).body, `"alertname":"One"`)
	for _, params := range [][]string{
		{"type=alert"},
		{"type=record"},
		{"exclude_alerts=true"},
		{"rule_name[]=One"},
		{"rule_name[]=One", "rule_name[]=x"},
		{"rule_group[]=second"},
		{"file[]=" + file},
		{"file[]=x"},
		{"match[]={team=~\".+\"}"},
		{"match[]={severity=\"page\"}", "match[]={zone=\"a\"}"},
		{"match[]={severity=\"page\", zone=\"a\"}"},
		{"group_limit=1"},
		{"group_limit=2"},
		{"group_limit=3"},
		{"group_limit=1", "type=alert"},
		{"group_limit=1", "group_next_token=x"},
		{"group_limit=1", "rule_group[]=third"},
	} {
		get(params...)
	}
	token := ""
	for range 3 { // page by page
		params := []string{"group_limit=1"}
		if token != "" {
			params = append(params, "group_next_token="+token)
		}
		token = between(get(params...).body, `"groupNextToken":"`, `"`)
	}
	require.Empty(t, token)
	evaluate(1320)
	require.NotContains(t, get().body, `"state":"pending"`)
}
