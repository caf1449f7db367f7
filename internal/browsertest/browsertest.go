// Package browsertest looks at pages with a real browser, as their viewers do.
//
// A tab fails its test on anything the page does wrong: a script that throws, an
// error on the console, a file that does not load, a breach of the content security
// policy, a dialog, a request to another host. Its zone is Asia/Tokyo and its
// language British English, so that what depends on them is the same everywhere.
//
// With GOMETHEUS_SCREENSHOTS naming a folder, [Tab.Screenshot] writes pictures there,
// and so does each test that fails.
package browsertest

import (
	"context"
	_ "embed" // axe-core
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take for anything.
const patience = 30 * time.Second

// Browser starts one Chromium, which ends with the test. Under the race detector
// the test is skipped: it sees nothing of a browser, nor of programs that tests
// build, and handlers have tests of their own.
func Browser(t testing.TB) context.Context {
	t.Helper()
	if underRace {
		t.Skip("the race detector sees nothing of a browser")
	}
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Fatal("no chromium, chromium-browser or google-chrome in PATH: run scripts/test-deps")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("lang", "en-GB"),
	)
	// Not t.Context(): it ends before the cleanups, and the browser must have ended
	// in order before its folder is removed.
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(cancel)
	ctx, _ = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Logf("close the browser: %v", err)
		}
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// Tab is a tab of the browser.
type Tab struct {
	t   testing.TB
	ctx context.Context // chromedp's context is the tab

	mu      sync.Mutex // guards what follows
	wrong   []string
	asked   []string // addresses
	allowed []string // parts of what may go wrong
	host    string   // of the pages; others may not be asked
}

// Open opens a tab of 1200 × 800 pixels.
func Open(t testing.TB, browser context.Context) *Tab {
	t.Helper()
	tb := &Tab{t: t}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithListener(tb.listen))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	tb.ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	t.Cleanup(func() {
		if t.Failed() {
			tb.Screenshot("failed-" + t.Name())
		}
	})
	t.Cleanup(func() {
		for _, w := range tb.Wrong() {
			t.Error(w)
		}
	})
	tb.Run(
		Call(log.Enable, cdp.Empty{}),
		Call(network.Enable, network.EnableParams{}),
		Call(emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Tokyo"}),
		Call(emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: "en-GB"}),
		chromedp.EmulateViewport(1200, 800),
	)
	return tb
}

// Call is the action that sends one command of the browser's protocol.
func Call[P, R any](cmd cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, cmd, params)
		return chromedp.Void{}, err
	}
}

func (tb *Tab) listen(ev any) {
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		tb.notef("exception: %s %s", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception.Description)
	case *runtime.EventConsoleAPICalled:
		for _, a := range ev.Args {
			tb.notef("console.%s: %s", ev.Type, a.Value)
		}
	case *log.EventEntryAdded:
		tb.notef("%s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL)
	case *page.EventJavascriptDialogOpening:
		tb.notef("dialog: %s", ev.Message)
	case *network.EventRequestWillBeSent:
		tb.request(ev.Request.URL)
	}
}

func (tb *Tab) request(address string) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "data" || u.Scheme == "about" || u.Scheme == "blob" {
		return
	}
	tb.mu.Lock()
	tb.asked = append(tb.asked, address)
	foreign := tb.host != "" && u.Host != tb.host
	tb.mu.Unlock()
	if foreign {
		tb.notef("request to another host: %s", address)
	}
}

func (tb *Tab) notef(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	tb.mu.Lock()
	defer tb.mu.Unlock()
	for _, a := range tb.allowed {
		if strings.Contains(s, a) {
			return
		}
	}
	tb.wrong = append(tb.wrong, s)
}

// Allow lets go wrong what is told with this text: a test of an error makes the
// browser tell of it.
func (tb *Tab) Allow(text string) {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	tb.allowed = append(tb.allowed, text)
}

// Wrong is what went wrong so far, and forgets it.
func (tb *Tab) Wrong() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	out := tb.wrong
	tb.wrong = nil
	return out
}

// Asked is the addresses asked for so far, and forgets them.
func (tb *Tab) Asked() []string {
	tb.mu.Lock()
	defer tb.mu.Unlock()
	out := tb.asked
	tb.asked = nil
	return out
}

// Run does actions.
func (tb *Tab) Run(actions ...chromedp.Action[chromedp.Void]) {
	tb.t.Helper()
	if err := chromedp.Do(tb.ctx, actions...); err != nil {
		tb.t.Fatalf("browser: %v", err)
	}
}

// Go opens a page and waits until it and its scripts are loaded.
func (tb *Tab) Go(address string) {
	tb.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.t.Fatal(err)
	}
	tb.mu.Lock()
	tb.host = u.Host
	tb.mu.Unlock()
	tb.Run(chromedp.Navigate(address))
}

// Eval is the value of a JavaScript expression; of a promise, what it becomes.
func Eval[T any](tb *Tab, expr string) T {
	tb.t.Helper()
	v, err := chromedp.Run(tb.ctx, chromedp.Evaluate[T](expr, chromedp.EvalAwaitPromise))
	if err != nil {
		tb.t.Fatalf("browser: %s: %v", expr, err)
	}
	return v
}

// Until waits for a JavaScript expression to become true. (chromedp's own Poll
// compiles a string in the page, which the content security policy forbids.)
func (tb *Tab) Until(expr string) {
	tb.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !tb.holds(expr) {
		select {
		case <-tick.C:
		case <-deadline:
			tb.t.Fatalf("never true: %s\nthe page: %s", expr, Eval[string](tb, "document.body.innerText.slice(0, 2000)"))
		}
	}
}

// holds tells whether an expression is true. On a page that is about to be left
// nothing is.
func (tb *Tab) holds(expr string) bool {
	tb.t.Helper()
	yes, err := chromedp.Run(tb.ctx, chromedp.Evaluate[bool]("!!("+expr+")", chromedp.EvalAwaitPromise))
	switch {
	case err == nil:
		return yes
	case strings.Contains(err.Error(), "Inspected target navigated or closed") && tb.ctx.Err() == nil:
		return false
	}
	tb.t.Fatalf("browser: %s: %v", expr, err)
	return false
}

// Theme makes the browser prefer "light" or "dark".
func (tb *Tab) Theme(scheme string) {
	tb.t.Helper()
	tb.Run(Call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}))
}

// Phone makes the screen that of a phone, 390 × 844 and touched.
func (tb *Tab) Phone() {
	tb.t.Helper()
	tb.Run(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
}

// Size makes the window this large.
func (tb *Tab) Size(width, height int64) {
	tb.t.Helper()
	tb.Run(chromedp.EmulateViewport(width, height))
}

// NoScript turns JavaScript off for pages opened from now on.
func (tb *Tab) NoScript() {
	tb.t.Helper()
	tb.Run(Call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
}

// FitsWidth fails the test if the page is wider than the screen.
func (tb *Tab) FitsWidth() {
	tb.t.Helper()
	if out := Eval[[]string](tb, `document.documentElement.scrollWidth <= innerWidth ? [] :
		[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
			.slice(0, 10).map((e) => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 40))`); len(out) > 0 {
		tb.t.Errorf("the page is wider than the screen: %q", out)
	}
}

// Screenshot writes a picture of what the tab shows, name.png.
func (tb *Tab) Screenshot(name string) { tb.picture(name, chromedp.CaptureScreenshot()) }

// FullScreenshot writes a picture of the whole page, name.png.
func (tb *Tab) FullScreenshot(name string) { tb.picture(name, chromedp.FullScreenshot(100)) }

func (tb *Tab) picture(name string, take chromedp.Action[[]byte]) {
	tb.t.Helper()
	dir := os.Getenv("GOMETHEUS_SCREENSHOTS")
	if dir == "" {
		return
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("/ ,:", r) {
			return '-'
		}
		return r
	}, name) + ".png"
	picture, err := chromedp.Run(tb.ctx, take)
	if err == nil {
		err = errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), picture, 0o644)) //nolint:gosec // to be looked at
	}
	if err != nil {
		tb.t.Logf("take a picture: %v", err)
	}
}

//go:embed testdata/axe-core/axe.min.js
var axe string

// Accessible fails the test on each finding of axe-core that is serious or critical.
// The page's policy would not let the checker in; the browser's debugger does.
func (tb *Tab) Accessible() {
	tb.t.Helper()
	tb.Run(chromedp.Evaluate[chromedp.Void](axe + "\n;undefined"))
	found := Eval[json.RawMessage](tb, `axe.run(document, { resultTypes: ["violations"] }).then((r) => r.violations
		.filter((v) => v.impact === "serious" || v.impact === "critical")
		.map((v) => ({ id: v.id, help: v.help, nodes: v.nodes.slice(0, 5).map((n) => n.html.slice(0, 200) + " " + (n.any[0]?.message ?? "")) })))`)
	var findings []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal(found, &findings); err != nil {
		tb.t.Fatalf("axe-core: %v: %s", err, found)
	}
	for _, f := range findings {
		tb.t.Errorf("axe-core: %s: %s\n\t%s", f.ID, f.Help, strings.Join(f.Nodes, "\n\t"))
	}
}
