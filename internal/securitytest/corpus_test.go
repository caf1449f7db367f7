package securitytest

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
)

// malformed is one request that must be refused.
type malformed struct {
	method, target string
	headers        []string // pairs
	body           string
}

const goodBatch = `[{"id":"x","type":"counter","delta":1},{"id":"y","type":"gauge","value":-1.5e+3,"labels":{"a":"b"}}]`

// wrong is what is no JSON that any route of the push API could take.
var wrong = []string{
	"", " ", "null", "1", `""`, "true", "[", "{", "]", "}", "[,]", "{,}", "[{]", `{"id"}`, `{"id":}`, `{"id":"x"`, "<x/>", "id=x", "[[", "[[]]", "[1]", "[null]",
	`["x"]`, "{}", "[{}]", `{"id":"x"}`, `[{"id":"x"}]`, `{"id":"x","type":"none","value":1}`, `[{"id":"x","type":"none","value":1}]`, "\xff", "\x00", "\ufeff[]",
	`[{"id":"` + "\xff" + `","type":"counter","delta":1}]`, `{"id":"` + "\x1b[2J" + `","type":"counter","delta":1}`, strings.Repeat("[", 5000), strings.Repeat(`{"a":`, 5000),
}

// hostile is what does something to terminals, logs or pages, if it gets there.
var hostile = []string{
	"\x1b[2J\x1b[1;31mgone", "\x1b]0;title\x07", "\x9b2J", "\u009b2J", "a\rb", "a\nb", `{"level":"error","msg":"forged"}`, "\n" + `{"level":"error","msg":"forged"}`,
	"\u202eevil", "\u2028line", "\x7f\x08\x08", "%s%n%x", "${jndi:ldap://x/}", "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "../../etc/passwd", "\x00", "\ufeff",
	strings.Repeat("A", 20_000),
}

func pushCorpus() (out []malformed) {
	add := func(method, target, body string, headers ...string) {
		out = append(out, malformed{method, target, headers, body})
	}
	for _, path := range []string{"/update", "/update/", "/updates", "/updates/", "/value", "/value/"} {
		for _, body := range wrong {
			add("POST", path, body)
		}
		for _, encoding := range []string{"br", "deflate", "gzip, gzip", "*", "zstd;q=1", "snappy", "gzip", "zstd"} {
			add("POST", path, goodBatch, "Content-Encoding", encoding)
		}
		if strings.HasPrefix(path, "/value") {
			continue
		}
		body := goodBatch
		if strings.HasPrefix(path, "/update") && !strings.HasPrefix(path, "/updates") {
			body = `{"id":"x","type":"counter","delta":1}`
		}
		for _, key := range []string{"", `"`, `"a`, `"a"b`, `"a" , "b"`, `"\n"`, "ä", "a\tb", strings.Repeat("k", 300)} {
			add("POST", path, body, "Idempotency-Key", key)
		}
		for _, every := range []string{"", "x", "-1", "0", "NaN", "Inf", "1e300", "1 1", "١"} {
			add("POST", path, body, "Report-Interval", every)
		}
	}
	for _, h := range hostile {
		e := url.PathEscape(h)
		q := url.QueryEscape(h)
		add("POST", "/update/"+e+"/x/1", "")
		add("POST", "/update/gauge/x/"+e, "")
		add("POST", "/update/counter/x/"+e, "")
		add("POST", "/update/gauge/x/1?1"+q+"=1", "")
		add("POST", "/update/gauge/x/1?"+q+"=1&"+q+"=2", "")
		add("GET", "/value/"+e+"/x", "")
		add("GET", "/value/gauge/nope"+e, "")
		add("GET", "/nope/"+e, "")
		add("GET", "/static/"+e, "")
		add("GET", "/api/v1/"+e, "")
		add("GET", "/api/v1/query?query=)"+q, "")
		add("POST", "/updates", "["+h+"]")
		add("POST", "/updates", fmt.Sprintf(`[{"id":"x","type":%q,"value":1}]`, h))
	}
	return out
}

func promCorpus() (out []malformed) {
	get := func(target string) { out = append(out, malformed{method: "GET", target: target}) }
	expressions := []string{
		"", " ", "(", ")", "sum(", "up{", "up{a=}", `up{a="}`, "up[5m", "1+", "rate(up)", "up offset", `{}`, `{a=""}`, `{a=~".*"}`, `up{a=~"("}`, "\xff", "sum(up) by", "1 and 1",
		"nope(up)", "up[5m:", "sum by (", "up @", `"x" + 1`, "up{a='\\x'}", "1 ** 2", "== 1", "up{a=\"b\",,}", strings.Repeat("(", 3000), strings.Repeat("-", 300),
	}
	for _, e := range expressions {
		q := url.QueryEscape(e)
		get("/api/v1/query?query=" + q)
		get("/api/v1/query_range?start=0&end=1&step=1&query=" + q)
		get("/api/v1/format_query?query=" + q)
		get("/api/v1/parse_query?query=" + q)
		out = append(out, malformed{"POST", "/api/v1/query", []string{"Content-Type", "application/x-www-form-urlencoded"}, "query=" + q})
	}
	for _, m := range []string{"", "{", "{}", "up{", `{a=""}`, `{a=~"("}`, "1", "sum(up)", "up[5m]", "\xff", `{a=~".*"}`} {
		q := "?match[]=" + url.QueryEscape(m)
		get("/api/v1/series" + q)
		if m != `{}` && m != `{a=""}` && m != `{a=~".*"}` {
			get("/federate" + q)
			get("/api/v1/labels" + q)
			get("/api/v1/label/a/values" + q)
		}
	}
	for _, v := range []string{"x", "-", "1x", "2020-01-01", "2020-01-01T00:00:00", "%ff", "1,5", "now", "-1h", "1e", "0x", "%00"} {
		get("/api/v1/query?query=up&time=" + v)
		get("/api/v1/query_range?query=up&step=1&end=1&start=" + v)
		get("/api/v1/query_range?query=up&step=1&start=1&end=" + v)
		get("/api/v1/query_range?query=up&start=1&end=2&step=" + v + "x")
		get("/api/v1/series?match[]=up&start=" + v)
		get("/api/v1/labels?end=" + v)
		get("/api/v1/query?query=up&timeout=" + v + "x")
		get("/api/v1/query?query=up&limit=" + v + "x")
	}
	for _, target := range []string{
		"/api/v1/query_range?query=up&start=2&end=1&step=1", "/api/v1/query_range?query=up&start=1&end=2&step=0",
		"/api/v1/query_range?query=up&start=1&end=2&step=-1", "/api/v1/query_range?query=up&start=0&end=99999999&step=1",
		"/api/v1/query_range?query=up[5m]&start=1&end=2&step=1", "/api/v1/series", "/api/v1/label/%ff/values", "/api/v1", "/api/v1/", "/api/v1/nope", "/api/v2/query?query=up", "/api/v1/label//values",
		"/api/v1/query/", "/API/v1/query?query=1", "/api/v1/../v1/nope", "/federate/", "/-/nope", "/-/quit", "/-/reload", "/debug/pprof/", "/metrics/x", "/graph", "/.git/config", "/static/..%2f..%2fetc%2fpasswd",
	} {
		get(target)
	}
	for _, path := range []string{"/api/v1/admin/tsdb/snapshot", "/api/v1/admin/tsdb/delete_series?match[]=warm1", "/api/v1/admin/tsdb/clean_tombstones"} {
		out = append(out, malformed{method: "GET", target: path}, malformed{method: "DELETE", target: path})
	}
	return out
}

func methodCorpus() (out []malformed) {
	for _, path := range []string{
		"/", "/ping", "/update", "/updates", "/update/gauge/x/1", "/value", "/value/gauge/x", "/static/app.css", "/metrics", "/federate", "/-/healthy", "/-/ready", "/api/v1/query",
		"/api/v1/query_range", "/api/v1/series", "/api/v1/labels", "/api/v1/label/a/values", "/api/v1/metadata", "/api/v1/rules", "/api/v1/alerts", "/api/v1/targets", "/api/v1/status/config",
		"/api/v1/status/flags", "/api/v1/status/tsdb", "/api/v1/write", "/api/v1/nope",
	} {
		for _, method := range []string{"DELETE", "PATCH", "PUT", "TRACE", "BREW", "get", "PROPFIND"} {
			out = append(out, malformed{method: method, target: path})
		}
	}
	return out
}

func writeCorpus() (out []malformed) {
	const v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
	post := func(body, media, encoding string) {
		headers := []string{"Content-Type", media}
		if encoding != "" {
			headers = append(headers, "Content-Encoding", encoding)
		}
		out = append(out, malformed{"POST", "/api/v1/write", headers, body})
	}
	good := string(remoteWrite(1, "not_written"))
	for _, media := range []string{"text/plain", "application/json", "application/x-protobuf;proto=x", "application/x-protobuf;proto", "x", "/", "application/openmetrics-text", "application/x-protobuf;proto=io.prometheus.write.v3.Request"} {
		post(good, media, "snappy")
	}
	for _, encoding := range []string{"gzip", "zstd", "br", "snappy, snappy", "identity", "SNAPPY", "x-snappy-framed"} {
		post(good, "application/x-protobuf", encoding)
	}
	for n := range len(good) {
		post(good[:n], "application/x-protobuf", "snappy")
	}
	plain, err := s2.Decode(nil, []byte(good))
	if err != nil {
		panic("securitytest: snappy of our own making")
	}
	for n := 1; n < len(plain); n++ {
		post(string(s2.EncodeSnappy(nil, plain[:n])), "application/x-protobuf", "snappy")
	}
	for _, name := range []string{"", "\xff"} {
		post(string(remoteWrite(1, name)), "application/x-protobuf", "snappy")
	}
	post(good, v2, "snappy")
	for _, h := range hostile {
		if h != "\x00" { // which is snappy of nothing, and nothing is no mistake
			post(h, "application/x-protobuf", "snappy")
		}
		post(string(s2.EncodeSnappy(nil, []byte(h+"\xff"))), v2, "snappy")
		post(string(remoteWrite(1, h+"\xff")), "application/x-protobuf", "snappy")
	}
	return out
}

// wireCorpus is what is not even a request, or only nearly.
func wireCorpus() []string {
	const tail = "Host: x\r\nConnection: close\r\n\r\n"
	out := []string{
		"\r\n\r\n\r\n\r\nx\r\n\r\n", "GET\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP\r\n" + tail, "GET / HTTP/x.y\r\n" + tail, "G\x00T / HTTP/1.1\r\n" + tail, "GET /\x00 HTTP/1.1\r\n" + tail,
		"GET /a b HTTP/1.1\r\n" + tail, "GET nope HTTP/1.1\r\n" + tail, "GET http://[::1 HTTP/1.1\r\n" + tail, "GET /%zz HTTP/1.1\r\n" + tail, "GET /% HTTP/1.1\r\n" + tail,
		"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET / HTTP/1.1\r\nHost: \x1b[2J\r\n\r\n",
		"GET / HTTP/1.1\r\nno colon\r\n" + tail, "GET / HTTP/1.1\r\n: x\r\n" + tail, "GET / HTTP/1.1\r\nA B: x\r\n" + tail, "GET / HTTP/1.1\r\nA: \x00\r\n" + tail, "GET / HTTP/1.1\r\n\x1b[2J: x\r\n" + tail,
		"POST /updates HTTP/1.1\r\nContent-Length: -1\r\n" + tail, "POST /updates HTTP/1.1\r\nContent-Length: x\r\n" + tail, "POST /updates HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + tail,
		"POST /updates HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n" + tail, "POST /updates HTTP/1.1\r\nContent-Length: +1\r\n" + tail, "POST /updates HTTP/1.1\r\nContent-Length: 1, 1\r\n" + tail + "x",
		"POST /updates HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + tail + "xyz\r\n", "POST /updates HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + tail + "-1\r\n", "POST /updates HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + tail + "ffffffffffffffffff\r\n",
		"POST /updates HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + tail + "1\r\n[\r\n0\r\n\r\n", "POST /updates HTTP/1.1\r\nExpect: nonsense\r\n" + tail,
		"GET / HTTP/1.1\r\nX: " + strings.Repeat("a", 200_000) + "\r\n" + tail, "GET / HTTP/1.1\r\n" + strings.Repeat("X: a\r\n", 30_000) + tail, "GET /" + strings.Repeat("a", 200_000) + " HTTP/1.1\r\n" + tail,
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00", 100) + "\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "SSH-2.0-x\r\n\r\n", "*1\r\n$4\r\nPING\r\n\r\n",
	}
	return out
}

// own are requests that get something beyond 4xx: HTTP's own words for what it
// does not know, and Prometheus' for what is switched off.
var own = []struct {
	malformed
	status string
}{
	{malformed{"GET", "/ HTTP/3.0\r\nX:", nil, ""}, "505"},
	{malformed{"POST", "/updates", []string{"Transfer-Encoding", "gzip"}, "x"}, "501"},
	{malformed{"POST", "/updates", []string{"Transfer-Encoding", "x, chunked"}, "x"}, "501"},
	{malformed{"POST", "/api/v1/admin/tsdb/snapshot", nil, ""}, "500"},
	{malformed{"PUT", "/api/v1/admin/tsdb/snapshot", nil, ""}, "500"},
	{malformed{"POST", "/api/v1/admin/tsdb/delete_series?match[]=warm1", nil, ""}, "500"},
	{malformed{"POST", "/api/v1/admin/tsdb/clean_tombstones", nil, ""}, "500"},
}

func corpus(t testing.TB) []malformed {
	t.Helper()
	out := append(append(pushCorpus(), promCorpus()...), append(methodCorpus(), writeCorpus()...)...)
	for _, h := range hostile {
		for _, name := range []string{"X-Request-Id", "User-Agent", "Content-Type", "Idempotency-Key", "Accept-Encoding", "X-Forwarded-For", "Origin", "Signature", "Signature-Input", "HashSHA256"} {
			if clean := strings.Map(sendable, h); len(clean) < 8000 {
				out = append(out, malformed{"POST", "/updates", []string{name, clean}, "[{"})
			}
		}
	}
	return out
}

// sendable drops what can't stand in a header at all, which the wireCorpus has.
func sendable(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return -1
	}
	return r
}
