package router_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/templates"
	common "github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// newLimited is a handler with limits of its own.
func newLimited(budget *semaphore.Semaphore, bodies common.BodyLimits, limits metric.Limits, series int) http.Handler {
	store := memory.New()
	store.LimitSeries(series)
	bodies.Memory = budget
	return router.New(router.Options{
		API:     api.New(manager.New(store, nil, nil), limits, time.Now, api.WithMemory(budget)),
		Static:  templates.Static,
		Problem: problem.Writer{Log: zap.NewNop()},
		Signer:  middleware.NewSigner(""),
		Limits:  bodies,
	})
}

func TestLimitsAreTheOnesSet(t *testing.T) {
	h := newLimited(semaphore.New(1<<20), common.BodyLimits{Wire: 1000, Plain: 2000},
		metric.Limits{Metrics: 2, Name: 4, Labels: 1, LabelName: 3, LabelValue: 5}, 3)
	srv := serve(t, h)
	metrics := func(ms ...string) string { return "[" + strings.Join(ms, ",") + "]" }
	counter := func(name, labels string) string {
		return fmt.Sprintf(`{"id":%q,"type":"counter","delta":1,"labels":{%s}}`, name, labels)
	}
	for _, tt := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"all at their limits", metrics(counter("abcd", `"abc":"12345"`), counter("b", "")), 200, ""},
		{"batch", metrics(counter("a", ""), counter("b", ""), counter("c", "")), 413, "at most 2 are allowed"},
		{"name", metrics(counter("abcde", "")), 400, "at most 4 are allowed"},
		{"labels", metrics(counter("a", `"a":"b","c":"d"`)), 400, "at most 1 are allowed"},
		{"label name", metrics(counter("a", `"abcd":"b"`)), 400, "at most 3 are allowed"},
		{"label value", metrics(counter("a", `"a":"123456"`)), 400, "at most 5 are allowed"},
		{"body", metrics(strings.Repeat(" ", 1000)), 413, "larger than 1000 bytes"},
		{"unpacked", "", 413, "larger than 2000 bytes"},
		{"too many series", metrics(counter("d", ""), counter("e", "")), 429, "LIMIT_SERIES"},
		{"the last series", metrics(counter("b", ""), counter("d", "")), 200, ""},
		{"one more", metrics(counter("b", ""), counter("e", "")), 429, "LIMIT_SERIES"},
		{"those that exist go on", metrics(counter("b", ""), counter("d", "")), 200, ""},
	} {
		var header []string
		body := tt.body
		if tt.name == "unpacked" {
			body, header = gz(metrics(strings.Repeat(" ", 2000))), []string{"Content-Encoding", "gzip"}
		}
		got := do(t, srv, "POST", "/updates", body, header...)
		require.Equal(t, tt.status, got.status, "%s: %s", tt.name, got.body)
		require.Contains(t, got.body, tt.says, tt.name)
		require.Equal(t, tt.status == 429, got.header.Get("Retry-After") != "", tt.name)
	}
	requireValue(t, srv, "counter/b", "3")
}

// TestMemoryOfBodies: large bodies that are half there take all the memory there
// is for them; another one gets 503 at once, small ones go on, and when the half
// ones are gone all is well.
func TestMemoryOfBodies(t *testing.T) {
	budget := semaphore.New(1 << 20)
	h := newLimited(budget, common.BodyLimits{Wire: 8 << 20, Plain: 8 << 20}, metric.DefaultLimits(), 10)
	srv := serve(t, h)
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	half := 600 << 10 // in pieces of 32, 64, 128, 256 and 512 KiB, the first of 32 not counted
	_, err = fmt.Fprintf(conn, "POST /updates HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n[%s", 2*half, strings.Repeat(" ", half))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return budget.InUse() == 992<<10 }, 10*time.Second, time.Millisecond)
	got := do(t, srv, "POST", "/updates", "["+strings.Repeat(" ", 600<<10)+"]")
	require.Equal(t, 503, got.status, got.body)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	got = do(t, srv, "POST", "/updates", `[{"id":"a","type":"counter","delta":1}]`)
	require.Equal(t, 200, got.status, got.body)
	// One that finds no room to be put together is refused at its end.
	_, err = fmt.Fprint(conn, strings.Repeat(" ", half-1))
	require.NoError(t, err)
	require.Equal(t, 503, readAnswer(t, conn, "POST").status)
	require.Eventually(t, func() bool { return budget.InUse() == 0 }, 10*time.Second, time.Millisecond)
	got = do(t, srv, "POST", "/updates", "["+strings.Repeat(" ", 400<<10)+"]")
	require.Equal(t, 200, got.status, got.body)
}

// TestLargeFormsAreBounded: what a form takes counts like any other body.
func TestLargeFormsAreBounded(t *testing.T) {
	asked := 0
	h := router.Options{Limits: common.BodyLimits{Memory: semaphore.New(50 << 20)}, Problem: problem.Writer{Log: zap.NewNop()}}
	var nested func(n int) int
	nested = func(n int) (status int) {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/api/v1/query", strings.NewReader(strings.Repeat("x", 100<<10)))
		router.RoomForForm(h, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			asked++
			if n > 1 {
				status = nested(n - 1)
			}
		})).ServeHTTP(w, r)
		if status == 0 {
			status = w.Code
		}
		return status
	}
	require.Equal(t, http.StatusOK, nested(2))
	require.Equal(t, http.StatusServiceUnavailable, nested(3))
	require.Equal(t, 4, asked)
	require.Equal(t, http.StatusOK, nested(2), "all is given back")
}
