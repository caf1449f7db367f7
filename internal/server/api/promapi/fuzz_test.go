package promapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/stretchr/testify/require"
)

// FuzzQueryRange asks with any parameters: the answer is always an envelope that
// says whether it is an error by both its status and its status code.
func FuzzQueryRange(f *testing.F) {
	for _, q := range []string{
		"gauge", "rate(total[5m])", "sum by (job) (native)", `label_replace(gauge, "a", "<$1>", "job", "(.*)")`, "gauge{", "\xff\x00", `"` + "\u2028" + `"`, "1/0", "gauge[5m:1m]",
	} {
		f.Add(q, "0", "1800", "60", "", "", "", "")
	}
	f.Add("gauge", "1970-01-01T00:00:00Z", "1e3", "1m", "2", "all", "10m", "1s")
	f.Add("gauge", "NaN", "Inf", "1e300", "-1", "\"<", "-1", "0")
	f.Add("gauge", "-292273086-05-16T16:47:06Z", "292277025-08-18T07:12:54.999999999Z", "100y", "x", "1", "x", "x")
	o, _ := options(f, script)
	ps := parser.NewParser(promqltest.TestParserOpts)
	o.Parser = ps
	o.Engine = newEngine(f, ps, func(o *promql.EngineOpts) {
		o.MaxSamples = 10_000
		o.Timeout = time.Second
	})
	h := handler(o)
	f.Fuzz(func(t *testing.T, query, start, end, step, limit, stats, lookback, timeout string) {
		v := url.Values{"query": {query}, "start": {start}, "end": {end}, "step": {step}}
		for name, s := range map[string]string{"limit": limit, "stats": stats, "lookback_delta": lookback, "timeout": timeout} {
			if s != "" {
				v.Set(name, s)
			}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/query_range?"+v.Encode(), nil))
		var got struct {
			Status    string          `json:"status"`
			Data      json.RawMessage `json:"data"`
			ErrorType string          `json:"errorType"`
			Error     string          `json:"error"`
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got), w.Body)
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		if utf8.ValidString(query) {
			require.True(t, utf8.Valid(w.Body.Bytes()), w.Body)
		}
		if w.Code == http.StatusOK {
			require.Equal(t, "success", got.Status)
			require.NotEmpty(t, got.Data)
			return
		}
		require.Contains(t, []int{400, 422, 503}, w.Code, w.Body)
		require.Equal(t, "error", got.Status)
		require.NotEmpty(t, got.ErrorType)
		require.NotEmpty(t, got.Error)
	})
}
