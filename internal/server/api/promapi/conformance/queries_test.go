package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/require"
)

// vectors select each kind of series; all but the last have more than one.
var vectors = []string{
	`gauge`, `total`, `ends`, `special`, `classic_bucket`, `native`, `custom`, `mixed`, `{"cpu.load"}`,
	`{__name__=~"native|custom|gauge"}`, `odd`, `sizes`, `nothing`,
}

// special are calls of functions that take strings, or are of no use without
// arguments made for them.
var special = map[string][]string{
	"label_replace": {
		`label_replace(gauge, "new", "$1-<&>", "job", "(.*)")`, `label_replace(odd, "ä", "$1", "value", "(?s)(.*)")`,
		`label_replace(gauge, "job", "", "job", ".*")`, `label_replace(gauge, "~", "x", "job", ".*")`, `label_replace(gauge, "x", "y", "job", "(")`,
		`label_replace(gauge, "instance", "1", "", "")`,
	},
	"label_join":         {`label_join(gauge, "new", "-", "job", "instance")`, `label_join(odd, "n", "\"<", "value", "n")`, `label_join(gauge, "instance", "")`},
	"sort_by_label":      {`sort_by_label(dotted, "n")`, `sort_by_label(gauge, "instance", "job")`},
	"sort_by_label_desc": {`sort_by_label_desc(dotted, "n")`, `sort_by_label_desc(gauge, "zone")`},
	"histogram_quantile": {
		`histogram_quantile(0.9, classic_bucket)`, `histogram_quantile(0.5, native)`, `histogram_quantile(0.5, custom)`, `histogram_quantile(2, native)`,
		`histogram_quantile(-1, classic_bucket)`, `histogram_quantile(0.9, sum by (le, job) (rate(classic_bucket[5m])))`, `histogram_quantile(0.9, gauge)`,
		`histogram_quantile(NaN, custom)`, `histogram_quantile(0.5, {__name__=~"native|classic_bucket"})`,
	},
	"histogram_quantiles": {
		`histogram_quantiles(native, "q", 0.1, 0.9)`, `histogram_quantiles(classic_bucket, "quantile", 0.5)`, `histogram_quantiles(custom, "le", 0, 1)`,
	},
	"histogram_fraction": {`histogram_fraction(0, 1, native)`, `histogram_fraction(-Inf, 2, custom)`, `histogram_fraction(0.1, 1, classic_bucket)`},
	"info":               {`info(gauge)`, `info(gauge, {version=~".+"})`, `info(gauge, {region="eu"})`, `info(nothing)`},
	"scalar":             {`scalar(one{job="a"})`, `scalar(gauge)`, `scalar(nothing)`, `scalar(native{job="a"})`},
	"vector":             {`vector(1)`, `vector(NaN)`, `vector(1e300)`, `vector(time())`},
	"absent":             {`absent(nothing)`, `absent(nothing{a="<b>", c=~"d"})`, `absent(gauge)`},
	"absent_over_time":   {`absent_over_time(nothing{a="\"b"}[5m])`, `absent_over_time(gauge[5m])`},
	"quantile_over_time": {`quantile_over_time(0.3, gauge[7m])`, `quantile_over_time(2, special[7m])`, `quantile_over_time(scalar(one{job="b"}), gauge[3m:1m])`},
	"predict_linear":     {`predict_linear(gauge[10m], 3600)`, `predict_linear(native[10m], 3600)`},
	"double_exponential_smoothing": {
		`double_exponential_smoothing(gauge[10m], 0.5, 0.1)`, `double_exponential_smoothing(gauge[10m], 2, 0.1)`,
	},
	"round":           {`round(gauge, 0.3)`, `round(special)`, `round(gauge, 0)`},
	"clamp":           {`clamp(gauge, 2, 50)`, `clamp(gauge, 50, 2)`, `clamp(special, NaN, 1)`},
	"start_timestamp": {`start_timestamp(traced_total)`},
	"pi":              {`pi()`, `pi() * gauge`},
}

// calls generates calls of f with each kind of series.
func calls(f *parser.Function) (out []string) {
	least, most := len(f.ArgTypes), len(f.ArgTypes)
	switch {
	case f.Variadic > 0:
		least, most = len(f.ArgTypes)-1, len(f.ArgTypes)-1+f.Variadic
	case f.Variadic < 0:
		least, most = len(f.ArgTypes)-1, len(f.ArgTypes)+1
	}
	for n := max(least, 0); n <= most; n++ {
		for i, v := range vectors {
			args := make([]string, n)
			for j := range args {
				switch f.ArgTypes[min(j, len(f.ArgTypes)-1)] {
				case parser.ValueTypeVector:
					args[j] = v
				case parser.ValueTypeMatrix:
					args[j] = v + []string{"[5m]", "[7m:45s]", "[150s] offset 30s"}[i%3]
				case parser.ValueTypeScalar:
					args[j] = []string{"0.5", "3", "-1", "scalar(one{job=\"a\"})"}[i%4]
				default: // a string
					args[j] = `"job"`
				}
			}
			out = append(out, f.Name+"("+strings.Join(args, ", ")+")")
			if n == 0 {
				break
			}
		}
	}
	return append(out, special[f.Name]...)
}

// keywords returns the parser's operators and aggregators.
func keywords(is func(parser.ItemType) bool) (out []string) {
	for typ, s := range parser.ItemTypeStr {
		if is(typ) && typ != parser.EQL_REGEX && typ != parser.NEQ_REGEX && typ != parser.AT {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func aggregations() (out []string) {
	for _, op := range keywords(parser.ItemType.IsAggregator) {
		params := map[string][]string{
			"topk": {"2", "0", "scalar(one)", "NaN"}, "bottomk": {"1", "1e10"}, "quantile": {"0.9", "-1", "NaN"}, "limitk": {"2", "1"},
			"limit_ratio": {"0.5", "-0.5", "2"}, "count_values": {`"value"`, `"job"`, `"ä"`},
		}[op]
		if params == nil {
			params = []string{""}
		}
		for _, param := range params {
			if param != "" {
				param += ", "
			}
			for _, v := range vectors {
				for _, group := range []string{"", "by (job)", "without (job, instance)", "by ()", `by ("host.name", job)`} {
					out = append(out, fmt.Sprintf("%s %s (%s%s)", op, group, param, v))
				}
			}
		}
	}
	return out
}

func operators() (out []string) {
	for _, op := range keywords(parser.ItemType.IsOperator) {
		set := op == "and" || op == "or" || op == "unless"
		comparison := strings.ContainsAny(op, "=<>") && !strings.Contains(op, "/")
		mods := []string{
			"", "on (job)", "on (id)", "ignoring (extra)", "ignoring (extra) group_left", "on (job) group_left",
			"on (id) group_left (extra)", "on (id) group_right ()", "on (job) group_right (id)", "on ()",
			"on (id) fill (0)", "on (id) fill_left (-1)", "on (id) fill_right (2.5)", "on (id) group_left (extra) fill_right (1e-7)", "fill (NaN)",
		}
		for _, mod := range mods {
			out = append(out, fmt.Sprintf("left %s %s right", op, mod), fmt.Sprintf("right %s %s left", op, mod))
			if comparison {
				out = append(out, fmt.Sprintf("left %s bool %s right", op, mod))
			}
		}
		out = append(
			out,
			"left "+op+" on (job) one", "left "+op+" on (job) group_left () one", "one "+op+" on (job) group_right () left",
			"native "+op+" native", "custom "+op+" custom", "native "+op+" on (job) custom", "gauge "+op+" gauge", "special "+op+" special",
			"native "+op+" on (job) one", "mixed "+op+" mixed", "one "+op+" on (job) native", `{"cpu.load"} `+op+` on () group_right () gauge`,
		)
		if !set {
			out = append(
				out,
				"2 "+op+" 3", "gauge "+op+" 2", "2 "+op+" gauge", "special "+op+" 0", "0 "+op+" special", "native "+op+" 2", "2 "+op+" native",
				"custom "+op+" 1", "custom "+op+" -Inf",
			)
		}
		if comparison {
			out = append(out, "2 "+op+" bool 3", "gauge "+op+" bool 2", "native "+op+" bool 2", "special "+op+" bool 0", "NaN "+op+" bool NaN")
		}
	}
	return out
}

// others are what no generator covers.
var others = []string{
	``, ` `, `1`, `-1`, `1e300`, `5e-324`, `NaN`, `Inf`, `-Inf`, `0x1F`, `1_000`, `5m`, `"text"`, `"<&>\"\u2028\t\b\f\x01\xff"`, "`raw\\n`", `# comment`,
	`-gauge`, `+gauge`, `(gauge)`, `-native`, `gauge + -1 ^ 2`, `1 +`, `(`, `gauge{`, `gauge{job=}`, `{}`, `{job=~".*"}`, `unknown_function(gauge)`,
	`rate(gauge)`, `sum(gauge[5m])`, `gauge[5m]`, `native[2m]`, `gauge[5m] offset 1m`, `gauge[10m:1m]`, `native[10m:3m]`, `gauge[5m:]`, `gauge[0s]`,
	`{__name__=~".+"}`, `{__name__=~"odd.*"}`, `{"odd \"<name>\"\n"}`, `{"Größe 🚀"}`, `Größe`, `{"Größe 🚀", "ключ"="значение ☃"}`, `gone`, `ends`,
	`gauge offset 5m`, `gauge offset -5m`, `gauge offset 1h`, `gauge @ 600`, `gauge @ start()`, `gauge @ end()`, `gauge @ 600.5 offset -90s`,
	`gauge offset 1m @ 900`, `rate(total[5m] @ 900)`, `rate(total[5m] @ end() offset 2m)`, `sum_over_time(gauge[10m:1m] @ start())`, `gauge @ -1`,
	`gauge offset (1m + 30s)`, `rate(total[1m * 5])`, `rate(total[step() * 10])`, `rate(total[max_of(step(), 5m)])`, `rate(total[min_of(range(), 5m)])`,
	`gauge offset -step()`, `rate(total[5m] anchored)`, `rate(total[5m] smoothed)`, `increase(total[5m] anchored)`, `delta(gauge[5m] smoothed)`,
	`gauge smoothed`, `gauge anchored`, `resets(total[20m] anchored)`, `increase(native[5m] anchored)`,
	`max_over_time(rate(total[2m])[10m:30s])`, `min_over_time(sum by (job) (gauge)[5m:1m])`, `avg_over_time((gauge > 10)[10m:1m])`,
	`sum(rate(total[5m])) / count(total)`, `sum by (job) (rate(total[5m])) > 0.1 or vector(0)`, `rate(gauge[5m])`, `rate(ends[20m])`, `increase(total[29m])`,
	`histogram_quantile(0.99, sum by (le) (rate(classic_bucket[5m])))`, `histogram_quantile(0.99, sum(rate(native[5m])))`,
	`sum(gauge) by (job) + on () group_left sum(gauge)`, `gauge * on (job, instance) group_left (version) target_info`, `gauge{job!="a", instance=~"1|3", zone!~"y"}`,
	`traced_total`, `count({__name__=~".+"})`, `topk(3, {__name__=~".+"})`, `sort(gauge)`, `sort_desc(gauge)`, `sort(special)`, `absent(gauge{job="z"})`,
	"sum by (job) (\n  gauge # comment\n)", `gauge{job="a" or job="b"}`, `{__name__="gauge", job="a"}`, `{"gauge"}`, `{"gauge", __name__="total"}`, `\u0001`, "\x00", "gauge\xff",
	`1 / 0`, `0 / 0`, `2 ^ 1024`, `1 > bool 0`, `1 > 0`, `"a" + "b"`, `gauge + "a"`, `-"a"`, `sum(1)`, `time()`, `timestamp(gauge)`, `timestamp(sum(gauge))`, `hour()`, `day_of_week(vector(-1))`,
	`label_replace(gauge, "__name__", "<x>", "job", ".*")`, `label_replace(gauge, "x", "\u2028\"", "job", ".*")`, `count_values("<v>", special)`,
	`(gauge offset 1m) - gauge`, `sum(mixed)`, `avg(mixed)`, `rate(mixed[29m])`, `sum_over_time(mixed[29m])`, `{__name__=~"native|custom"}`, `sum({__name__=~"native|custom"})`,
	`rate(nothing[5m])`, `avg_over_time(native[5m])`, `last_over_time(native[5m])`, `quantile(2, gauge)`, `histogram_avg(native)`, `histogram_stddev(custom)`,
}

// queries are all of them. Each function's are by name.
func queries() (all []string, functions map[string][]string) {
	functions = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(parser.Functions)) {
		functions[name] = calls(parser.Functions[name])
		all = append(all, functions[name]...)
	}
	all = append(all, aggregations()...)
	all = append(all, operators()...)
	return append(all, others...), functions
}

// TestQueries asks every query at one time, at an odd time, and over a range.
func TestQueries(t *testing.T) {
	b := newBench(t, false)
	all, functions := queries()
	builtin, err := promqltest.GetBuiltInExprs()
	require.NoError(t, err)
	all = append(all, builtin...)
	t.Logf("%d queries", len(all))
	good := map[string]bool{}
	statuses := map[int]int{}
	for _, q := range all {
		for _, params := range []url.Values{
			{"query": {q}, "time": {"1200"}},
			{"query": {q}, "time": {"1234.567"}, "stats": {"all"}},
			{"query": {q}, "start": {"600"}, "end": {"1300"}, "step": {"37.5"}},
		} {
			path := "/api/v1/query"
			if params.Has("step") {
				path = "/api/v1/query_range"
			}
			got := b.same(t, ask{method: http.MethodGet, path: path, params: params})
			statuses[got.status]++
			require.True(t, json.Valid([]byte(got.body)), "%s: %s", q, got.body)
			good[q] = good[q] || got.status == http.StatusOK && !strings.Contains(got.body, `"result":[]`)
		}
		for _, path := range []string{"/api/v1/parse_query", "/api/v1/format_query"} {
			b.same(t, ask{method: http.MethodPost, path: path, params: url.Values{"query": {q}}})
		}
	}
	t.Log("answers by status:", statuses)
	for name, list := range functions {
		require.True(t, slices.ContainsFunc(list, func(q string) bool { return good[q] }), "no query of %s has a result", name)
	}
	for _, op := range append(keywords(parser.ItemType.IsAggregator), keywords(parser.ItemType.IsOperator)...) {
		require.True(t, slices.ContainsFunc(all, func(q string) bool {
			return good[q] && (strings.HasPrefix(q, op+" ") || strings.Contains(q, " "+op+" "))
		}), "no query with %s has a result", op)
	}
}
