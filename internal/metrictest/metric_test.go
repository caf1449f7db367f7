package metrictest

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
)

// drawn is true once each chart has lines, and none says what is wrong.
const drawn = `document.querySelectorAll("figure.chart").length > 0 && [...document.querySelectorAll("figure.chart")].every((f) =>
	f.querySelector("canvas") && f.querySelector(".key") && f.querySelector(".note").textContent === "")`

const (
	keys = `[...document.querySelectorAll("#chart .key .name")].map((e) => e.textContent)`
	rows = `[...document.querySelectorAll(".rows tbody tr")].map((r) => [...r.cells].map((c) => c.innerText.trim()).slice(0, -1).join("|"))`
)

func metricURL(s *server, name string) string { return s.url + "/metric/" + url.PathEscape(name) }

func TestMetric(t *testing.T) {
	b := browsertest.Browser(t)
	s := startServer(t)
	s.fill()
	open := func(t *testing.T, name string) *browsertest.Tab {
		tb := browsertest.Open(t, b)
		tb.Go(metricURL(s, name))
		return tb
	}

	t.Run("gauge", func(t *testing.T) {
		tb := open(t, "temperature_celsius")
		tb.Until(drawn)
		require.Equal(t, "temperature_celsius", browsertest.Eval[string](tb, `document.querySelector("h1").textContent`))
		require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".facts").innerText`), "gauge 3 series")
		require.Equal(t, []string{"instance=db-1 zone=eu|20", "instance=web-1 zone=eu|20", "instance=web-2 zone=eu|20"}, browsertest.Eval[[]string](tb, rows))
		require.ElementsMatch(t, []string{"instance=db-1", "instance=web-1", "instance=web-2"}, browsertest.Eval[[]string](tb, keys))
		tb.Accessible()
		tb.FullScreenshot("metric-gauge")

		// A label leads to its series alone.
		tb.Run(chromedp.Click(chromedp.CSS(`.rows tbody tr:nth-child(2) a`)))
		tb.Until(`location.search === "?l.instance=web-1" && document.querySelectorAll(".rows tbody tr").length === 1`)
		tb.Until(drawn)
		require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".facts").innerText`), "1 series of 3")
		require.Equal(t, s.url+"/host/web-1", browsertest.Eval[string](tb, `document.querySelector(".filters > a:last-child").href`))

		// What is drawn is chosen, and stands in the address.
		tb.Run(chromedp.Click(chromedp.CSS(`.filters .chip`)))
		tb.Until(`document.querySelectorAll(".rows tbody tr").length === 3`)
		tb.Until(drawn)
		choose(tb, "how", "avg")
		tb.Until(`location.search === "?show=avg"`)
		tb.Until(keys + `.join() === "the average"`)
		choose(tb, "by", "zone")
		tb.Until(keys + `.join() === 'zone="eu"' || ` + keys + `.join() === '{zone="eu"}'`)
	})

	t.Run("counter", func(t *testing.T) {
		tb := open(t, "sent_bytes_total")
		tb.Until(drawn)
		require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("#chart figcaption").textContent`), "bytes per second")
		require.Equal(t, "Bytes sent <b>over</b> the network.", browsertest.Eval[string](tb, `document.querySelector(".help").textContent`))
		require.Equal(t, []string{"device=eth0", "device=eth1", "device=eth2"}, browsertest.Eval[[]string](tb, keys))
		links := browsertest.Eval[[]string](tb, `[...document.querySelectorAll(".queries a")].map((a) => new URL(a.href).searchParams.get("query"))`)
		require.Equal(t, "rate(sent_bytes_total[5m])", links[0])
		for _, l := range links {
			status, body := s.do(http.MethodGet, "/api/v1/query?query="+url.QueryEscape(l), nil)
			require.Equal(t, http.StatusOK, status, "%s: %s", l, body)
		}
		tb.FullScreenshot("metric-counter")
	})

	t.Run("the exact total of a pushed counter", func(t *testing.T) {
		tb := open(t, "jobs_done_total")
		require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".rows .value").textContent`), "9007199254740993")
		tb.Until(`document.getElementById("how").value === "top"`)
		tb.Until(`document.querySelector("#chart .plot")?.ariaLabel.startsWith("Rate, ")`)
	})

	t.Run("classic histogram", func(t *testing.T) {
		for _, name := range []string{"request_duration_seconds", "request_duration_seconds_bucket"} {
			tb := open(t, name)
			tb.Until(drawn)
			require.ElementsMatch(t, []string{"p50", "p90", "p99"}, browsertest.Eval[[]string](tb, keys), name)
			require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".facts").innerText`), "histogram")
			require.Equal(t, "How long requests took.", browsertest.Eval[string](tb, `document.querySelector(".help").textContent`))
			tb.FullScreenshot("metric-" + name)
			for _, how := range []string{"p99", "mean"} {
				choose(tb, "how", how)
				tb.Until(drawn)
			}
			choose(tb, "by", "path")
			tb.Until(drawn)
			require.Equal(t, []string{"/", "/api"}, browsertest.Eval[[]string](tb, keys))
		}
		require.Contains(t, s.get("/metric/request_duration_seconds_sum", 200), "metric/request_duration_seconds_count")
	})

	t.Run("native histogram", func(t *testing.T) {
		tb := open(t, "queue_seconds")
		tb.Until(drawn)
		require.ElementsMatch(t, []string{"p50", "p90", "p99"}, browsertest.Eval[[]string](tb, keys))
		require.Contains(t, browsertest.Eval[[]string](tb, rows)[0], "observed, mean 1.5")
		choose(tb, "how", "mean")
		tb.Until(drawn)
		tb.FullScreenshot("metric-native")
	})

	t.Run("a name full of HTML", func(t *testing.T) {
		tb := open(t, evil)
		tb.Until(drawn)
		require.Equal(t, evil, browsertest.Eval[string](tb, `document.querySelector("h1").textContent`))
		require.Equal(t, evil+" · gometheus", browsertest.Eval[string](tb, `document.title`))
		require.Zero(t, browsertest.Eval[int](tb, `document.querySelectorAll("main script, main img").length`))
		tb.Run(chromedp.Click(chromedp.CSS(`.rows tbody a`)))
		tb.Until(`location.search !== "" && document.querySelectorAll(".rows tbody tr").length === 1`)
		tb.Until(drawn)
		tb.Accessible()
	})

	t.Run("gauge and counter of one name", func(t *testing.T) {
		tb := open(t, "both")
		require.Equal(t, []string{"counter|no labels|21", "gauge|no labels|2.5"}, browsertest.Eval[[]string](tb, rows))
		tb.Until(drawn)
		choose(tb, "how", "counter")
		tb.Until(`document.querySelector("#chart small")?.textContent === "per second"`)
	})

	t.Run("names of all sorts", func(t *testing.T) {
		names := []string{"a/b", "..", ".", "a b", "%2F", "ü?#&=+", `back\slash"`, "a//b"}
		for _, name := range names {
			for _, age := range []time.Duration{90 * time.Second, time.Minute, 30 * time.Second, 0} {
				s.push(fmt.Sprintf(`{"id":%q,"type":"gauge","value":7,"labels":{"x":"y"},"timestamp":%d}`, name, time.Now().Add(-age).UnixMilli()))
			}
		}
		for _, name := range names {
			at := "/metric/" + url.PathEscape(name)
			if strings.Trim(name, ".") == "" {
				at = "/metric/?name=" + url.QueryEscape(name)
			}
			tb := browsertest.Open(t, b)
			tb.Go(s.url + at)
			tb.Until(drawn)
			require.Equal(t, name, browsertest.Eval[string](tb, `document.querySelector("h1").textContent`))
			tb.Run(chromedp.Click(chromedp.CSS(`.rows tbody a`)))
			tb.Until(`location.search.includes("l.x=y") && document.querySelector(".rows tbody tr")`)
			require.Equal(t, name, browsertest.Eval[string](tb, `document.querySelector("h1").textContent`))
			tb.Run(chromedp.Click(chromedp.CSS(`.home`)))
			tb.Until(`location.pathname === "/"`)
		}
	})

	t.Run("a name nobody knows", func(t *testing.T) {
		tb := browsertest.Open(t, b)
		tb.Allow("404")
		tb.Go(s.url + "/metric/sent_byte_total")
		require.Equal(t, []string{"sent_bytes_total"}, browsertest.Eval[[]string](tb, `[...document.querySelectorAll("#missing li")].map((e) => e.textContent)`))
		tb.Screenshot("metric-missing")
		tb.Accessible()
		tb.Run(chromedp.Click(chromedp.CSS(`#missing li a`)))
		tb.Until(`document.querySelector("h1")?.textContent === "sent_bytes_total"`)
		s.get("/metric/"+url.PathEscape(evil+"x"), http.StatusNotFound)
		s.get("/metric/", http.StatusNotFound)
		s.get("/metric/%ff", http.StatusNotFound)
		require.Contains(t, s.get("/nowhere", http.StatusNotFound), "No such page")
	})

	t.Run("dark, and on a phone", func(t *testing.T) {
		for _, name := range []string{"request_duration_seconds", evil, "temperature_celsius"} {
			tb := browsertest.Open(t, b)
			tb.Phone()
			tb.Theme("dark")
			tb.Go(metricURL(s, name))
			tb.Until(drawn)
			tb.FitsWidth()
			tb.Accessible()
			tb.FullScreenshot("metric-phone-dark-" + name[:5])
			tb.Size(1200, 800)
			tb.FullScreenshot("metric-dark-" + name[:5])
		}
	})

	t.Run("without JavaScript", func(t *testing.T) {
		tb := browsertest.Open(t, b)
		tb.NoScript()
		tb.Go(metricURL(s, "temperature_celsius"))
		tb.Until(`document.querySelectorAll(".rows tbody tr").length === 3`)
		require.False(t, browsertest.Eval[bool](tb, `document.getElementById("day").checkVisibility()`))
		require.Regexp(t, `\d\d:\d\d:\d\d UTC`, browsertest.Eval[string](tb, `document.querySelector(".rows time").textContent`))
		tb.Screenshot("metric-no-script")
	})
}

// choose chooses an option, as a person would.
func choose(tb *browsertest.Tab, id, value string) {
	browsertest.Eval[bool](tb, fmt.Sprintf(`(() => { const s = document.getElementById(%q); s.value = %q;
		s.dispatchEvent(new Event("change", { bubbles: true })); return s.value === %q; })()`, id, value, value))
}

// TestManySeries: 5,000 of one name.
func TestManySeries(t *testing.T) {
	s := startServer(t)
	now := time.Now()
	w := &prompb.WriteRequest{}
	for i := range 5000 {
		ts := prompb.TimeSeries{Labels: labelPairs("__name__", "crowd", "instance", fmt.Sprintf("web-%d", i%50), "shard", fmt.Sprintf("%04d", i))}
		for j := range 30 {
			ts.Samples = append(ts.Samples, prompb.Sample{Timestamp: now.Add(time.Duration(j-29) * time.Minute).UnixMilli(), Value: float64(i)})
		}
		w.Timeseries = append(w.Timeseries, ts)
	}
	s.write(w)
	start := time.Now()
	body := s.get("/metric/crowd", 200)
	t.Logf("the page took %v, %d bytes", time.Since(start).Round(time.Millisecond), len(body))
	require.Less(t, len(body), 100_000)

	tb := browsertest.Open(t, browsertest.Browser(t))
	tb.Go(s.url + "/metric/crowd?range=1h")
	tb.Until(drawn)
	require.Len(t, browsertest.Eval[[]string](tb, keys), 10)
	require.Contains(t, browsertest.Eval[[]string](tb, keys), "instance=web-49 shard=4999")
	require.Len(t, browsertest.Eval[[]string](tb, rows), 50)
	tb.FullScreenshot("metric-many")
	tb.Run(chromedp.Click(chromedp.CSS(`.pager [rel=next]`)))
	tb.Until(`document.querySelector(".pager span")?.textContent === "51–100 of 5,000"`)
	tb.Go(s.url + "/metric/crowd?page=999&l.instance=web-7")
	require.Equal(t, "51–100 of 100", browsertest.Eval[string](tb, `document.querySelector(".pager span").textContent`))
	tb.Go(s.url + "/metric/crowd?range=1h&show=sum&by=instance")
	tb.Until(`document.querySelectorAll("#chart .key").length === 40`)
	tb.Accessible()
}

// TestMetricWithoutHistory: the state alone.
func TestMetricWithoutHistory(t *testing.T) {
	s := startServer(t, "HISTORY=false")
	s.push(`{"id":"temperature","type":"gauge","value":21.5,"labels":{"instance":"web-1"}}`, `{"id":"temperature","type":"gauge","value":19,"labels":{"instance":"web-2"}}`)
	tb := browsertest.Open(t, browsertest.Browser(t))
	tb.Go(s.url + "/metric/temperature")
	require.Equal(t, []string{"instance=web-1|21.5", "instance=web-2|19"}, browsertest.Eval[[]string](tb, rows))
	require.Zero(t, browsertest.Eval[int](tb, `document.querySelectorAll("canvas, #day, .queries").length`))
	tb.Accessible()
	tb.Allow("404")
	tb.Go(s.url + "/metric/temperatur")
	require.Equal(t, []string{"temperature"}, browsertest.Eval[[]string](tb, `[...document.querySelectorAll("#missing li")].map((e) => e.textContent)`))
}
