package pages_test

import (
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/programtest"
)

// evil is a name full of what could be taken for something else: a path, HTML, PromQL
// and what this server itself replaces in queries.
const evil = `<img src=x onerror=alert(1)> a/b "SEL" $window & %41 \d`

// hosts is a server with hours of some machines. From 3 h to 2 h 30 min ago web-1 said
// nothing.
type hosts struct {
	url   string
	start time.Time
	web   *browsertest.Machine
}

func newHosts(tb testing.TB) *hosts {
	tb.Helper()
	h := &hosts{url: programs.Server(tb, tb.TempDir()).URL(), start: time.Now()}
	h.web = &browsertest.Machine{
		Instance: "web-1", Containers: []string{"shop", "queue", "<b>mail</b>"}, Processes: []string{`"SEL"`, "<script>alert(2)</script>"}, Mount: "/srv/<i>x</i>",
	}
	odd, gone := &browsertest.Machine{Instance: evil}, &browsertest.Machine{Instance: "db-1"}
	browsertest.Write(tb, h.url, slices.Concat(
		h.web.Series(h.start.Add(-6*time.Hour-20*time.Minute), h.start.Add(-3*time.Hour), browsertest.Interval),
		h.web.Series(h.start.Add(-150*time.Minute), h.start, browsertest.Interval),
		odd.Series(h.start.Add(-20*time.Minute), h.start, browsertest.Interval),
		gone.Series(h.start.Add(-3*time.Hour), h.start.Add(-2*time.Hour), browsertest.Interval),
	))
	return h
}

func (h *hosts) page(instance string) string { return h.url + "/host/" + url.PathEscape(instance) }

const (
	// drawn is true when each chart on the screen has drawn, and none is asked for.
	drawn = `document.querySelector("[data-chart]") && [...document.querySelectorAll("[data-chart]")].filter((f) => f.getBoundingClientRect().top < innerHeight)
		.every((f) => f.ariaBusy === "false" && (f.querySelector("canvas") || f.querySelector("[data-empty]")))`
	wrongNotes = `[...document.querySelectorAll(".note.wrong, [data-empty]")].map((e) => e.textContent + e.getAttribute("aria-label"))`
	plot       = `document.querySelector("[data-chart=cpu] .plot")`
	label      = plot + `.getAttribute("aria-label")`
)

func TestHostInTheBrowser(t *testing.T) {
	h := newHosts(t)
	b := browsertest.Browser(t)
	for name, test := range map[string]func(*testing.T, *browsertest.Tab){
		"charts": h.charts, "gap": h.gap, "zoom": h.zoom, "custom range": h.custom, "live": h.live, "keyboard": h.keyboard, "light and dark": h.themes,
		"phone": h.phone, "html in names": h.evil, "gone": h.gone, "unknown": h.unknown, "without JavaScript": h.noScript, "an error": h.failing, "behind a proxy": h.proxied,
	} {
		t.Run(name, func(t *testing.T) { test(t, browsertest.Open(t, b)) })
	}
}

// charts: all are there, each from one request, with never more than two at a time.
func (h *hosts) charts(t *testing.T, tb *browsertest.Tab) {
	tb.Size(1440, 900)
	tb.Go(h.page("web-1") + "?range=6h")
	tb.Until(drawn)
	charts := browsertest.Eval[int](tb, `document.querySelectorAll("[data-chart]").length`)
	require.Equal(t, 15, charts)
	require.Less(t, browsertest.Eval[int](tb, `document.querySelectorAll("[data-chart] canvas").length`), charts, "what nobody sees is not asked for")
	tb.Screenshot("host")
	tb.Size(1440, 3400) // all of it is on the screen
	tb.Until(fmt.Sprintf(`document.querySelectorAll("[data-chart] canvas").length === %d`, charts))
	tb.Until(drawn)
	require.Empty(t, browsertest.Eval[[]string](tb, wrongNotes))
	asked := 0
	for _, address := range tb.Asked() {
		if strings.Contains(address, "/api/v1/") {
			require.Contains(t, address, "/api/v1/query_range")
			asked++
		}
	}
	require.Equal(t, charts, asked)
	require.LessOrEqual(t, browsertest.Eval[int](tb, `(() => {
		const all = performance.getEntriesByType("resource").filter((e) => e.name.includes("query_range"));
		return Math.max(...all.map((a) => all.filter((b) => b.startTime <= a.startTime && b.responseEnd > a.startTime).length));
	})()`), 2, "requests at once")
	require.Equal(t, []string{"percent", "", "bytes", "percent", "bytes"}, browsertest.Eval[[]string](tb,
		`[...document.querySelectorAll("#cpu figcaption")].map((f) => f.querySelector("small")?.textContent ?? "")`))
	require.Regexp(t, `user last [\d.]+ %, lowest [\d.]+ %, highest [\d.]+ %`, browsertest.Eval[string](tb, label))
	t.Logf("draws: %v", browsertest.Eval[[]string](tb,
		`performance.getEntriesByName("chart-draw").map((e) => e.detail.series + "×" + e.detail.points + " " + e.duration.toFixed(1) + " ms")`))
	tb.Screenshot("host-all")
	tb.Size(1440, 900)
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.querySelector("#network").scrollIntoView()`))
	tb.Screenshot("host-lower")
}

// gap: when the machine was away nothing is drawn.
func (h *hosts) gap(t *testing.T, tb *browsertest.Tab) {
	tb.Allow("willReadFrequently") // we look at the canvas
	tb.Go(h.page("web-1") + "?range=6h")
	tb.Until(drawn)
	require.Contains(t, browsertest.Eval[string](tb, label), "gap: ")
	// The stack of the memory reaches from the bottom to the total.
	painted := func(ago time.Duration) bool {
		return browsertest.Eval[bool](tb, fmt.Sprintf(`(() => {
			const figure = document.querySelector("[data-chart=memory]");
			const [canvas, over] = [figure.querySelector("canvas"), figure.querySelector(".u-over")];
			const [c, o] = [canvas.getBoundingClientRect(), over.getBoundingClientRect()];
			const scale = canvas.width / c.width;
			const x = (o.left - c.left + o.width * (1 - %g / 6)) * scale, y = (o.bottom - c.top - 12) * scale;
			return [...canvas.getContext("2d").getImageData(Math.round(x) - 1, Math.round(y), 3, 1).data].filter((_, i) => i %% 4 === 3).every((a) => a > 60);
		})()`, ago.Hours()))
	}
	require.True(t, painted(200*time.Minute))
	require.True(t, painted(time.Hour))
	require.False(t, painted(165*time.Minute), "something is drawn where there are no samples")
	require.False(t, painted(10668*time.Second), "the last sample counts for minutes")
}

// mouse is an event of the mouse at a share of a chart's width.
func mouse(tb *browsertest.Tab, chart string, typ input.DispatchMouseEventType, share float64, buttons int64) chromedp.Action[chromedp.Void] {
	box := browsertest.Eval[[]float64](tb, fmt.Sprintf(`(() => { const r = document.querySelector("[data-chart=%s] .u-over").getBoundingClientRect();
		return [r.left, r.top, r.width, r.height]; })()`, chart))
	return browsertest.Call(input.DispatchMouseEvent, input.DispatchMouseEventParams{
		Type: typ, X: box[0] + share*box[2], Y: box[1] + box[3]/2, Button: input.MouseButtonLeft, Buttons: buttons, ClickCount: 1,
	})
}

func move(tb *browsertest.Tab, chart string, share float64) chromedp.Action[chromedp.Void] {
	return mouse(tb, chart, input.DispatchMouseEventTypeMouseMoved, share, 0)
}

// drag pulls the mouse over a chart, from one share of its width to another.
func drag(tb *browsertest.Tab, chart string, from, to float64) {
	tb.Run(move(tb, chart, from), mouse(tb, chart, input.DispatchMouseEventTypeMousePressed, from, 1))
	for i := range 5 {
		tb.Run(mouse(tb, chart, input.DispatchMouseEventTypeMouseMoved, from+(to-from)*float64(i+1)/5, 1))
	}
	tb.Run(mouse(tb, chart, input.DispatchMouseEventTypeMouseReleased, to, 0))
}

func shown(t *testing.T, tb *browsertest.Tab) (from, to time.Time) {
	t.Helper()
	q, err := url.ParseQuery(strings.TrimPrefix(browsertest.Eval[string](tb, "location.search"), "?"))
	require.NoError(t, err)
	seconds := func(name string) time.Time {
		n, err := strconv.ParseInt(q.Get(name), 10, 64)
		require.NoError(t, err, q)
		return time.Unix(n, 0)
	}
	return seconds("from"), seconds("to")
}

// zoom: dragging over one chart zooms all, the address has it, and there are ways back.
func (h *hosts) zoom(t *testing.T, tb *browsertest.Tab) {
	tb.Size(1440, 900)
	tb.Go(h.page("web-1") + "?range=6h")
	tb.Until(drawn)
	// The cursor of one is that of all.
	tb.Run(move(tb, "cpu", 0.5))
	const when = `[...document.querySelectorAll(".when")].map((e) => e.textContent)`
	tb.Until(`document.querySelector("[data-chart=load] .when").textContent !== ""`)
	require.Equal(t, browsertest.Eval[[]string](tb, when)[0], browsertest.Eval[[]string](tb, when)[1])
	before := time.Now()
	drag(tb, "load", 0.25, 0.5)
	tb.Until(`location.search.includes("from=")`)
	from, to := shown(t, tb)
	require.InDelta(t, 4.5, before.Sub(from).Hours(), 0.1)
	require.InDelta(t, 3, before.Sub(to).Hours(), 0.1)
	tb.Until(drawn)
	labels := browsertest.Eval[[]string](tb, `[...document.querySelectorAll(".plot")].filter((p) => p.querySelector("canvas") && p.getBoundingClientRect().top < innerHeight)
		.map((p) => /, (.*?)\. /.exec(p.getAttribute("aria-label"))[1])`)
	require.Greater(t, len(labels), 4)
	for _, l := range labels {
		require.Equal(t, labels[0], l, "all charts show one range")
	}
	tb.Screenshot("host-zoomed")
	address := browsertest.Eval[string](tb, "location.href")
	tb.Run(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("#range button")].find((b) => b.textContent === "Reset zoom").click()`))
	tb.Until(`location.search === "?range=6h"`)
	tb.Run(chromedp.Evaluate[chromedp.Void](`history.back()`))
	tb.Until(`location.search.includes("from=")`)
	tb.Until(drawn)
	// A link shows the same.
	tb.Go(address)
	tb.Until(drawn)
	require.Contains(t, browsertest.Eval[string](tb, label), labels[0])
	tb.Run(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("#range .choices button")].find((b) => b.textContent === "15m").click()`))
	tb.Until(`location.search === "?range=15m"`)
}

// custom: a range may be typed, in the viewer's zone.
func (h *hosts) custom(t *testing.T, tb *browsertest.Tab) {
	tb.Go(h.page("web-1"))
	tb.Until(drawn)
	tokyo := time.FixedZone("", 9*60*60)
	from, to := h.start.Add(-2*time.Hour).Truncate(time.Second), h.start.Add(-time.Hour).Truncate(time.Second)
	fill := func(from, to time.Time) {
		const layout = "2006-01-02T15:04:05"
		tb.Run(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => {
			if (document.querySelector("#range form").hidden) document.querySelector("#range .more").click();
			const [a, b] = document.querySelectorAll("#range input");
			a.value = %q; b.value = %q;
			b.dispatchEvent(new Event("input"));
			document.querySelector("#range form button").click();
		})()`, from.In(tokyo).Format(layout), to.In(tokyo).Format(layout))))
	}
	fill(to, from)
	require.True(t, browsertest.Eval[bool](tb, `document.querySelectorAll("#range input")[1].validationMessage !== "" && location.search === ""`))
	fill(from, to)
	tb.Until(`location.search.includes("from=")`)
	gotFrom, gotTo := shown(t, tb)
	require.Equal(t, []time.Time{from, to}, []time.Time{gotFrom, gotTo})
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("#range .shown").textContent`), from.In(tokyo).Format("15:04:05"))
	// A range without samples says so.
	fill(h.start.Add(-48*time.Hour), h.start.Add(-47*time.Hour))
	tb.Until(plot + `.dataset.empty === "No data in this range"`)
}

// live: what comes is appended, by small requests; not while paused, zoomed or unseen.
func (h *hosts) live(t *testing.T, tb *browsertest.Tab) {
	tb.Go(h.page("web-1"))
	tb.Until(drawn)
	tb.Asked()
	const toggle = `document.querySelector("#range .live").click()`
	now := time.Now()
	browsertest.Write(t, h.url, h.web.Series(h.start.Add(browsertest.Interval), now.Add(5*time.Minute), browsertest.Interval))
	tb.Run(chromedp.Evaluate[chromedp.Void](`Object.defineProperty(document, "hidden", { value: true, configurable: true })`))
	tb.Run(chromedp.Evaluate[chromedp.Void](toggle), chromedp.Evaluate[chromedp.Void](toggle))
	require.Empty(t, tb.Asked(), "nobody looks")
	tb.Run(chromedp.Evaluate[chromedp.Void](`delete document.hidden`))
	was := browsertest.Eval[string](tb, label)
	seen := browsertest.Eval[string](tb, `document.querySelector(".machine time").dateTime`)
	tb.Run(chromedp.Evaluate[chromedp.Void](toggle), chromedp.Evaluate[chromedp.Void](toggle))
	tb.Until(fmt.Sprintf(`document.querySelector(".machine time").dateTime !== %q`, seen))
	tb.Until(`document.querySelector("#range .live").classList.contains("on")`)
	// The next points of the grid come within a step; then the charts move on.
	tb.Until(fmt.Sprintf(`%s !== %q`, label, was))
	tb.Until(drawn)
	queries := 0
	for _, address := range tb.Asked() {
		u, err := url.Parse(address)
		require.NoError(t, err)
		if !strings.HasSuffix(u.Path, "/query_range") {
			continue
		}
		queries++
		q := u.Query()
		start, err := strconv.ParseFloat(q.Get("start"), 64)
		require.NoError(t, err)
		require.Less(t, math.Abs(float64(time.Now().Unix())-start), 300.0, "it asks for the last points only")
	}
	require.Positive(t, queries)
	tb.Run(chromedp.Evaluate[chromedp.Void](toggle))
	require.Equal(t, "Paused", browsertest.Eval[string](tb, `document.querySelector("#range .live").textContent`))
}

// keyboard: charts are read and zoomed without a mouse.
func (h *hosts) keyboard(t *testing.T, tb *browsertest.Tab) {
	tb.Go(h.page("web-1") + "?range=6h")
	tb.Until(drawn)
	tb.Run(chromedp.Evaluate[chromedp.Void](plot + `.focus()`))
	key := func(name string) {
		tb.Run(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key: %q, bubbles: true, cancelable: true }))`, name)))
	}
	const spoken = `document.querySelector("[data-chart=cpu] [aria-live]").textContent`
	key("End")
	last := browsertest.Eval[string](tb, spoken)
	require.Regexp(t, `^\d\d:\d\d:\d\d: system [\d.]+ %, user [\d.]+ %`, last)
	key("ArrowLeft")
	require.NotEqual(t, last, browsertest.Eval[string](tb, spoken))
	require.NotEmpty(t, browsertest.Eval[string](tb, `document.querySelector("[data-chart=cpu] .when").textContent`))
	// The others stand at the same time.
	tb.Until(`document.querySelector("[data-chart=load] .when").textContent === document.querySelector("[data-chart=cpu] .when").textContent`)
	key("+")
	tb.Until(`location.search.includes("from=")`)
	// The legend's buttons switch series off.
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-chart=cpu] .key").click()`))
	tb.Until(`document.querySelector("[data-chart=cpu] .key").ariaPressed === "false"`)
}

func (h *hosts) themes(t *testing.T, tb *browsertest.Tab) {
	const background = `Math.max(...getComputedStyle(document.body).backgroundColor.match(/\d+/g))`
	const colour = `[...document.querySelector("[data-chart=memory] canvas").getContext("2d").getImageData(0, 0, 800, 300).data].join()`
	tb.Allow("willReadFrequently")
	tb.Size(1440, 1400)
	tb.Theme("light")
	tb.Go(h.page("web-1"))
	tb.Until(drawn)
	require.Greater(t, browsertest.Eval[int](tb, background), 200)
	tb.Accessible()
	light := browsertest.Eval[string](tb, colour)
	tb.Theme("dark")
	tb.Until(background + ` < 55`)
	tb.Until(drawn)
	require.NotEqual(t, light, browsertest.Eval[string](tb, colour), "charts follow the theme")
	tb.Accessible()
	tb.Screenshot("host-dark")
	// The button beats the system, and the choice is kept.
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.getElementById("theme").click()`))
	tb.Until(background + ` > 200`)
	tb.Go(h.page("web-1"))
	require.Equal(t, "Theme: light", browsertest.Eval[string](tb, `document.getElementById("theme").textContent`))
	require.Greater(t, browsertest.Eval[int](tb, background), 200)
	tb.Run(chromedp.Evaluate[chromedp.Void](`localStorage.clear()`))
}

func (h *hosts) phone(t *testing.T, tb *browsertest.Tab) {
	for _, instance := range []string{"web-1", evil} {
		tb.Phone()
		tb.Go(h.page(instance))
		tb.Until(drawn)
		tb.FitsWidth()
		tb.Accessible()
		tb.Screenshot("host-phone-" + strconv.Itoa(len(instance)))
	}
}

func (h *hosts) evil(t *testing.T, tb *browsertest.Tab) {
	tb.Size(1440, 2600)
	tb.Go(h.page(evil) + "?range=15m")
	tb.Until(drawn)
	require.Equal(t, evil, browsertest.Eval[string](tb, `document.querySelector("h1").textContent`))
	require.Equal(t, evil+" · gometheus", browsertest.Eval[string](tb, `document.title`))
	require.Empty(t, browsertest.Eval[[]string](tb, wrongNotes))
	require.Zero(t, browsertest.Eval[int](tb, `document.querySelectorAll("main img, main script").length`))
	tb.Go(h.page("web-1"))
	tb.Until(drawn)
	require.Zero(t, browsertest.Eval[int](tb, `document.querySelectorAll("main img, main script, main td i, main th i, main th b, main td b").length`))
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("#processes table").textContent`), "<script>alert(2)</script>")
}

// gone: a machine that says nothing any more still has its last numbers.
func (h *hosts) gone(t *testing.T, tb *browsertest.Tab) {
	tb.Go(h.page("db-1"))
	tb.Until(drawn)
	require.Equal(t, "gone", browsertest.Eval[string](tb, `document.querySelector(".machine .badge").textContent`))
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".machine").innerText`), "last heard of 2 h ago")
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("#filesystems table").textContent`), "/dev/sda1")
	require.Equal(t, "No data in this range", browsertest.Eval[string](tb, plot+`.dataset.empty`))
	tb.Accessible()
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.querySelector(".machine a").click()`))
	tb.Until(`location.search.includes("from=")`)
	tb.Until(plot + `?.querySelector("canvas")`)
}

func (h *hosts) unknown(t *testing.T, tb *browsertest.Tab) {
	tb.Allow("404")
	tb.Go(h.page("<b>nobody</b>"))
	require.Equal(t, "No such machine", browsertest.Eval[string](tb, `document.querySelector("h1").textContent`))
	require.Equal(t, "<b>nobody</b>", browsertest.Eval[string](tb, `document.querySelector("main code").textContent`))
	require.Equal(t, h.url+"/", browsertest.Eval[string](tb, `[...document.querySelectorAll("main a")].at(-1).href`))
	tb.Accessible()
}

func (h *hosts) noScript(t *testing.T, tb *browsertest.Tab) {
	tb.NoScript()
	tb.Go(h.page("web-1"))
	require.Zero(t, browsertest.Eval[int](tb, `[...document.querySelectorAll(".needs-js")].filter((e) => e.checkVisibility()).length`))
	require.Regexp(t, `(?s)CPU\s+[\d.]+.%.*Memory\s+[\d.]+.%.*Network in`, browsertest.Eval[string](tb, `document.querySelector(".tiles").innerText`))
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("#disks").innerText`), "nvme0n1")
	require.NotContains(t, browsertest.Eval[string](tb, `document.querySelector("#disks").innerText`), "loop0")
	tb.Screenshot("host-noscript")
}

// proxied: the pages work below a prefix that a proxy adds.
func (h *hosts) proxied(t *testing.T, tb *browsertest.Tab) {
	target, err := url.Parse(h.url)
	require.NoError(t, err)
	proxy := httptest.NewServer(http.StripPrefix("/metrics/of/us", &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: programtest.Client(t).Transport,
	}))
	defer proxy.Close()
	prefix := proxy.URL + "/metrics/of/us/"
	for _, instance := range []string{"web-1", evil} {
		tb.Go(prefix + "host/" + url.PathEscape(instance))
		tb.Until(drawn)
		require.Empty(t, browsertest.Eval[[]string](tb, wrongNotes))
		require.Equal(t, instance, browsertest.Eval[string](tb, `document.querySelector("h1").textContent`))
		require.Empty(t, browsertest.Eval[[]string](tb, fmt.Sprintf(`[...document.querySelectorAll("a")].map((a) => a.href).filter((u) => !u.startsWith(%q))`, prefix)))
	}
}

// failing: an error of the server stands in the chart, and goes when it is over.
func (h *hosts) failing(t *testing.T, tb *browsertest.Tab) {
	tb.Allow("422")
	tb.Allow("400")
	tb.Go(h.page("web-1"))
	tb.Until(drawn)
	tb.Run(chromedp.Evaluate[chromedp.Void](`window.realFetch = fetch;
		window.fetch = (url, o) => realFetch(String(url).replace(/query=[^&]*/, "query=sum("), o);
		[...document.querySelectorAll("#range .choices button")][0].click()`))
	tb.Until(`document.querySelector("[data-chart=cpu] .note.wrong")?.textContent.includes("parse error")`)
	tb.Screenshot("host-error")
	tb.Run(chromedp.Evaluate[chromedp.Void](`window.fetch = realFetch; [...document.querySelectorAll("#range .choices button")][1].click()`))
	tb.Until(`!document.querySelector(".note.wrong")`)
}

// TestHostWithoutHistoryInTheBrowser: there are values, and nothing that asks for more.
func TestHostWithoutHistoryInTheBrowser(t *testing.T) {
	server := programs.Server(t, t.TempDir(), "HISTORY=false").URL()
	push(t, server, `[{"id":"TotalMemory","type":"gauge","value":1073741824,"labels":{"instance":"small"}}]`)
	tb := browsertest.Open(t, browsertest.Browser(t))
	tb.Go(server + "/host/small")
	tb.Until(`document.querySelector("#pushed th a")?.textContent === "TotalMemory"`)
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("main").innerText`), "HISTORY=false")
	for _, address := range tb.Asked() {
		require.NotContains(t, address, "/api/")
		require.NotContains(t, address, "uPlot")
	}
	tb.Accessible()
	tb.Phone()
	tb.FitsWidth()
	tb.Screenshot("host-no-history")
}

// TestHostOfAnAgent: of an agent that tells of itself alone there are its gauges.
func TestHostOfAnAgent(t *testing.T) {
	dir := t.TempDir()
	server := programs.Server(t, dir).URL()
	programtest.Start(t, dir, programs.Build(t, "agent"), nil, "ADDRESS="+strings.TrimPrefix(server, "http://"), "LABELS=instance=tiny/1", "POLL_INTERVAL=1", "REPORT_INTERVAL=1", "COLLECTORS=runtime,random,gopsutil")
	tb := browsertest.Open(t, browsertest.Browser(t))
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server+"/value/gauge/TotalMemory?instance=tiny/1", nil)
		require.NoError(t, err)
		resp, err := programtest.Client(t).Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 100*time.Millisecond)
	tb.Go(server + "/host/tiny%2F1?range=15m")
	tb.Until(`document.querySelectorAll("[data-chart^=own] canvas").length === 2`)
	require.Equal(t, "reporting", browsertest.Eval[string](tb, `document.querySelector(".machine .badge").textContent`))
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector("#pushed").innerText`), "PollCount")
	tb.Accessible()
	tb.Screenshot("host-agent")
}

// BenchmarkChart draws ten series over six hours in the browser. ms/draw is what the
// page itself measures.
func BenchmarkChart(b *testing.B) {
	h := newHosts(b)
	tb := browsertest.Open(b, browsertest.Browser(b))
	tb.Go(h.page("web-1") + "?range=6h")
	tb.Until(drawn)
	browsertest.Eval[bool](tb, `(async () => {
		const at = document.querySelector("script[src*='host.js']").src.replace("host.js", "");
		const [{ Board }, { Range }] = await Promise.all([import(at + "chart.js"), import(at + "range.js")]);
		const figure = document.createElement("figure");
		figure.className = "card chart bench";
		document.querySelector("main").replaceChildren(figure);
		new Board(new Range(), { sync: "bench" }).add(figure, {
			title: "Bench", query: () => 'node_cpu_seconds_total{instance="web-1",cpu="0"} or {__name__=~"node_load1|node_load5",instance="web-1"}',
		});
		return true;
	})()`)
	tb.Until(`document.querySelector(".bench canvas")`)
	const last = `performance.getEntriesByName("chart-draw").filter((e) => e.detail.title === "Bench")`
	total, n := 0.0, 0
	for b.Loop() {
		browsertest.Eval[bool](tb, `performance.clearMeasures() || document.dispatchEvent(new Event("themechange"))`)
		tb.Until(last + `.length === 1`)
		require.InDelta(b, 10, browsertest.Eval[int](tb, last+`[0].detail.series`), 0)
		total += browsertest.Eval[float64](tb, last+`[0].duration`)
		n++
	}
	b.ReportMetric(total/float64(n), "ms/draw")
}
