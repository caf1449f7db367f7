package middleware_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/middleware"
)

var compress = middleware.Compress("application/json", "text/plain")

// answers is a handler that answers with a media type and a body.
func answers(contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		say(w, body)
	})
}

func TestCompressByMediaType(t *testing.T) {
	for contentType, zipped := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "text/plain ;charset=utf-8": true,
		"text/html": false, "application/problem+json": false, "image/png": false, "application/jsonx": false, "": true, // "" is sniffed as text/plain
	} {
		t.Run(contentType, func(t *testing.T) {
			h := answers(contentType, "x")
			if contentType == "" {
				h = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { say(w, "x") })
			}
			res, body := request(t, serve(t, compress(h)), "GET", nil, "Accept-Encoding", "gzip")
			if zipped {
				require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
				require.Equal(t, []string{"Accept-Encoding"}, res.Header["Vary"])
				require.Equal(t, "x", gunzip(t, body))
				return
			}
			require.NotContains(t, res.Header, "Content-Encoding")
			require.NotContains(t, res.Header, "Vary")
			require.Equal(t, "x", body)
		})
	}
}

func TestCompressByAcceptEncoding(t *testing.T) {
	srv := serve(t, compress(answers("text/plain", "x")))
	for _, tt := range []struct {
		headers []string
		zipped  bool
	}{
		{[]string{"gzip"}, true},
		{[]string{"gzip, deflate, br"}, true},
		{[]string{"br", "gzip"}, true},
		{[]string{"br", "*"}, true},
		{[]string{"*;q=0.1"}, true},
		{[]string{"gzip;Q=0.1"}, true},
		{[]string{"\tgzip\t;\tq=1\t"}, true},
		{nil, false},
		{[]string{"identity"}, false},
		{[]string{"gzip;q=0"}, false},
		{[]string{"gzip;q=0.0"}, false},
		{[]string{"*;q=0"}, false},
		{[]string{"*", "gzip;q=0"}, false},
		{[]string{"gzip;q=-1"}, false},
		{[]string{"gzip;q=NaN"}, false},
		{[]string{"gzip;q="}, false},
		{[]string{"xgzip"}, false},
		{[]string{",,;q=1,"}, false},
	} {
		t.Run(strings.Join(tt.headers, "|"), func(t *testing.T) {
			header := []string{"Accept-Encoding", "identity"}
			if len(tt.headers) > 0 {
				header = nil
			}
			for _, h := range tt.headers {
				header = append(header, "Accept-Encoding", h)
			}
			res, body := request(t, srv, "GET", nil, header...)
			require.Equal(t, []string{"Accept-Encoding"}, res.Header["Vary"], "also where it is not compressed")
			if tt.zipped {
				require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
				body = gunzip(t, body)
			} else {
				require.NotContains(t, res.Header, "Content-Encoding")
			}
			require.Equal(t, "x", body)
		})
	}
}

func TestCompressHeaders(t *testing.T) {
	for _, tt := range []struct {
		name   string
		header map[string]string
		want   map[string]string // "" for a header that must not be there
		zipped bool
	}{
		{"length removed", map[string]string{"Content-Length": "5"}, map[string]string{"Content-Length": "29"}, true},
		{"strong etag weakened", map[string]string{"Etag": `"v1"`}, map[string]string{"Etag": `W/"v1"`}, true},
		{"weak etag left", map[string]string{"Etag": `W/"v1"`}, map[string]string{"Etag": `W/"v1"`}, true},
		{"vary kept", map[string]string{"Vary": "Origin"}, map[string]string{"Vary": "Origin, Accept-Encoding"}, true},
		{"encoded already", map[string]string{"Content-Encoding": "br", "Etag": `"v1"`, "Content-Length": "5"}, map[string]string{"Content-Encoding": "br", "Etag": `"v1"`, "Content-Length": "5"}, false},
		{"part of a range", map[string]string{"Content-Range": "bytes 0-4/9"}, map[string]string{"Content-Encoding": ""}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := serve(t, compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				for name, value := range tt.header {
					w.Header().Set(name, value)
				}
				say(w, "hello")
			})))
			res, body := request(t, srv, "GET", nil, "Accept-Encoding", "gzip")
			for name, value := range tt.want {
				if name == "Content-Length" && value != "5" {
					value = fmt.Sprint(len(body)) // net/http's, of what was sent
				}
				require.Equal(t, value, strings.Join(res.Header.Values(name), ", "), name)
			}
			if tt.zipped {
				require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
				body = gunzip(t, body)
			}
			require.Equal(t, "hello", body)
		})
	}
	t.Run("what is encoded already is not sniffed", func(t *testing.T) {
		srv := serve(t, compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			say(w, gzipped(t, "hello"))
		})))
		res, body := request(t, srv, "GET", nil, "Accept-Encoding", "gzip")
		require.Equal(t, "hello", gunzip(t, body))
		require.Empty(t, res.Header.Get("Content-Type"), "the type of the gzip'd bytes is not that of the answer")
	})
}

func TestCompressNothing(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		h            http.HandlerFunc
		status       int
	}{
		{"nothing written", "GET", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") }, 200},
		{"nil written", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			say(w, "")
		}, 200},
		{"status only", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(404)
		}, 404},
		{"204", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 204},
		{"204 with a type", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(204)
		}, 204},
		{"304", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, 304},
		{"HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			say(w, "hello")
		}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, body := request(t, serve(t, compress(tt.h)), tt.method, nil, "Accept-Encoding", "gzip")
			require.Equal(t, tt.status, res.StatusCode)
			require.Empty(t, body)
			require.NotContains(t, res.Header, "Content-Encoding")
		})
	}
}

func TestCompressStatus(t *testing.T) {
	srv := serve(t, compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK) // too late
		say(w, "[")
		say(w, "]")
	})))
	res, body := request(t, srv, "GET", nil, "Accept-Encoding", "gzip")
	require.Equal(t, http.StatusTeapot, res.StatusCode)
	require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
	require.Equal(t, "[]", gunzip(t, body))
}

// TestCompressInformational: 1xx pass, before and without ending the answer.
func TestCompressInformational(t *testing.T) {
	srv := serve(t, compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</app.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusAccepted)
		say(w, "hello")
	})))
	var early []int
	r, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			early = append(early, code)
			require.Equal(t, "</app.css>; rel=preload", header.Get("Link"))
			require.Empty(t, header.Get("Content-Encoding"))
			return nil
		},
	}), http.MethodGet, srv.URL, nil)
	require.NoError(t, err)
	r.Header.Set("Accept-Encoding", "gzip")
	res, err := srv.Client().Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, []int{http.StatusEarlyHints}, early)
	require.Equal(t, http.StatusAccepted, res.StatusCode)
	require.Equal(t, "hello", gunzip(t, string(body)))
}

// TestCompressFlush: what was written before Flush reaches the client while the
// handler still runs.
func TestCompressFlush(t *testing.T) {
	for _, encoding := range []string{"gzip", "identity"} {
		t.Run(encoding, func(t *testing.T) {
			goOn := make(chan struct{})
			srv := serve(t, compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain")
				say(w, "first")
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
				<-goOn
				say(w, "second")
			})))
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
			require.NoError(t, err)
			r.Header.Set("Accept-Encoding", encoding)
			res, err := srv.Client().Do(r)
			require.NoError(t, err)
			defer res.Body.Close()
			var body io.Reader = res.Body
			if encoding == "gzip" {
				body = gunzipStream(t, res.Body)
			}
			first := make([]byte, len("first"))
			_, err = io.ReadFull(body, first)
			close(goOn)
			require.NoError(t, err)
			require.Equal(t, "first", string(first))
			rest, err := io.ReadAll(body)
			require.NoError(t, err)
			require.Equal(t, "second", string(rest))
		})
	}
	t.Run("before the first byte", func(t *testing.T) {
		srv := serve(t, compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusAccepted)
			http.NewResponseController(w).Flush() //nolint:errcheck // what follows tells
			say(w, "[]")
		})))
		res, body := request(t, srv, "GET", nil, "Accept-Encoding", "gzip")
		require.Equal(t, http.StatusAccepted, res.StatusCode)
		if res.Header.Get("Content-Encoding") == "gzip" {
			body = gunzip(t, body)
		}
		require.Equal(t, "[]", body)
	})
}

// TestCompressLarge: an answer larger than every buffer.
func TestCompressLarge(t *testing.T) {
	want := strings.Repeat("0123456789abcdef", 1<<16)
	srv := serve(t, compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		for s := want; s != ""; s = s[1<<10:] {
			say(w, s[:1<<10])
		}
	})))
	res, body := request(t, srv, "GET", nil, "Accept-Encoding", "gzip")
	require.Equal(t, "gzip", res.Header.Get("Content-Encoding"))
	require.Less(t, len(body), len(want)/50)
	require.Equal(t, want, gunzip(t, body))
}

// TestCompressPool: pooled writers, one handler in four panicking, mix no
// answers up.
func TestCompressPool(t *testing.T) {
	h := compress(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		say(w, strings.Repeat(r.URL.Path, 100))
		if r.URL.Query().Has("panic") {
			panic("on purpose")
		}
	}))
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 200 {
				path := fmt.Sprintf("/%d/%d", g, i)
				target := path
				if i%4 == 3 {
					target += "?panic"
				}
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, target, nil)
				if i%2 == 0 {
					r.Header.Set("Accept-Encoding", "gzip")
				}
				func() {
					defer func() { recover() }() //nolint:errcheck // on purpose
					h.ServeHTTP(w, r)
				}()
				if i%4 == 3 {
					continue
				}
				body := w.Body.String()
				if i%2 == 0 {
					body = gunzip(t, body)
				}
				if body != strings.Repeat(path, 100) {
					t.Errorf("%s: %.100q", path, body)
				}
			}
		})
	}
	wg.Wait()
}
