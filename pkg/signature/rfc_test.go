package signature

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"testing"

	"github.com/dunglas/httpsfv"
	"github.com/stretchr/testify/require"
)

// rfcRequest is the request of RFC 9421, appendix B.2.
func rfcRequest() Request {
	return Request{
		Method: http.MethodPost, Authority: "example.com", Target: "/foo?param=Value&Pet=dog",
		Header: http.Header{
			"Date":           {"Tue, 20 Apr 2021 02:07:55 GMT"},
			"Content-Type":   {"application/json"},
			"Content-Digest": {"sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"},
		},
	}
}

const rfcBody = `{"hello": "world"}`

// TestRFC9421HMAC is the test vector B.2.5: its input parsed by us gives its base,
// and its secret its signature.
func TestRFC9421HMAC(t *testing.T) {
	secret, err := base64.StdEncoding.DecodeString(
		"uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
	require.NoError(t, err)
	dict, err := httpsfv.UnmarshalDictionary([]string{
		`sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`,
	})
	require.NoError(t, err)
	member, _ := dict.Get("sig-b25")
	var in input
	require.NoError(t, in.read(member.(httpsfv.InnerList)))
	require.Equal(t, int64(1618884473), in.created)
	require.Equal(t, "test-shared-secret", in.keyID)

	base, err := message{request: rfcRequest()}.base(in.components, in.params)
	require.NoError(t, err)
	require.Equal(t, `"date": Tue, 20 Apr 2021 02:07:55 GMT
"@authority": example.com
"content-type": application/json
"@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"`, string(base))
	var m macs
	m.init(secret)
	s := m.of(base)
	require.Equal(t, "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=", base64.StdEncoding.EncodeToString(s[:]))
}

// TestRFC9530Digests are those of the RFCs' example bodies.
func TestRFC9530Digests(t *testing.T) {
	require.Equal(t, "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", Digest([]byte(rfcBody)))
	require.Equal(t, "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:", Digest(nil))
	d, err := parseDigest(rfcRequest().Header["Content-Digest"])
	require.NoError(t, err)
	require.NoError(t, d.check([]byte(rfcBody)))
	require.ErrorIs(t, d.check([]byte(rfcBody+"\n")), errDigest)
	both, err := parseDigest([]string{Digest([]byte(rfcBody)), rfcRequest().Header.Get("Content-Digest"), "md5=:AAAA:, unixsum=1"})
	require.NoError(t, err)
	require.NoError(t, both.check([]byte(rfcBody)))
	// One that is right doesn't make up for one that is wrong.
	mixed, err := parseDigest([]string{Digest([]byte("other")), rfcRequest().Header.Get("Content-Digest")})
	require.NoError(t, err)
	require.ErrorIs(t, mixed.check([]byte(rfcBody)), errDigest)
	for _, bad := range []string{"", "md5=:AAAA:", "sha-256", "sha-256=1", "sha-256=(:AAAA:)", "sha-256=:A", `sha-256=:AAAA:, sha-512="x"`, "SHA-256=:AAAA:"} {
		_, err := parseDigest([]string{bad})
		require.Error(t, err, bad)
	}
	short, err := parseDigest([]string{"sha-256=::"})
	require.NoError(t, err)
	require.ErrorIs(t, short.check(nil), errDigest)
}

// TestDerivedComponents are the examples of RFC 9421, section 2.2.
func TestDerivedComponents(t *testing.T) {
	r := Request{Method: "POST", Authority: "WWW.Example.com:8080", Target: "/path?param=value", Header: http.Header{}}
	for name, want := range map[string]string{
		"@method": "POST", "@authority": "www.example.com:8080", "@path": "/path", "@query": "?param=value",
		"@request-target": "/path?param=value",
	} {
		got, err := message{request: r}.value(component{name: name})
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
	for _, target := range []string{"/path", "/path?"} {
		got, err := message{request: Request{Target: target}}.value(component{name: "@query"})
		require.NoError(t, err)
		require.Equal(t, "?", got)
	}
	for _, c := range []component{{name: "@scheme"}, {name: "@target-uri"}, {name: "@status"}, {name: "@query-param"}, {name: "host"}, {name: "signature", key: "x"}} {
		_, err := message{request: r}.value(c)
		require.Error(t, err, c.name)
	}
	res := Response{Status: 200, Header: http.Header{"X": {"1"}}, Request: r}
	for _, c := range []component{{name: "@method"}, {name: "@status", req: true}, {name: "x", req: true}} {
		_, err := message{r, &res}.value(c)
		require.Error(t, err, c.name)
	}
}

// TestFieldValues: section 2.1.
func TestFieldValues(t *testing.T) {
	h := http.Header{"X-Empty": {""}, "X-Many": {"  a\t", "b, c "}, "X-Break": {"a\nb"}}
	for name, want := range map[string]string{"x-empty": "", "x-many": "a, b, c"} {
		got, err := fieldOf(h, name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, name := range []string{"x-none", "x-break"} {
		_, err := fieldOf(h, name)
		require.Error(t, err)
	}
}

func TestTargetOf(t *testing.T) {
	for uri, want := range map[string]string{
		"/a/b%2Fc?d=e":      "/a/b%2Fc?d=e",
		"/a?":               "/a?",
		"//a":               "//a",
		"/a?b=http://c/d":   "/a?b=http://c/d",
		"http://h:1/a?b":    "/a?b",
		"http://h":          "/",
		"http://h?b":        "/?b",
		"http://h/a?u=x://": "/a?u=x://",
	} {
		u, err := url.ParseRequestURI(uri)
		require.NoError(t, err)
		require.Equal(t, want, targetOf(&http.Request{RequestURI: uri, URL: u}), uri)
	}
	u, err := url.Parse("http://h/a%2F?b")
	require.NoError(t, err)
	require.Equal(t, "/a%2F?b", targetOf(&http.Request{URL: u}))
}

// TestKeys: HKDF as another implementation has it,
//
//	openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt 'key:correct horse' -kdfopt "info:$info" HKDF
//
// and three keys that sign differently.
func TestKeys(t *testing.T) {
	secret := []byte("correct horse")
	require.Equal(t, "0017c4850cfbf0307f87e0da30785f512673f9d98076747c44526fa51cf03de1", hex.EncodeToString(derive(secret, infoRequest, 32)))
	require.Equal(t, "0c483e5cc21ece5e24d0feb04d290a41dec9ece7600a604ffe6038c96997be66", hex.EncodeToString(derive(secret, infoResponse, 32)))
	k := NewKeys(secret)
	require.Equal(t, "9b46f6f36b5dc87c", k.ID())
	sums := []sum{k.secret.of(nil), k.request.of(nil), k.response.of(nil)}
	require.NotContains(t, sums[1:], sums[0])
	require.NotEqual(t, sums[1], sums[2])
}
