package pages_test

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// TestExploreManySeries: what is large is asked for in parts, and shown in parts.
func TestExploreManySeries(t *testing.T) {
	e := &explored{url: programs.Server(t, t.TempDir()).URL(), now: time.Now(), browser: browsertest.Browser(t)}
	const names, wide = 12_000, 12_000
	var all []writetest.Series
	sample := []writetest.Sample{{T: e.now.Add(-30 * time.Second).UnixMilli(), V: 1}, {T: e.now.UnixMilli(), V: 2}}
	for i := range names {
		all = append(all, writetest.Series{Labels: []string{"__name__", fmt.Sprintf("metric_%05d", i)}, Samples: sample})
	}
	for i := range wide {
		all = append(all, writetest.Series{Labels: []string{"__name__", "wide", "i", fmt.Sprintf("%05d", i)}, Samples: sample})
	}
	e.write(t, all)
	tb := browsertest.Open(t, e.browser)
	tb.Go(e.url + "/explore")
	tb.Until(`document.querySelector(".examples")`)
	explorePress(tb, " ", 2)
	exploreHas(tb, "rate")
	exploreType(tb, "metric_119")
	tb.Until(exploreOptions + `[0] === "metric_11900"`)
	explorePress(tb, "Escape", 0)
	for range "metric_119" {
		explorePress(tb, "Backspace", 0)
		tb.Run(chromedp.KeyEvent("\b"))
	}
	exploreType(tb, "wide{i=\"11")
	tb.Until(exploreOptions + `[0] === "11000"`)
	for _, address := range tb.Asked() {
		u, err := url.Parse(address)
		require.NoError(t, err)
		if strings.Contains(u.Path, "/label") || strings.Contains(u.Path, "/series") {
			limit, err := strconv.Atoi(u.Query().Get("limit"))
			require.NoError(t, err, address)
			require.LessOrEqual(t, limit, 200)
		}
		require.NotRegexp(t, `metadata(\?limit.*)?$`, address, "the help of all metrics")
	}
	require.LessOrEqual(t, browsertest.Eval[int](tb, exploreOptions+`.length`), 200)

	start := time.Now()
	tb.Go(e.page("", "wide"))
	tb.Until(exploreDrawn + ` && document.querySelector(".cut").textContent`)
	require.Equal(t, "The first 40 series are drawn; there are 12,000. topk(40, …), an aggregation or more labels make it fewer.", browsertest.Eval[string](tb, `document.querySelector(".cut").textContent`))
	require.Len(t, browsertest.Eval[[]string](tb, exploreLegend), 40)
	require.Empty(t, browsertest.Eval[[]string](tb, exploreErrors))
	tb.Screenshot("explore-cut")
	t.Logf("12,000 series: graph after %v", time.Since(start).Round(time.Millisecond))

	start = time.Now()
	tb.Go(e.page("view=table", "wide"))
	tb.Until(exploreCells + `.length === 500`)
	t.Logf("12,000 series: table after %v", time.Since(start).Round(time.Millisecond))
	require.Equal(t, "The first 10,000 rows alone were asked for; there are more.", browsertest.Eval[string](tb, `document.querySelector(".cut").textContent`))
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("#panel .more").textContent`), "The first 500 of 10,000 rows.")
	tb.Run(chromedp.Click(chromedp.CSS("#panel th:nth-child(2) button")), chromedp.Click(chromedp.CSS("#panel th:nth-child(2) button"))) // the largest first
	require.Equal(t, "wide|09999|2", browsertest.Eval[[]string](tb, exploreCells)[0])
	tb.Run(chromedp.Click(chromedp.CSS("#panel .more button")))
	tb.Until(exploreCells + `.length === 1000`)

	tb.Go(e.page("view=json-range", "wide"))
	tb.Until(`document.querySelector(".json")`)
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".cut").textContent`), "have a limit")
	tb.NoScript()
	tb.Go(e.page("", "wide"))
	tb.Until(`document.querySelector(".result")`)
	require.Equal(t, 300, browsertest.Eval[int](tb, `document.querySelectorAll(".result tbody tr").length`))
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".result").textContent`), "and 11,700 more series")
}

// TestExploreWithoutData: the page says what to run, or why there is nothing.
func TestExploreWithoutData(t *testing.T) {
	b := browsertest.Browser(t)
	empty := programs.Server(t, t.TempDir()).URL()
	tb := browsertest.Open(t, b)
	tb.Go(empty + "/explore")
	tb.Until(`document.querySelector("textarea[role=combobox]")`)
	require.Equal(t, []string{"agent --address=" + strings.TrimPrefix(empty, "http://"), "curl -X POST '" + empty + "/update/gauge/hello/1'"},
		browsertest.Eval[[]string](tb, `[...document.querySelectorAll("#empty pre")].map((e) => e.textContent)`))
	tb.Accessible()
	tb.Screenshot("explore-empty")
	exploreType(tb, "vector(1)")
	explorePress(tb, "Enter", 0)
	tb.Until(exploreDrawn)

	none := programs.Server(t, t.TempDir(), "HISTORY=false").URL()
	tb = browsertest.Open(t, b)
	tb.Go(none + "/explore?query=up")
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("main").innerText`), "This server keeps no history\n\nIt runs with HISTORY=false")
	require.Zero(t, browsertest.Eval[int](tb, `document.querySelectorAll("textarea").length`))
	tb.Accessible()
	tb.Screenshot("explore-no-history")
}

// BenchmarkExploreChart draws 6 h of 10 series in a browser: chart-ms is what the page
// itself measures, from the data to the drawn chart.
func BenchmarkExploreChart(b *testing.B) {
	e := newExplored(b)
	tb := browsertest.Open(b, browsertest.Browser(b))
	var took []float64
	for b.Loop() {
		tb.Go(e.page("range=6h", "shop_load"))
		tb.Until(`performance.getEntriesByName("chart-draw").length`)
		took = append(took, browsertest.Eval[float64](tb, `performance.getEntriesByName("chart-draw")[0].duration`))
		require.Equal(b, "10 × 360", browsertest.Eval[string](tb, `(({ series, points }) => series + " × " + points)(performance.getEntriesByName("chart-draw")[0].detail)`))
	}
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2], "chart-ms")
	b.ReportMetric(took[len(took)-1], "worst-chart-ms")
}
