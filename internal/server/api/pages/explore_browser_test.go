package pages_test

import (
	"encoding/csv"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

func TestExploreInTheBrowser(t *testing.T) {
	e := newExplored(t)
	b := browsertest.Browser(t)
	e.browser = b
	for name, test := range map[string]func(*testing.T, *browsertest.Tab){
		"pictures": e.pictures, "completion": e.completion, "completion of labels": e.labels, "functions are all known": e.functions,
		"names of UTF-8": e.unicode, "html in names": e.html, "errors": e.errors, "warnings": e.warnings, "link": e.link, "table": e.table,
		"json": e.json, "csv": e.csv, "format and history": e.history, "live": e.live, "without JavaScript": e.noScript,
	} {
		t.Run(name, func(t *testing.T) { test(t, browsertest.Open(t, b)) })
	}
}

// completion by the keyboard alone: a metric, its labels, their values, a function.
func (e *explored) completion(t *testing.T, tb *browsertest.Tab) {
	tb.Go(e.url + "/explore")
	tb.Until(`document.activeElement.matches("textarea[role=combobox]") && document.querySelector(".examples")`)
	state := func() string {
		return browsertest.Eval[string](tb, `(() => { const t = document.activeElement;
			return [t.getAttribute("aria-expanded"), document.getElementById(t.getAttribute("aria-activedescendant"))?.querySelector(".text").textContent ?? "none",
				document.querySelector(".popup [aria-selected=true]")?.checkVisibility() ? "seen" : "unseen"].join(" "); })()`)
	}
	require.Equal(t, "false none unseen", state())
	exploreType(tb, "quests_t") // within the name
	exploreHas(tb, "shop_requests_total")
	tb.Until(`document.querySelector(".detail").textContent === "counterRequests that were answered."`)
	require.Equal(t, "true shop_requests_total seen", state())
	require.Equal(t, "listbox", browsertest.Eval[string](tb, `document.getElementById(document.activeElement.getAttribute("aria-controls")).getAttribute("role")`))
	explorePress(tb, "Escape", 0)
	require.Equal(t, "false none unseen", state())
	explorePress(tb, " ", 2) // Ctrl
	exploreHas(tb, "shop_requests_total")
	explorePress(tb, "Tab", 0)
	require.Equal(t, "shop_requests_total", browsertest.Eval[string](tb, exploreText))

	exploreType(tb, "{")
	tb.Until(exploreOptions + `.join() === "code,instance"`) // its own labels alone
	exploreType(tb, "co")
	tb.Until(exploreOptions + `.join() === "code"`)
	explorePress(tb, "Enter", 0)
	require.Equal(t, `shop_requests_total{code=""}`, browsertest.Eval[string](tb, exploreText))
	tb.Until(exploreOptions + `.join() === "200,404,500"`)
	explorePress(tb, "ArrowDown", 0)
	require.Equal(t, "true 404 seen", state())
	explorePress(tb, "ArrowUp", 0)
	explorePress(tb, "ArrowUp", 0) // round to the last
	require.Equal(t, "true 500 seen", state())
	explorePress(tb, "Enter", 0)
	require.Equal(t, `shop_requests_total{code="500"}`, browsertest.Eval[string](tb, exploreText))
	exploreType(tb, ",")
	tb.Until(exploreOptions + `.includes("instance")`)
	explorePress(tb, "Escape", 0)
	tb.Run(chromedp.KeyEvent("\b"))

	exploreType(tb, "}[1")
	tb.Until(exploreOptions + `.includes("1m")`)
	exploreType(tb, "m]")
	explorePress(tb, "Home", 0)
	exploreType(tb, "rat")
	exploreHas(tb, "rate")
	require.Equal(t, "rate(range)growth of a counter a second, over the range; resets are seen", browsertest.Eval[string](tb, `document.querySelector(".detail").textContent`))
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".editor [role=status]").textContent`), "completions")
	explorePress(tb, "Escape", 0)
	exploreType(tb, "e(")
	explorePress(tb, "End", 0)
	exploreType(tb, ")")
	require.Equal(t, `rate(shop_requests_total{code="500"}[1m])`, browsertest.Eval[string](tb, exploreText))
	explorePress(tb, "Enter", 0)
	tb.Until(exploreDrawn)
	require.Equal(t, `rate(shop_requests_total{code="500"}[1m])`, browsertest.Eval[string](tb, `new URLSearchParams(location.search).get("query")`))
}

// labels: where they group and match, those of the metrics of the query.
func (e *explored) labels(t *testing.T, tb *browsertest.Tab) {
	tb.Go(e.page("", "sum (shop_load)"))
	tb.Until(exploreDrawn)
	explorePress(tb, "Home", 0)
	for range 3 {
		explorePress(tb, "ArrowRight", 0)
	}
	exploreType(tb, " b")
	exploreHas(tb, "by")
	explorePress(tb, "Enter", 0)
	tb.Until(exploreOptions + `.join() === "__name__,instance,zone"`)
	exploreType(tb, "z")
	tb.Until(exploreOptions + `.join() === "zone"`)
	explorePress(tb, "Tab", 0)
	require.Equal(t, "sum by (zone) (shop_load)", browsertest.Eval[string](tb, exploreText))
	explorePress(tb, "Enter", 0)
	tb.Until(exploreLegend + `.join() === '{zone="east"},{zone="west"}'`)
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.querySelector("textarea").select()`))
	exploreType(tb, "shop_load{instance=~\"web-1|web-")
	tb.Until(exploreOptions + `.length === 10`)
	exploreType(tb, "9")
	tb.Until(exploreOptions + `.join() === "web-9" || ` + exploreOptions + `.length === 0`)
	explorePress(tb, "Escape", 0)
	explorePress(tb, "Enter", 0)
	tb.Until(exploreLegend + `.length === 2`)
}

// functions: each that the engine has is known to the editor, and no other.
func (e *explored) functions(t *testing.T, tb *browsertest.Tab) {
	tb.Go(e.url + "/explore")
	got := browsertest.Eval[[]string](tb, `import("/static/promql.js").then((m) => [...m.functions.keys()].sort())`)
	require.Equal(t, slices.Sorted(maps.Keys(parser.Functions)), got)
	var want []string
	for item, name := range parser.ItemTypeStr {
		if item.IsAggregator() {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	require.Equal(t, want, browsertest.Eval[[]string](tb, `import("/static/promql.js").then((m) => [...m.aggregations.keys()].sort())`))
	require.Empty(t, browsertest.Eval[[]string](tb, `import("/static/promql.js").then((m) => [...m.functions, ...m.aggregations].filter(([, f]) => !f.doc).map(([n]) => n))`))
}

// unicode: such names are written in quotes.
func (e *explored) unicode(t *testing.T, tb *browsertest.Tab) {
	tb.Go(e.url + "/explore")
	tb.Until(`document.querySelector(".examples")`)
	exploreType(tb, "cpu.l")
	exploreHas(tb, "cpu.load")
	explorePress(tb, "Enter", 0)
	require.Equal(t, `{"cpu.load"}`, browsertest.Eval[string](tb, exploreText))
	explorePress(tb, "ArrowLeft", 0)
	exploreType(tb, ",")
	tb.Until(exploreOptions + `.includes("host.name")`)
	exploreType(tb, "ho")
	tb.Until(exploreOptions + `.join() === "host.name"`)
	explorePress(tb, "Enter", 0)
	exploreHas(tb, "web-1")
	explorePress(tb, "Enter", 0)
	require.Equal(t, `{"cpu.load","host.name"="web-1"}`, browsertest.Eval[string](tb, exploreText))
	explorePress(tb, "Enter", 0)
	tb.Until(exploreDrawn)
	require.Equal(t, []string{`cpu.load{host.name="web-1"}`}, browsertest.Eval[[]string](tb, exploreLegend))
}

// html: names are text, wherever they stand.
func (e *explored) html(t *testing.T, tb *browsertest.Tab) {
	const query = `{"` + exploreHTML + `"}`
	tb.Go(e.page("", query))
	tb.Until(exploreDrawn)
	require.Contains(t, browsertest.Eval[[]string](tb, exploreLegend)[0], exploreHTML+`{instance="`+exploreHTML)
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.querySelector("textarea").select()`))
	exploreType(tb, "onerror")
	exploreHas(tb, exploreHTML)
	explorePress(tb, "Enter", 0)
	require.Equal(t, query, browsertest.Eval[string](tb, exploreText))
	for _, view := range []string{"table", "json"} {
		tb.Go(e.page("view="+view, query))
		tb.Until(`document.querySelector("#panel .json, #panel tbody tr")`)
		require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("panel").textContent`), exploreHTML)
	}
	require.Zero(t, browsertest.Eval[int](tb, `document.querySelectorAll("main img, main script").length`))
	require.Equal(t, e.url+"/metric/%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E", browsertest.Eval[string](tb, `(async () => {
		document.querySelector(".views button:nth-child(2)").click();
		while (!document.querySelector("#panel td a")) await new Promise(requestAnimationFrame);
		return document.querySelector("#panel td a").href;
	})()`))
}

// errors: what the parser says stands at its place.
func (e *explored) errors(t *testing.T, tb *browsertest.Tab) {
	tb.Allow("400")
	tb.Go(e.page("", "shop_load"))
	tb.Until(exploreDrawn)
	for query, want := range map[string]struct{ mark, text string }{
		"sum(\n  rate(shop_load)\n)":    {"shop_load", `2:8: parse error: expected type range vector in call to function "rate", got instant vector`},
		"\"é\" + sum by (x) shop_load]": {"", ""},
		"shop_load +":                   {"\u2007", "1:12: parse error: unexpected end of input"},
		"shop_load{zone=~\"(\"}":        {"", ""},
	} {
		tb.Run(chromedp.Evaluate[chromedp.Void](`document.querySelector("textarea").select()`))
		tb.Run(chromedp.Evaluate[chromedp.Void](`document.execCommand("insertText", false, ` + strconv.Quote(query) + `)`))
		tb.Until(exploreErrors + `.length === 0`) // what was wrong before
		explorePress(tb, "Escape", 0)
		explorePress(tb, "Enter", 0)
		tb.Until(exploreErrors + `.length === 1`)
		require.Equal(t, "true", browsertest.Eval[string](tb, `document.querySelector("textarea").getAttribute("aria-invalid")`))
		if want.text != "" {
			require.Equal(t, []string{"wrong: " + want.text}, browsertest.Eval[[]string](tb, exploreErrors))
			require.Equal(t, []string{want.mark}, browsertest.Eval[[]string](tb, exploreMarked))
		}
	}
	// Bytes before the place are not characters.
	tb.Go(e.page("", `shop_load{zone="äöüßéè"} foo`))
	tb.Until(exploreErrors + `.length === 1`)
	require.Equal(t, []string{"foo"}, browsertest.Eval[[]string](tb, exploreMarked))
	// One is wrong, the others are drawn.
	tb.Go(e.page("", "shop_load", "shop_load foo"))
	tb.Until(exploreDrawn)
	require.Len(t, browsertest.Eval[[]string](tb, exploreLegend), 10)
	require.Equal(t, []string{"foo"}, browsertest.Eval[[]string](tb, exploreMarked))
}

// warnings: those of the engine too.
func (e *explored) warnings(t *testing.T, tb *browsertest.Tab) {
	for _, view := range []string{"graph", "table", "json"} {
		tb.Go(e.page("view="+view, "rate(shop_load[5m])"))
		tb.Until(exploreErrors + `.length === 1`)
		require.Equal(t, []string{`warning: PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "shop_load" (1:6)`}, browsertest.Eval[[]string](tb, exploreErrors))
		require.Equal(t, []string{"shop_load"}, browsertest.Eval[[]string](tb, exploreMarked))
	}
	tb.Go(e.page("view=table", "quantile(7, shop_load)"))
	tb.Until(exploreErrors + `.length === 1`)
	require.Contains(t, browsertest.Eval[[]string](tb, exploreErrors)[0], "PromQL warning: quantile value should be between 0 and 1")
}

// link: the address shows another viewer the same; going back in time too.
func (e *explored) link(t *testing.T, tb *browsertest.Tab) {
	tb.Go(e.url + "/explore")
	tb.Until(`document.querySelector(".examples")`)
	exploreType(tb, "shop_load{zone='east'")
	explorePress(tb, "Enter", 0)
	tb.Until(exploreDrawn)
	tb.Run(
		chromedp.Click(chromedp.CSS(`#range .choices button:nth-child(3)`)), // 6h
		chromedp.Click(chromedp.CSS(`#results input[type=checkbox]`)),       // stacked
		chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll(".actions button")].find((b) => b.textContent === "Add query").click()`),
		chromedp.Evaluate[chromedp.Void](`{ const s = document.getElementById("step"); s.value = "300"; s.dispatchEvent(new Event("change")) }`),
	)
	exploreType(tb, "sum(shop_load) + 1 # &?")
	explorePress(tb, "Enter", 2)
	tb.Until(exploreLegend + `.length === 6 && ` + exploreDrawn)
	address := browsertest.Eval[string](tb, `location.href`)
	seen := func(tb *browsertest.Tab) string {
		tb.Until(exploreDrawn + ` && document.querySelector(".status").textContent`)
		return browsertest.Eval[string](tb, `JSON.stringify([`+exploreLegend+`, [...document.querySelectorAll("[aria-pressed=true]")].filter((b) => !b.matches(".key")).map((b) => b.textContent),
			document.querySelector("#results input[type=checkbox]").checked, document.getElementById("step").value, document.querySelector(".status").textContent.split(", ").slice(0, 2),
			[...document.querySelectorAll("textarea")].map((e) => e.value)])`)
	}
	first := seen(tb)
	require.Equal(t, `[["A: shop_load{instance=\"web-0\", zone=\"east\"}","A: shop_load{instance=\"web-2\", zone=\"east\"}","A: shop_load{instance=\"web-4\", zone=\"east\"}",`+
		`"A: shop_load{instance=\"web-6\", zone=\"east\"}","A: shop_load{instance=\"web-8\", zone=\"east\"}","B: sum(shop_load) + 1 # &?"],["6h","Graph"],true,"300",["6 series","a point every 5m"],`+
		`["shop_load{zone='east'}","sum(shop_load) + 1 # &?"]]`, first)

	other := browsertest.Open(t, e.browser)
	other.Go(address)
	other.Until(exploreLegend + `.length === 6`)
	require.Equal(t, first, seen(other))

	// A series is switched off and on.
	tb.Run(chromedp.Click(chromedp.CSS("#graph .key")))
	tb.Until(`document.querySelector("#graph .key").ariaPressed === "false"`)

	tb.Run(chromedp.Click(chromedp.CSS(`#range .choices button:nth-child(2)`)))
	tb.Until(`!location.search.includes("range")`)
	tb.Run(chromedp.Evaluate[chromedp.Void](`history.back()`))
	tb.Until(`location.search.includes("range=6h")`)
	require.Equal(t, address, browsertest.Eval[string](tb, `location.href`))
}

// table: columns, order, and what is no vector.
func (e *explored) table(t *testing.T, tb *browsertest.Tab) {
	tb.Go(e.page("view=table", "shop_requests_total * 0 + on(code) group_left() count_values('code', shop_requests_total) or vector(1)"))
	tb.Until(`document.querySelector("#panel tbody tr")`)
	tb.Go(e.page("view=table", `label_replace(vector(10), "n", "b", "", "") or label_replace(vector(9), "n", "a", "", "") or label_replace(vector(-1), "n", "c10", "", "") or label_replace(vector(0)/0, "n", "c9", "", "")`))
	tb.Until(exploreCells + `.length === 4`)
	sort := func(column int) []string {
		tb.Run(chromedp.Click(chromedp.CSS(fmt.Sprintf("#panel th:nth-child(%d) button", column))))
		return browsertest.Eval[[]string](tb, exploreCells)
	}
	require.Equal(t, []string{"c9|NaN", "b|10", "a|9", "c10|-1"}, sort(2))
	require.Equal(t, "descending", browsertest.Eval[string](tb, `document.querySelector("#panel th:nth-child(2)").ariaSort`))
	require.Equal(t, []string{"c10|-1", "a|9", "b|10", "c9|NaN"}, sort(2))
	require.Equal(t, []string{"a|9", "b|10", "c9|NaN", "c10|-1"}, sort(1), "numbers in names by their size")
	tb.Run(chromedp.Click(chromedp.CSS("#results input[type=checkbox]")))
	require.ElementsMatch(t, []string{`{n="a"}|9`, `{n="b"}|10`, `{n="c9"}|NaN`, `{n="c10"}|-1`}, browsertest.Eval[[]string](tb, exploreCells))
	for query, want := range map[string]string{
		"1 + 1": "value|2", `"text"`: "value|text", "shop_memory_bytes[31s]": `3221225472 @ `, "nothing": "",
	} {
		tb.Go(e.page("view=table&to="+strconv.FormatInt(e.now.Unix(), 10)+"&from="+strconv.FormatInt(e.now.Unix()-60, 10), query))
		if want == "" {
			tb.Until(`document.getElementById("panel").textContent === "No series has a value at the end of the range."`)
			continue
		}
		tb.Until(exploreCells + `.length === 1`)
		require.Contains(t, browsertest.Eval[[]string](tb, exploreCells)[0], want)
	}
}

// json: the answer, and a command that gets the same.
func (e *explored) json(t *testing.T, tb *browsertest.Tab) {
	tb.Go(e.page("view=json", `shop_load{instance='web-1'} # it's`))
	tb.Until(`document.querySelector(".json")`)
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".json").textContent`), `"instance": "web-1"`)
	command := browsertest.Eval[string](tb, `document.querySelector(".curl").textContent`)
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `curl() { printf '%s\n' "$@"; }; `+command).CombinedOutput()
	require.NoError(t, err)
	args := strings.Split(string(out), "\n")
	require.Equal(t, []string{"--get", e.url + "/api/v1/query", "--data-urlencode", `query=shop_load{instance='web-1'} # it's`}, args[:4])
	same := browsertest.Eval[string](tb, `fetch(document.querySelector(".request a").href).then((r) => r.json()).then((j) => JSON.stringify(j, null, 2))`)
	require.Equal(t, same, browsertest.Eval[string](tb, `document.querySelector(".json").textContent`))
	tb.Run(chromedp.Evaluate[chromedp.Void](`{ const s = document.querySelector(".options select"); s.value = "json-range"; s.dispatchEvent(new Event("change")) }`))
	tb.Until(`document.querySelector(".json").textContent.includes('"matrix"')`)
	require.Equal(t, "json-range", browsertest.Eval[string](tb, `new URLSearchParams(location.search).get("view")`))
	tb.Run(chromedp.Click(chromedp.CSS(".request button")))
	tb.Until(`document.querySelector(".request button").textContent === "Copied"`)
}

// exploreSaved keeps what is saved as a file, for the test.
const exploreSaved = `window.saved = []; { const make = URL.createObjectURL; URL.createObjectURL = (b) => { saved.push(b); return make.call(URL, b); }; }
	HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; }`

// csv: what a spreadsheet gets has no formulas in it.
func (e *explored) csv(t *testing.T, tb *browsertest.Tab) {
	save := func() string {
		tb.Run(chromedp.Evaluate[chromedp.Void](exploreSaved),
			chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll(".views button")].find((b) => b.textContent === "Export CSV").click()`))
		return browsertest.Eval[string](tb, `saved[0].text()`)
	}
	tb.Go(e.page("view=table", "shop_sheet"))
	tb.Until(exploreCells + `.length === 1`)
	require.Equal(t, "name,a,b,c,d,e,value\r\n"+`shop_sheet,'=1+1,'-2,"say ""hi"", you",'@x,'+1,-4.5`+"\r\n", save())
	require.Equal(t, "table.csv", browsertest.Eval[string](tb, "savedAs"))

	from, to := e.now.Unix()/60*60-600, e.now.Unix()/60*60
	tb.Go(e.page(fmt.Sprintf("from=%d&to=%d&step=300", from, to), "shop_sheet", "shop_memory_bytes * 0 - 1", "-shop_load > 1e9 or vector(time())"))
	tb.Until(exploreDrawn)
	rows, err := csv.NewReader(strings.NewReader(save())).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{"time", `A: shop_sheet{a="=1+1", b="-2", c="say "hi", you", d="@x", e="+1"}`, `B: {instance="web-1"}`, "C: -shop_load > 1e9 or vector(time())"}, rows[0])
	for i, row := range rows[1:] {
		at := (from+299)/300*300 + int64(i)*300
		require.Equal(t, []string{time.Unix(at, 0).UTC().Format("2006-01-02T15:04:05.000Z"), "-4.5", "-1", strconv.FormatInt(at, 10)}, row)
	}
	require.GreaterOrEqual(t, len(rows), 3)
	tb.Go(e.page(fmt.Sprintf("from=%d&to=%d&step=300", from, to), "-vector(time())"))
	tb.Until(exploreDrawn)
	require.Contains(t, save(), "time,'-vector(time())\r\n")
}

// history: queries are laid out, and remembered.
func (e *explored) history(t *testing.T, tb *browsertest.Tab) {
	tb.Go(e.page("", "sum by(zone)(shop_load) / ignoring(zone) group_left() sum(shop_load{instance=~\"web-1|web-2|web-3|web-4\"}) * 100"))
	tb.Until(exploreDrawn)
	press := func(text string) {
		tb.Run(chromedp.Evaluate[chromedp.Void](`[...document.querySelectorAll("#explore button")].find((b) => b.textContent === ` + strconv.Quote(text) + `).click()`))
	}
	press("Format")
	tb.Until(exploreText + `.includes("\n")`)
	require.Contains(t, browsertest.Eval[string](tb, exploreText), "/ ignoring (zone) group_left ()\n")
	require.Greater(t, browsertest.Eval[float64](tb, `document.querySelector("textarea").clientHeight`), 90.0, "the editor grows")
	for i := range 22 {
		tb.Run(chromedp.Evaluate[chromedp.Void](`document.querySelector("textarea").select()`))
		exploreType(tb, fmt.Sprintf("vector(%d)", i))
		explorePress(tb, "Enter", 0)
	}
	tb.Until(exploreLegend + `.join() === "vector(21)"`)
	press("History")
	tb.Until(`document.querySelectorAll(".recent li").length === 21`) // and to forget them
	require.Equal(t, "vector(21)", browsertest.Eval[string](tb, `document.activeElement.textContent`))
	explorePress(tb, "ArrowDown", 0)
	explorePress(tb, "ArrowDown", 0)
	tb.Run(chromedp.KeyEvent("\r"))
	tb.Until(exploreLegend + `.join() === "vector(19)"`)
	press("History")
	tb.Until(`document.activeElement.textContent === "vector(19)"`)
	press("Forget all")
	press("History")
	tb.Until(`document.querySelector(".recent ul").textContent === "No query was run in this browser yet."`)
}

// live: a table follows too, and stays as its viewer sorted it.
func (e *explored) live(t *testing.T, tb *browsertest.Tab) {
	write := func(v float64) {
		e.write(t, []writetest.Series{
			{Labels: []string{"__name__", "shop_queue", "q", "a"}, Samples: []writetest.Sample{{T: time.Now().UnixMilli() - 2000, V: 3}}},
			{Labels: []string{"__name__", "shop_queue", "q", "b"}, Samples: []writetest.Sample{{T: time.Now().UnixMilli() - 1000, V: v}}},
		})
	}
	write(1)
	tb.Go(e.page("view=table", "shop_queue"))
	tb.Until(exploreCells + `.join() === "shop_queue|a|3,shop_queue|b|1"`)
	tb.Run(chromedp.Click(chromedp.CSS("#panel th:nth-child(3) button")), chromedp.Click(chromedp.CSS("#range .live")))
	write(2)
	tb.Run(chromedp.Click(chromedp.CSS("#range .live")))
	tb.Until(exploreCells + `.join() === "shop_queue|a|3,shop_queue|b|2"`)
	require.Equal(t, "descending", browsertest.Eval[string](tb, `document.querySelector("#panel th:nth-child(3)").ariaSort`))

	// One that is slow gets its time: what is new is not asked for meanwhile.
	tb.Run(chromedp.Evaluate[chromedp.Void](`window.realFetch = fetch; window.given = 0; window.slow = [];
		window.fetch = (url, o) => new Promise((resolve, reject) => {
			slow.push(() => realFetch(url).then(resolve, reject));
			o.signal.addEventListener("abort", () => { given++; reject(o.signal.reason); });
		})`))
	for range 6 { // three times on
		tb.Run(chromedp.Click(chromedp.CSS("#range .live")))
	}
	tb.Until(`slow.length > 0`)
	require.Equal(t, []int{1, 0}, browsertest.Eval[[]int](tb, `[slow.length, given]`))
	write(4)
	tb.Run(chromedp.Focus(chromedp.CSS("#panel th:nth-child(3) button")), chromedp.Evaluate[chromedp.Void](`slow[0]()`))
	tb.Until(exploreCells + `.join() === "shop_queue|b|4,shop_queue|a|3"`)
	require.Equal(t, "value", browsertest.Eval[string](tb, `document.activeElement.textContent`), "the focus stays")
}

// noScript: the server answers.
func (e *explored) noScript(t *testing.T, tb *browsertest.Tab) {
	tb.NoScript()
	tb.Go(e.page("range=6h", "shop_sheet"))
	cells := `[...document.querySelectorAll(".result tbody tr")].map((r) => [...r.children].map((c) => c.textContent).join("|"))`
	require.Equal(t, []string{`{__name__="shop_sheet", a="=1+1", b="-2", c="say \"hi\", you", d="@x", e="+1"}|-4.5`}, browsertest.Eval[[]string](tb, cells))
	tb.FitsWidth()
	tb.Run(chromedp.Evaluate[chromedp.Void](`document.querySelector("textarea").select()`), chromedp.SendKeys(exploreField, "sum(\nshop_load{"), chromedp.Click(chromedp.CSS("#run")))
	tb.Until(`document.querySelector(".result .wrong")`)
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".result .wrong").textContent`), "2:11: parse error: unexpected end of input inside braces")
	require.Equal(t, "sum(\nshop_load{", browsertest.Eval[string](tb, exploreText))
	require.Contains(t, browsertest.Eval[string](tb, `location.search`), "range=6h")
	tb.Screenshot("explore-noscript-error")
	tb.Go(e.page("", `{__name__=~".+"}`, exploreHTML))
	tb.Until(`document.querySelectorAll(".result").length === 2`)
	require.Zero(t, browsertest.Eval[int](tb, `document.querySelectorAll("main img").length`))
	tb.FullScreenshot("explore-noscript")
}

// pictures: in light and dark and on a phone it is readable, for all.
func (e *explored) pictures(t *testing.T, tb *browsertest.Tab) {
	for _, scheme := range []string{"light", "dark"} {
		tb.Theme(scheme)
		tb.Size(1280, 860)
		tb.Go(e.page("range=6h", "shop_load"))
		tb.Until(exploreDrawn)
		tb.Accessible()
		tb.FitsWidth()
		tb.Screenshot("explore-" + scheme)
		tb.Go(e.page("range=1h&stack=1", "sum by (code) (rate(shop_requests_total[5m]))", "rate(shop_load[5m])"))
		tb.Until(exploreDrawn)
		tb.Accessible()
		tb.Screenshot("explore-many-" + scheme)
		tb.Go(e.page("view=table", "shop_load"))
		tb.Until(exploreCells + `.length === 10`)
		tb.Accessible()
		tb.Screenshot("explore-table-" + scheme)
		tb.Go(e.page("view=json", "shop_load"))
		tb.Until(`document.querySelector(".json")`)
		tb.Accessible()
		tb.Screenshot("explore-json-" + scheme)
		tb.Allow("400")
		tb.Go(e.page("", "sum(rate(shop_load[5m])"))
		tb.Until(exploreErrors + `.length === 1`)
		tb.Accessible()
		tb.Screenshot("explore-error-" + scheme)
		tb.Go(e.url + "/explore")
		tb.Until(`document.querySelector(".examples")`)
		exploreType(tb, "sum by (code) (rate(shop_re")
		exploreHas(tb, "shop_requests_total")
		tb.Until(`document.querySelector(".detail b")`)
		tb.Accessible()
		tb.Screenshot("explore-complete-" + scheme)
	}
	tb.Phone()
	for name, address := range map[string]string{
		"graph": e.page("range=6h", "sum by (instance) (shop_load)", "shop_memory_bytes"), "table": e.page("view=table", "shop_load"),
		"json": e.page("view=json", "shop_load"), "nothing": e.url + "/explore",
	} {
		tb.Go(address)
		tb.Until(exploreDrawn + ` || document.querySelector("#panel tbody tr, .json, .examples")`)
		tb.FitsWidth()
		tb.Accessible()
		tb.Screenshot("explore-phone-" + name)
	}
	tb.Go(e.url + "/explore")
	tb.Until(`document.querySelector(".examples")`)
	require.False(t, browsertest.Eval[bool](tb, `document.activeElement.matches("textarea")`), "no keyboard of glass that nobody asked for")
	tb.Run(chromedp.Click(exploreField))
	exploreType(tb, "shop_")
	exploreHas(tb, "shop_load")
	tb.FitsWidth()
	tb.Screenshot("explore-phone-complete")
}
