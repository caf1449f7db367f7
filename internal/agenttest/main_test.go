package agenttest

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/programtest"
)

// long asks for the promised durations instead of the short form.
var long = os.Getenv("GOMETHEUS_LONG") != ""

var programs programtest.Builder

func TestMain(m *testing.M) { os.Exit(programs.Main(m)) }

// startAgent starts an agent that sends to a server, with flags.
func startAgent(tb testing.TB, server string, flags ...string) *programtest.Process {
	tb.Helper()
	return programtest.Start(tb, tb.TempDir(), programs.Build(tb, "agent"), append([]string{"--address=" + server}, flags...))
}

// server is a running server and who asks it.
type server struct {
	tb     testing.TB
	url    string
	client *http.Client
}

func startServer(tb testing.TB) *server {
	tb.Helper()
	return &server{tb, programs.Server(tb, tb.TempDir()).URL(), programtest.Client(tb)}
}

// ask sends a request of Prometheus' API and decodes the data of its answer.
func (s *server) ask(path string, params url.Values, data any) {
	s.tb.Helper()
	req, err := http.NewRequestWithContext(s.tb.Context(), http.MethodGet, s.url+path+"?"+params.Encode(), nil)
	require.NoError(s.tb, err)
	res, err := s.client.Do(req)
	require.NoError(s.tb, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.tb, err)
	require.Equal(s.tb, http.StatusOK, res.StatusCode, "%s %v: %s", path, params, text)
	answer := struct {
		Data any `json:"data"`
	}{data}
	require.NoError(s.tb, json.Unmarshal(text, &answer), "%s", text)
}

// series is one of a query's result.
type series struct {
	Metric map[string]string  `json:"metric"`
	Value  [2]json.RawMessage `json:"value"` // a time, and a text in quotes
}

// query asks now.
func (s *server) query(expr string) []series {
	s.tb.Helper()
	var v struct {
		Result []series `json:"result"`
	}
	s.ask("/api/v1/query", url.Values{"query": {expr}}, &v)
	return v.Result
}
