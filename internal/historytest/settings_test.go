package historytest

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
)

// TestWithoutHistory: pushes work, and who asks learns why there is no answer.
func TestWithoutHistory(t *testing.T) {
	s := startServer(t, "HISTORY=false")
	s.push(`[{"id":"sales_total","type":"counter","delta":5}]`)
	require.Equal(t, "5", s.get("/value/counter/sales_total").body)
	for _, path := range []string{"/api/v1/query?query=up", "/api/v1/query_range", "/api/v1/status/buildinfo", "/federate?match[]=up"} {
		a := s.get(path)
		require.Equal(t, http.StatusNotFound, a.status, path)
		require.Contains(t, a.body, "HISTORY is false", path)
	}
	require.Equal(t, http.StatusOK, s.get("/-/ready").status)
	require.Equal(t, http.StatusOK, s.get("/-/healthy").status)
	a := s.do(http.MethodPost, "/api/v1/write", "x")
	require.Equal(t, http.StatusNotFound, a.status, "who gets 404 doesn't try again for ever")
	require.NoDirExists(t, filepath.Join(s.dir, "history"))
	s.p.Stop()
}

// TestFolderIsTaken: a second server says which setting is at fault.
func TestFolderIsTaken(t *testing.T) {
	s := startServer(t)
	s.push(`[{"id":"sales_total","type":"counter","delta":5}]`)
	second := programs.Server(t, t.TempDir(), "HISTORY_PATH="+filepath.Join(s.dir, "history"))
	require.Equal(t, 1, second.Code())
	require.Contains(t, second.Output(), "HISTORY_PATH "+filepath.Join(s.dir, "history")+": another server uses it")
	require.NotContains(t, second.Output(), "goroutine")
	require.InDelta(t, 5, s.value("sales_total"), 0, "the first is not disturbed")
}

// TestFederateAndProbes asks what a Prometheus and an orchestrator ask.
func TestFederateAndProbes(t *testing.T) {
	s := startServer(t)
	for _, path := range []string{"/-/healthy", "/-/ready"} {
		a := s.get(path)
		require.Equal(t, http.StatusOK, a.status, path)
		require.Contains(t, a.body, "Prometheus Server is", path)
		require.Equal(t, http.StatusOK, s.do(http.MethodHead, path, "").status, path)
	}
	s.push(`[{"id":"sales_total","type":"counter","delta":5,"labels":{"till":"7"}},{"id":"load","type":"gauge","value":0.5}]`)
	a := s.do(http.MethodGet, `/federate?match[]={__name__=~".%2b"}`, "", "Accept", "text/plain")
	require.Equal(t, http.StatusOK, a.status, a.body)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	require.NoError(t, err, a.body)
	require.Len(t, families, 2)
	m := families["sales_total"].GetMetric()[0]
	require.InDelta(t, 5, m.GetUntyped().GetValue()+m.GetCounter().GetValue(), 0, a.body)
	require.Equal(t, "7", m.GetLabel()[0].GetValue())
	require.WithinDuration(t, time.Now(), time.UnixMilli(m.GetTimestampMs()), time.Minute)
}
