package middleware_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/middleware"
)

// read is what a handler got of a body.
type read struct {
	body   string
	err    error // of reading to the end; nil there
	again  error // of reading on
	header http.Header
	length int64
}

// decompress sends a body through Decompress into a handler that reads it
// whole, or tells what refused it.
func decompress(t testing.TB, lim middleware.BodyLimits, body string, encodings ...string) (got read, refused error) {
	t.Helper()
	refuse := func(_ http.ResponseWriter, _ *http.Request, err error) { refused = err }
	h := middleware.Decompress(lim, refuse)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		_, again := r.Body.Read(make([]byte, 1))
		got = read{string(b), err, again, r.Header.Clone(), r.ContentLength}
	}))
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	for _, e := range encodings {
		r.Header.Add("Content-Encoding", e)
	}
	h.ServeHTTP(httptest.NewRecorder(), r)
	switch {
	case refused != nil:
	case got.err == nil:
		require.Equal(t, io.EOF, got.again, "the end stays the end")
	default:
		require.Equal(t, got.err, got.again, "an error stays")
	}
	return got, refused
}

var wide = middleware.BodyLimits{Wire: 1 << 20, Plain: 1 << 20}

func TestDecompress(t *testing.T) {
	const text = "hello, hello, hello"
	for _, tt := range []struct {
		name, body string
		encodings  []string
		want       string
	}{
		{"none", text, nil, text},
		{"empty header", text, []string{""}, text},
		{"identity", text, []string{"identity"}, text},
		{"gzip", gzipped(t, text), []string{"gzip"}, text},
		{"gzip in capitals and spaces", gzipped(t, text), []string{" GZip "}, text},
		{"x-gzip", gzipped(t, text), []string{"x-gzip"}, text},
		{"gzip of nothing", gzipped(t, ""), []string{"gzip"}, ""},
		{"gzip in two members", gzipped(t, text) + gzipped(t, text), []string{"gzip"}, text + text},
		{"zstd", zstded(t, text), []string{"zstd"}, text},
		{"zstd in two frames", zstded(t, text) + zstded(t, text), []string{"zstd"}, text + text},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, refused := decompress(t, wide, tt.body, tt.encodings...)
			require.NoError(t, refused)
			require.NoError(t, got.err)
			require.Equal(t, tt.want, got.body)
			if strings.Contains(strings.ToLower(tt.name), "gzip") || strings.Contains(tt.name, "zstd") {
				require.NotContains(t, got.header, "Content-Encoding")
				require.EqualValues(t, -1, got.length)
			}
		})
	}
}

func TestDecompressUnknownEncoding(t *testing.T) {
	for _, encodings := range [][]string{{"br"}, {"deflate"}, {"compress"}, {"gzip, gzip"}, {"gzip,"}, {"gzip", "gzip"}, {"identity", "gzip"}, {"zstd;q=1"}, {"*"}} {
		got, refused := decompress(t, wide, gzipped(t, "x"), encodings...)
		require.ErrorIs(t, refused, middleware.ErrEncoding, encodings)
		require.Equal(t, read{}, got, "the handler must not run")
	}
}

// TestDecompressDamage: damaged data is an error of code Invalid, never a short
// body taken for a whole one.
func TestDecompressDamage(t *testing.T) {
	const text = "hello, hello, hello"
	for _, encoding := range []string{"gzip", "zstd"} {
		whole := gzipped(t, text)
		if encoding == "zstd" {
			whole = zstded(t, text)
		}
		first := 0
		if encoding == "zstd" {
			first = 1 // zstd of no frame at all is of no bytes
		}
		for n := first; n < len(whole); n++ {
			got, refused := decompress(t, wide, whole[:n], encoding)
			require.NoError(t, refused)
			require.Error(t, got.err, "%s cut at %d", encoding, n)
			require.Equal(t, codes.Invalid, codes.CodeOf(got.err), "%s cut at %d", encoding, n)
		}
		for _, garbage := range []string{"x", "xy", "xyz", "wxyz", "garbage that follows", strings.Repeat("\x00", 64)} {
			got, _ := decompress(t, wide, whole+garbage, encoding)
			require.Error(t, got.err, "%s then %q", encoding, garbage)
			require.Equal(t, codes.Invalid, codes.CodeOf(got.err))
			require.Equal(t, "the body is not valid "+encoding, codes.Message(got.err))
		}
		for _, body := range []string{text, "{}", "\x00"} {
			got, _ := decompress(t, wide, body, encoding)
			require.Equal(t, codes.Invalid, codes.CodeOf(got.err), "%s: %q", encoding, body)
		}
	}
}

func TestDecompressLimits(t *testing.T) {
	text := strings.Repeat("0123456789", 1000) // 10,000 bytes
	const plain = 10_000
	encode := map[string]string{"": text, "identity": text, "gzip": gzipped(t, text), "zstd": zstded(t, text)}
	for encoding, body := range encode {
		wire := int64(len(body))
		for _, tt := range []struct {
			name  string
			lim   middleware.BodyLimits
			limit int64 // 0: fits
		}{
			{"both exact", middleware.BodyLimits{Wire: wire, Plain: plain}, 0},
			{"wire a byte short", middleware.BodyLimits{Wire: wire - 1, Plain: plain}, wire - 1},
			{"plain a byte short", middleware.BodyLimits{Wire: wire, Plain: plain - 1}, plain - 1},
			{"plain far too short", middleware.BodyLimits{Wire: wire, Plain: 1}, 1},
			{"plain of nothing", middleware.BodyLimits{Wire: wire, Plain: 0}, 0},
			{"wire far too short", middleware.BodyLimits{Wire: 1, Plain: plain}, 1},
		} {
			t.Run(encoding+" "+tt.name, func(t *testing.T) {
				got, refused := decompress(t, tt.lim, body, encoding)
				require.NoError(t, refused)
				if tt.lim.Plain >= plain && tt.lim.Wire >= wire {
					require.NoError(t, got.err)
					require.Equal(t, text, got.body)
					return
				}
				var large *http.MaxBytesError
				require.ErrorAs(t, got.err, &large)
				require.Equal(t, tt.limit, large.Limit)
				require.LessOrEqual(t, int64(len(got.body)), tt.lim.Plain)
				require.True(t, strings.HasPrefix(text, got.body))
			})
		}
	}
}

// TestDecompressSmallReads: limits and ends are the same however a handler
// reads.
func TestDecompressSmallReads(t *testing.T) {
	const text = "0123456789"
	for _, body := range []struct{ encoding, bytes string }{{"gzip", gzipped(t, text)}, {"zstd", zstded(t, text)}} {
		for _, plain := range []int64{9, 10, 11} {
			for _, size := range []int{1, 3, 10, 4096} {
				var got []byte
				var err error
				h := middleware.Decompress(middleware.BodyLimits{Wire: 1000, Plain: plain}, nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					for err == nil {
						var n int
						p := make([]byte, size)
						n, err = r.Body.Read(p)
						got = append(got, p[:n]...)
					}
				}))
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body.bytes))
				r.Header.Set("Content-Encoding", body.encoding)
				h.ServeHTTP(httptest.NewRecorder(), r)
				if plain >= int64(len(text)) {
					require.Equal(t, io.EOF, err)
					require.Equal(t, text, string(got))
					continue
				}
				var large *http.MaxBytesError
				require.ErrorAs(t, err, &large)
				require.Equal(t, text[:plain], string(got))
			}
		}
	}
}

// TestDecompressReadAfterClose: as with any request body.
func TestDecompressReadAfterClose(t *testing.T) {
	for encoding, body := range map[string]string{"": "hello, hello", "gzip": gzipped(t, "hello, hello"), "zstd": zstded(t, "hello, hello")} {
		t.Run("within the handler "+encoding, func(t *testing.T) {
			var first, after error
			srv := serve(t, middleware.Decompress(wide, nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, first = io.ReadFull(r.Body, make([]byte, 5))
				if err := r.Body.Close(); err != nil {
					t.Error(err)
				}
				_, after = r.Body.Read(make([]byte, 5))
			})))
			res, _ := request(t, srv, "POST", strings.NewReader(body), "Content-Encoding", encoding)
			require.Equal(t, 200, res.StatusCode)
			require.NoError(t, first)
			require.ErrorIs(t, after, http.ErrBodyReadAfterClose)
		})
	}
	for encoding, body := range map[string]string{"gzip": gzipped(t, "hello"), "zstd": zstded(t, "hello")} {
		t.Run("after the handler "+encoding, func(t *testing.T) {
			var kept io.Reader
			h := middleware.Decompress(wide, nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { kept = r.Body }))
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
			r.Header.Set("Content-Encoding", encoding)
			h.ServeHTTP(httptest.NewRecorder(), r)
			_, err := kept.Read(make([]byte, 5))
			require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
		})
	}
}

// TestDecompressPool: many requests at once, some damaged, cut, read in part or
// left by a panic: none sees a byte of another.
func TestDecompressPool(t *testing.T) {
	var h http.Handler
	var failed sync.Map
	h = middleware.Decompress(middleware.BodyLimits{Wire: 1 << 20, Plain: 1 << 16}, nil)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := r.Header.Get("X-Want")
		switch r.Header.Get("X-How") {
		case "part":
			p := make([]byte, 100)
			if _, err := io.ReadFull(r.Body, p); err != nil || string(p) != want[:len(p)] {
				failed.Store(want[:20], "part")
			}
		case "panic":
			r.Body.Read(make([]byte, 10)) //nolint:errcheck // left in the middle, whatever comes
			panic("on purpose")
		case "damaged":
			if b, err := io.ReadAll(r.Body); err == nil || !strings.HasPrefix(want, string(b)) {
				failed.Store(want[:20], "damaged")
			}
		default:
			if b, err := io.ReadAll(r.Body); err != nil || string(b) != want {
				failed.Store(want[:20], fmt.Sprintf("whole: %v, %.100q", err, b))
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 100 {
				want := strings.Repeat(fmt.Sprintf("%d/%d;", g, i), 500+i)
				encoding, body := "gzip", gzipped(t, want)
				if (g+i)%2 == 0 {
					encoding, body = "zstd", zstded(t, want)
				}
				how := []string{"whole", "part", "damaged", "panic", "whole"}[i%5]
				if how == "damaged" {
					body = body[:len(body)-5] + "\xff\xff\xff\xff\xff"
				}
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
				r.Header.Set("Content-Encoding", encoding)
				r.Header.Set("X-Want", want)
				r.Header.Set("X-How", how)
				func() {
					defer func() { recover() }() //nolint:errcheck // on purpose
					h.ServeHTTP(httptest.NewRecorder(), r)
				}()
			}
		})
	}
	wg.Wait()
	failed.Range(func(want, what any) bool {
		t.Errorf("%v: %v", want, what)
		return true
	})
}

// allocated is how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestDecompressHugeWindow: a frame that asks for a window of 3 TB, or of a bit
// more than is allowed, is refused before anything is allocated for it.
func TestDecompressHugeWindow(t *testing.T) {
	warm, _ := decompress(t, wide, zstded(t, "warm"), "zstd")
	require.Equal(t, "warm", warm.body)
	const empty = "\x01\x00\x00" // a last block of no bytes
	for name, frame := range map[string]string{
		"3 TB":                   "\x28\xb5\x2f\xfd\x00\xff" + empty,
		"9 MB":                   "\x28\xb5\x2f\xfd\x00\x69" + empty, // 8 MiB + 1/8
		"64 MB":                  "\x28\xb5\x2f\xfd\x00\x80" + empty,
		"1 TB as single segment": "\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00" + empty,
	} {
		t.Run(name, func(t *testing.T) {
			var got read
			used := allocated(func() { got, _ = decompress(t, middleware.BodyLimits{Wire: 1 << 20, Plain: 32 << 20}, frame, "zstd") })
			require.Error(t, got.err)
			require.Equal(t, codes.Invalid, codes.CodeOf(got.err))
			require.Less(t, used, uint64(1<<20))
		})
	}
	got, _ := decompress(t, wide, "\x28\xb5\x2f\xfd\x00\x68"+empty, "zstd")
	require.NoError(t, got.err, "8 MiB are allowed")
}

// TestDecompressBomb: a megabyte that would become a gigabyte costs no more than
// the limit lets through.
func TestDecompressBomb(t *testing.T) {
	const limit = 8 << 20
	var single bytes.Buffer
	zw, err := gzip.NewWriterLevel(&single, gzip.BestSpeed)
	require.NoError(t, err)
	for range 64 {
		_, err = zw.Write(make([]byte, 1<<20))
		require.NoError(t, err)
	}
	require.NoError(t, zw.Close())
	megabyte := strings.Repeat("\x00", 1<<20)
	for _, tt := range []struct{ name, encoding, body string }{
		{"gzip, one member", "gzip", single.String()},
		{"gzip, 1 GB in members", "gzip", strings.Repeat(gzipped(t, megabyte), 1024)},
		{"zstd, 1 GB in frames", "zstd", strings.Repeat(zstded(t, megabyte), 1024)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n int64
			h := middleware.Decompress(middleware.BodyLimits{Wire: 4 << 20, Plain: limit}, nil)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				n, err = io.Copy(io.Discard, r.Body)
			}))
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set("Content-Encoding", tt.encoding)
			used := allocated(func() { h.ServeHTTP(httptest.NewRecorder(), r) })
			var large *http.MaxBytesError
			require.ErrorAs(t, err, &large)
			require.EqualValues(t, limit/8, n, "the reader must not get much of it")
			require.Less(t, used, uint64(2*limit))
		})
	}
}

// late is a body that stops coming.
type late struct{ r io.Reader }

func (l late) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if err == io.EOF {
		err = os.ErrDeadlineExceeded
	}
	return n, err
}

// TestDecompressSlowBody: a body that takes too long is not a damaged one.
func TestDecompressSlowBody(t *testing.T) {
	var whole bytes.Buffer
	zw := gzip.NewWriter(&whole)
	_, err := zw.Write(bytes.Repeat([]byte("0123456789"), 1000))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	r := httptest.NewRequest(http.MethodPost, "/", late{bytes.NewReader(whole.Bytes()[:whole.Len()/2])})
	r.Header.Set("Content-Encoding", "gzip")
	var heard error
	h := middleware.Decompress(middleware.BodyLimits{Wire: 1 << 20, Plain: 1 << 20}, func(_ http.ResponseWriter, _ *http.Request, err error) {
		heard = err
	})
	h(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, heard = io.ReadAll(r.Body)
	})).ServeHTTP(httptest.NewRecorder(), r)
	require.ErrorIs(t, heard, os.ErrDeadlineExceeded)
	require.Empty(t, codes.Message(heard), "so that problem.Body makes a 408 of it")
}
