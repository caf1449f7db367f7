package router_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/templates"
	common "github.com/gometheus/gometheus/pkg/middleware"
)

func newGuarded(t *testing.T, credentials bool, static http.Handler) *httptest.Server {
	t.Helper()
	serveStatic := templates.Static
	if static != nil {
		serveStatic = func(http.Handler) http.Handler { return static }
	}
	m := manager.New(memory.New(), nil, nil)
	return serve(t, router.New(router.Options{
		API:     api.New(m, metric.DefaultLimits(), time.Now),
		Pages:   pages.New(pages.Options{State: m, Now: time.Now}),
		Static:  serveStatic,
		Problem: problem.Writer{Log: zap.NewNop()},
		Signer:  middleware.NewSigner(""),
		Limits:  common.BodyLimits{Wire: 8 << 20, Plain: 32 << 20}, Credentials: credentials,
	}))
}

// TestEveryAnswerIsGuarded: whatever the answer, browsers are told not to guess,
// not to frame and not to run anything.
func TestEveryAnswerIsGuarded(t *testing.T) {
	srv := newGuarded(t, true, nil)
	broken := newGuarded(t, true, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", "script-src *")
		panic("oops")
	}))
	check := func(got answer, status int) {
		t.Helper()
		require.Equal(t, status, got.status, got.body)
		require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-referrer", got.header.Get("Referrer-Policy"))
		policies := got.header.Values("Content-Security-Policy")
		require.Len(t, policies, 1)
		require.Contains(t, policies[0], "default-src 'none'")
		require.Contains(t, policies[0], "frame-ancestors 'none'")
		require.NotContains(t, policies[0], "unsafe")
		require.NotContains(t, policies[0], "*")
		for name := range got.header {
			require.False(t, strings.HasPrefix(name, "Access-Control-"), "no other site may read: %s", name)
		}
	}
	const origin, site = "Origin", "https://elsewhere.example"
	check(do(t, srv, "GET", "/", ""), 200)
	check(do(t, srv, "GET", "/", "", origin, site), 200)
	check(do(t, srv, "GET", "/static/app.js", ""), 200)
	check(do(t, srv, "GET", "/ping", ""), 200)
	check(do(t, srv, "POST", "/update", `{"id":"c","type":"counter","delta":1}`, "Content-Type", jsonType), 200)
	check(do(t, srv, "POST", "/updates", `[]`, "Content-Type", jsonType, "Prefer", "return=minimal"), 204)
	check(do(t, srv, "GET", "/value/counter/c", "", origin, site), 200)
	check(do(t, srv, "POST", "/updates", `x`, "Content-Type", jsonType), 400)
	check(do(t, srv, "POST", "/updates", `[]`), 415)
	check(do(t, srv, "POST", "/updates", `[]`, "Content-Type", jsonType, origin, site), 403)
	check(do(t, srv, "GET", "/nothing", ""), 404)
	check(do(t, srv, "OPTIONS", "/updates", "", origin, site, "Access-Control-Request-Method", "POST"), 405)
	check(do(t, broken, "GET", "/static/x", ""), 500)
}

// TestNoWritesForOtherSites: what a page of another site can make a browser send
// changes nothing; what programs send does.
func TestNoWritesForOtherSites(t *testing.T) {
	const body = `{"id":"c","type":"counter","delta":1}`
	forms := []string{
		"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "TEXT/Plain; charset=utf-8",
		"text/plain;", "", ";",
	}
	open, guarded := newGuarded(t, false, nil), newGuarded(t, true, nil)
	want := 0
	for _, contentType := range append(forms, "application/json", "Application/JSON; charset=utf-8", "application/octet-stream") {
		for _, target := range []string{"/update", "/update/", "/update/counter/c/1", "/updates", "/updates/"} {
			sent := body
			switch {
			case strings.HasPrefix(target, "/updates"):
				sent = "[" + body + "]"
			case strings.HasSuffix(target, "/1"):
				sent = ""
			}
			var header []string
			if contentType != "" {
				header = []string{"Content-Type", contentType}
			}
			require.Equal(t, 200, do(t, open, "POST", target, sent, header...).status, "without credentials all are taken")
			status := 415
			if strings.HasPrefix(strings.ToLower(contentType), "application/json") ||
				contentType == "application/octet-stream" {
				status = 200
				want++
			}
			got := do(t, guarded, "POST", target, sent, header...)
			require.Equal(t, status, got.status, "%q: %s", contentType, got.body)
			for _, from := range [][]string{
				{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://elsewhere.example"}, {"Origin", "null"},
			} {
				for _, srv := range []*httptest.Server{open, guarded} {
					require.Equal(t, 403, do(t, srv, "POST", target, sent, append(from, "Content-Type", jsonType)...).status, from)
				}
			}
		}
	}
	require.Equal(t, 415, do(t, guarded, "POST", "/update", body, "Content-Type", jsonType, "Content-Type", jsonType).status)
	// The page itself may.
	require.Equal(t, 200, do(t, guarded, "POST", "/update", body, "Content-Type", jsonType, "Sec-Fetch-Site", "same-origin").status)
	require.Equal(t, 200, do(t, guarded, "POST", "/update", body, "Content-Type", jsonType, "Origin", guarded.URL).status)
	// A question changes nothing: any type will do.
	require.Equal(t, 200, do(t, guarded, "POST", "/value", `{"id":"c","type":"counter"}`).status)
	require.Equal(t, 15, want)
	requireValue(t, guarded, "counter/c", "17")
}

// TestPageHasNoInlineCode: the page needs no exception in its policy.
func TestPageHasNoInlineCode(t *testing.T) {
	srv := newGuarded(t, false, nil)
	do(t, srv, "POST", "/update/gauge/x/1", "")
	page := strings.ToLower(do(t, srv, "GET", "/", "").body)
	require.Contains(t, page, "<script src=")
	require.Len(t, regexp.MustCompile(`<script (defer |type="module" )?src="static/[^"]+"></script>`).FindAllString(page, -1), strings.Count(page, "<script"))
	for _, not := range []string{"<style", " style=", " onclick=", " onload=", " onerror=", " onsubmit=", "javascript:", "http-equiv"} {
		require.NotContains(t, page, not)
	}
}
