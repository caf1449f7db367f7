package middleware_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// asked answers with the status that a request from the peer gets.
func asked(trusted middleware.Trusted, path, peer string, header ...string) (status int, reached bool) {
	h := trusted.Middleware(problem.Writer{Log: zap.NewNop()})(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	r := httptest.NewRequest(http.MethodPost, path, io.NopCloser(unreadable{}))
	r.RemoteAddr = peer
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, reached
}

// unreadable is a body that nobody may read.
type unreadable struct{}

func (unreadable) Read([]byte) (int, error) { panic("the body was read") }

func TestTrusted(t *testing.T) {
	trusted := middleware.Trusted{
		Subnets: prefixes("192.0.2.0/24", "2001:db8::/32", "fe80::/10", "203.0.113.7/32"),
		Proxies: prefixes("10.0.0.0/8", "fd00::/8", "192.0.2.200/32"),
	}
	const (
		xff, xri, fwd = "X-Forwarded-For", "X-Real-IP", "Forwarded"
		proxy         = "10.0.0.1:4711"
	)
	for _, tt := range []struct {
		name, peer string
		header     []string
		ok         bool
	}{
		{"the peer is within", "192.0.2.1:1", nil, true},
		{"the peer is elsewhere", "198.51.100.1:1", nil, false},
		{"a single address", "203.0.113.7:1", nil, true},
		{"its neighbour", "203.0.113.8:1", nil, false},
		{"IPv6", "[2001:db8::1]:1", nil, true},
		{"IPv6 elsewhere", "[2001:db9::1]:1", nil, false},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:1", nil, true},
		{"IPv4 in IPv6 elsewhere", "[::ffff:198.51.100.1]:1", nil, false},
		{"a zone", "[fe80::1%eth0]:1", nil, true},
		{"a zone elsewhere", "[fec0::1%eth0]:1", nil, false},
		{"no address", "@", nil, false},
		{"no address at all", "", nil, false},
		{"no port", "192.0.2.1", nil, false},

		{"anybody may write a header", "198.51.100.1:1", []string{xff, "192.0.2.1", xri, "192.0.2.1", fwd, "for=192.0.2.1"}, false},
		{"who is within needs none", "192.0.2.1:1", []string{xff, "198.51.100.1"}, true},

		{"a proxy without a header speaks for itself", proxy, nil, false},
		{"even when it is within", "192.0.2.200:1", nil, true},
		{"but not for others", "192.0.2.200:1", []string{xff, "198.51.100.1"}, false},
		{"a proxy and its client", proxy, []string{xff, "192.0.2.1"}, true},
		{"a client elsewhere", proxy, []string{xff, "198.51.100.1"}, false},
		{"through IPv6", "[fd00::1]:1", []string{xff, "2001:db8::1"}, true},
		{"through IPv4 in IPv6", "[::ffff:10.0.0.1]:1", []string{xff, "::ffff:192.0.2.1"}, true},
		{"with a port", proxy, []string{xff, "192.0.2.1:4711"}, true},
		{"IPv6 with a port", proxy, []string{xff, "[2001:db8::1]:4711"}, true},
		{"IPv6 in brackets", proxy, []string{xff, "[2001:db8::1]"}, true},
		{"IPv6 with a zone", proxy, []string{xff, "fe80::1%eth0"}, true},
		{"blanks", proxy, []string{xff, " \t192.0.2.1 \t"}, true},

		{"what the client wrote stands left", proxy, []string{xff, "192.0.2.1, 198.51.100.1"}, false},
		{"and doesn't harm", proxy, []string{xff, "198.51.100.1, 192.0.2.1"}, true},
		{"garbage left of the client", proxy, []string{xff, "<script>, , 192.0.2.1"}, true},
		{"through two proxies", proxy, []string{xff, "192.0.2.1, 10.9.9.9"}, true},
		{"a spoofed chain of proxies", proxy, []string{xff, "192.0.2.1, 10.9.9.9, 198.51.100.1, 10.9.9.9"}, false},
		{"a spoofed chain in two lines", proxy, []string{xff, "192.0.2.1", xff, "198.51.100.1"}, false},
		{"two lines", proxy, []string{xff, "198.51.100.1", xff, "192.0.2.1, 10.2.2.2"}, true},
		{"proxies only", proxy, []string{xff, "10.2.2.2, 10.3.3.3"}, false},
		{"proxies only, the first of them within", proxy, []string{xff, "192.0.2.200, 10.3.3.3"}, true},

		{"garbage", proxy, []string{xff, "unknown"}, false},
		{"garbage at the end", proxy, []string{xff, "192.0.2.1, x"}, false},
		{"an empty end", proxy, []string{xff, "192.0.2.1,"}, false},
		{"empty", proxy, []string{xff, ""}, false},
		{"a name", proxy, []string{xff, "localhost"}, false},
		{"octal", proxy, []string{xff, "0192.0.2.1"}, false},
		{"half a bracket", proxy, []string{xff, "[2001:db8::1"}, false},
		{"the other half", proxy, []string{xff, "2001:db8::1]"}, false},
		{"IPv4 in brackets", proxy, []string{xff, "[192.0.2.1]"}, false},
		{"NUL", proxy, []string{xff, "192.0.2.1\x00"}, false},
		{"garbage between proxies", proxy, []string{xff, "192.0.2.1, x, 10.3.3.3"}, false},

		{"X-Real-IP", proxy, []string{xri, "192.0.2.1"}, true},
		{"X-Real-IP elsewhere", proxy, []string{xri, "198.51.100.1"}, false},
		{"X-Real-IP twice", proxy, []string{xri, "192.0.2.1", xri, "198.51.100.1"}, false},
		{"both agree", proxy, []string{xri, "192.0.2.1", xff, "198.51.100.1, 192.0.2.1"}, true},
		{"a header that the proxy passes on doesn't agree", proxy, []string{xri, "192.0.2.1", xff, "198.51.100.1"}, false},
		{"nor the other way round", proxy, []string{xff, "192.0.2.1", xri, "198.51.100.1"}, false},
		{"nor when one is garbage", proxy, []string{xff, "192.0.2.1", xri, "x"}, false},

		{"Forwarded", proxy, []string{fwd, "for=192.0.2.1;proto=https;by=10.0.0.1"}, true},
		{"Forwarded, other order and case", proxy, []string{fwd, "proto=http; FOR=192.0.2.1"}, true},
		{"Forwarded IPv6", proxy, []string{fwd, `for="[2001:db8::1]:4711"`}, true},
		{"Forwarded chain", proxy, []string{fwd, "for=192.0.2.1, for=198.51.100.1, for=10.2.2.2"}, false},
		{"Forwarded chain within", proxy, []string{fwd, "for=198.51.100.1, for=192.0.2.1;proto=http, for=10.2.2.2"}, true},
		{"Forwarded in two lines", proxy, []string{fwd, "for=192.0.2.1", fwd, "for=198.51.100.1"}, false},
		{"Forwarded that quotes a comma", proxy, []string{fwd, `host="a,for=192.0.2.1";for=198.51.100.1`}, false},
		{"Forwarded that quotes an end", proxy, []string{fwd, `for=198.51.100.1;host="\", for=192.0.2.1"`}, false},
		{"Forwarded with an open quote", proxy, []string{fwd, `for=198.51.100.1;host="a, for=192.0.2.1`}, false},
		{"Forwarded unknown", proxy, []string{fwd, "for=unknown"}, false},
		{"Forwarded obfuscated", proxy, []string{fwd, "for=192.0.2.1, for=_hidden"}, false},
		{"Forwarded without for", proxy, []string{fwd, "for=192.0.2.1, proto=http"}, false},
		{"Forwarded with two for", proxy, []string{fwd, "for=198.51.100.1;for=192.0.2.1"}, false},
		{"Forwarded garbage", proxy, []string{fwd, "192.0.2.1"}, false},
		{"Forwarded empty", proxy, []string{fwd, ""}, false},
		{"Forwarded with a trailing semicolon", proxy, []string{fwd, "for=192.0.2.1;"}, false},
		{"Forwarded agrees", proxy, []string{fwd, "for=192.0.2.1", xff, "192.0.2.1"}, true},
		{"Forwarded that the proxy passes on", proxy, []string{fwd, "for=192.0.2.1", xff, "198.51.100.1"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, reached := asked(trusted, "/updates", tt.peer, tt.header...)
			require.Equal(t, tt.ok, reached)
			require.Equal(t, !tt.ok, status == http.StatusForbidden)
			status, reached = asked(trusted, "/ping", tt.peer, tt.header...)
			require.True(t, reached, "/ping is open, %d", status)
			_, reached = asked(middleware.Trusted{Proxies: trusted.Proxies}, "/updates", tt.peer, tt.header...)
			require.True(t, reached, "without subnets all may")
		})
	}
	for _, path := range []string{"/", "/value/counter/x", "/ping/x", "//ping", "/pingx", "/PING", "/./ping"} {
		_, reached := asked(trusted, path, "198.51.100.1:1")
		require.False(t, reached, path)
	}
}

// FuzzTrusted: whatever the headers say, nobody is let in from a peer that is
// neither within nor a proxy, and nothing panics.
func FuzzTrusted(f *testing.F) {
	f.Add("192.0.2.1", "for=192.0.2.1")
	f.Add("[::1]:1, 192.0.2.1", `for="[2001:db8::1]:1";by=x, for="\"`)
	trusted := middleware.Trusted{Subnets: prefixes("192.0.2.0/24"), Proxies: prefixes("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, list, forwarded string) {
		_, reached := asked(trusted, "/", "198.51.100.1:1", "X-Forwarded-For", list, "Forwarded", forwarded)
		require.False(t, reached)
		// From a proxy, only what ends in an address within.
		_, reached = asked(trusted, "/", "10.0.0.1:1", "X-Forwarded-For", list+", 198.51.100.1", "Forwarded", forwarded)
		require.False(t, reached)
		if _, reached = asked(trusted, "/", "10.0.0.1:1", "Forwarded", forwarded); reached {
			require.Contains(t, strings.ToLower(forwarded), "192.0.2.")
		}
	})
}
