package historytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/programtest"
)

// long asks for the promised durations instead of the short form.
var long = os.Getenv("GOMETHEUS_LONG") != ""

var programs programtest.Builder

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

// debian finds a program of Debian's package prometheus in PATH, or where
// scripts/test-deps puts it. In CI it must be there.
func debian(t *testing.T, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	path := filepath.Join(cache, "gometheus-tests", "prometheus", "usr", "bin", name)
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err)
		}
		t.Skip("no " + name + "; scripts/test-deps fetches it")
	}
	return path
}

// server is a running server and who talks to it.
type server struct {
	tb     testing.TB
	dir    string
	set    []string // settings
	p      *programtest.Process
	url    string
	client *http.Client
}

func startServer(tb testing.TB, settings ...string) *server {
	tb.Helper()
	s := &server{tb: tb, dir: tb.TempDir(), set: settings, client: programtest.Client(tb)}
	s.start()
	return s
}

// start starts it, again with the same files.
func (s *server) start() {
	s.tb.Helper()
	s.p = programs.Server(s.tb, s.dir, s.set...)
	s.url = s.p.URL()
}

// answer is what came back for a request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *server) do(method, path, body string, header ...string) answer {
	s.tb.Helper()
	req, err := http.NewRequestWithContext(s.tb.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.tb, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.client.Do(req)
	require.NoError(s.tb, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.tb, err)
	return answer{res.StatusCode, res.Header, string(text)}
}

func (s *server) get(path string) answer {
	s.tb.Helper()
	return s.do(http.MethodGet, path, "")
}

// push sends metrics as JSON; they must be taken.
func (s *server) push(body string, header ...string) answer {
	s.tb.Helper()
	a := s.do(http.MethodPost, "/updates", body, header...)
	require.Equal(s.tb, http.StatusOK, a.status, a.body)
	return a
}

// series is one of a query's result.
type series struct {
	Metric map[string]string `json:"metric"`
	Value  point             `json:"value"`
	Values []point           `json:"values"`
}

// point is a time in Unix seconds and a value.
type point struct {
	t float64
	v string
}

func (p *point) UnmarshalJSON(b []byte) error {
	pair := []any{&p.t, &p.v}
	return json.Unmarshal(b, &pair)
}

// float is the point's value.
func (p point) float(tb testing.TB) float64 {
	tb.Helper()
	f, err := strconv.ParseFloat(p.v, 64)
	require.NoError(tb, err)
	return f
}

// prometheusAnswer is the envelope of the Prometheus API.
type prometheusAnswer struct {
	Status    string          `json:"status"`
	Data      json.RawMessage `json:"data"`
	ErrorType string          `json:"errorType"`
	Error     string          `json:"error"`
}

// ask sends an API request and returns the envelope's data.
func ask(tb testing.TB, client *http.Client, base, path string, params url.Values) json.RawMessage {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, base+path+"?"+params.Encode(), nil)
	require.NoError(tb, err)
	res, err := client.Do(req)
	require.NoError(tb, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(tb, err)
	require.Equal(tb, http.StatusOK, res.StatusCode, "%s %s: %s", path, params, text)
	var a prometheusAnswer
	require.NoError(tb, json.Unmarshal(text, &a), "%s", text)
	require.Equal(tb, "success", a.Status)
	return a.Data
}

// result decodes a vector or a matrix.
func result(tb testing.TB, data json.RawMessage) []series {
	tb.Helper()
	var r struct {
		Result []series `json:"result"`
	}
	require.NoError(tb, json.NewDecoder(bytes.NewReader(data)).Decode(&r), "%s", data)
	return r.Result
}

// instant asks now.
func (s *server) instant(query string) []series {
	s.tb.Helper()
	return result(s.tb, ask(s.tb, s.client, s.url, "/api/v1/query", url.Values{"query": {query}}))
}

// raw is all samples of the last while that selector finds.
func (s *server) raw(selector string, last time.Duration) []series {
	s.tb.Helper()
	return s.instant(fmt.Sprintf("%s[%ds]", selector, int(last.Seconds())))
}

// value asks now for the one value that there must be.
func (s *server) value(query string) float64 {
	s.tb.Helper()
	r := s.instant(query)
	require.Len(s.tb, r, 1, query)
	return r[0].Value.float(s.tb)
}

// seen requires that a query has a value now, give or take some milliseconds: what
// is pushed twice in one of them, and looked at between, comes one later.
func (s *server) seen(want float64, query string) {
	s.tb.Helper()
	var got float64
	for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		if got = s.value(query); got == want {
			return
		}
	}
	require.InDelta(s.tb, want, got, 0, query)
}

// eventually waits until ok.
func (s *server) eventually(ok func() bool, within time.Duration, what string) {
	s.tb.Helper()
	require.Eventually(s.tb, ok, within, 50*time.Millisecond, what)
}
