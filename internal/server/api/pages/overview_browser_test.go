package pages_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/programtest"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

const (
	machineField = chromedp.CSS("#m")
	searchField  = chromedp.CSS("#q")
	liveButton   = chromedp.CSS("#live")

	shownMachines = `[...document.querySelectorAll(".machines tbody tr:not([hidden]):not(.group) .name")].filter((e) => e.checkVisibility()).map((e) => e.textContent)`
	shownSeries   = `[...document.querySelectorAll(".series tbody tr:not([hidden]) th")].map((e) => e.textContent)`
	groupTitles   = `[...document.querySelectorAll(".machines .group")].filter((e) => e.checkVisibility()).map((e) => e.textContent.trim())`
	// sticking is what sticks out of the screen. The cells of machines cut off what
	// is too long for them.
	sticking = `[...document.querySelectorAll("main *")].filter((e) => e.checkVisibility() && !e.closest(".hide") && !e.parentElement.closest(".machines td, .machines th") && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
		.map((e) => e.tagName + "." + e.className + " " + e.textContent.slice(0, 30))`
)

// refresh pauses and goes on, which asks the server.
func refresh(tb *browsertest.Tab) { tb.Run(chromedp.Click(liveButton), chromedp.Click(liveButton)) }

// ahead is how long machines go on reporting after they were made: their samples of
// the time to come are there, and nobody sees them before.
const ahead = 9 * time.Minute

// odd is a name full of what could be taken for something else.
const odd = `</td><img src=x onerror=alert(1)>&"'/..`

// newPark is a server with ten machines of two environments, and 250 series that were
// pushed.
func newPark(t *testing.T) string {
	t.Helper()
	url, now := programs.Server(t, t.TempDir()).URL(), time.Now()
	var all []writetest.Series
	for i, b := range boxes(10) {
		until := now.Add(ahead)
		switch i {
		case 3: // web-4
			until = now.Add(-3 * time.Minute)
		case 8: // queue-9
			until = now.Add(-2 * time.Hour)
		}
		all = append(all, b.series(until.Add(-70*time.Minute), until)...)
	}
	all = append(all, box{name: odd, labels: []string{"env", odd}, load: 0.99}.series(now.Add(-5*time.Minute), now.Add(ahead))...)
	send(t, url, all)
	var body strings.Builder
	for i := range 249 {
		fmt.Fprintf(&body, `{"id":"metric_%03d","type":"gauge","value":%d,"labels":{"job":"batch"}},`, i, i*i)
	}
	push(t, url, "["+body.String()+`{"id":"<script>alert(3)</script>","type":"counter","delta":7,"labels":{"job":"<i>x</i>"}}]`)
	return url
}

func TestOverviewInTheBrowser(t *testing.T) {
	park := newPark(t)
	b := browsertest.Browser(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *browsertest.Tab, string)
	}{
		{"sorts by a click", overviewSorts},
		{"filters while typing", overviewFilters},
		{"groups by a label", overviewGroups},
		{"pages and searches series", overviewPages},
		{"shows names as text", overviewNames},
		{"keeps focus and scroll", overviewKeeps},
		{"looks right", overviewLooks},
		{"tells that the server is lost", overviewLost},
		{"works without JavaScript", overviewPlain},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, browsertest.Open(t, b), park) })
	}
	t.Run("an agent comes and goes", func(t *testing.T) { overviewOfAgent(t, browsertest.Open(t, b)) })
	t.Run("500 machines", func(t *testing.T) { overviewOfMany(t, browsertest.Open(t, b)) })
}

var byName = []string{odd, "db-2", "db-5", "db-8", "queue-3", "queue-6", "queue-9", "web-1", "web-4", "web-7", "web-10"}

// overviewLost: an answer that doesn't come is not waited for for ever.
func overviewLost(t *testing.T, tb *browsertest.Tab, park string) {
	tb.Go(park)
	require.Regexp(t, `^\d\d:\d\d:\d\d$`, browsertest.Eval[string](tb, `document.getElementById("asof").textContent`), "as on the other pages")
	tb.Run(chromedp.Evaluate[chromedp.Void](`window.realFetch = fetch; window.realTimeout = setTimeout;
		window.setTimeout = (f, ms) => realTimeout(f, ms === 15_000 ? 50 : ms);
		window.fetch = (_, o) => new Promise((_, reject) => o.signal.addEventListener("abort", () => reject(o.signal.reason)))`),
		chromedp.Click(chromedp.CSS("#live")), chromedp.Click(chromedp.CSS("#live")))
	tb.Until(`document.querySelector("#live.lost")`)
	tb.Run(chromedp.Evaluate[chromedp.Void](`window.fetch = realFetch; window.setTimeout = realTimeout`),
		chromedp.Click(chromedp.CSS("#live")), chromedp.Click(chromedp.CSS("#live")))
	tb.Until(`!document.querySelector("#live.lost")`)
}

func overviewSorts(t *testing.T, tb *browsertest.Tab, park string) {
	tb.Go(park)
	require.Equal(t, byName, browsertest.Eval[[]string](tb, shownMachines))
	click := func(column, want string) {
		tb.Run(chromedp.Click(chromedp.CSS(".machines thead ." + column + " a")))
		tb.Until(`document.querySelector(".machines thead .` + column + `").ariaSort === "` + want + `"`)
	}
	values := func(column string) []float64 {
		return browsertest.Eval[[]float64](tb, `[...document.querySelectorAll(".machines tbody .`+column+`")].map((e) => parseFloat(e.textContent)).filter((v) => !Number.isNaN(v))`)
	}
	for column, least := range map[string]int{"cpu": 9, "memory": 10, "disk": 10, "load": 10} {
		click(column, "descending")
		got := values(column)
		require.GreaterOrEqual(t, len(got), least, column)
		for i := range got[1:] {
			require.GreaterOrEqual(t, got[i], got[i+1], column)
		}
		require.Contains(t, browsertest.Eval[[]string](tb, shownMachines)[9:], "queue-9", "what is not known comes last")
		click(column, "ascending")
		require.Contains(t, browsertest.Eval[[]string](tb, shownMachines)[9:], "queue-9", "in either order")
	}
	click("health", "descending")
	require.Equal(t, []string{"queue-9", "web-4"}, browsertest.Eval[[]string](tb, shownMachines)[:2])
	require.Equal(t, "?morder=desc&msort=state", browsertest.Eval[string](tb, `location.search`))
	// The table of series keeps its own order, and the way back leads back.
	require.Equal(t, "ascending", browsertest.Eval[string](tb, `document.querySelector(".series thead [aria-sort]").ariaSort`))
	tb.Run(chromedp.Evaluate[chromedp.Void](`history.back()`))
	tb.Until(`document.querySelector(".machines thead .health").ariaSort !== "descending"`)
}

func overviewFilters(t *testing.T, tb *browsertest.Tab, park string) {
	tb.Go(park)
	tb.Run(chromedp.SendKeys(machineField, "env=staging"))
	tb.Until(`document.getElementById("m-shown").textContent === "3 of 11 match"`)
	require.Equal(t, []string{"queue-3", "queue-6", "web-10"}, browsertest.Eval[[]string](tb, shownMachines))
	tb.Until(`location.search === "?m=env%3Dstaging"`)
	// The server's answer is the same, and what is typed stays.
	refresh(tb)
	tb.Until(`document.getElementById("fleet").dataset.query === "env=staging"`)
	require.Equal(t, []string{"queue-3", "queue-6", "web-10"}, browsertest.Eval[[]string](tb, shownMachines))
	tb.Run(chromedp.SendKeys(machineField, " web"))
	tb.Until(`document.getElementById("m-shown").textContent.startsWith("1 of")`)
	tb.Run(chromedp.SendKeys(machineField, " nothing"))
	tb.Until(`!document.getElementById("m-none").hidden`)
	// A wider search shows what the server had left out.
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.getElementById("m").select()`), chromedp.KeyEvent("late"))
	tb.Until(`document.getElementById("m-shown").textContent === "1 of 11 match"`)
	require.Equal(t, []string{"web-4"}, browsertest.Eval[[]string](tb, shownMachines))
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".silent .health").textContent`), "late 3 min ago")
	require.Len(t, browsertest.Eval[[]string](tb, shownSeries), 100, "the series are another matter")
}

func overviewGroups(t *testing.T, tb *browsertest.Tab, park string) {
	tb.Go(park)
	tb.Run(chromedp.Evaluate[chromedp.Void](`(() => { const g = document.getElementById("group"); g.value = "env"; g.dispatchEvent(new Event("change", { bubbles: true })); })()`))
	tb.Until(`document.querySelectorAll(".machines .group").length === 3`)
	require.Equal(t, []string{"env=" + odd + " · 1 machine", "env=prod · 7 machines, 2 not reporting", "env=staging · 3 machines"}, browsertest.Eval[[]string](tb, groupTitles))
	require.Equal(t, "?group=env", browsertest.Eval[string](tb, `location.search`))
	tb.Run(chromedp.SendKeys(machineField, "web"))
	tb.Until(`document.getElementById("m-shown").textContent === "4 of 11 match"`)
	require.Equal(t, []string{"web-1", "web-4", "web-7", "web-10"}, browsertest.Eval[[]string](tb, shownMachines))
	tb.Until(`location.search === "?group=env&m=web"`)
}

func overviewPages(t *testing.T, tb *browsertest.Tab, park string) {
	tb.Go(park)
	require.Equal(t, "250 series", browsertest.Eval[string](tb, `document.querySelector("#metrics [role=status]").innerText`))
	require.Equal(t, []string{"<script>alert(3)</script>", "metric_000"}, browsertest.Eval[[]string](tb, shownSeries)[:2])
	next := chromedp.CSS(`#metrics [rel="next"]`)
	tb.Run(chromedp.Click(next))
	tb.Until(`document.querySelector("#metrics .pager span").textContent === "Page 2 of 3"`)
	require.Equal(t, "metric_099", browsertest.Eval[[]string](tb, shownSeries)[0])
	require.Equal(t, "?page=2", browsertest.Eval[string](tb, `location.search`))
	tb.Run(chromedp.Click(next))
	tb.Until(`document.querySelectorAll(".series tbody tr").length === 50`)
	require.Equal(t, 0, browsertest.Eval[int](tb, `document.querySelectorAll('#metrics [rel="next"]').length`))
	// What is on another page is found, and not by the next refresh.
	tb.Run(chromedp.Click(liveButton), chromedp.SendKeys(searchField, "metric_04"))
	tb.Until(`document.getElementById("shown").textContent === "10"`)
	require.Equal(t, "metric_040", browsertest.Eval[[]string](tb, shownSeries)[0])
	require.Equal(t, "?q=metric_04", browsertest.Eval[string](tb, `location.search`), "a search begins at the first page")
	require.Equal(t, " of 250", browsertest.Eval[string](tb, `document.getElementById("of").textContent`))
	require.Len(t, browsertest.Eval[[]string](tb, shownMachines), 11)
	// A link with a page shows it.
	tb.Go(park + "/?sort=value&order=desc&page=3")
	require.Equal(t, "<script>alert(3)</script>", browsertest.Eval[[]string](tb, shownSeries)[46])
}

func overviewNames(t *testing.T, tb *browsertest.Tab, park string) {
	tb.Go(park + "/?group=env&msort=cpu&q=" + url.QueryEscape("<script>") + "&m=" + url.QueryEscape(`"'>`+"<img src=x onerror=alert(4)>"))
	require.Empty(t, browsertest.Eval[[]string](tb, shownMachines))
	tb.Go(park + "/?q=" + url.QueryEscape("<script>"))
	require.Equal(t, 0, browsertest.Eval[int](tb, `document.querySelectorAll("main script, main img").length`))
	require.Equal(t, odd, browsertest.Eval[[]string](tb, shownMachines)[0])
	require.Equal(t, "/host/"+url.PathEscape(odd), browsertest.Eval[string](tb, `new URL(document.querySelector(".machines tbody .name a").href).pathname`))
	require.Equal(t, []string{"<script>alert(3)</script>"}, browsertest.Eval[[]string](tb, shownSeries))
	refresh(tb)
	tb.Until(`document.querySelector(".series .age")`)
	require.Equal(t, 0, browsertest.Eval[int](tb, `document.querySelectorAll("main script, main img").length`))
}

func overviewKeeps(t *testing.T, tb *browsertest.Tab, park string) {
	tb.Size(1200, 400)
	tb.Go(park + "/?msort=name&morder=desc")
	tb.Run(chromedp.Evaluate[chromedp.Void](`(() => {
		const link = document.querySelector('.machines [href="host/web-7"]');
		link.focus();
		link.dataset.mine = "yes";
		scrollTo(0, 200);
		const old = document.getElementById("asof").dateTime;
		window.changed = () => document.getElementById("asof").dateTime !== old;
	})()`))
	refreshed := func() {
		tb.Run(chromedp.Evaluate[chromedp.Void](`{ const live = document.getElementById("live"); live.click(); live.click(); }`))
		tb.Until(`window.changed()`)
	}
	refreshed()
	require.Equal(t, "web-7", browsertest.Eval[string](tb, `document.activeElement.textContent`))
	require.Equal(t, "yes", browsertest.Eval[string](tb, `document.activeElement.dataset.mine ?? ""`), "the row is the same one")
	require.Equal(t, 200, browsertest.Eval[int](tb, `scrollY`))
	// By itself it doesn't change what is selected, nor while it is not seen.
	tb.Run(chromedp.Evaluate[chromedp.Void](`getSelection().selectAllChildren(document.querySelector(".series tbody th"))`))
	tb.Asked()
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.dispatchEvent(new Event("visibilitychange"))`))
	require.Empty(t, tb.Asked(), "asked while something is selected")
	tb.Run(chromedp.Evaluate[chromedp.Void](`getSelection().removeAllRanges(); Object.defineProperty(document, "hidden", { get: () => true, configurable: true }); document.dispatchEvent(new Event("visibilitychange"))`))
	require.Empty(t, tb.Asked(), "asked while hidden")
	tb.Run(chromedp.Evaluate[chromedp.Void](`delete document.hidden; document.dispatchEvent(new Event("visibilitychange"))`))
	require.Eventually(t, func() bool { return len(tb.Asked()) == 1 }, 10*time.Second, 20*time.Millisecond)
}

func overviewLooks(t *testing.T, tb *browsertest.Tab, park string) {
	for _, look := range []struct {
		name, theme   string
		width, height int64 // 0: a phone
		path          string
	}{
		{"wide", "light", 1600, 900, ""},
		{"wide-dark", "dark", 1600, 900, "?group=env"},
		{"", "light", 1100, 800, ""},
		{"", "light", 900, 800, "?group=env"},
		{"", "dark", 700, 800, ""},
		{"", "light", 0, 0, ""},
		{"phone-dark", "dark", 0, 0, "?group=env"},
		{"", "light", 320, 700, "?m=nothing"},
	} {
		tb.Theme(look.theme)
		if look.width == 0 {
			tb.Phone()
		} else {
			tb.Size(look.width, look.height)
		}
		tb.Go(park + "/" + look.path)
		tb.FitsWidth()
		require.Empty(t, browsertest.Eval[[]string](tb, sticking), "%+v", look)
		tb.Accessible()
		if look.name != "" {
			tb.Screenshot("overview-park-" + look.name)
		}
	}
	// What stays in sight does.
	tb.Size(1200, 500)
	tb.Go(park)
	tb.Run(chromedp.Evaluate[chromedp.Void](`scrollTo(0, 250)`))
	require.True(t, browsertest.Eval[bool](tb, `(() => { const b = document.querySelector(".machines thead .cpu").getBoundingClientRect(); return b.top >= 0 && b.bottom < 130; })()`))
	// Times are the viewer's.
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".health time").title`), "GMT+9")
}

func overviewPlain(t *testing.T, tb *browsertest.Tab, park string) {
	tb.NoScript()
	tb.Go(park)
	require.Equal(t, byName, browsertest.Eval[[]string](tb, shownMachines))
	require.Regexp(t, `late since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC`, browsertest.Eval[string](tb, `document.querySelector('.machines [href="host/web-4"]').closest("tr").textContent`))
	tb.Run(chromedp.Click(chromedp.CSS(".machines thead .load a")))
	tb.Until(`location.search === "?morder=desc&msort=load"`)
	tb.Until(`document.querySelector(".machines thead .load")?.ariaSort === "descending"`)
	tb.Run(chromedp.SendKeys(machineField, "env=staging"), chromedp.Evaluate[chromedp.Void](`document.getElementById("group").value = "job"`),
		chromedp.Click(chromedp.CSS(`[aria-label="Machines"] button`)))
	tb.Until(`document.querySelector(".machines .group")?.textContent.trim() === "job=node · 3 machines"`)
	require.Equal(t, []string{"queue-6", "queue-3", "web-10"}, browsertest.Eval[[]string](tb, shownMachines))
	tb.Run(chromedp.SendKeys(searchField, "metric"), chromedp.Click(chromedp.CSS(`[aria-label="Metrics"] button`)))
	tb.Until(`document.getElementById("shown")?.textContent === "249"`)
	tb.Run(chromedp.Click(chromedp.CSS(`#metrics [rel="next"]`)))
	tb.Until(`document.querySelector("#metrics .pager span")?.textContent === "Page 2 of 3"`)
	require.Equal(t, []string{"queue-6", "queue-3", "web-10"}, browsertest.Eval[[]string](tb, shownMachines), "the machines are shown as before")
	require.Equal(t, "metric_100", browsertest.Eval[[]string](tb, shownSeries)[0])
}

// The page of an empty server, open when the first agent starts, and ends.
func overviewOfAgent(t *testing.T, tb *browsertest.Tab) {
	server := programs.Server(t, t.TempDir()).URL()
	tb.Go(server)
	require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("empty").innerText`), "agent --address="+strings.TrimPrefix(server, "http://"))
	require.Equal(t, 0, browsertest.Eval[int](tb, `document.querySelectorAll("table").length`))
	agent := programtest.Start(t, t.TempDir(), programs.Build(t, "agent"), nil,
		"ADDRESS="+strings.TrimPrefix(server, "http://"), "POLL_INTERVAL=0.2", "REPORT_INTERVAL=0.3", "LABELS=instance=<b>here</b>,env=prod")
	until := func(expr string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for !browsertest.Eval[bool](tb, "!!("+expr+")") {
			refresh(tb)
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("never true: %s: %s", expr, browsertest.Eval[string](tb, `document.body.innerText`))
			}
		}
	}
	until(`document.querySelector(".machines .badge.good")`)
	require.Equal(t, []string{"<b>here</b>"}, browsertest.Eval[[]string](tb, shownMachines))
	until(`/^\d+(\.\d)? %$/.test(document.querySelector(".machines tbody .cpu").innerText.trim())`)
	require.Regexp(t, `^\d+(\.\d)? %$`, browsertest.Eval[string](tb, `document.querySelector(".machines tbody .memory").innerText.trim()`))
	require.Equal(t, "env=prod", browsertest.Eval[string](tb, `document.querySelector(".machines tbody .labels").textContent`))
	require.Positive(t, browsertest.Eval[int](tb, `document.querySelectorAll(".series tbody tr").length`))
	agent.Kill()
	until(`document.querySelector(".machines tbody .badge").textContent === "late"`)
	until(`document.querySelector(".machines tbody .badge").textContent === "gone"`)
	require.Regexp(t, `^gone (\d+ s ago|\d+ min ago)$`, browsertest.Eval[string](tb, `document.querySelector(".machines tbody .health").innerText.trim()`))
	require.Equal(t, "1 machine 1 gone", strings.Join(strings.Fields(browsertest.Eval[string](tb, `document.getElementById("tally").innerText`)), " "))
}

func overviewOfMany(t *testing.T, tb *browsertest.Tab) {
	server, now := programs.Server(t, t.TempDir()).URL(), time.Now()
	var all []writetest.Series
	for _, m := range boxes(520) {
		all = append(all, m.series(now.Add(-2*time.Minute), now.Add(ahead))...)
	}
	send(t, server, all)
	start := time.Now()
	tb.Go(server)
	t.Logf("500 machines shown after %v", time.Since(start).Round(time.Millisecond))
	require.Len(t, browsertest.Eval[[]string](tb, shownMachines), 500)
	require.Equal(t, "520 machines 520 reporting", strings.Join(strings.Fields(browsertest.Eval[string](tb, `document.getElementById("tally").innerText`)), " "))
	start = time.Now()
	refresh(tb)
	tb.Run(chromedp.Click(chromedp.CSS(`.pager [rel="next"]`)))
	tb.Until(`document.querySelectorAll(".machines tbody tr").length === 20`)
	t.Logf("the next page after %v", time.Since(start).Round(time.Millisecond))
	tb.Run(chromedp.SendKeys(machineField, "web-520"))
	tb.Until(`document.getElementById("m-shown").textContent === "1 of 520 match"`)
	require.Empty(t, browsertest.Eval[[]string](tb, sticking))
	tb.FitsWidth()
	if os.Getenv("GOMETHEUS_SCREENSHOTS") != "" {
		tb.Go(server + "/?msort=disk&morder=desc")
		tb.Screenshot("overview-many")
	}
}
