package router_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/pkg/response"
)

// FuzzUpdatePath sends POST with any path and query. Nothing is ever a 5xx; a
// 4xx is a problem and changes nothing; after a 200 the same escaped name and
// labels read the value back.
func FuzzUpdatePath(f *testing.F) {
	for _, seed := range []struct{ path, query string }{
		{"/update/gauge/Alloc/1.5", ""},
		{"/update/counter/PollCount/42/", "instance=web-1&zone=b"},
		{"/update/gauge/a%2Fb/1e21", "a=%2F&b="},
		{"/update/gauge/a%20b/-0", "a=1&a=2"},
		{"/update/gauge/<%2F5/", ""},
		{"/update/counter/ä%2F7/", "a=1"},
		{"/update/gauge/ä%2F7/1", "a=ä"},
		{"/update/counter/\"%2F1%2F/", ""},
		{"/update/gauge/x/1%2F", ""},
		{"/update/gauge/x/1%2F2", ""},
		{"/update/g%61uge/%78/%31", "%61=%31"},
		{"/update/gauge/%00/1", "a=%00"},
		{"/update/gauge/%ff/1", "%ff=1"},
		{"/update/gauge/../1", "a=1;b=2"},
		{"/update/gauge//1", "=1"},
		{"/update/gauge/x/NaN", "__name__=x"},
		{"/update/counter/x/9223372036854775808", "&&&"},
		{"/update/counter/x/-1", "a=%zz"},
		{"/update/counter/full/11", ""},
		{"/update/counter/c/1", "a=1"},
		{"/update/gauge/g/2", "9a"},
		{"/update/gauge/?/1", "?=1"},
		{"/update", ""},
		{"/update/", "a=1"},
		{"/updates//", ""},
		{"//update/gauge/x/1", ""},
		{"/%75pdate/gauge/x/1", ""},
		{"/update%2Fgauge/x/1", ""},
	} {
		f.Add(seed.path, seed.query)
	}
	f.Fuzz(func(t *testing.T, path, query string) {
		target := path
		if query != "" {
			target += "?" + query
		}
		r := parsed(t, http.MethodPost, target)
		if r == nil {
			return // net/http answers that itself
		}
		store := seeded(t)
		h := newHandler(store, "", zap.NewNop())
		before := everything(t, store)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 400 && w.Code < 500 {
			var p response.Problem
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p), w.Body)
			require.Equal(t, w.Code, p.Status)
			require.Equal(t, before, everything(t, store), "%d changed the state", w.Code)
			return
		}
		require.Equal(t, http.StatusOK, w.Code, "%q: %s", target, w.Body)
		require.Empty(t, w.Body.String())
		require.NotEqual(t, before, everything(t, store))

		// What was taken is /update/{kind}/{name}/{value}, to the letter.
		path, query, _ = strings.Cut(target, "?")
		parts := strings.Split(strings.TrimSuffix(path, "/"), "/")
		require.Len(t, parts, 5, target)
		back := parsed(t, http.MethodGet, "/value/"+parts[2]+"/"+parts[3]+"?"+query)
		require.NotNil(t, back)
		w = httptest.NewRecorder()
		h.ServeHTTP(w, back)
		require.Equal(t, http.StatusOK, w.Code, "%q is not readable back: %s", target, w.Body)
		fresh := len(everything(t, store)) > len(before) && unescapePath(parts[3]) != "c" // c may be read as a sum
		requireReadBack(t, parts[4], w.Body.String(), fresh)
	})
}

// requireReadBack: a value that has a series of its own reads back as the same
// number.
func requireReadBack(t *testing.T, pushed, got string, fresh bool) {
	t.Helper()
	have, err := strconv.ParseFloat(got, 64)
	require.NoError(t, err)
	want, err := strconv.ParseFloat(unescapePath(pushed), 64)
	require.NoError(t, err, "%q was taken for a value", pushed)
	if fresh {
		require.Equal(t, want, have, "%q", pushed)
	}
}

// unescapePath undoes percent escapes by itself.
func unescapePath(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' {
			c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			must(err)
			b.WriteByte(byte(c))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// parsed is a request as net/http's server would make it of a request line, nil
// if it would refuse it.
func parsed(t *testing.T, method, target string) *http.Request {
	t.Helper()
	if !strings.HasPrefix(target, "/") || strings.ContainsAny(target, " \r\n") {
		return nil
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	if err != nil {
		return nil
	}
	return r.WithContext(t.Context())
}
