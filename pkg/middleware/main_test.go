package middleware_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server on 127.0.0.1 whose client leaves answers as they are.
func serve(t testing.TB, h http.Handler) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	transport, ok := srv.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.DisableCompression = true
	return srv
}

// request sends one request and reads the answer whole.
func request(t testing.TB, srv *httptest.Server, method string, body io.Reader, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL, body)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := srv.Client().Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, string(got)
}

// Writers are large, and the tests use many.
var (
	gzips = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}
	zstds = sync.Pool{New: func() any {
		zw, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(128<<10), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("middleware_test: " + err.Error())
		}
		return zw
	}}
)

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var buf bytes.Buffer
	zw, ok := gzips.Get().(*gzip.Writer)
	require.True(t, ok)
	defer gzips.Put(zw)
	zw.Reset(&buf)
	_, err := io.WriteString(zw, s)
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	return buf.String()
}

func gunzip(t testing.TB, s string) string {
	t.Helper()
	zr, err := gzip.NewReader(strings.NewReader(s))
	require.NoError(t, err)
	out, err := io.ReadAll(zr)
	require.NoError(t, err)
	return string(out)
}

func zstded(t testing.TB, s string) string {
	t.Helper()
	var buf bytes.Buffer
	zw, ok := zstds.Get().(*zstd.Encoder)
	require.True(t, ok)
	defer zstds.Put(zw)
	zw.Reset(&buf)
	_, err := io.WriteString(zw, s)
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	return buf.String()
}

// gunzipStream unzips what comes, as it comes.
func gunzipStream(t testing.TB, r io.Reader) io.Reader {
	t.Helper()
	zr, err := gzip.NewReader(r)
	require.NoError(t, err)
	return zr
}

// say writes an answer.
func say(w io.Writer, s string) {
	io.WriteString(w, s) //nolint:errcheck // what the client got is what is tested
}
