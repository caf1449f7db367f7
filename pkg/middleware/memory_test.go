package middleware_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// TestZstdWindowsAreCounted: no more zstd bodies are decoded at once than their
// windows find room for, and what they held is given back.
func TestZstdWindowsAreCounted(t *testing.T) {
	memory := semaphore.New(20 << 20) // two windows
	var h http.Handler
	var depth int
	var refused error
	request := func() {
		var body bytes.Buffer
		zw, err := zstd.NewWriter(&body)
		require.NoError(t, err)
		_, err = zw.Write([]byte("hello"))
		require.NoError(t, err)
		require.NoError(t, zw.Close())
		r := httptest.NewRequest(http.MethodPost, "/", &body)
		r.Header.Set("Content-Encoding", "zstd")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	h = middleware.Decompress(middleware.BodyLimits{Wire: 1 << 20, Plain: 1 << 20, Memory: memory},
		func(_ http.ResponseWriter, _ *http.Request, err error) { refused = err })(
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if got, err := io.ReadAll(r.Body); err != nil || string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
			if depth++; refused == nil {
				request() // another one, while this one is not done
			}
		}))
	request()
	require.Equal(t, 2, depth)
	require.Equal(t, codes.Unavailable, codes.CodeOf(refused))
	require.Zero(t, memory.InUse())
}
