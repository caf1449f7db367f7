package router_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	common "github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/response"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answer is an HTTP answer as it was on the wire.
type answer struct {
	status int
	header http.Header
	body   string
}

// serve runs a server on 127.0.0.1 until the test ends.
func serve(t testing.TB, h http.Handler, options ...func(*http.Server)) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	for _, option := range options {
		option(srv.Config)
	}
	srv.Start()
	transport, ok := srv.Client().Transport.(*http.Transport)
	require.True(t, ok)
	transport.DisableCompression = true
	t.Cleanup(srv.Close)
	return srv
}

// do sends one request, its target and header as given, and reads the answer.
func do(t testing.TB, srv *httptest.Server, method, target, body string, header ...string) answer {
	t.Helper()
	got, err := try(t, srv, method, target, body, header...)
	require.NoError(t, err)
	return got
}

func try(t testing.TB, srv *httptest.Server, method, target, body string, header ...string) (answer, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, srv.URL, strings.NewReader(body))
	require.NoError(t, err)
	r.URL.Opaque = target // goes out as it is
	if strings.HasPrefix(target, "//") {
		r.URL.Opaque = "//" + srv.Listener.Addr().String() + target
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := srv.Client().Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(got)}, err
}

// readAnswer reads one answer from a connection.
func readAnswer(t testing.TB, conn net.Conn, method string) answer {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, res.Header, string(got)}
}

func newServer(t testing.TB) *httptest.Server {
	t.Helper()
	return serve(t, newHandler(memory.New(), "", zap.NewNop()))
}

const (
	jsonType = "application/json"
	textType = "text/plain; charset=utf-8"
	htmlType = "text/html; charset=utf-8"
)

// requireAnswer demands a status, a media type ("" for none) and a body.
func requireAnswer(t testing.TB, got answer, status int, contentType, body string) {
	t.Helper()
	require.Equal(t, status, got.status, got.body)
	require.Equal(t, contentType, got.header.Get("Content-Type"))
	require.Equal(t, body, got.body)
	require.NotEmpty(t, got.header.Get("X-Request-Id"))
}

// requireValue demands the text of a value.
func requireValue(t testing.TB, srv *httptest.Server, target, want string) {
	t.Helper()
	requireAnswer(t, do(t, srv, "GET", "/value/"+target, ""), 200, textType, want)
}

func TestBothSlashForms(t *testing.T) {
	const (
		one   = `{"id":"x","type":"counter","delta":2,"timestamp":1700000000000}`
		many  = "[" + one + "]"
		total = `{"id":"x","type":"counter","delta":%d,"timestamp":1700000000000}`
	)
	for _, slash := range []string{"", "/"} {
		t.Run("slash="+slash, func(t *testing.T) {
			srv := newServer(t)
			requireAnswer(t, do(t, srv, "POST", "/update"+slash, one), 200, jsonType, fmt.Sprintf(total, 2))
			requireAnswer(t, do(t, srv, "POST", "/updates"+slash, many), 200, jsonType, "["+fmt.Sprintf(total, 4)+"]")
			requireAnswer(t, do(t, srv, "POST", "/value"+slash, `{"id":"x","type":"counter"}`), 200, jsonType, fmt.Sprintf(total, 4))
			requireAnswer(t, do(t, srv, "POST", "/update/counter/x/3"+slash, ""), 200, textType, "")
			requireAnswer(t, do(t, srv, "POST", "/update/gauge/y/1.5"+slash+"?a=1", ""), 200, textType, "")
			requireAnswer(t, do(t, srv, "GET", "/value/counter/x"+slash, ""), 200, textType, "7")
			requireAnswer(t, do(t, srv, "GET", "/value/gauge/y"+slash+"?a=1", ""), 200, textType, "1.5")
			require.Equal(t, 200, do(t, srv, "GET", "/ping"+slash, "").status)
		})
	}
}

func TestAnswerHeaders(t *testing.T) {
	srv := newServer(t)
	got := do(t, srv, "POST", "/update", `{"id":"x","type":"gauge","value":1,"timestamp":1700000000000}`)
	require.Equal(t, fmt.Sprint(len(got.body)), got.header.Get("Content-Length"))
	require.Equal(t, []string{"Accept-Encoding"}, got.header["Vary"])
	require.Empty(t, got.header.Get("Content-Encoding"))
	require.Empty(t, got.header.Get("HashSHA256"))
	require.Empty(t, got.header.Get("Preference-Applied"))
	require.Empty(t, got.header.Get("Idempotency-Replayed"))
	require.Equal(t, "0", do(t, srv, "POST", "/update/gauge/x/1", "").header.Get("Content-Length"))
	require.Equal(t, []string{"Accept-Encoding"}, do(t, srv, "GET", "/value/gauge/x", "").header["Vary"])
}

func TestStoredMetricsInRequestOrder(t *testing.T) {
	srv := newServer(t)
	for _, tt := range []struct{ name, batch, want string }{
		{"nothing", `[]`, `[]`},
		{
			"order, and the same series twice",
			`[{"id":"c","type":"counter","delta":1,"timestamp":1700000000000},` +
				`{"id":"g","type":"gauge","value":1,"timestamp":1700000000001},` +
				`{"id":"c","type":"counter","delta":2,"timestamp":1700000000000},` +
				`{"id":"g","type":"gauge","value":2,"timestamp":1700000000000},` +
				`{"id":"a","type":"gauge","value":3,"timestamp":1700000000000}]`,
			`[{"id":"c","type":"counter","delta":3,"timestamp":1700000000000},` +
				`{"id":"g","type":"gauge","value":1,"timestamp":1700000000001},` +
				`{"id":"c","type":"counter","delta":3,"timestamp":1700000000000},` +
				`{"id":"g","type":"gauge","value":1,"timestamp":1700000000001},` +
				`{"id":"a","type":"gauge","value":3,"timestamp":1700000000000}]`,
		},
		{
			"an older gauge does not stand, an older increment counts",
			`[{"id":"g","type":"gauge","value":9,"timestamp":1600000000000},{"id":"c","type":"counter","delta":4,"timestamp":1600000000000}]`,
			`[{"id":"g","type":"gauge","value":1,"timestamp":1700000000001},{"id":"c","type":"counter","delta":7,"timestamp":1700000000000}]`,
		},
		{
			"on a tie the later one stands",
			`[{"id":"g","type":"gauge","value":5,"timestamp":1700000000001},{"id":"g","type":"gauge","value":6,"timestamp":1700000000001}]`,
			`[{"id":"g","type":"gauge","value":6,"timestamp":1700000000001},{"id":"g","type":"gauge","value":6,"timestamp":1700000000001}]`,
		},
		{
			"the same name as gauge and counter",
			`[{"id":"g","type":"counter","delta":1,"timestamp":1700000000000},{"id":"c","type":"gauge","value":0.5,"timestamp":1700000000000}]`,
			`[{"id":"g","type":"counter","delta":1,"timestamp":1700000000000},{"id":"c","type":"gauge","value":0.5,"timestamp":1700000000000}]`,
		},
		{
			"labels are sorted, empty ones are none",
			`[{"labels":{"z":"1","a":"2","m":""},"delta":0,"type":"counter","id":"l","timestamp":1700000000000}]`,
			`[{"id":"l","type":"counter","delta":0,"labels":{"a":"2","z":"1"},"timestamp":1700000000000}]`,
		},
		{
			"null is a field that is not there",
			`[{"id":"n","type":"gauge","value":1,"delta":null,"labels":null,"timestamp":1700000000000}]`,
			`[{"id":"n","type":"gauge","value":1,"timestamp":1700000000000}]`,
		},
		{
			"the largest counter", `[{"id":"max","type":"counter","delta":9223372036854775807,"timestamp":1700000000000}]`,
			`[{"id":"max","type":"counter","delta":9223372036854775807,"timestamp":1700000000000}]`,
		},
		{
			"white space and escapes", " [ {\"\\u0069d\" : \"\\u00e4\\ud83d\\ude00\\/\" ,\r\n\t\"type\":\"gauge\" , \"value\" : -0.0 , \"timestamp\" : 1700000000000 } ] \n",
			`[{"id":"ä😀/","type":"gauge","value":-0,"timestamp":1700000000000}]`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			requireAnswer(t, do(t, srv, "POST", "/updates/", tt.batch), 200, jsonType, tt.want)
		})
	}
}

// TestTimeOfArrival: a missing timestamp, or zero, is now.
func TestTimeOfArrival(t *testing.T) {
	srv := newServer(t)
	for i, body := range []string{`{"id":"a","type":"gauge","value":1}`, `{"id":"b","type":"counter","delta":1,"timestamp":0}`, `{"id":"c","type":"gauge","value":1,"timestamp":null}`} {
		before := time.Now().UnixMilli()
		var m response.Metric
		require.NoError(t, json.Unmarshal([]byte(do(t, srv, "POST", "/update", body).body), &m))
		require.GreaterOrEqual(t, m.Timestamp, before, i)
		require.LessOrEqual(t, m.Timestamp, time.Now().UnixMilli(), i)
	}
	ahead := time.Now().Add(9 * time.Minute).UnixMilli()
	want := fmt.Sprintf(`{"id":"d","type":"gauge","value":1,"timestamp":%d}`, ahead)
	requireAnswer(t, do(t, srv, "POST", "/update", want), 200, jsonType, want)
}

func TestValueWithFewerLabels(t *testing.T) {
	srv := newServer(t)
	require.Equal(t, 204, do(t, srv, "POST", "/updates", `[
		{"id":"c","type":"counter","delta":1},
		{"id":"c","type":"counter","delta":2,"labels":{"a":"1"}},
		{"id":"c","type":"counter","delta":4,"labels":{"a":"1","b":"1"}},
		{"id":"c","type":"counter","delta":8,"labels":{"b":"1","a":"2"}},
		{"id":"g","type":"gauge","value":1,"labels":{"a":"1"},"timestamp":1700000000002},
		{"id":"g","type":"gauge","value":2,"labels":{"a":"2"},"timestamp":1700000000003},
		{"id":"g","type":"gauge","value":3,"labels":{"a":"3"},"timestamp":1700000000001}]`, "Prefer", "return=minimal").status)
	for target, want := range map[string]string{
		"counter/c":                "15",
		"counter/c?a=1":            "6",
		"counter/c?b=1":            "12",
		"counter/c?a=1&b=1":        "4",
		"counter/c?b=1&a=1":        "4",
		"counter/c?a=":             "1",
		"counter/c?a=1&b=":         "2",
		"counter/c?b":              "3",
		"counter/c?a=1&nolabel=":   "6",
		"counter/c?%61=%31":        "6",
		"gauge/g":                  "2",
		"gauge/g?a=1":              "1",
		"gauge/g?a=3":              "3",
		"gauge/g?a=2&&":            "2",
		"counter/c?":               "15",
		"counter/c/?a=2&b=1":       "8",
		"%63ounter/%63?a=1":        "6",
		"counter/c?a=2&b=1&c=&d=&": "8",
	} {
		requireValue(t, srv, target, want)
	}
	for _, target := range []string{"counter/c?a=3", "counter/c?a=1&b=2", "counter/c?x=1", "gauge/g?a="} {
		requireProblem(t, do(t, srv, "GET", "/value/"+target, ""), 404)
	}
	requireAnswer(t, do(t, srv, "POST", "/value", `{"id":"g","type":"gauge"}`), 200, jsonType,
		`{"id":"g","type":"gauge","value":2,"timestamp":1700000000003}`)
	requireAnswer(t, do(t, srv, "POST", "/value", `{"id":"g","type":"gauge","labels":{"a":"3"},"value":7,"timestamp":5}`), 200, jsonType,
		`{"id":"g","type":"gauge","value":3,"labels":{"a":"3"},"timestamp":1700000000001}`)
	requireProblem(t, do(t, srv, "POST", "/value", `{"id":"g","type":"gauge","labels":{"a":""}}`), 404)
}

func TestValueAsText(t *testing.T) {
	srv := newServer(t)
	for i, tt := range []struct{ kind, pushed, want string }{
		{"gauge", "1.5", "1.5"},
		{"gauge", "42", "42"},
		{"gauge", "42.0", "42"},
		{"gauge", "+42", "42"},
		{"gauge", "007", "7"},
		{"gauge", ".5", "0.5"},
		{"gauge", "0", "0"},
		{"gauge", "-0", "-0"},
		{"gauge", "-1.25e-3", "-0.00125"},
		{"gauge", "0.1", "0.1"},
		{"gauge", "1e20", "100000000000000000000"},
		{"gauge", "1e21", "1e+21"},
		{"gauge", "1E21", "1e+21"},
		{"gauge", "1e-6", "0.000001"},
		{"gauge", "1e-7", string(metric.AppendFloat(nil, 1e-7))},
		{"gauge", "9007199254740993", "9007199254740992"},
		{"gauge", "1.7976931348623157e308", "1.7976931348623157e+308"},
		{"gauge", "5e-324", "5e-324"},
		{"gauge", "1e-400", "0"},
		{"gauge", "3.141592653589793238462643", string(metric.AppendFloat(nil, math.Pi))},
		{"counter", "0", "0"},
		{"counter", "42", "42"},
		{"counter", "9223372036854775807", "9223372036854775807"},
	} {
		name := fmt.Sprintf("v%d", i)
		requireAnswer(t, do(t, srv, "POST", "/update/"+tt.kind+"/"+name+"/"+tt.pushed, ""), 200, textType, "")
		requireValue(t, srv, tt.kind+"/"+name, tt.want)
	}
}

func TestNames(t *testing.T) {
	srv := newServer(t)
	for i, tt := range []struct{ name, path string }{
		{"a/b", "a%2Fb"},
		{"/", "%2f"},
		{"a b", "a%20b"},
		{"a+b", "a+b"},
		{"ä", "%C3%A4"},
		{"日本語", "日本語"},
		{"😀", "%F0%9F%98%80"},
		{"<script>alert(1)</script>", "%3Cscript%3Ealert%281%29%3C%2Fscript%3E"},
		{"<i>", "<i>"},
		{"<b>/", "<b>%2F"},
		{"ä/ö", "ä%2Fö"},
		{`"/"`, `"%2F"`},
		{"%2F", "%252F"},
		{"..", ".."},
		{".", "."},
		{"?", "%3F"},
		{"#", "%23"},
		{";a=1", ";a=1"},
		{"a\nb", "a%0Ab"},
		{"x:y@z,w", "x:y@z,w"},
		{strings.Repeat("n", 512), strings.Repeat("n", 512)},
		{strings.Repeat("ß", 256), url.PathEscape(strings.Repeat("ß", 256))},
	} {
		t.Run(tt.path, func(t *testing.T) {
			label := url.QueryEscape(tt.name)
			want := fmt.Sprint(i) + ".5"
			requireAnswer(t, do(t, srv, "POST", "/update/gauge/"+tt.path+"/"+want+"?l="+label, ""), 200, textType, "")
			requireValue(t, srv, "gauge/"+tt.path+"?l="+label, want)
			question, err := json.Marshal(map[string]any{"id": tt.name, "type": "gauge"})
			require.NoError(t, err)
			got := do(t, srv, "POST", "/value", string(question))
			require.Equal(t, 200, got.status, got.body)
			var m response.Metric
			require.NoError(t, json.Unmarshal([]byte(got.body), &m))
			require.Equal(t, tt.name, m.ID)
			require.Equal(t, float64(i)+.5, *m.Value)
		})
	}
}

func TestPreferMinimal(t *testing.T) {
	srv := newServer(t)
	const one, many = `{"id":"x","type":"counter","delta":1}`, `[{"id":"x","type":"counter","delta":1}]`
	applied := 0
	for _, tt := range []struct {
		header  []string
		minimal bool
	}{
		{[]string{"return=minimal"}, true},
		{[]string{"Return=Minimal"}, true},
		{[]string{`return="minimal"`}, true},
		{[]string{"return = minimal"}, true},
		{[]string{"respond-async, return=minimal"}, true},
		{[]string{"wait=10, return=minimal; foo=bar, handling=lenient"}, true},
		{[]string{"respond-async", "return=minimal"}, true},
		{[]string{"return=minimal, return=representation"}, true},
		{[]string{"return=representation, return=minimal"}, false},
		{[]string{"return=representation"}, false},
		{[]string{"return=minimally"}, false},
		{[]string{"return"}, false},
		{[]string{"x-return=minimal"}, false},
		{[]string{""}, false},
	} {
		var header []string
		for _, h := range tt.header {
			header = append(header, "Prefer", h)
		}
		for _, req := range []struct{ target, body string }{{"/updates", many}, {"/updates/", many}, {"/update", one}, {"/update/counter/x/1", ""}} {
			applied++
			got := do(t, srv, "POST", req.target, req.body, header...)
			if tt.minimal {
				requireAnswer(t, got, 204, "", "")
				require.Equal(t, "return=minimal", got.header.Get("Preference-Applied"))
				require.NotContains(t, got.header, "Content-Length")
				require.NotContains(t, got.header, "Content-Encoding")
			} else {
				require.Equal(t, 200, got.status, tt.header)
				require.Empty(t, got.header.Get("Preference-Applied"))
			}
		}
		requireValue(t, srv, "counter/x", fmt.Sprint(applied))
	}
}

func TestIdempotencyKey(t *testing.T) {
	srv := newServer(t)
	total := 0
	push := func(t *testing.T, key string, replayed bool) {
		t.Helper()
		if !replayed {
			total++
		}
		got := do(t, srv, "POST", "/updates", `[{"id":"c","type":"counter","delta":1,"timestamp":1700000000000}]`, "Idempotency-Key", key)
		requireAnswer(t, got, 200, jsonType, fmt.Sprintf(`[{"id":"c","type":"counter","delta":%d,"timestamp":1700000000000}]`, total))
		require.Equal(t, replayed, got.header.Get("Idempotency-Replayed") == "true", key)
		require.Equal(t, replayed, got.header.Values("Idempotency-Replayed") != nil, key)
	}
	for _, tt := range []struct {
		key      string
		replayed bool
	}{
		{`"agent/1"`, false},
		{`"agent/1"`, true},
		{`agent/1`, true}, // bare is the same
		{`agent/2`, false},
		{`  "agent/2" `, true},
		{`"agent/1"`, true},
		{`"other/1"`, false},
		{`"a/b/1"`, false}, // the producer may hold slashes
		{`a/b/1`, true},
		{`"agent/01"`, false}, // no sequence: a key of its own
		{`"agent/01"`, true},
		{`"agent/0"`, false},
		{`"agent/-1"`, false},
		{`"agent/9223372036854775808"`, false},
		{`"agent"`, false},
		{`8e03978e-40d5-43dd-bc93-6894a57f9324`, false},
		{`"8e03978e-40d5-43dd-bc93-6894a57f9324"`, true},
		{`"a\"b"`, false},
		{`a"b`, true},
		{`"a\\b"`, false},
		{`a\b`, true},
		{"/1", false},
		{strings.Repeat("k", 256), false},
		{strings.Repeat("k", 256), true},
		{`"agent/9223372036854775807"`, false},
		{`"agent/3"`, true}, // far below the highest
	} {
		push(t, tt.key, tt.replayed)
	}
	t.Run("a replay changes nothing and answers what is stored now", func(t *testing.T) {
		got := do(t, srv, "POST", "/updates", `[{"id":"c","type":"counter","delta":5,"timestamp":1700000000009},{"id":"never","type":"gauge","value":1}]`,
			"Idempotency-Key", `"agent/1"`)
		require.Equal(t, 200, got.status)
		require.Equal(t, "true", got.header.Get("Idempotency-Replayed"))
		require.Contains(t, got.body, fmt.Sprintf(`[{"id":"c","type":"counter","delta":%d,"timestamp":1700000000000},`, total))
		requireProblem(t, do(t, srv, "GET", "/value/gauge/never", ""), 404)
	})
	t.Run("minimal", func(t *testing.T) {
		got := do(t, srv, "POST", "/updates", `[]`, "Idempotency-Key", "agent/1", "Prefer", "return=minimal")
		requireAnswer(t, got, 204, "", "")
		require.Equal(t, "true", got.header.Get("Idempotency-Replayed"))
	})
	t.Run("every way of writing", func(t *testing.T) {
		for n, req := range []struct{ target, body string }{{"/update/counter/w/1", ""}, {"/update", `{"id":"w","type":"counter","delta":1}`}, {"/updates/", `[{"id":"w","type":"counter","delta":1}]`}} {
			key := fmt.Sprintf("ways/%d", n+1)
			require.Empty(t, do(t, srv, "POST", req.target, req.body, "Idempotency-Key", key).header.Get("Idempotency-Replayed"))
			require.Equal(t, "true", do(t, srv, "POST", req.target, req.body, "Idempotency-Key", key).header.Get("Idempotency-Replayed"))
			requireValue(t, srv, "counter/w", fmt.Sprint(n+1))
		}
	})
	t.Run("without a key every request counts", func(t *testing.T) {
		for range 3 {
			require.Equal(t, 200, do(t, srv, "POST", "/update/counter/each/1", "").status)
		}
		requireValue(t, srv, "counter/each", "3")
	})
	t.Run("twenty at once", func(t *testing.T) {
		for round := range 10 {
			var wg sync.WaitGroup
			start := make(chan struct{})
			first := make(chan bool, 20)
			for range cap(first) {
				wg.Go(func() {
					<-start
					got, err := try(t, srv, "POST", "/update/counter/once/1", "", "Idempotency-Key", fmt.Sprintf("at-once/%d", round+1))
					if err != nil || got.status != 200 {
						t.Error(got.status, err)
					}
					first <- got.header.Get("Idempotency-Replayed") == ""
				})
			}
			close(start)
			wg.Wait()
			close(first)
			count := 0
			for f := range first {
				if f {
					count++
				}
			}
			require.Equal(t, 1, count)
			requireValue(t, srv, "counter/once", fmt.Sprint(round+1))
		}
	})
}

func TestCompressedRequests(t *testing.T) {
	srv := newServer(t)
	const batch = `[{"id":"c","type":"counter","delta":1}]`
	cut := func(s string, at int) (string, string) { return s[:at], s[at:] }
	head, tail := cut(batch, 10)
	for i, tt := range []struct{ name, encoding, body string }{
		{"gzip", "gzip", gz(batch)},
		{"x-gzip", "x-gzip", gz(batch)},
		{"in capitals", "GZIP", gz(batch)},
		{"gzip in two members", "gzip", gz(head) + gz(tail)},
		{"gzip with an empty member", "gzip", gz(batch) + gz("")},
		{"zstd", "zstd", zs(batch)},
		{"zstd in two frames", "zstd", zs(head) + zs(tail)},
		{"zstd with a skippable frame", "zstd", "\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + zs(batch)},
		{"identity", "identity", batch},
		{"none", "", batch},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, 200, do(t, srv, "POST", "/updates", tt.body, "Content-Encoding", tt.encoding).status)
			requireValue(t, srv, "counter/c", fmt.Sprint(i+1))
		})
	}
	requireAnswer(t, do(t, srv, "POST", "/value", gz(`{"id":"c","type":"counter"}`), "Content-Encoding", "gzip", "Prefer", "x"), 200, jsonType,
		do(t, srv, "POST", "/value", zs(`{"id":"c","type":"counter"}`), "Content-Encoding", "zstd").body)
}

func TestCompressedAnswers(t *testing.T) {
	srv := newServer(t)
	require.Equal(t, 200, do(t, srv, "POST", "/update", `{"id":"x","type":"gauge","value":7,"timestamp":1700000000000}`).status)
	accept := map[string]bool{
		"gzip": true, "GZIP": true, "x-gzip": true, "*": true, "gzip;q=0.001": true, "br, gzip;q=0.1": true, "deflate, gzip": true,
		"gzip ; q=1": true, "*;q=0.5": true, "identity;q=0, *": true, "*;q=0, gzip": true,
		"": false, "gzip;q=0": false, "gzip;q=0.000": false, "*;q=0": false, "gzip;q=0, *": false, "identity": false, "br": false, "gzipped": false,
		"br;q=1, deflate": false, "gzip;q=nonsense": false,
	}
	requests := []struct{ method, target, body, contentType, want string }{
		{"GET", "/value/gauge/x", "", textType, "7"}, // one byte
		{"POST", "/value", `{"id":"x","type":"gauge"}`, jsonType, `{"id":"x","type":"gauge","value":7,"timestamp":1700000000000}`},
		{"POST", "/updates", `[]`, jsonType, `[]`},
		{"GET", "/ping", "", textType, "OK\n"},
		{"GET", "/", "", htmlType, ""},
	}
	for header, zipped := range accept {
		for _, req := range requests {
			t.Run(req.method+req.target+" "+header, func(t *testing.T) {
				got := do(t, srv, req.method, req.target, req.body, "Accept-Encoding", header)
				require.Equal(t, 200, got.status)
				require.Equal(t, req.contentType, got.header.Get("Content-Type"))
				require.Equal(t, []string{"Accept-Encoding"}, got.header["Vary"])
				body := got.body
				if zipped {
					require.Equal(t, "gzip", got.header.Get("Content-Encoding"))
					body = unzip(t, body)
				} else {
					require.Empty(t, got.header.Get("Content-Encoding"))
				}
				if req.want == "" {
					require.Contains(t, body, "</html>")
				} else {
					require.Equal(t, req.want, body)
				}
			})
		}
	}
	t.Run("none without a body", func(t *testing.T) {
		for _, req := range []struct {
			method, target, body string
			status               int
		}{{"HEAD", "/", "", 200}, {"HEAD", "/value/gauge/x", "", 200}, {"POST", "/updates", "[]", 204}, {"POST", "/update/gauge/y/1", "", 204}} {
			got := do(t, srv, req.method, req.target, req.body, "Accept-Encoding", "gzip", "Prefer", "return=minimal")
			require.Equal(t, req.status, got.status)
			require.Empty(t, got.body)
			require.NotContains(t, got.header, "Content-Encoding")
		}
		got := do(t, srv, "POST", "/update/gauge/y/1", "", "Accept-Encoding", "gzip")
		requireAnswer(t, got, 200, textType, "")
		require.NotContains(t, got.header, "Content-Encoding")
	})
}

func unzip(t testing.TB, s string) string {
	t.Helper()
	zr, err := gzip.NewReader(strings.NewReader(s))
	require.NoError(t, err)
	out, err := io.ReadAll(zr)
	require.NoError(t, err)
	return string(out)
}

func TestHead(t *testing.T) {
	srv := newServer(t)
	require.Equal(t, 200, do(t, srv, "POST", "/update/gauge/x/1.5", "").status)
	for target, status := range map[string]int{
		"/": 200, "/ping": 200, "/value/gauge/x": 200, "/value/gauge/x/": 200, "/static/app.css": 200, "/value/gauge/nope": 404, "/nope": 404, "/update": 405,
	} {
		t.Run(target, func(t *testing.T) {
			head, get := do(t, srv, "HEAD", target, ""), do(t, srv, "GET", target, "")
			require.Equal(t, status, head.status)
			require.Equal(t, status, get.status)
			require.Empty(t, head.body)
			require.NotEmpty(t, get.body)
			for _, name := range []string{"Content-Type", "Vary", "Allow", "Etag", "Cache-Control"} {
				require.Equal(t, get.header[name], head.header[name], name)
			}
		})
	}
}

// TestStaticFilesAreKept: who has a file asks by its tag, weakened by gzip or
// not, and is answered without a body.
func TestStaticFilesAreKept(t *testing.T) {
	srv := newServer(t)
	for _, encoding := range []string{"gzip", "identity"} {
		got := do(t, srv, "GET", "/static/app.css", "", "Accept-Encoding", encoding)
		require.Equal(t, 200, got.status)
		again := do(t, srv, "GET", "/static/app.css", "", "Accept-Encoding", encoding, "If-None-Match", got.header.Get("Etag"))
		require.Equal(t, 304, again.status)
		require.Empty(t, again.body)
		require.NotContains(t, again.header, "Content-Encoding")
		require.Equal(t, []string{"Accept-Encoding"}, again.header["Vary"], "as in the 200 (RFC 9110, 15.4.5)")
	}
}

// fake is a storage that fails, or panics, as it is told.
type fake struct {
	storage.Storage
	err    error
	panics any
}

func (f fake) fail() error {
	if f.panics != nil {
		panic(f.panics)
	}
	return f.err
}

func (f fake) Apply(context.Context, *storage.Write) (bool, error) { return false, f.fail() }
func (f fake) Ping(context.Context) error                          { return f.fail() }
func (f fake) Value(context.Context, storage.Selector) (metric.Metric, error) {
	return metric.Metric{}, f.fail()
}

func (f fake) All(context.Context) iter.Seq2[metric.Metric, error] {
	return func(yield func(metric.Metric, error) bool) {
		if yield(metric.Metric{Kind: metric.Gauge, Name: "half"}, nil) {
			yield(metric.Metric{}, f.fail())
		}
	}
}

func TestPing(t *testing.T) {
	requireAnswer(t, do(t, newServer(t), "GET", "/ping", ""), 200, textType, "OK\n")
	for _, err := range []error{
		errors.New("dial tcp 10.1.2.3:5432: internals"), storage.ErrUnavailable, fmt.Errorf("internals: %w", storage.ErrUnavailable),
		storage.ErrFull, context.DeadlineExceeded,
	} {
		t.Run(err.Error(), func(t *testing.T) {
			got := do(t, serve(t, newHandler(fake{err: err}, "", zap.NewNop())), "GET", "/ping", "")
			requireProblem(t, got, 500)
			require.NotContains(t, got.body, "internals")
		})
	}
}

// TestStorageErrors: each has its status; what is behind it is in the log under
// the request id the client has, and nowhere else.
func TestStorageErrors(t *testing.T) {
	internals := func(err error) error { return fmt.Errorf("internals at 10.1.2.3: %w", err) }
	for _, tt := range []struct {
		err        error
		status     int
		code       string
		retryAfter string
	}{
		{storage.ErrExhausted, 429, "exhausted", "1"},
		{storage.ErrUnavailable, 503, "unavailable", "1"},
		{storage.ErrFull, 507, "full", "1"},
		{context.DeadlineExceeded, 503, "unavailable", "1"},
		{errors.New("a defect"), 500, "internal", ""},
	} {
		for _, req := range []struct{ method, target, body string }{
			{"POST", "/updates", `[{"id":"x","type":"counter","delta":1}]`},
			{"POST", "/update", `{"id":"x","type":"counter","delta":1}`},
			{"POST", "/update/counter/x/1", ""},
			{"POST", "/value", `{"id":"x","type":"counter"}`},
			{"GET", "/value/counter/x", ""},
			{"GET", "/", ""},
		} {
			t.Run(tt.code+" "+req.target, func(t *testing.T) {
				core, logs := observer.New(zap.DebugLevel)
				srv := serve(t, newHandler(fake{err: internals(tt.err)}, "", zap.New(core)))
				got := do(t, srv, req.method, req.target, req.body, "Accept-Encoding", "gzip", "Prefer", "return=minimal")
				p := requireProblem(t, got, tt.status)
				require.Equal(t, tt.code, p.Code)
				require.Equal(t, tt.retryAfter, got.header.Get("Retry-After"))
				require.NotContains(t, got.body, "internals")
				require.NotContains(t, got.header, "Preference-Applied")
				srv.Close()
				if tt.status >= 500 {
					failed := logs.FilterMessage("request failed").All()
					require.Len(t, failed, 1)
					require.Equal(t, zapcore.ErrorLevel, failed[0].Level)
					require.Equal(t, p.RequestID, failed[0].ContextMap()["request_id"])
					require.Equal(t, internals(tt.err).Error(), failed[0].ContextMap()["error"])
				}
				require.Len(t, logs.FilterMessage("request").FilterField(zap.String("request_id", p.RequestID)).All(), 1)
			})
		}
	}
	t.Run("gone meanwhile", func(t *testing.T) {
		srv := serve(t, newHandler(fake{err: storage.ErrNotFound}, "", zap.NewNop()))
		requireProblem(t, do(t, srv, "GET", "/value/counter/x", ""), 404)
	})
}

func TestPanics(t *testing.T) {
	for _, key := range []string{"", secret} {
		for _, req := range []struct{ method, target string }{{"POST", "/update/counter/x/1"}, {"GET", "/value/counter/x"}, {"GET", "/"}, {"GET", "/ping"}} {
			t.Run("key="+key+" "+req.target, func(t *testing.T) {
				core, logs := observer.New(zap.DebugLevel)
				srv := serve(t, newHandler(fake{panics: "internals"}, key, zap.New(core)))
				got := do(t, srv, req.method, req.target, "", "HashSHA256", sign(key, req.method+" "+req.target), "Accept-Encoding", "gzip", "X-Request-Id", "panicking-1")
				p := requireProblem(t, got, 500)
				require.Equal(t, "panicking-1", p.RequestID)
				require.NotContains(t, got.body, "internals")
				if key != "" {
					require.Equal(t, sign(key, got.body), got.header.Get("HashSHA256"))
				}
				srv.Close()
				panics := logs.FilterMessage("panic").All()
				require.Len(t, panics, 1)
				require.Equal(t, zapcore.ErrorLevel, panics[0].Level)
				require.Equal(t, "panicking-1", panics[0].ContextMap()["request_id"])
				require.Equal(t, "internals", panics[0].ContextMap()["value"])
				require.Contains(t, panics[0].ContextMap()["stack"], "router_test.fake.fail")
				requests := logs.FilterMessage("request").All()
				require.Len(t, requests, 1)
				require.Equal(t, zapcore.ErrorLevel, requests[0].Level)
			})
		}
	}
}

// TestPanicAfterPartOfAnAnswer: the connection is cut, so that nobody takes the
// part for the whole.
func TestPanicAfterPartOfAnAnswer(t *testing.T) {
	for _, key := range []string{"", secret} {
		for _, encoding := range []string{"gzip", "identity"} {
			for _, flush := range []bool{true, false} {
				t.Run(fmt.Sprintf("key=%s %s flush=%t", key, encoding, flush), func(t *testing.T) {
					core, logs := observer.New(zap.DebugLevel)
					partial := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Type", "text/css")
						io.WriteString(w, "body { color: red }") //nolint:errcheck // the client is there
						if flush {
							http.NewResponseController(w).Flush() //nolint:errcheck // a signed answer can't
						}
						panic("half way")
					})
					srv := serve(t, withStatic(key, zap.New(core), partial))
					_, err := try(t, srv, "GET", "/static/app.css", "", "Accept-Encoding", encoding)
					require.Error(t, err)
					require.Equal(t, 200, do(t, srv, "GET", "/ping", "").status, "the server goes on")
					srv.Close()
					panics := logs.FilterMessage("panic").All()
					require.Len(t, panics, 1)
					require.Contains(t, panics[0].ContextMap()["stack"], "TestPanicAfterPartOfAnAnswer")
					require.Len(t, logs.FilterMessage("request aborted").All(), 1)
				})
			}
		}
	}
}

// withStatic is newHandler with another handler of /static/: the only one that
// a test can let fail half way, since all others know what they answer before
// they write.
func withStatic(key string, log *zap.Logger, static http.Handler) http.Handler {
	return router.New(router.Options{
		API:     api.New(manager.New(memory.New(), nil, nil), metric.DefaultLimits(), time.Now),
		Static:  func(http.Handler) http.Handler { return static },
		Problem: problem.Writer{Log: log},
		Signer:  middleware.NewSigner(key),
		Limits:  common.BodyLimits{Wire: 8 << 20, Plain: 32 << 20},
	})
}

func TestRequestLog(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	log := zap.New(core)
	srv := serve(t, newHandler(memory.New(), "", log))
	broken := serve(t, newHandler(fake{err: errors.New("x")}, "", log))
	for _, tt := range []struct {
		srv            *httptest.Server
		method, target string
		status         int
		level          zapcore.Level
	}{
		{srv, "GET", "/ping", 200, zapcore.DebugLevel},
		{srv, "POST", "/update/gauge/x/1", 200, zapcore.DebugLevel},
		{srv, "GET", "/nope", 404, zapcore.WarnLevel},
		{srv, "POST", "/updates", 400, zapcore.WarnLevel},
		{srv, "GET", "/updates", 405, zapcore.WarnLevel},
		{broken, "POST", "/update/gauge/x/1", 500, zapcore.ErrorLevel},
		{broken, "GET", "/ping", 500, zapcore.ErrorLevel},
	} {
		t.Run(tt.method+tt.target, func(t *testing.T) {
			logs.TakeAll()
			got := do(t, tt.srv, tt.method, tt.target, "")
			require.Equal(t, tt.status, got.status)
			// The entry is written after the answer went out.
			require.Eventually(t, func() bool { return logs.FilterMessage("request").Len() > 0 }, 5*time.Second, time.Millisecond)
			entry := logs.FilterMessage("request").All()[0]
			require.Equal(t, tt.level, entry.Level)
			fields := entry.ContextMap()
			require.Equal(t, got.header.Get("X-Request-Id"), fields["request_id"])
			require.Equal(t, tt.method, fields["method"])
			require.Equal(t, tt.target, fields["path"])
			require.EqualValues(t, tt.status, fields["status"])
			require.EqualValues(t, len(got.body), fields["bytes"])
		})
	}
}

func TestRequestID(t *testing.T) {
	srv := newServer(t)
	harmless := []string{"a", "0", "8e03978e-40d5-43dd-bc93-6894a57f9324", "A.b_c-9", strings.Repeat("x", 64)}
	hostile := []string{"", "a b", "a\tb", "<script>", `"`, "a\\n", "ä", "\xff", "a/b", "a;b", "a=b", "{}", "%0a", strings.Repeat("x", 65), strings.Repeat("x", 10_000)}
	for _, id := range harmless {
		require.Equal(t, []string{id}, do(t, srv, "GET", "/ping", "", "X-Request-Id", id).header["X-Request-Id"])
		require.Equal(t, id, requireProblem(t, do(t, srv, "GET", "/nope", "", "X-Request-Id", id), 404).RequestID)
	}
	own := regexp.MustCompile(`^[0-9a-f]{12}-[0-9]+$`)
	seen := map[string]bool{}
	for _, id := range hostile {
		got := do(t, srv, "GET", "/nope", "", "X-Request-Id", id)
		p := requireProblem(t, got, 404)
		require.Regexp(t, own, p.RequestID)
		require.False(t, seen[p.RequestID])
		seen[p.RequestID] = true
	}
}

func TestSignature(t *testing.T) {
	srv := serve(t, newHandler(memory.New(), secret, zap.NewNop()))
	const one = `{"id":"c","type":"counter","delta":1,"timestamp":1700000000000}`
	const many = "[" + one + "]"
	total := 0
	for _, tt := range []struct {
		name, target, body string
		counts             bool
		header             []string
	}{
		{"one", "/update", one, true, nil},
		{"many", "/updates/", many, true, nil},
		{"gzip, as on the wire", "/updates", gz(many), true, []string{"Content-Encoding", "gzip"}},
		{"zstd, as on the wire", "/updates", zs(many), true, []string{"Content-Encoding", "zstd"}},
		{"minimal", "/updates", many, true, []string{"Prefer", "return=minimal"}},
		{"gzip out", "/updates", many, true, []string{"Accept-Encoding", "gzip"}},
		{"a question", "/value", `{"id":"c","type":"counter"}`, false, nil},
		{"a question, gzip out", "/value/", `{"id":"c","type":"counter"}`, false, []string{"Accept-Encoding", "gzip"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := do(t, srv, "POST", tt.target, tt.body, append([]string{"HashSHA256", sign(secret, tt.body)}, tt.header...)...)
			require.Less(t, got.status, 300, got.body)
			requireSigned(t, got)
			if tt.counts {
				total++
			}
			requireValue(t, srv, "counter/c", fmt.Sprint(total))
		})
	}
	for _, target := range []string{
		"/update/counter/c/1", "/update/counter/c/1/", "/update/counter/c/1?via=web&x=%20+y", "/update/counter/c/1?", "/update/%63ounter/c/1",
	} {
		t.Run("a path "+target, func(t *testing.T) {
			got := do(t, srv, "POST", target, "", "HashSHA256", sign(secret, "POST "+target))
			require.Equal(t, 200, got.status, got.body)
			requireSigned(t, got)
			total++
			requireValue(t, srv, "counter/c", fmt.Sprint(total))
		})
	}
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
		header                     []string
	}{
		{"a value", "GET", "/value/counter/c", "", 200, nil},
		{"a value in gzip", "GET", "/value/counter/c", "", 200, []string{"Accept-Encoding", "gzip"}},
		{"the page", "GET", "/", "", 200, nil},
		{"the page in gzip", "GET", "/", "", 200, []string{"Accept-Encoding", "gzip"}},
		{"a ping", "GET", "/ping", "", 200, nil},
		{"a file", "GET", "/static/app.js", "", 200, []string{"Accept-Encoding", "gzip"}},
		{"a question without a signature", "POST", "/value", `{"id":"c","type":"counter"}`, 200, nil},
		{"a refusal", "POST", "/updates", many, 400, nil},
		{"an unknown path", "GET", "/nope", "", 404, nil},
		{"a wrong method", "DELETE", "/updates", "", 405, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := do(t, srv, tt.method, tt.target, tt.body, tt.header...)
			require.Equal(t, tt.status, got.status)
			require.NotEmpty(t, got.body)
			if len(tt.header) > 0 {
				require.Equal(t, "gzip", got.header.Get("Content-Encoding"))
			}
			requireSigned(t, got)
		})
	}
}

// requireSigned demands the signature of the body as it was on the wire, and
// none where there is no body.
func requireSigned(t testing.TB, got answer) {
	t.Helper()
	if got.body == "" {
		require.NotContains(t, got.header, http.CanonicalHeaderKey("HashSHA256"))
		return
	}
	require.Equal(t, []string{sign(secret, got.body)}, got.header[http.CanonicalHeaderKey("HashSHA256")])
}

var rowNames = regexp.MustCompile(`<th scope="row"><a href="metric/[^"]*">([^<]*)</a></th>`)

func TestPage(t *testing.T) {
	srv := newServer(t)
	require.Contains(t, do(t, srv, "GET", "/", "").body, "No metrics yet")
	require.Equal(t, 200, do(t, srv, "POST", "/updates", `[
		{"id":"<script>alert(1)</script>","type":"gauge","value":2,"timestamp":1700000000003},
		{"id":"Alloc","type":"gauge","value":10.5,"labels":{"instance":"web-1"},"timestamp":1700000000002},
		{"id":"PollCount","type":"counter","delta":3,"labels":{"instance":"<b>"},"timestamp":1700000000001}]`).status)
	for target, want := range map[string][]string{
		"/":                             {"&lt;script&gt;alert(1)&lt;/script&gt;", "Alloc", "PollCount"},
		"/?sort=name&order=desc":        {"PollCount", "Alloc", "&lt;script&gt;alert(1)&lt;/script&gt;"},
		"/?sort=value":                  {"&lt;script&gt;alert(1)&lt;/script&gt;", "PollCount", "Alloc"},
		"/?sort=value&order=desc":       {"Alloc", "PollCount", "&lt;script&gt;alert(1)&lt;/script&gt;"},
		"/?sort=updated":                {"PollCount", "Alloc", "&lt;script&gt;alert(1)&lt;/script&gt;"},
		"/?sort=kind":                   {"PollCount", "&lt;script&gt;alert(1)&lt;/script&gt;", "Alloc"},
		"/?sort=nonsense&order=nowhere": {"&lt;script&gt;alert(1)&lt;/script&gt;", "Alloc", "PollCount"},
		"/?q=alloc":                     {"Alloc"},
		"/?q=instance%3Dweb":            {"Alloc"},
		"/?q=counter+poll":              {"PollCount"},
		"/?q=gauge&sort=name":           {"&lt;script&gt;alert(1)&lt;/script&gt;", "Alloc"},
		"/?q=nothing+of+the+sort":       nil,
		"/?q=%zz":                       {"&lt;script&gt;alert(1)&lt;/script&gt;", "Alloc", "PollCount"},
	} {
		t.Run(target, func(t *testing.T) {
			got := do(t, srv, "GET", target, "")
			require.Equal(t, 200, got.status)
			require.Equal(t, htmlType, got.header.Get("Content-Type"))
			require.Contains(t, got.header.Get("Content-Security-Policy"), "default-src 'none'")
			require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
			require.Equal(t, "no-store", got.header.Get("Cache-Control"))
			require.NotContains(t, got.body, "<script>alert(1)")
			require.NotContains(t, got.body, "<b>&lt;")
			var names []string
			for _, m := range rowNames.FindAllStringSubmatch(got.body, -1) {
				names = append(names, m[1])
			}
			require.Equal(t, want, names)
		})
	}
	hostile := do(t, srv, "GET", "/?q="+url.QueryEscape(`"><script>alert(2)</script>`), "").body
	require.NotContains(t, hostile, "<script>alert(2)")
	require.Contains(t, hostile, "&lt;script&gt;alert(2)")
}

// TestSlowBody: a body that comes too late is a 408, which senders repeat; a 400
// would make an agent give the batch up.
func TestSlowBody(t *testing.T) {
	for _, key := range []string{"", secret} {
		t.Run("key="+key, func(t *testing.T) {
			store := seeded(t)
			before := everything(t, store)
			srv := serve(t, newHandler(store, key, zap.NewNop()), func(s *http.Server) { s.ReadTimeout = 100 * time.Millisecond })
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = io.WriteString(conn, "POST /updates HTTP/1.1\r\nHost: x\r\nHashSHA256: 00\r\nContent-Length: 1000\r\n\r\n"+goodBatch)
			require.NoError(t, err)
			requireProblem(t, readAnswer(t, conn, "POST"), 408)
			require.Equal(t, before, everything(t, store))
		})
	}
}
