package securitytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// TestServers is TestStorages from outside: three servers, one for each storage,
// get the same requests and must give the same answers, byte for byte, through
// restarts and kills of those that keep something.
func TestServers(t *testing.T) {
	rng := newRand(t)
	mk := &maker{rng: rng, spread: 1e11}
	limit := fmt.Sprint("LIMIT_SERIES=", 50+rng.IntN(150))
	servers := []*server{
		start(t, limit, "FILE_STORAGE_PATH="), start(t, limit, "STORE_INTERVAL=0"), start(t, limit, "DATABASE_DSN="+postgres(t).Database(t)),
	}
	until := time.Now().Add(count(3*time.Second, 5*time.Minute))
	steps := 0
	seen := map[int]int{}
	for ; time.Now().Before(until); steps++ {
		if count(150, 400) == steps%count(300, 1000) {
			servers[1].again(rng.IntN(2) == 0)
			servers[2].again(rng.IntN(2) == 0)
		}
		method, path, body, headers := mk.request()
		var first string
		for i, s := range servers {
			got := s.do(method, path, body, headers...)
			text := fmt.Sprintf("%d replayed=%q retry=%q %s", got.status, got.header.Get("Idempotency-Replayed"), got.header.Get("Retry-After"), untied(path, got))
			require.Less(t, got.status, 500, "%s %s: %s", method, path, got.body)
			if i == 0 {
				first = text
				seen[got.status]++
			}
			require.Equal(t, first, text, "step %d, server %d: %s %s %s", steps, i, method, path, body)
		}
		if steps%50 == 49 {
			require.Equal(t, servers[0].rows(), servers[1].rows())
			require.Equal(t, servers[0].rows(), servers[2].rows())
		}
	}
	require.Equal(t, servers[0].rows(), servers[1].rows())
	require.Equal(t, servers[0].rows(), servers[2].rows())
	t.Logf("%d requests to each of three servers, answers %v: no difference", steps, seen)
}

// rows are the rows of the overview's table of series.
func (s *server) rows() string {
	s.t.Helper()
	_, series, _ := strings.Cut(s.do("GET", "/", nil).body, `<table class="series">`)
	_, rows, ok := strings.Cut(series, "<tbody>")
	require.True(s.t, ok)
	rows, _, _ = strings.Cut(rows, "</tbody>")
	return rows
}

// gaugeValue is the value in a JSON answer.
var gaugeValue = regexp.MustCompile(`"value":[^,}]+`)

// untied is sameProblem without the value of a gauge that was asked for: of several
// series with the same newest time any may answer. The rows of the page hold each.
func untied(path string, a answer) string {
	switch {
	case a.status != 200 || !strings.HasPrefix(path, "/value"):
		return sameProblem(a)
	case strings.HasPrefix(path, "/value/gauge/"):
		return "a value"
	}
	return gaugeValue.ReplaceAllString(a.body, `"value":0`)
}

// clock is what time the server says it is.
var clock = regexp.MustCompile(`\(\d{13}\)`)

// sameProblem is the body of an answer without what is another one each time.
func sameProblem(a answer) string {
	if a.header.Get("Content-Type") != "application/problem+json" {
		return a.body
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(a.body), &fields); err != nil {
		return "not JSON: " + a.body
	}
	delete(fields, "request_id")
	return clock.ReplaceAllString(fmt.Sprint(fields), "(now)")
}

// request makes a random request.
func (mk *maker) request() (method, path string, body []byte, headers []string) {
	switch mk.rng.IntN(8) {
	case 0:
		sel := mk.selector()
		return "GET", "/value/" + sel.Kind.String() + "/" + url.PathEscape(sel.Name) + query(sel.Labels), nil, nil
	case 1:
		m := mk.metric()
		question, err := json.Marshal(map[string]any{"id": m.Name, "type": m.Kind.String(), "labels": labelMap(m.Labels)})
		if err != nil {
			panic("securitytest: strings")
		}
		return "POST", "/value", question, nil
	default:
		w := mk.write()
		body = metric.AppendJSONArray(nil, w.Metrics)
		if w.Minimal {
			headers = append(headers, "Prefer", "return=minimal")
		}
		if k := keyOf(w.Mark); k != "" {
			headers = append(headers, "Idempotency-Key", k)
		}
		if mk.rng.IntN(4) == 0 {
			var b bytes.Buffer
			zw := gzip.NewWriter(&b)
			zw.Write(body) //nolint:errcheck // to memory
			zw.Close()
			return "POST", "/updates", b.Bytes(), append(headers, "Content-Encoding", "gzip")
		}
		return "POST", "/updates", body, headers
	}
}

func labelMap(ls metric.Labels) map[string]string {
	out := map[string]string{}
	for _, l := range ls {
		out[l.Name] = l.Value
	}
	return out
}

func query(ls metric.Labels) string {
	v := url.Values{}
	for _, l := range ls {
		v.Set(l.Name, l.Value)
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}

// keyOf is the header that stands for a mark.
func keyOf(m storage.Mark) string {
	if m.IsZero() {
		return ""
	}
	if name := m.Name(); name != "" {
		return fmt.Sprintf(`"%s/%d"`, name, m.Sequence)
	}
	return `"` + m.Producer + `"`
}
