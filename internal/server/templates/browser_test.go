package templates_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
)

// site serves the page of the metrics it holds, as the API does.
type site struct {
	*httptest.Server
	metrics atomic.Pointer[[]metric.Metric]
}

// now is the clock of every site: 2026-11-23 17:25:31 UTC.
var now = time.UnixMilli(1_795_454_731_960)

func newSite(t *testing.T, ms []metric.Metric) *site {
	t.Helper()
	s := new(site)
	s.metrics.Store(&ms)
	mux := http.NewServeMux()
	mux.Handle("/static/", templates.Static(http.NotFoundHandler()))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		page, err := strconv.Atoi(r.FormValue("page"))
		if err != nil {
			page = 1
		}
		o := templates.Overview{
			Layout: templates.Layout{Host: r.Host, Now: now},
			Series: templates.Select(slices.Clone(*s.metrics.Load()), r.FormValue("q"),
				templates.ParseSort(r.FormValue("sort"), r.FormValue("order")), page, templates.SeriesPage),
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", templates.ContentSecurityPolicy)
		if err := templates.RenderOverview(w, o); err != nil {
			t.Logf("render: %v", err)
		}
	})
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func gauge(name string, v float64, age time.Duration, labels ...string) metric.Metric {
	return metric.Metric{
		Kind: metric.Gauge, Name: name, Value: v,
		Labels: metric.NewLabels(labels...), Timestamp: now.Add(-age).UnixMilli(),
	}
}

func counter(name string, d int64, age time.Duration, labels ...string) metric.Metric {
	return metric.Metric{
		Kind: metric.Counter, Name: name, Delta: d,
		Labels: metric.NewLabels(labels...), Timestamp: now.Add(-age).UnixMilli(),
	}
}

// retype types over what stands in the search field.
func retype(tb *browsertest.Tab, s string) {
	tb.Run(chromedp.Focus(search), chromedp.Evaluate[chromedp.Void](`document.getElementById("q").select()`), chromedp.KeyEvent(s))
}

const (
	search  = chromedp.CSS("#q")
	live    = chromedp.CSS("#live")
	byValue = chromedp.CSS("thead th:nth-child(4) a")

	visibleNames  = `[...document.querySelectorAll("tbody tr:not([hidden]) th")].map(e => e.textContent)`
	visibleValues = `[...document.querySelectorAll("tbody tr:not([hidden]) td:nth-child(4)")].map(e => e.textContent)`
	// rendered is true once the script has dressed the first row.
	rendered = `document.querySelector("tbody .age") !== null`
)

func wantEqual[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// fleet is what the tests look at, in no order.
func fleet() []metric.Metric {
	return []metric.Metric{
		gauge("TotalMemory", 25276514304, 4*time.Second, "instance", "web-1"),
		gauge("<script>alert(1)</script>", 1, time.Second, "instance", `"><img src=x onerror=alert(2)>`),
		gauge("CPUutilization1", 12.5, 4*time.Second, "instance", "web-2"),
		gauge("CPUutilization1", 7.25, 4*time.Second, "instance", "web-1"),
		counter("PollCount", 4711, 2*time.Second, "instance", "web-1"),
		gauge("PollCount", -0.5, 26*time.Hour),
		gauge("Alloc", 9437184, 90*time.Second, "instance", "web-1", "zone", "eu-1"),
	}
}

var fleetNames = []string{
	"<script>alert(1)</script>", "Alloc", "CPUutilization1", "CPUutilization1", "PollCount", "PollCount", "TotalMemory",
}

func TestBrowser(t *testing.T) {
	b := browsertest.Browser(t)

	t.Run("rows in order, as text", func(t *testing.T) {
		s := newSite(t, fleet())
		tb := browsertest.Open(t, b)
		tb.Run(chromedp.Navigate(s.URL))
		wantEqual(t, "names", browsertest.Eval[[]string](tb, visibleNames), fleetNames)
		// Equal names: by kind, then by labels. Grouped digits are still the value.
		wantEqual(t, "values", browsertest.Eval[[]string](tb, visibleValues), []string{"1", "9437184", "7.25", "12.5", "4711", "-0.5", "25276514304"})
		tb.Until(rendered)
		wantEqual(t, "values", browsertest.Eval[[]string](tb, visibleValues), []string{"1", "9437184", "7.25", "12.5", "4711", "-0.5", "25276514304"})
		if got := browsertest.Eval[int](tb, `document.querySelectorAll("tbody script, tbody img").length`); got != 0 {
			t.Errorf("%d elements came from metrics", got)
		}
		if got, want := browsertest.Eval[string](tb, `document.querySelector("tbody td:nth-child(3)").textContent`), `instance="><img src=x onerror=alert(2)>`; got != want {
			t.Errorf("label shows as %q, want %q", got, want)
		}
	})

	t.Run("times are the viewer's", func(t *testing.T) {
		s := newSite(t, fleet())
		tb := browsertest.Open(t, b)
		tb.Run(chromedp.Navigate(s.URL))
		tb.Until(rendered)
		wantEqual(t, "times", browsertest.Eval[[]string](tb, `[...document.querySelectorAll("tbody td:nth-child(5)")].map(e => e.textContent)`), []string{
			"02:25:301 s ago", "02:24:011 min ago", "02:25:274 s ago", "02:25:274 s ago", "02:25:292 s ago", "23 Nov, 00:25:311 d ago", "02:25:274 s ago",
		})
		wantEqual(t, "old rows", browsertest.Eval[[]string](tb, `[...document.querySelectorAll("tbody .old th")].map(e => e.textContent)`), []string{"PollCount"})
	})

	t.Run("filters while typing", func(t *testing.T) {
		s := newSite(t, fleet())
		tb := browsertest.Open(t, b)
		tb.Run(chromedp.Navigate(s.URL), chromedp.SendKeys(search, "WEB-1 cpu"))
		tb.Until(`document.getElementById("shown").textContent === "1"`)
		wantEqual(t, "values", browsertest.Eval[[]string](tb, visibleValues), []string{"7.25"})
		tb.Until(`location.search === "?q=WEB-1+cpu"`)
		if got, want := browsertest.Eval[string](tb, `document.querySelector("[role=status]").textContent`), "1 of 7 series"; got != want {
			t.Errorf("status is %q, want %q", got, want)
		}
		tb.Run(chromedp.SendKeys(search, "x"))
		tb.Until(`!document.getElementById("none").hidden`)
		retype(tb, "counter")
		tb.Until(`document.getElementById("shown").textContent === "1"`)
		wantEqual(t, "values", browsertest.Eval[[]string](tb, visibleValues), []string{"4711"})
		// The order is chosen among what is shown.
		tb.Until(`document.querySelector("thead a").search.includes("q=counter")`)
	})

	t.Run("asks for what the server left out", func(t *testing.T) {
		s := newSite(t, fleet())
		tb := browsertest.Open(t, b)
		tb.Run(chromedp.Navigate(s.URL+"/?q=alloc"), chromedp.Click(live)) // paused, so that no refresh helps
		wantEqual(t, "names", browsertest.Eval[[]string](tb, visibleNames), []string{"Alloc"})
		retype(tb, "poll")
		tb.Until(`document.getElementById("shown").textContent === "2"`)
		wantEqual(t, "names", browsertest.Eval[[]string](tb, visibleNames), []string{"PollCount", "PollCount"})
	})

	t.Run("sorts by a click", func(t *testing.T) {
		s := newSite(t, fleet())
		tb := browsertest.Open(t, b)
		tb.Run(chromedp.Navigate(s.URL), chromedp.Click(byValue))
		tb.Until(`document.querySelector("[aria-sort=descending]")?.textContent === "Value"`)
		wantEqual(t, "values", browsertest.Eval[[]string](tb, visibleValues), []string{"25276514304", "9437184", "4711", "12.5", "7.25", "1", "-0.5"})
		tb.Run(chromedp.Click(byValue))
		tb.Until(`document.querySelector("[aria-sort=ascending]")?.textContent === "Value"`)
		wantEqual(t, "values", browsertest.Eval[[]string](tb, visibleValues), []string{"-0.5", "1", "7.25", "12.5", "4711", "9437184", "25276514304"})
	})

	t.Run("stays fresh", func(t *testing.T) {
		s := newSite(t, nil)
		tb := browsertest.Open(t, b)
		tb.Run(chromedp.Navigate(s.URL))
		refresh := func() { tb.Run(chromedp.Click(live), chromedp.Click(live)) }
		first := []metric.Metric{counter("PollCount", 1, 0)}
		s.metrics.Store(&first)
		refresh()
		tb.Until(`document.querySelector("tbody td:nth-child(4)")?.textContent === "1"`)
		second := []metric.Metric{counter("PollCount", 2, 0), gauge("Alloc", 1, 0)}
		s.metrics.Store(&second)
		tb.Run(chromedp.SendKeys(search, "poll"))
		refresh()
		tb.Until(`document.querySelector("tbody tr:not([hidden]) td:nth-child(4)")?.textContent === "2"`)
		wantEqual(t, "names", browsertest.Eval[[]string](tb, visibleNames), []string{"PollCount"})
		tb.Until(`document.querySelector("[role=status]").textContent === "1 of 2 series"`)
	})

	t.Run("works by keyboard", func(t *testing.T) {
		s := newSite(t, fleet())
		tb := browsertest.Open(t, b)
		tb.Run(chromedp.Navigate(s.URL))
		focused := func() string {
			tb.Run(chromedp.KeyEvent("\t"))
			return browsertest.Eval[string](tb, `document.activeElement.textContent.trim() || document.activeElement.id`)
		}
		var got []string
		for range 12 {
			got = append(got, focused())
		}
		wantEqual(t, "tab order", got, []string{"Skip to the content", "gometheus", "Overview", "Explore", "Status", "Theme: auto", "Live", "q", "Kind", "Name", "Value", "Updated"})
		// As one event, so that the page may keep the letter out of the field.
		tb.Run(
			browsertest.Call(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyDown, Key: "/", Text: "/"}),
			browsertest.Call(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: input.DispatchKeyEventTypeKeyUp, Key: "/"}),
			chromedp.KeyEvent("alloc"),
		)
		tb.Until(`document.getElementById("shown").textContent === "1"`)
	})

	t.Run("works without JavaScript", func(t *testing.T) {
		s := newSite(t, fleet())
		tb := browsertest.Open(t, b)
		tb.Run(browsertest.Call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}), chromedp.Navigate(s.URL+"/?sort=value&order=desc"),
			chromedp.SendKeys(search, "web-1 p"), chromedp.Click(chromedp.CSS("form button")))
		tb.Until(`document.querySelectorAll("tbody tr").length === 2`)
		wantEqual(t, "values", browsertest.Eval[[]string](tb, visibleValues), []string{"4711", "7.25"})
		wantEqual(t, "times", browsertest.Eval[[]string](tb, `[...document.querySelectorAll("tbody time")].map(e => e.textContent + "|" + e.dateTime)`), []string{
			"2026-11-23 17:25:29 UTC|2026-11-23T17:25:29.960Z", "2026-11-23 17:25:27 UTC|2026-11-23T17:25:27.960Z",
		})
	})

	t.Run("light and dark", func(t *testing.T) {
		s := newSite(t, fleet())
		tb := browsertest.Open(t, b)
		// The background's largest channel, 0 to 255.
		const background = `Math.max(...getComputedStyle(document.body).backgroundColor.match(/\d+/g))`
		tb.Theme("light")
		tb.Run(chromedp.Navigate(s.URL))
		tb.Until(rendered)
		if light := browsertest.Eval[int](tb, background); light < 200 {
			t.Errorf("in light the background is %d of 255", light)
		}
		wantEqual(t, "texts with a contrast under 4.5 in light", browsertest.Eval[[]string](tb, lowContrast), nil)
		tb.Theme("dark")
		if dark := browsertest.Eval[int](tb, background); dark > 55 {
			t.Errorf("in dark the background is %d of 255", dark)
		}
		wantEqual(t, "texts with a contrast under 4.5 in dark", browsertest.Eval[[]string](tb, lowContrast), nil)
	})

	t.Run("fits a phone", func(t *testing.T) {
		ms := append(
			fleet(),
			gauge(strings.Repeat("a_very_long_name_", 20), 1.7976931348623157e308, 0, "path", strings.Repeat("x", 500)),
			gauge("tiny", 1.2345678901234567e-300, 0),
		)
		for name, s := range map[string]*site{"rows": newSite(t, ms), "empty": newSite(t, nil)} {
			tb := browsertest.Open(t, b)
			tb.Run(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile), chromedp.Navigate(s.URL))
			if name == "rows" {
				tb.Until(rendered)
			}
			if got := browsertest.Eval[int](tb, `document.documentElement.scrollWidth`); got > 360 {
				t.Errorf("%s: the page is %d pixels wide on a screen of 360", name, got)
			}
			// Chunks cut off what sticks out of them, so each cell must fit too.
			wantEqual(t, name+": cells that stick out", browsertest.Eval[[]string](tb, `[...document.querySelectorAll("th, td, pre")]
				.filter(e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth)
				.map(e => e.textContent.slice(0, 20))`), nil)
		}
	})

	t.Run("tells how to begin", func(t *testing.T) {
		s := newSite(t, nil)
		host := strings.TrimPrefix(s.URL, "http://")
		tb := browsertest.Open(t, b)
		tb.Run(chromedp.Navigate(s.URL))
		wantEqual(t, "commands", browsertest.Eval[[]string](tb, `[...document.querySelectorAll("pre")].map(e => e.textContent)`), []string{
			"agent --address=" + host, "curl -X POST '" + s.URL + "/update/gauge/hello/1'",
		})
		if got := browsertest.Eval[int](tb, `document.querySelectorAll("table").length`); got != 0 {
			t.Error("there is a table, though there is nothing in it")
		}
	})

	t.Run("100,000 series", func(t *testing.T) {
		ms := make([]metric.Metric, 100_000)
		for i := range ms {
			ms[i] = gauge(fmt.Sprintf("HeapAlloc%05d", i), float64(i)*4096, time.Second, "instance", fmt.Sprintf("web-%d", i%500))
		}
		s := newSite(t, ms)
		tb := browsertest.Open(t, b)
		start := time.Now()
		tb.Run(chromedp.Navigate(s.URL))
		tb.Until(rendered)
		t.Logf("shown after %v", time.Since(start).Round(time.Millisecond))
		start = time.Now()
		tb.Run(chromedp.SendKeys(search, "c99999"))
		tb.Until(`document.getElementById("shown").textContent === "1"`)
		t.Logf("six letters typed and filtered after %v", time.Since(start).Round(time.Millisecond))
		wantEqual(t, "names", browsertest.Eval[[]string](tb, visibleNames), []string{"HeapAlloc99999"})
	})
}

// lowContrast lists the texts that WCAG AA would not pass.
const lowContrast = `(() => {
	const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
	const numbers = (s) => s.match(/[\d.]+/g).map(Number);
	const luminance = (s) => { const [r, g, b] = numbers(s).map(channel); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	const clear = (s) => numbers(s)[3] === 0;
	const behind = (el) => { while (el && clear(getComputedStyle(el).backgroundColor)) el = el.parentElement; return getComputedStyle(el).backgroundColor; };
	return [...document.querySelectorAll("body *")]
		.filter((el) => el.checkVisibility() && ([...el.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || el.matches("input")))
		.map((el) => {
			const [a, b] = [luminance(getComputedStyle(el).color), luminance(behind(el))].sort((x, y) => y - x);
			return [el, (a + 0.05) / (b + 0.05)];
		})
		.filter(([, ratio]) => ratio < 4.5)
		.map(([el, ratio]) => el.tagName + " " + el.textContent + " " + ratio.toFixed(2));
})()`

// TestScreenshots writes pictures of the page, if GOMETHEUS_SCREENSHOTS names a
// folder.
func TestScreenshots(t *testing.T) {
	if os.Getenv("GOMETHEUS_SCREENSHOTS") == "" {
		t.Skip("GOMETHEUS_SCREENSHOTS names no folder")
	}
	b := browsertest.Browser(t)
	machine, empty := newSite(t, machine()), newSite(t, nil)
	for _, shot := range []struct {
		name, url, scheme string
		view              chromedp.Action[chromedp.Void]
	}{
		{"page", machine.URL, "light", chromedp.EmulateViewport(1200, 710)},
		{"page-dark", machine.URL, "dark", chromedp.EmulateViewport(1200, 760)},
		{"page-phone", machine.URL, "light", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile)},
		{"page-search", machine.URL + "/?q=web-1+nothing", "light", chromedp.EmulateViewport(1200, 760)},
		{"page-empty", empty.URL, "light", chromedp.EmulateViewport(1200, 760)},
		{"page-empty-dark", empty.URL, "dark", chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile)},
	} {
		tb := browsertest.Open(t, b)
		tb.Theme(shot.scheme)
		tb.Run(shot.view)
		tb.Go(shot.url)
		if !strings.HasPrefix(shot.name, "page-e") && shot.name != "page-search" {
			tb.Until(rendered)
		}
		tb.Accessible()
		tb.Screenshot(shot.name)
	}
}

// machine is what the agents of two machines push.
func machine() []metric.Metric {
	var ms []metric.Metric
	for i, m := range []metric.Metric{
		gauge("Alloc", 2843768, 0), gauge("CPUutilization1", 12.060301507537688, 0), gauge("CPUutilization2", 7.425742574257426, 0),
		gauge("FreeMemory", 17179869184, 0), gauge("HeapObjects", 11874, 0),
		gauge("NumGC", 14, 0), counter("PollCount", 18211, 0), gauge("RandomValue", 0.6046602879796196, 0),
		gauge("TotalMemory", 25276514304, 0),
	} {
		for j, instance := range []string{"web-1", "web-2"} {
			if j == 1 && i%3 == 2 {
				continue
			}
			m.Labels = metric.NewLabels("instance", instance)
			m.Timestamp = now.Add(-time.Duration(2+5*j) * time.Second).UnixMilli()
			m.Value *= 1 + 0.5*float64(j)
			ms = append(ms, m)
		}
	}
	return append(ms, counter("jobs_done", 128, 3*time.Hour, "job", "backup", "result", "ok"))
}
