package promapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
)

// Rules is where the rules are.
type Rules interface {
	// RuleGroups returns all groups, sorted by file and name.
	RuleGroups(ctx context.Context) []RuleGroup
}

// RuleGroup is rules that are evaluated one after the other.
type RuleGroup struct {
	Name, File     string
	Interval       time.Duration
	Limit          int // of the series of one rule; 0 is none
	EvaluationTime time.Duration
	LastEvaluation time.Time
	Rules          []Rule
}

// Rule is a recording rule, or, with Alerting, an alerting one, which alone has
// the fields after it.
type Rule struct {
	Name, Query    string
	Labels         labels.Labels
	Health         string // ok, err or unknown
	LastError      string
	EvaluationTime time.Duration
	LastEvaluation time.Time

	Alerting           bool
	State              string // inactive, pending or firing
	For, KeepFiringFor time.Duration
	Annotations        labels.Labels
	Alerts             []Alert // those that are pending or firing
}

// Alert is one series of an alerting rule.
type Alert struct {
	Labels, Annotations labels.Labels
	State               string
	ActiveAt            time.Time
	KeepFiringSince     time.Time // zero: it isn't kept
	Value               float64
}

func (a *API) ruleGroups(ctx context.Context) []RuleGroup {
	if a.o.Rules == nil {
		return nil
	}
	return a.o.Rules.RuleGroups(ctx)
}

// alerts lists all active alerts.
func (a *API) alerts(r *http.Request) answer {
	var list []Alert
	for _, g := range a.ruleGroups(r.Context()) {
		for _, rule := range g.Rules {
			list = append(list, rule.Alerts...)
		}
	}
	return answer{data: func(o *output) {
		o.b = append(o.b, `{"alerts":`...)
		o.alerts(list)
		o.b = append(o.b, '}')
	}}
}

// rulesQuery is what rules is asked for.
type rulesQuery struct {
	names, groups, files []string
	matchers             [][]*labels.Matcher
	kind                 string // alert, record, or "" for both
	noAlerts             bool
	limit                int // groups a page; 0 is all
	next                 string
}

func (a *API) rulesQuery(r *http.Request) (q rulesQuery, fault *Error) {
	if err := r.ParseForm(); err != nil {
		return q, fail(BadData, fmt.Errorf("error parsing form values: %w", err)).err
	}
	q.names, q.groups, q.files = r.Form["rule_name[]"], r.Form["rule_group[]"], r.Form["file[]"]
	var err error
	if q.matchers, err = a.matchers(r); err != nil {
		return q, fail(BadData, err).err
	}
	url := r.URL.Query()
	q.kind = strings.ToLower(url.Get("type"))
	if q.kind != "" && q.kind != "alert" && q.kind != "record" {
		return q, badParam("type", fmt.Errorf("not supported value %q", q.kind)).err
	}
	if s := strings.ToLower(url.Get("exclude_alerts")); s != "" {
		if q.noAlerts, err = strconv.ParseBool(s); err != nil {
			return q, badParam("exclude_alerts", fmt.Errorf("error converting exclude_alerts: %w", err)).err
		}
	}
	limit := url.Get("group_limit")
	q.next = url.Get("group_next_token")
	if limit == "" {
		if q.next != "" {
			return q, badParam("group_next_token", errors.New("group_limit needs to be present in order to paginate over the groups")).err
		}
		return q, nil
	}
	n, err := strconv.ParseInt(limit, 10, 32)
	if err != nil {
		return q, badParam("group_limit", fmt.Errorf("group_limit needs to be a valid number: %w", err)).err
	}
	if n <= 0 {
		return q, badParam("group_limit", errors.New("group_limit needs to be greater than 0")).err
	}
	q.limit = int(n)
	return q, nil
}

// rules lists the groups that have a rule as asked for, page by page.
func (a *API) rules(r *http.Request) answer {
	q, fault := a.rulesQuery(r)
	if fault != nil {
		return answer{err: fault}
	}
	all := a.ruleGroups(r.Context())
	if q.next != "" {
		first := slices.IndexFunc(all, func(g RuleGroup) bool { return pageToken(g) == q.next })
		if first < 0 {
			return badParam("group_next_token", fmt.Errorf("invalid group_next_token '%v'. were rule groups changed?", q.next))
		}
		all = all[first:]
	}
	var (
		page []RuleGroup
		next string
	)
	for _, g := range all {
		if !oneOf(q.groups, g.Name) || !oneOf(q.files, g.File) {
			continue
		}
		g.Rules = q.choose(g.Rules)
		if len(g.Rules) == 0 {
			continue
		}
		if q.limit > 0 && len(page) == q.limit {
			next = pageToken(g)
			break
		}
		page = append(page, g)
	}
	return answer{data: func(o *output) {
		o.b = append(o.b, `{"groups":[`...)
		for i := range page {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.ruleGroup(&page[i], q.noAlerts)
			if !o.spill() {
				return
			}
		}
		o.b = append(o.b, ']')
		if next != "" {
			o.field(`,"groupNextToken":`, next)
		}
		o.b = append(o.b, '}')
	}}
}

// choose returns the rules that were asked for.
func (q *rulesQuery) choose(all []Rule) (out []Rule) {
	for _, rule := range all {
		kind := "record"
		if rule.Alerting {
			kind = "alert"
		}
		if oneOf(q.names, rule.Name) && (q.kind == "" || q.kind == kind) && matchesAny(q.matchers, rule.Labels) {
			out = append(out, rule)
		}
	}
	return out
}

func oneOf(list []string, s string) bool { return len(list) == 0 || slices.Contains(list, s) }

func matchesAny(sets [][]*labels.Matcher, ls labels.Labels) bool {
	if len(sets) == 0 {
		return true
	}
	return slices.ContainsFunc(sets, func(set []*labels.Matcher) bool {
		return !slices.ContainsFunc(set, func(m *labels.Matcher) bool { return !m.Matches(ls.Get(m.Name)) })
	})
}

// pageToken names a group where a page may begin.
func pageToken(g RuleGroup) string {
	sum := sha256.Sum256([]byte(g.File + ";" + g.Name))
	return hex.EncodeToString(sum[:])
}

func (o *output) seconds(key string, d time.Duration) {
	o.b = append(o.b, key...)
	o.b = appendNumber(o.b, d.Seconds())
}

func (o *output) time(key string, t time.Time) {
	o.b = append(o.b, key...)
	o.b = appendTime(o.b, t)
}

func (o *output) labels(key string, ls labels.Labels) {
	o.b = append(o.b, key...)
	o.b = appendLabels(o.b, ls)
}

func (o *output) ruleGroup(g *RuleGroup, noAlerts bool) {
	o.field(`{"name":`, g.Name)
	o.field(`,"file":`, g.File)
	o.b = append(o.b, `,"rules":[`...)
	for i := range g.Rules {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.rule(&g.Rules[i], noAlerts)
	}
	o.seconds(`],"interval":`, g.Interval)
	o.int(`,"limit":`, int64(g.Limit))
	o.seconds(`,"evaluationTime":`, g.EvaluationTime)
	o.time(`,"lastEvaluation":`, g.LastEvaluation)
	o.b = append(o.b, '}')
}

func (o *output) rule(r *Rule, noAlerts bool) {
	kind := "recording"
	if r.Alerting {
		kind = "alerting"
		o.field(`{"state":`, r.State)
		o.field(`,"name":`, r.Name)
		o.field(`,"query":`, r.Query)
		o.seconds(`,"duration":`, r.For)
		o.seconds(`,"keepFiringFor":`, r.KeepFiringFor)
		o.labels(`,"labels":`, r.Labels)
		o.labels(`,"annotations":`, r.Annotations)
		o.b = append(o.b, `,"alerts":`...)
		if noAlerts {
			o.b = append(o.b, `null`...)
		} else {
			o.alerts(r.Alerts)
		}
	} else {
		o.field(`{"name":`, r.Name)
		o.field(`,"query":`, r.Query)
		o.labels(`,"labels":`, r.Labels)
	}
	o.field(`,"health":`, r.Health)
	if r.LastError != "" {
		o.field(`,"lastError":`, r.LastError)
	}
	o.seconds(`,"evaluationTime":`, r.EvaluationTime)
	o.time(`,"lastEvaluation":`, r.LastEvaluation)
	o.field(`,"type":`, kind)
	o.b = append(o.b, '}')
}

func (o *output) alerts(list []Alert) {
	o.b = append(o.b, '[')
	for i, alert := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.labels(`{"labels":`, alert.Labels)
		o.labels(`,"annotations":`, alert.Annotations)
		o.field(`,"state":`, alert.State)
		o.time(`,"activeAt":`, alert.ActiveAt)
		if !alert.KeepFiringSince.IsZero() {
			o.time(`,"keepFiringSince":`, alert.KeepFiringSince)
		}
		o.field(`,"value":`, strconv.FormatFloat(alert.Value, 'e', -1, 64))
		o.b = append(o.b, '}')
	}
	o.b = append(o.b, ']')
}
