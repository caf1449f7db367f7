package pages_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/programtest"
)

// evil is a name full of what could be taken for something else: a path, HTML, PromQL
// and what this server itself replaces in queries.
const evil = `<img src=x onerror=alert(1)> a/b "SEL" $window & %41 \d`

// hosts is a server with hours of two machines. From 3 h to 2 h 30 min ago web-1 said
// nothing.
type hosts struct {
	url   string
	start time.Time
}

func newHosts(t *testing.T) *hosts {
	t.Helper()
	h := &hosts{url: programs.Server(t, t.TempDir()).URL(), start: time.Now()}
	web := &browsertest.Machine{
		Instance: "web-1", Containers: []string{"shop", "queue", "<b>mail</b>"}, Processes: []string{`"SEL"`, "<script>alert(2)</script>"}, Mount: "/srv/<i>x</i>",
	}
	browsertest.Write(t, h.url, web.Series(h.start.Add(-6*time.Hour-20*time.Minute), h.start.Add(-3*time.Hour), browsertest.Interval))
	browsertest.Write(t, h.url, web.Series(h.start.Add(-150*time.Minute), h.start, browsertest.Interval))
	odd := &browsertest.Machine{Instance: evil}
	browsertest.Write(t, h.url, odd.Series(h.start.Add(-20*time.Minute), h.start, browsertest.Interval))
	gone := &browsertest.Machine{Instance: "db-1"}
	browsertest.Write(t, h.url, gone.Series(h.start.Add(-3*time.Hour), h.start.Add(-2*time.Hour), browsertest.Interval))
	return h
}

func (h *hosts) page(instance string) string { return h.url + "/host/" + url.PathEscape(instance) }

const (
	// drawnAll is true when each chart near the screen has drawn and none is asked for.
	drawnAll = `[...document.querySelectorAll("[data-chart]")].filter((f) => f.getBoundingClientRect().top < innerHeight)
		.every((f) => f.ariaBusy === "false" && f.querySelector("canvas"))`
	wrongNotes = `[...document.querySelectorAll(".note.wrong, [data-empty]")].map((e) => e.textContent + e.getAttribute("aria-label"))`
)

func TestHostInTheBrowser(t *testing.T) {
	h := newHosts(t)
	b := browsertest.Browser(t)
	open := func(t *testing.T) *browsertest.Tab { t.Helper(); return browsertest.Open(t, b) }

	t.Run("charts", func(t *testing.T) { h.charts(t, open(t)) })
}

func (h *hosts) charts(t *testing.T, tb *browsertest.Tab) {
	tb.Size(1440, 900)
	tb.Go(h.page("web-1") + "?range=6h")
	tb.Until(drawnAll)
	tb.Size(1440, 3600) // all of it is on the screen
	tb.Until(`document.querySelectorAll("[data-chart] canvas").length === document.querySelectorAll("[data-chart]").length`)
	tb.Until(drawnAll)
	require.Empty(t, browsertest.Eval[[]string](tb, wrongNotes))
	tb.Screenshot("host-6h")
}

var _ = []any{context.Background, http.MethodGet, strings.Contains, chromedp.Click[chromedp.CSS], programtest.Client}
