package router_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/storage/memory"
)

// TestLargeBodiesAtOnce: many clients that send large bodies and don't finish
// them are bounded together: the first hold what there is, the next are told to
// come again, and all is well when they are gone.
func TestLargeBodiesAtOnce(t *testing.T) {
	srv := serve(t, newHandler(memory.New(), "", zap.NewNop()))
	const clients, size = 40, 7 << 20 // 32 of 8 MiB fit
	refused := make(chan *http.Response, clients)
	part := bytes.Repeat([]byte(" "), size)
	var conns []net.Conn
	for range clients {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		require.NoError(t, err)
		conns = append(conns, conn)
		go func() {
			// One byte is missing, so whoever got the room keeps it. A write fails once
			// the server has refused and closed.
			if _, err := fmt.Fprintf(conn, "POST /updates HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size+1); err == nil {
				_, _ = conn.Write(part)
			}
		}()
		go func() {
			if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
				refused <- response
			}
		}()
	}
	select {
	case response := <-refused:
		require.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
		require.NotEmpty(t, response.Header.Get("Retry-After"))
		require.NoError(t, response.Body.Close())
	case <-time.After(30 * time.Second):
		t.Fatal("nobody was refused")
	}
	require.Equal(t, 200, do(t, srv, "POST", "/update/counter/small/1", "").status, "small requests go on")
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
	require.Eventually(t, func() bool {
		return do(t, srv, "POST", "/updates", "["+string(part[:1<<20])+"]").status == 200
	}, 30*time.Second, 10*time.Millisecond, "the room is free again")
}
