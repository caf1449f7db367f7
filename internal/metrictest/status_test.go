package metrictest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/prometheus/prometheus/prompb"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/programtest"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql/pgtest"
)

// tile is the number of one of the tiles.
func tile(tb *browsertest.Tab, name string) string {
	return browsertest.Eval[string](tb, fmt.Sprintf(`[...document.querySelectorAll(".tiles .card")].find((c) => c.firstElementChild.textContent === %q).querySelector("b").textContent`, name))
}

// TestStatus: a server with all kinds of input and a real agent.
func TestStatus(t *testing.T) {
	b := browsertest.Browser(t)
	s := startServer(t)
	s.fill()
	s.do(http.MethodPost, "/updates", []byte("["), "Content-Type", "application/json")
	programtest.Start(t, t.TempDir(), programs.Build(t, "agent"), nil,
		"ADDRESS="+strings.TrimPrefix(s.url, "http://"), "POLL_INTERVAL=0.2", "REPORT_INTERVAL=0.5", "LABELS=instance=web-1")
	tb := browsertest.Open(t, b)
	tb.Go(s.url + "/status")
	tb.Until(`[...document.querySelectorAll(".tiles .card")].some((c) => c.innerText.includes("1 up"))`)
	require.Equal(t, "All is well The storage takes writes, and no limit is near.", browsertest.Eval[string](tb, `document.getElementById("problems").innerText.trim()`))
	require.NotEqual(t, "0/s", tile(tb, "Pushed metrics"))
	require.NotEqual(t, "0/s", tile(tb, "Remote write"))
	require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("ingest").innerText`), "Refused: ")
	require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("routes").innerText`), "/updates")
	require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("state").innerText`), "state.json")
	require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("history").innerText`), "15 d")
	require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("names").innerText`), "request_duration_seconds_bucket")
	require.Contains(t, browsertest.Eval[string](tb, `document.querySelector(".settings").innerText`), "HISTORY_RETENTION")
	require.Equal(t, []string{"ADDRESS", "FILE_STORAGE_PATH", "HISTORY_PATH"}, browsertest.Eval[[]string](tb, `[...document.querySelectorAll(".settings .changed th")].map((e) => e.textContent)`))
	// Which charts there are is found out when the page is made.
	require.Eventually(t, func() bool { return strings.Contains(s.get("/status", http.StatusOK), "Reporters that are up") }, 30*time.Second, 100*time.Millisecond)
	tb.Go(s.url + "/status")
	tb.Until(`document.querySelector("figure.own canvas")`)
	tb.Until(`document.querySelector("figure.own .key b")?.textContent === "1"`) // and not what the agent scrapes
	tb.Accessible()
	tb.FullScreenshot("status")

	// It follows by itself, without a reload, and stops when it is told to.
	requests := func() int {
		return browsertest.Eval[int](tb, `performance.getEntriesByType("resource").filter((e) => e.name.endsWith("/status")).length`)
	}
	browsertest.Eval[bool](tb, `window.same = true`)
	before := requests()
	was := browsertest.Eval[string](tb, `document.getElementById("ingest").innerText`)
	tb.Until(fmt.Sprintf(`document.getElementById("ingest").innerText !== %q`, was))
	require.Greater(t, requests(), before)
	tb.Run(chromedp.Click(chromedp.CSS("#live")))
	tb.Until(`document.getElementById("live").textContent === "Paused"`)
	require.True(t, browsertest.Eval[bool](tb, `window.same`))

	tb.Theme("dark")
	tb.Phone()
	tb.Go(s.url + "/status")
	tb.Until(`document.querySelector("figure.own canvas")`)
	tb.FitsWidth()
	tb.Accessible()
	tb.FullScreenshot("status-phone-dark")
	tb.Size(1200, 800)
	tb.FullScreenshot("status-dark")

	// A name leads to its page.
	tb.Run(chromedp.Click(chromedp.CSS("#names tbody a")))
	tb.Until(`location.pathname.startsWith("/metric/")`)

	// The server goes: the page says so.
	tb.Go(s.url + "/status")
	tb.Allow("ERR_CONNECTION_REFUSED")
	tb.Allow("Failed to fetch")
	s.p.Stop()
	tb.Until(`document.getElementById("live").textContent === "Lost"`)
}

// TestStatusOfItself: with its own metrics in its history there are charts of them.
func TestStatusOfItself(t *testing.T) {
	s := startServer(t)
	now := time.Now()
	w := &prompb.WriteRequest{}
	add := func(f func(i int) float64, pairs ...string) {
		w.Timeseries = append(w.Timeseries, prompb.TimeSeries{Labels: labelPairs(pairs...), Samples: over(now, f)})
	}
	grows := func(by float64) func(int) float64 { return func(i int) float64 { return float64(i) * by } }
	add(grows(300), "__name__", "gometheus_metrics_total", "type", "gauge")
	add(grows(100), "__name__", "gometheus_metrics_total", "type", "counter")
	add(grows(30), "__name__", "gometheus_http_request_duration_seconds_count", "code", "200", "route", "/updates")
	for i, le := range []string{"0.002", "0.01", "+Inf"} {
		add(grows(float64(10+i*10)), "__name__", "gometheus_http_request_duration_seconds_bucket", "code", "200", "le", le, "route", "/updates")
	}
	add(grows(1), "__name__", "gometheus_series")
	s.write(w)
	tb := browsertest.Open(t, browsertest.Browser(t))
	tb.Go(s.url + "/status")
	tb.Until(drawn)
	require.Equal(t, []string{"Pushed metrics", "Requests", "99 % of requests within", "Series in the state"}, browsertest.Eval[[]string](tb, `[...document.querySelectorAll("figure.own h3")].map((e) => e.textContent)`))
	tb.FullScreenshot("status-own")
}

// TestEmptyStatus: nothing has come yet; with a history and without.
func TestEmptyStatus(t *testing.T) {
	b := browsertest.Browser(t)
	for _, history := range []string{"true", "false"} {
		s := startServer(t, "HISTORY="+history)
		tb := browsertest.Open(t, b)
		if history == "false" {
			s.push(`{"id":"a","type":"gauge","value":1,"labels":{"x":"1"}}`, `{"id":"a","type":"gauge","value":1,"labels":{"x":"2"}}`)
			tb.NoScript()
		}
		tb.Go(s.url + "/status")
		if history == "true" {
			tb.Accessible()
			require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("history").innerText`), "none yet")
		} else {
			require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("history").innerText`), "HISTORY is false")
			require.Contains(t, browsertest.Eval[string](tb, `document.getElementById("names").innerText`), "a\n\t2")
		}
		tb.FullScreenshot("status-empty-history-" + history)
	}
}

// TestNoSecret: whatever is secret stands on no page.
func TestNoSecret(t *testing.T) {
	const key, password, hash = "key-battery-staple", "dsn-password-horse", "$2a$04$4Z4hFd1isJQBEm7CygQCkOR5lm7iCDlo6ejsXv5926/O3l1yMHOby"
	web := filepath.Join(t.TempDir(), "web.yml")
	require.NoError(t, os.WriteFile(web, []byte("basic_auth_users:\n  agent: "+hash+"\n"), 0o600))
	database, err := pgtest.Start(os.Getenv("TEST_DATABASE_DSN"))
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := database.Stop(); err != nil {
			t.Error(err)
		}
	})
	dsn, err := url.Parse(database.Database(t))
	require.NoError(t, err)
	if database.CanRestart() { // it is ours, and asks for none
		dsn.User = url.UserPassword(dsn.User.Username(), password)
	}
	s := startServer(t, "KEY="+key, "WEB_CONFIG_FILE="+web, "DATABASE_DSN="+dsn.String())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/status", nil)
	require.NoError(t, err)
	res, err := s.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusUnauthorized, res.StatusCode, "it is for those who may ask at all")
	for _, path := range []string{"/status", "/metric/nothing", "/nowhere"} {
		req.URL.Path = path
		req.SetBasicAuth("agent", "correct horse")
		req.Header.Set("Accept", "text/html")
		res, err := s.client.Do(req)
		require.NoError(t, err)
		body := readAll(t, res)
		for _, secret := range []string{key, password, hash, "correct horse", "battery"} {
			require.NotContains(t, body, secret)
		}
		if path == "/status" {
			require.Contains(t, body, "***")
			require.Contains(t, body, "web.yml")
			require.Contains(t, body, "PostgreSQL")
			require.Contains(t, body, "0 of 1,000,000 allowed")
			require.Contains(t, body, "All is well")
		}
	}
}

// TestStorageAway: that the database is away stands at the top, and the page comes
// all the same.
func TestStorageAway(t *testing.T) {
	database, err := pgtest.Start("")
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := database.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := startServer(t, "DATABASE_DSN="+database.Database(t))
	s.push(`{"id":"a","type":"gauge","value":1}`)
	require.Contains(t, s.get("/status", http.StatusOK), "All is well")
	require.Contains(t, s.get("/metric/a", http.StatusOK), "<b>1</b> series")
	database.Halt(t, pgtest.Fast)
	require.Eventually(t, func() bool {
		return strings.Contains(s.get("/status", http.StatusOK), "The storage (PostgreSQL) can&#39;t be reached")
	}, time.Minute, 100*time.Millisecond)
	database.Resume(t)
	require.Eventually(t, func() bool {
		return strings.Contains(s.get("/status", http.StatusOK), "All is well")
	}, time.Minute, 100*time.Millisecond)
}

func readAll(t *testing.T, res *http.Response) string {
	t.Helper()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(text)
}
