package pages_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"iter"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/templates"
)

// kept is a state that was made up.
type kept []metric.Metric

func (k kept) List(context.Context) ([]metric.Metric, error) {
	return append([]metric.Metric(nil), k...), nil
}

func (k kept) named(_ context.Context, name string) iter.Seq2[metric.Metric, error] {
	return func(yield func(metric.Metric, error) bool) {
		for _, m := range k {
			if m.Name == name && !yield(m, nil) {
				return
			}
		}
	}
}

// ask asks for a page and returns its status, its text, and an error that the
// caller would answer.
func ask(t *testing.T, o pages.Options, target string) (int, string, error) {
	t.Helper()
	o.Now = func() time.Time { return time.UnixMilli(1_795_454_731_960) }
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	for pattern, h := range pages.New(o).Routes() {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(r.URL.Path, prefix) || pattern == r.URL.Path {
			w := httptest.NewRecorder()
			err := h(w, r)
			return w.Code, w.Body.String(), err
		}
	}
	t.Fatalf("nobody answers %s", target)
	return 0, "", nil
}

// rowValues are the values of the table of series.
func rowValues(page string) (out []string) {
	for _, m := range regexp.MustCompile(`<td class="number value">([^<]*)</td>`).FindAllStringSubmatch(page, -1) {
		out = append(out, html.UnescapeString(m[1]))
	}
	return out
}

func TestMetricOfTheState(t *testing.T) {
	var k kept
	for i := range 120 {
		k = append(k, metric.Metric{
			Kind: metric.Counter, Name: "a", Delta: int64(i), Timestamp: 1_795_454_731_000,
			Labels: metric.NewLabels("n", fmt.Sprintf("%03d", 119-i), "half", fmt.Sprint(i%2)),
		})
	}
	k = append(k, metric.Metric{Kind: metric.Gauge, Name: "<b>", Value: 0.1, Timestamp: 1, Labels: metric.NewLabels("x", `"><i>`)})
	for _, o := range []pages.Options{{State: k}, {State: kept(nil), Named: k.named}} {
		status, page, err := ask(t, o, "/metric/a")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		require.Len(t, rowValues(page), 50)
		require.Equal(t, "118", rowValues(page)[0], "sorted by labels: half=0, n=001")
		require.Contains(t, page, "1–50 of 120")
		require.Contains(t, page, `<b>120</b> series`)
		require.NotContains(t, page, "canvas")
		require.NotContains(t, page, "uPlot", "there is nothing to draw")

		_, page, err = ask(t, o, "/metric/a?page=3&l.half=1")
		require.NoError(t, err)
		require.Contains(t, page, "51–60 of 60", "the last page there is")
		require.Len(t, rowValues(page), 10)
		_, page, err = ask(t, o, "/metric/a?l.half=1&l.n=118")
		require.NoError(t, err)
		require.Equal(t, []string{"1"}, rowValues(page))
		_, page, err = ask(t, o, "/metric/a?l.half=7")
		require.NoError(t, err)
		require.Contains(t, page, "No series has these labels")
		require.Contains(t, page, `href="../metric/a">Show all`)

		status, page, err = ask(t, o, "/metric/%3Cb%3E")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		require.NotContains(t, page, "<b><")
		require.NotContains(t, page, "<h1><b>")
		require.NotContains(t, page, "<i></i>")
		require.Contains(t, page, "&lt;b&gt;")

		status, page, err = ask(t, o, "/metric/A%3Cscript%3E")
		require.NoError(t, err)
		require.Equal(t, http.StatusNotFound, status)
		require.NotContains(t, page, "<script>")
	}
	_, page, err := ask(t, pages.Options{State: k}, "/metric/%3Cb")
	require.NoError(t, err)
	require.Contains(t, page, "&lt;b&gt;", "names like it")
}

// status is a source that was made up.
type status struct{ err error }

func (s status) Status(context.Context) (templates.Status, error) {
	return templates.Status{
		Problems: []templates.StatusProblem{{Bad: true, Text: "<script>alert(1)</script>"}},
		Names:    []templates.StatusCount{{Name: "<img>", Count: 7}},
		State:    templates.StatusState{Kind: "files", Path: "/data/<x>", Series: 5, Limit: 10},
		Settings: []templates.StatusSetting{{Group: "General", Env: "KEY", Flag: "key", Value: "***", Changed: true}},
	}, s.err
}

func TestStatus(t *testing.T) {
	code, page, err := ask(t, pages.Options{State: kept(nil), Status: status{}}, "/status")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	require.NotContains(t, page, "<script>alert")
	require.NotContains(t, page, "<img>")
	require.Contains(t, page, `href="metric/%3Cimg%3E"`)
	require.Contains(t, page, `<p class="problem bad">`)
	require.Contains(t, page, "<code>***</code>")
	require.NotContains(t, page, "All is well")

	_, _, err = ask(t, pages.Options{State: kept(nil), Status: status{errors.New("no")}}, "/status")
	require.Error(t, err)
}
