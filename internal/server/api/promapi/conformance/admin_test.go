package conformance

import (
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/features"
	"github.com/stretchr/testify/require"
)

// TestAdminDisabled: without EnableAdmin nothing can be changed.
func TestAdminDisabled(t *testing.T) {
	b := newBench(t, false)
	for _, path := range []string{"delete_series", "clean_tombstones", "snapshot"} {
		for _, method := range []string{http.MethodPost, http.MethodPut} {
			got := b.same(t, ask{method: method, path: "/api/v1/admin/tsdb/" + path, params: p("match[]=gauge")})
			require.Equal(t, http.StatusInternalServerError, got.status)
			require.Contains(t, got.body, "admin APIs disabled")
		}
	}
	b.same(t, ask{method: http.MethodGet, path: "/api/v1/series", params: p("match[]=gauge")})
}

// TestAdmin deletes from two copies of the same data and asks what is left.
func TestAdmin(t *testing.T) {
	b := newBench(t, true)
	left := func() string {
		t.Helper()
		b.same(t, ask{method: http.MethodGet, path: "/api/v1/labels"})
		return b.same(t, ask{method: http.MethodGet, path: "/api/v1/query", params: p(`query={__name__=~".+"}[1h]`, "time=1800")}).body
	}
	before := left()
	for i, params := range [][]string{
		{"match[]=gauge{job=\"a\"}"},
		{"match[]=total", "start=300", "end=600"},
		{"match[]=nothing"},
		{"match[]={job=~\".*\"}", "end=-1"},
		{"match[]=classic_sum", "match[]=classic_count"},
		{"match[]=native", "start=1970-01-01T00:10:00Z"},
	} {
		method := []string{http.MethodPost, http.MethodPut}[i%2]
		got := b.same(t, ask{method: method, path: "/api/v1/admin/tsdb/delete_series", params: p(params...)})
		require.Equal(t, http.StatusNoContent, got.status)
		left()
	}
	require.Contains(t, before, `"__name__":"gauge","instance":"1","job":"a"`)
	require.NotContains(t, left(), `"__name__":"gauge","instance":"1","job":"a"`)
	for _, params := range [][]string{
		{}, {"match[]="}, {"match[]=gauge{"}, {"match[]=gauge", "start=x"}, {"match[]=gauge", "end=x"}, {"match[]=gauge", "match[]={"}, {"match[]={}"},
	} {
		b.same(t, ask{method: http.MethodPost, path: "/api/v1/admin/tsdb/delete_series", params: p(params...)})
	}
	got := b.same(t, ask{method: http.MethodPost, path: "/api/v1/admin/tsdb/clean_tombstones"})
	require.Equal(t, http.StatusNoContent, got.status)
	left()

	b.same(t, ask{method: http.MethodPost, path: "/api/v1/admin/tsdb/snapshot", params: p("skip_head=x")})
	for _, params := range [][]string{{}, {"skip_head=true"}, {"skip_head=0"}} {
		var names [2]string
		for i, base := range []string{b.theirs, b.ours} {
			res := b.send(t, base, ask{method: http.MethodPost, path: "/api/v1/admin/tsdb/snapshot", params: p(params...)})
			require.Equal(t, http.StatusOK, res.status, res.body)
			var answer struct {
				Data struct{ Name string } `json:"data"`
			}
			require.NoError(t, json.Unmarshal([]byte(res.body), &answer))
			require.Regexp(t, regexp.MustCompile(`^\d{8}T\d{6}Z-[0-9a-f]{16}$`), answer.Data.Name)
			dir := filepath.Join(b.stores[i].Dir(), "snapshots", answer.Data.Name)
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			names[i] = strings.Repeat("block ", len(entries))
		}
		require.Equal(t, names[0], names[1])
	}
}

// TestFeatures: what we say we can do, they can do too, and what we leave out is
// nothing but what this server lacks.
func TestFeatures(t *testing.T) {
	b := newBench(t, true)
	read := func(base string) map[string]map[string]bool {
		res := b.send(t, base, ask{method: http.MethodGet, path: "/api/v1/features"})
		require.Equal(t, http.StatusOK, res.status)
		var answer struct{ Data map[string]map[string]bool }
		require.NoError(t, json.Unmarshal([]byte(res.body), &answer))
		return answer.Data
	}
	theirs, ours := read(b.theirs), read(b.ours)
	require.NotEmpty(t, ours[features.PromQL])
	for _, category := range []string{features.PromQL, features.PromQLFunctions, features.PromQLOperators} {
		require.Equal(t, theirs[category], ours[category])
	}
	var differ []string
	for name, on := range theirs[features.API] {
		if have, ok := ours[features.API][name]; !ok || have != on {
			differ = append(differ, name)
		}
	}
	for name := range ours[features.API] {
		require.Contains(t, slices.Collect(maps.Keys(theirs[features.API])), name)
	}
	slices.Sort(differ)
	require.Equal(t, []string{
		"openapi_3.1", "openapi_3.2", "search_fuzz_alg_jarowinkler", "search_fuzz_alg_subsequence",
	}, differ)
	require.Contains(t, b.send(t, b.ours, ask{method: http.MethodGet, path: "/api/v1/features"}).body, `">=":true`)
}

// TestFederate compares what is exposed for others to scrape, in the formats
// both know.
func TestFederate(t *testing.T) {
	b := newBench(t, false)
	app := b.stores[0].AppenderV2(t.Context())
	now := time.Now().UnixMilli()
	put := func(ls labels.Labels, v float64) {
		for i := range int64(2) { // the second is in the future, as far as now is concerned
			_, err := app.Append(0, ls, 0, now-60_000+i*120_000, v+float64(i), nil, nil, storage.AppendV2Options{})
			require.NoError(t, err)
		}
	}
	ended := math.Float64frombits(value.StaleNaN)
	for i, v := range []float64{1, ended} {
		_, err := app.Append(0, labels.FromStrings("__name__", "ended"), 0, now-60_000+int64(i)*1000, v, nil, nil, storage.AppendV2Options{})
		require.NoError(t, err)
		_, err = app.Append(0, labels.FromStrings("__name__", "ended_histogram"), 0, now-60_000+int64(i)*1000, 0, nil, &histogram.FloatHistogram{Sum: v, Count: 1, ZeroCount: 1}, storage.AppendV2Options{})
		require.NoError(t, err)
	}
	put(labels.FromStrings("__name__", "now", "A", "1", "instance", "x"), 1.5)
	put(labels.FromStrings("__name__", "now", "A", "2", "z", "\"\\\n<>é"), 1e-9)
	put(labels.FromStrings("__name__", "cpu.load", "host.name", "web-1"), 2)
	put(labels.FromStrings("noname", "1"), 2)
	require.NoError(t, app.Commit())
	b.copyToNow(t, now, "native", "custom", "mixed", "ends", "special", "classic_bucket", "odd")

	sortLines := func(s string) string { return strings.Join(sorted(strings.Split(s, "\n")), "\n") }
	for _, accept := range []string{
		"", "*/*", "text/plain", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/html", "text/plain;version=1.0.0;escaping=allow-utf-8",
		"text/plain;version=0.0.4;escaping=dots", "text/plain;escaping=values",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=compact-text;q=0.9,text/plain;q=0.1",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8",
	} {
		for _, params := range [][]string{
			{},
			{"match[]=now"},
			{`match[]={__name__=~".+"}`},
			{"match[]=now", "match[]=ended", "match[]=now{A=\"1\"}"},
			{"match[]=native"},
			{"match[]=custom"},
			{"match[]=mixed"},
			{`match[]={noname="1"}`},
			{"match[]={"},
			{"match[]=odd"},
			{"match[]=nothing"},
			{`match[]={"cpu.load"}`},
		} {
			if strings.Contains(accept, "protobuf") && slices.Contains(params, `match[]={__name__=~".+"}`) {
				// They sort by name in no stable way, and so begin families anew. Of 12
				// samples they keep the order.
				params = []string{`match[]={__name__=~"native|custom|mixed|now|cpu.load"}`}
			}
			q := ask{method: http.MethodGet, path: "/federate", params: p(params...), header: http.Header{"Accept": {accept}}}
			want, got := b.send(t, b.theirs, q), b.send(t, b.ours, q)
			if !strings.Contains(accept, "encoding=delimited") {
				// Series of one name are in no order.
				want.body, got.body = sortLines(spaceless(want.body)), sortLines(spaceless(got.body))
			}
			require.Equal(t, want, got, "%s %v", accept, params)
			if len(params) == 1 && params[0] == "match[]=now" {
				require.Contains(t, got.body, "now")
			}
			require.NotContains(t, got.body, "ended")
		}
	}
	res := b.send(t, b.ours, ask{method: http.MethodPost, path: "/federate"})
	require.Equal(t, http.StatusMethodNotAllowed, res.status)
}

// spaceless takes out the spaces that protobuf's text format puts where it likes.
func spaceless(s string) string { return strings.ReplaceAll(s, "  ", " ") }
