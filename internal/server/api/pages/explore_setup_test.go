package pages_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/programtest"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// exploreHTML is a name of a metric, and a label's value, that would like to be more.
const exploreHTML = `<img src=x onerror=alert(1)>`

// explored is a server with hours of samples.
type explored struct {
	url     string
	now     time.Time
	browser context.Context // chromedp's context is the browser
}

func newExplored(tb testing.TB) *explored {
	tb.Helper()
	e := &explored{url: programs.Server(tb, tb.TempDir()).URL(), now: time.Now()}
	series := func(from time.Duration, v func(t float64) float64, labels ...string) writetest.Series {
		s := writetest.Series{Labels: labels}
		for t := e.now.Add(-from); !t.After(e.now); t = t.Add(15 * time.Second) {
			s.Samples = append(s.Samples, writetest.Sample{T: t.UnixMilli(), V: v(float64(t.UnixMilli()) / 1000)})
		}
		return s
	}
	wave := func(i int) func(float64) float64 {
		return func(t float64) float64 {
			return float64(2+i) + math.Sin(t/1800+float64(i)) + 0.3*math.Sin(t/157*float64(i+1))
		}
	}
	var all []writetest.Series
	for i := range 10 {
		s := series(6*time.Hour, wave(i), "__name__", "shop_load", "instance", fmt.Sprintf("web-%d", i), "zone", []string{"east", "west"}[i%2])
		s.Meta = writetest.Meta{Type: 2, Help: "How busy the shop is."}
		all = append(all, s)
	}
	for i, code := range []string{"200", "404", "500"} {
		s := series(2*time.Hour, func(t float64) float64 { return math.Floor((t - 1.7e9) / float64(1+i*9)) }, "__name__", "shop_requests_total", "code", code, "instance", "web-1")
		s.Meta = writetest.Meta{Type: 1, Help: "Requests that were answered."}
		all = append(all, s)
	}
	all = append(all,
		series(time.Hour, func(float64) float64 { return 3 << 30 }, "__name__", "shop_memory_bytes", "instance", "web-1"),
		series(time.Hour, wave(1), "__name__", "cpu.load", "host.name", "web-1"),
		series(time.Hour, wave(1), "__name__", exploreHTML, "instance", exploreHTML, "zone", `=cmd|' /C calc'!A0`),
		series(time.Hour, func(float64) float64 { return -4.5 }, "__name__", "shop_sheet", "a", "=1+1", "b", "-2", "c", `say "hi", you`, "d", "@x", "e", "+1"),
	)
	e.write(tb, all)
	return e
}

// write sends series by remote write.
func (e *explored) write(tb testing.TB, all []writetest.Series) {
	tb.Helper()
	client := programtest.Client(tb)
	for len(all) > 0 {
		n, samples := 0, 0
		for n < len(all) && samples < 20_000 {
			samples += len(all[n].Samples)
			n++
		}
		r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, e.url+"/api/v1/write", bytes.NewReader(writetest.Encode(tb, "1.0", all[:n])))
		require.NoError(tb, err)
		r.Header = writetest.Headers("1.0")
		res, err := client.Do(r)
		require.NoError(tb, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(tb, err)
		require.NoError(tb, res.Body.Close())
		require.Equal(tb, http.StatusNoContent, res.StatusCode, "%s", text)
		all = all[n:]
	}
}

// page is the address of the page with queries; the other parameters stand in more.
func (e *explored) page(more string, queries ...string) string {
	q := url.Values{"query": queries}.Encode()
	if more != "" {
		q += "&" + more
	}
	return e.url + "/explore?" + q
}

const (
	exploreField = chromedp.CSS("textarea")
	// exploreDrawn is true when the graph is there.
	exploreDrawn = `document.querySelector("#graph")?.ariaBusy === "false" && document.querySelector("#graph canvas")`
	exploreText  = `document.querySelector("textarea").value`
	// exploreOptions are the completions that are shown.
	exploreOptions = `[...document.querySelectorAll(".popup:not([hidden]) .text")].map((e) => e.textContent)`
	exploreLegend  = `[...document.querySelectorAll("#graph .key .name")].map((e) => e.textContent)`
	exploreCells   = `[...document.querySelectorAll("#panel tbody tr")].map((r) => [...r.children].map((c) => c.textContent).join("|"))`
	exploreErrors  = `[...document.querySelectorAll(".problems p")].map((e) => e.className + ": " + e.textContent)`
	exploreMarked  = `[...document.querySelectorAll(".over .mark")].map((e) => e.textContent)`
)

// exploreType presses the keys of a text, one after the other.
func exploreType(tb *browsertest.Tab, text string) { tb.Run(chromedp.KeyEvent(text)) }

// explorePress presses a key by its name.
func explorePress(tb *browsertest.Tab, key string, modifiers int64) {
	code := key
	if key == " " {
		code = "Space"
	}
	virtual := map[string]int64{"Home": 36, "End": 35, "ArrowLeft": 37, "ArrowRight": 39}[key] // of those the browser itself acts on
	for _, typ := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		tb.Run(browsertest.Call(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: typ, Key: key, Code: code, Modifiers: modifiers, WindowsVirtualKeyCode: virtual}))
	}
}

func exploreHas(tb *browsertest.Tab, option string) {
	tb.Until(exploreOptions + `.includes(` + strconv.Quote(option) + `)`)
}
