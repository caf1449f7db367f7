package conformance

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// p makes parameters of "name=value" strings. A value may hold any character.
func p(pairs ...string) url.Values {
	v := url.Values{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		v.Add(name, value)
	}
	return v
}

// endpoints are the paths with parameters, good and bad. Those that take a form
// are asked with GET and POST.
var endpoints = map[string][]url.Values{
	"/query": {
		p(), p("query="), p("query=gauge"), p("query=gauge", "time="), p("query=gauge", "time=x"), p("query=gauge", "time=2006-01-02T15:04:05Z"),
		p("query=gauge", "time=1970-01-01T00:20:00.5+00:00"), p("query=time()", "time=-1.5"), p("query=time()", "time=1e10"), p("query=time()", "time=1e300"), p("query=time()", "time=NaN"),
		p("query=time()", "time=292273086-05-16T16:47:06Z"), p("query=time()", "time=-292273086-05-16T16:47:06Z"), p("query=time()", "time=0.0009"), p("query=vector(1)", "time=1.0005"),
		p("query=gauge", "time=1200", "limit=0"), p("query=gauge", "time=1200", "limit=1"), p("query=gauge", "time=1200", "limit=4"), p("query=gauge", "time=1200", "limit=-1"), p("query=gauge", "limit=x"), p("query=gauge", "limit=99999999999999999999"),
		p("query=gauge[5m]", "time=1200", "limit=2"), p("query=1", "time=1200", "limit=1"),
		p("query=gauge", "time=1200", "timeout=1s"), p("query=gauge", "time=1200", "timeout=x"), p("query=gauge", "time=1200", "timeout=0"), p("query=gauge", "timeout=-1s"), p("query=gauge", "timeout=1e300"), p("query=gauge", "timeout=NaN"),
		p("query=ends", "time=1200", "lookback_delta=1m"), p("query=gone", "time=1194", "lookback_delta=1h"), p("query=gauge", "time=2000", "lookback_delta=1s"), p("query=gauge", "lookback_delta=x"), p("query=gauge", "time=2100", "lookback_delta=600"),
		p("query=gauge", "time=1200", "stats=true"), p("query=gauge", "time=1200", "stats=all"), p("query=rate(total[5m])", "time=1200", "stats=<1>"), p("query=1", "stats=all", "time=1200"),
		p("query=rate(gauge[5m])", "time=1200", "limit=1", "stats=x"), p("query=sum(mixed)", "time=1700"),
		p("query={__name__=~\".+\"}", "time=1200"), p("query=sum_over_time({__name__=~\".+\"}[30m])", "time=1800"), p("query=sum_over_time({__name__=~\".+\"}[30m:1s])", "time=1800"),
		p("query=gauge", "query=total", "time=1200"), p("query=<script>&\"\x01\u2028\xff"),
	},
	"/query_range": {
		p(), p("query=gauge"), p("query=gauge", "start=0", "end=1200", "step=60"), p("query=gauge", "start=0", "end=1200"), p("query=gauge", "start=0", "step=60"), p("query=gauge", "end=0", "step=60"),
		p("query=gauge", "start=x", "end=1200", "step=60"), p("query=gauge", "start=0", "end=x", "step=60"), p("query=gauge", "start=0", "end=1200", "step=x"),
		p("query=gauge", "start=1200", "end=0", "step=60"), p("query=gauge", "start=0", "end=1200", "step=0"), p("query=gauge", "start=0", "end=1200", "step=-1"), p("query=gauge", "start=0", "end=1200", "step=1m30s"),
		p("query=gauge", "start=0", "end=11000", "step=1"), p("query=gauge", "start=0", "end=11001", "step=1"), p("query=gauge", "start=0", "end=1e9", "step=1"), p("query=gauge", "start=0", "end=1200", "step=1e-10"), p("query=gauge", "start=0", "end=1200", "step=0.0001"),
		p("query=gauge", "start=0", "end=0", "step=1"), p("query=gauge", "start=0.001", "end=1200.999", "step=33.333"), p("query=gauge", "start=1970-01-01T00:00:00Z", "end=1970-01-01T00:20:00Z", "step=15s"),
		p("query=gauge", "start=0", "end=1200", "step=1e300"), p("query=gauge", "start=0", "end=1200", "step=NaN"), p("query=gauge", "start=NaN", "end=1200", "step=60"), p("query=gauge", "start=-1e300", "end=1e300", "step=1y"),
		p("query=gauge", "start=0", "end=1200", "step=60", "limit=2"), p("query=gauge", "start=0", "end=1200", "step=60", "limit=-2"), p("query=gauge", "start=0", "end=1200", "step=60", "limit=4"),
		p("query=gauge", "start=0", "end=1200", "step=60", "stats=all"), p("query=sum(rate(native[5m]))", "start=0", "end=1200", "step=300", "stats=all"), p("query=gauge", "start=0", "end=1200", "step=60", "stats=1"),
		p("query=gauge", "start=0", "end=2400", "step=60", "lookback_delta=10m"), p("query=gauge", "start=0", "end=2400", "step=60", "lookback_delta=-1"), p("query=gauge", "start=0", "end=1200", "step=60", "timeout=x"), p("query=gauge", "start=0", "end=1200", "step=60", "timeout=0"),
		p("query=gauge[5m]", "start=0", "end=1200", "step=60"), p("query=\"a\"", "start=0", "end=1200", "step=60"), p("query=gauge{", "start=0", "end=1200", "step=60"), p("query=", "start=0", "end=1200", "step=60"), p("query=nothing", "start=0", "end=1200", "step=60"),
		p("query={__name__=~\".+\"}", "start=0", "end=1800", "step=1"), p("query={__name__=~\".+\"}", "start=0", "end=1800", "step=15"), p("query={__name__!~\"custom|mixed\"}", "start=0", "end=1800", "step=30"), p("query=rate(gauge[5m])", "start=0", "end=1800", "step=30"),
	},
	"/series": {
		p(), p("match[]="), p("match[]=gauge"), p("match[]=gauge", "match[]=total"), p("match[]=gauge", "match[]={job=\"a\"}"), p("match[]={job=~\".*\"}"), p("match[]={}"), p("match[]=gauge{"), p("match[]=rate(x[5m])"), p("match[]=gauge", "match[]={"),
		p("match[]={__name__=~\".+\"}"), p("match[]=odd"), p("match[]={\"Größe 🚀\"}"), p("match[]=nothing"),
		p("match[]=gauge", "limit=2"), p("match[]=gauge", "match[]=total", "limit=3"), p("match[]=gauge", "limit=x"), p("match[]=gauge", "limit=-1"), p("match[]=gauge", "limit=4"),
		p("match[]=gauge", "start=0", "end=100"), p("match[]=gauge", "start=1e9"), p("match[]=gauge", "end=x"), p("match[]=gauge", "start=x"), p("match[]=gauge", "start=5", "end=1"), p("match[]=gauge", "start=-1e300"),
	},
	"/labels": {
		p(), p("match[]=gauge"), p("match[]=gauge", "match[]=odd"), p("match[]={"), p("match[]={job=~\".*\"}"), p("limit=3"), p("limit=0"), p("limit=-1"), p("limit=x"), p("match[]=gauge", "match[]=odd", "limit=2"), p("match[]=nothing"),
		p("start=0", "end=10"), p("start=1e9"), p("start=x"), p("end=x"), p("start=10", "end=5"),
	},
	"/query_exemplars": {
		p(), p("query=traced_total"), p("query=traced_total{job=\"a\"}", "start=1000", "end=1005"), p("query=sum(rate(traced_total[5m])) / traced_total"), p("query=1"), p("query=nothing"), p("query=gauge{"), p("query=traced_total", "start=x"), p("query=traced_total", "end=x"), p("query=traced_total", "start=10", "end=5"), p("query=traced_total", "start=2000"),
	},
	"/format_query": {p(), p("query=sum(rate(a[5m]))by(b)>1 and c"), p("query="), p("query=(")},
	"/parse_query": {
		p(), p("query="), p("query=("), p("query=a + on (b) group_left (c) fill_right (NaN) d"), p("query=a + fill (Inf) d"), p("query=a + fill (1e-7) d"), p("query=a{b!=\"<\",c=~\"d\",e!~\"f\"} @ end() offset -5m"),
		p("query=sum without (a) (b[5m:1m] @ 17.5)"), p("query=rate(a[5m + 2 * step()])"), p("query=a offset (-(1m))"), p("query=rate(a[5m:(1m*2)] offset max_of(1m, range()))"), p("query=\"<\\b\\f>\""), p("query=-(a)"), p("query=NaN + Inf"), p("query=count_values(\"x\", a)"), p("query=rate(a[5m] anchored)"),
	},
}

// read are those that are only asked with GET.
var read = map[string][]url.Values{
	"/label/job/values": {
		p(), p("match[]=gauge"), p("match[]=gauge", "match[]=total"), p("match[]={"), p("match[]={a=~\".*\"}"), p("limit=1"), p("limit=9"), p("limit=-1"), p("limit=x"), p("start=1e9"), p("start=x"), p("end=x"), p("match[]=gauge", "match[]=total", "limit=1"), p("match[]=nothing"),
	},
	"/label/value/values":                           {p()},
	"/label/__name__/values":                        {p(), p("match[]={job=\"a\"}")},
	"/label/host.name/values":                       {p()},
	"/label/U__host_2e_name/values":                 {p()},
	"/label/U__l_3c_a_3e__22__5c__9_b_2028_/values": {p()},
	"/label/U__/values":                             {p()},
	"/label/U___/values":                            {p()},
	"/label/%D0%BA%D0%BB%D1%8E%D1%87/values":        {p()},
	"/label/a%FFb/values":                           {p()},
	"/label/a%2Fb/values":                           {p()},
	"/label/a%20b/values":                           {p()},
	"/label/nothing/values":                         {p(), p("limit=1")},
	"/metadata":                                     {p(), p("limit=x"), p("limit=0"), p("limit_per_metric=x"), p("metric=a"), p("limit=5", "limit_per_metric=1")},
	"/targets":                                      {p(), p("state=active"), p("state=DROPPED"), p("state=any"), p("state=x"), p("scrapePool=a")},
	"/targets/metadata":                             {p(), p("limit=x"), p("limit=1"), p("match_target={a=\"b\"}"), p("match_target={"), p("metric=a")},
	"/targets/relabel_steps":                        {p(), p("scrapePool=<a>"), p("scrapePool=a", "labels={"), p("scrapePool=a", "labels={\"a\":\"b\"}")},
	"/scrape_pools":                                 {p()},
	"/scrape_pools/config":                          {p(), p("scrapePool=<a>")},
	"/alertmanagers":                                {p()},
	"/alerts":                                       {p()},
	"/rules": {
		p(), p("type=alert"), p("type=record"), p("type=<x>"), p("exclude_alerts=true"), p("exclude_alerts=x"), p("match[]={"), p("match[]={a=\"b\"}"), p("match[]={a=~\".*\"}"), p("group_limit=1"), p("group_limit=0"), p("group_limit=x"), p("group_next_token=x"), p("group_limit=1", "group_next_token=x"), p("rule_name[]=a", "rule_group[]=b", "file[]=c"),
	},
	"/status/config":      {p()},
	"/status/flags":       {p()},
	"/status/buildinfo":   {p()},
	"/status/tsdb":        {p(), p("limit=3"), p("limit=0"), p("limit=x"), p("limit=10001"), p("limit=10000")},
	"/status/tsdb/blocks": {p()},
	"/status/walreplay":   {p()},

	// Not there.
	"/rules/test/test": {p()}, "/nothing": {p()}, "/": {p()}, "/status": {p()}, "/label/a": {p()}, "/label/a/b/values": {p()}, "/admin/tsdb": {p()},
	"/query_cost": {p()}, "/query_range_cost": {p()},
}

// TestEndpoints asks every endpoint with parameters good and bad.
func TestEndpoints(t *testing.T) {
	b := newBench(t, false)
	for path, list := range endpoints {
		for _, params := range list {
			// Without a time the answer is that of now, in which the data isn't.
			b.same(t, ask{method: http.MethodGet, path: "/api/v1" + path, params: params})
			b.same(t, ask{method: http.MethodPost, path: "/api/v1" + path, params: params})
		}
	}
	for path, list := range read {
		for _, params := range list {
			b.same(t, ask{method: http.MethodGet, path: "/api/v1" + path, params: params})
		}
	}
}

// TestMethods asks every path with every method.
func TestMethods(t *testing.T) {
	b := newBench(t, false)
	paths := []string{
		"/admin/tsdb/delete_series", "/admin/tsdb/clean_tombstones", "/admin/tsdb/snapshot", "/status/runtimeinfo", "/features", "/nothing",
	}
	for path := range endpoints {
		paths = append(paths, path)
	}
	for path := range read {
		paths = append(paths, path)
	}
	for _, path := range paths {
		for _, method := range []string{http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, "QUERY"} {
			b.same(t, ask{method: method, path: "/api/v1" + path})
		}
	}
}

// TestForms sends what forms come as.
func TestForms(t *testing.T) {
	b := newBench(t, false)
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	require.NoError(t, m.WriteField("query", "gauge"))
	require.NoError(t, m.WriteField("time", "1200"))
	require.NoError(t, m.Close())
	multi := http.Header{"Content-Type": {m.FormDataContentType()}}
	form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	// No larger: the server would hang up before it has all, and the client may
	// miss the answer.
	large := strings.Repeat("x", 10<<20)
	for _, path := range []string{"/api/v1/query", "/api/v1/series", "/api/v1/labels", "/api/v1/query_exemplars"} {
		for _, q := range []ask{
			{header: multi, body: bytes.NewReader(body.Bytes())},
			{header: multi, body: bytes.NewReader(body.Bytes()[:50])},
			{header: form, body: strings.NewReader("query=gauge&time=1200&match[]=gauge")},
			{header: form, body: strings.NewReader("query=%zz&time=1200&match[]=gauge&match[]=%")},
			{header: form, body: strings.NewReader("query=a;b&match[]=gauge;x")},
			{header: form, body: strings.NewReader("query=" + large + "&match[]=gauge")},
			{header: form, body: strings.NewReader("match[]=gauge&query=" + large), params: p("query=total", "time=1200", "match[]=total")},
			{header: form, body: strings.NewReader("query=gauge"), params: p("query=total", "time=1200", "match[]=total")},
			{header: http.Header{"Content-Type": {"text/plain"}}, body: strings.NewReader("query=gauge")},
			{header: http.Header{"Content-Type": {"/;"}}, body: strings.NewReader("query=gauge")},
			{header: http.Header{"Content-Type": {"multipart/form-data"}}, body: strings.NewReader("query=gauge")},
			{body: strings.NewReader("")},
		} {
			q.method, q.path = http.MethodPost, path
			b.same(t, q)
		}
	}
	for _, accept := range []string{"", "*/*", "text/html", "application/json;q=0.1", "application/x-protobuf"} {
		b.same(t, ask{method: http.MethodGet, path: "/api/v1/query", params: p("query=1", "time=1"), header: http.Header{"Accept": {accept}}})
	}
	for _, starts := range []string{"true", "false", "x"} {
		b.same(t, ask{
			method: http.MethodGet, path: "/api/v1/query", params: p("query=rate(total[5m])", "time=1200"),
			header: http.Header{"X-Prometheus-Use-Start-Timestamps": {starts}},
		})
	}
}

// TestProbes compares the two probes.
func TestProbes(t *testing.T) {
	b := newBench(t, false)
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			b.same(t, ask{method: method, path: path})
		}
	}
}
