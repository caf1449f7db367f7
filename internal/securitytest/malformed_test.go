package securitytest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire is the request as it is sent, signed if there is a key: what is malformed
// must be refused though its sender knows the key.
func (m malformed) wire(key string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", m.method, m.target)
	signed := false
	for i := 0; i+1 < len(m.headers); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", m.headers[i], m.headers[i+1])
		signed = signed || m.headers[i] == "HashSHA256"
	}
	if key != "" && !signed {
		sum := hash(key, []byte(m.body))
		if m.body == "" {
			sum = hash(key, []byte(m.method+" "+m.target))
		}
		fmt.Fprintf(&b, "HashSHA256: %s\r\n", sum)
	}
	if m.method == "POST" || m.body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(m.body))
	}
	b.WriteString("\r\n" + m.body)
	return b.String()
}

// state is all that clients can see of what is stored.
func (s *server) state() string {
	s.t.Helper()
	all := ""
	for _, path := range []string{
		"/", "/federate?match[]=" + `{__name__=~".%2B"}`, "/api/v1/series?match[]=" + `{__name__=~".%2B"}`, "/api/v1/labels", "/api/v1/metadata",
	} {
		got := s.do("GET", path, nil)
		require.Equal(s.t, 200, got.status, got.body)
		body := got.body
		if path == "/" { // the rest of the page says what time it is
			_, body, _ = strings.Cut(body, `<table class="series">`)
			_, body, _ = strings.Cut(body, "<tbody>")
			body, _, _ = strings.Cut(body, "</tbody>")
		}
		require.NotEmpty(s.t, body, path)
		all += body + "\n"
	}
	return all
}

// TestMalformed: whatever is wrong with a request, on whatever route, the server
// says that it is the client's fault, and nothing has changed.
func TestMalformed(t *testing.T) {
	for _, key := range []string{"", "correct horse"} {
		t.Run("key="+key, func(t *testing.T) {
			s := start(t, "KEY="+key, "LOG_LEVEL=debug")
			seed := []byte(`[{"id":"warm1","type":"counter","delta":7},{"id":"x","type":"gauge","value":1,"labels":{"a":"b"},"timestamp":1700000000000}]`)
			require.Equal(t, 200, s.do("POST", "/updates", seed, "HashSHA256", hash(key, seed)).status)
			before := s.state()
			var sent []string
			check := func() {
				t.Helper()
				if after := s.state(); after != before && !t.Failed() {
					t.Fatalf("the state changed by one of\n%.20000q\nfrom\n%.3000s\nto\n%.3000s", sent, before, after)
				}
				sent = sent[:0]
			}
			n := 0
			try := func(request string, allowed func(status string) bool) {
				t.Helper()
				n++
				sent = append(sent, fmt.Sprintf("%.300s", request))
				out, err := s.raw(request)
				if err != nil && len(request) > 64<<10 {
					return // refused before all of it was sent: a reset may overtake the answer
				}
				require.NoError(t, err, "%.300q", request)
				require.True(t, strings.HasPrefix(out, "HTTP/1.1 "), "%.300q: %.300q", request, out)
				status := out[9:12]
				if !allowed(status) {
					t.Errorf("%.300q was answered %.600q", request, out)
				}
				method, _, _ := strings.Cut(request, " ")
				if res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(out)), &http.Request{Method: method}); err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					require.NoError(t, err)
				} else {
					t.Errorf("%.300q: the answer is not HTTP: %v", request, err)
				}
				if len(sent) == 50 {
					check()
				}
			}
			refused := func(status string) bool { return status[0] == '4' }
			for _, m := range corpus(t) {
				try(m.wire(key), refused)
			}
			for _, request := range wireCorpus() {
				try(request, refused)
			}
			for _, o := range own {
				try(o.wire(key), func(status string) bool { return status == o.status })
			}
			check()
			require.GreaterOrEqual(t, n, 500)
			log := string(s.log())
			require.Contains(t, log, `\u001b[2J`, "what is hostile did not get into the log, so nothing was shown")
			t.Logf("%d malformed requests, %d lines of log", n, strings.Count(log, "\n"))
		})
	}
}
