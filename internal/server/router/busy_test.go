package router_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/admission"
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

// TestBusy: while no place is free writes get 503, reads go on, and an invalid
// body is not even looked at.
func TestBusy(t *testing.T) {
	srv := serve(t, router.New(router.Options{
		API:     api.New(manager.New(memory.New(), nil, nil), metric.DefaultLimits(), time.Now, api.WithGate(admission.New(0))),
		Static:  templates.Static,
		Problem: problem.Writer{Log: zap.NewNop()},
		Signer:  middleware.NewSigner(""),
		Limits:  common.BodyLimits{Wire: 1 << 20, Plain: 1 << 20},
	}))
	for _, tt := range []struct{ path, body string }{
		{"/update", `{"id":"a","type":"counter","delta":1}`}, {"/updates/", `[]`}, {"/updates", `[{`}, {"/update/counter/a/1", ""},
	} {
		got := do(t, srv, "POST", tt.path, tt.body)
		require.Equal(t, http.StatusServiceUnavailable, requireProblem(t, got, 503).Status)
		require.Equal(t, "1", got.header.Get("Retry-After"))
	}
	require.Equal(t, 404, do(t, srv, "GET", "/value/counter/a", "").status, "nothing was applied")
	require.Equal(t, 200, do(t, srv, "GET", "/ping", "").status)
}

// TestMemoryOfSignedBodies: what is held to be verified counts, as it arrives, and
// is given back.
func TestMemoryOfSignedBodies(t *testing.T) {
	budget := semaphore.New(1 << 20)
	srv := serve(t, router.New(router.Options{
		API:     api.New(manager.New(memory.New(), nil, nil), metric.DefaultLimits(), time.Now, api.WithMemory(budget)),
		Static:  templates.Static,
		Problem: problem.Writer{Log: zap.NewNop()},
		Signer:  middleware.NewSigner(secret, middleware.WithMemory(budget)),
		Limits:  common.BodyLimits{Wire: 8 << 20, Plain: 8 << 20, Memory: budget},
	}))
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	const half = 300 << 10
	_, err = fmt.Fprintf(conn, "POST /updates HTTP/1.1\r\nHost: x\r\nHashSHA256: %s\r\nContent-Length: %d\r\n\r\n%s", strings.Repeat("0", 64),
		8<<20, strings.Repeat(" ", half))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return budget.InUse() == 512<<10 }, 10*time.Second, time.Millisecond)
	push := func(size int) answer {
		body := "[" + strings.Repeat(" ", size-2) + "]"
		return do(t, srv, "POST", "/updates", body, "HashSHA256", sign(secret, body))
	}
	got := push(600 << 10)
	require.Equal(t, 503, got.status, got.body)
	require.Equal(t, "1", got.header.Get("Retry-After"))
	require.Equal(t, 200, push(30<<10).status, "small ones go on")
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return budget.InUse() == 0 }, 10*time.Second, time.Millisecond)
	require.Equal(t, 200, push(200<<10).status)
	require.Zero(t, budget.InUse())
}
