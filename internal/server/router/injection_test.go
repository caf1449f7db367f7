package router_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
)

// TestNothingIsInjectedIntoTheLog sends what plays with terminals and lines in
// every place a client decides on.
func TestNothingIsInjectedIntoTheLog(t *testing.T) {
	var mu sync.Mutex
	var out bytes.Buffer
	log, err := logger.New("debug", zapcore.AddSync(lockedWriter{&mu, &out}))
	require.NoError(t, err)
	evil := []string{"\x1b[2J", "\u009b31m", "a\nb\r\n{\"level\":\"error\"}", "\u202egnp", "\x7f\b", "\u2028", strings.Repeat("x", 4000)}
	good := serve(t, newHandler(memory.New(), "", log))
	bad := serve(t, newHandler(fake{err: errors.New("pq: " + strings.Join(evil, "|"))}, "", log))
	lines := 0
	for _, e := range evil {
		escaped := url.PathEscape(e)
		quoted := strings.Trim(fmt.Sprintf("%+q", e), `"`)
		for _, srv := range []*http.Server{good.Config, bad.Config} {
			to := good
			if srv == bad.Config {
				to = bad
			}
			do(t, to, "POST", "/update/counter/"+escaped+"/1?l="+url.QueryEscape(e), "")
			do(t, to, "POST", "/update/"+escaped+"/x/1", "")
			do(t, to, "POST", "/update/counter/x/"+escaped, "")
			do(t, to, "GET", "/value/gauge/"+escaped+"?"+url.QueryEscape(e)+"=1", "")
			do(t, to, "GET", "/"+escaped, "")
			do(t, to, "POST", "/updates", `[{"id":"`+strings.ReplaceAll(quoted, `\x`, `\u00`)+`","type":"counter","delta":-1}]`)
			do(t, to, "POST", "/updates", e)
			header := strings.NewReplacer("\n", "", "\r", "", "\x1b", "", "\x7f", "", "\b", "").Replace(e)
			do(t, to, "POST", "/updates", `[]`, "Idempotency-Key", header, "X-Request-Id", header, "User-Agent", header,
				"Content-Encoding", header, "Prefer", header, "Content-Type", header, "X-Forwarded-For", header, "HashSHA256", header)
			lines += 8
		}
	}
	mu.Lock()
	defer mu.Unlock()
	all := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.GreaterOrEqual(t, len(all), lines)
	for _, line := range all {
		require.True(t, strings.HasPrefix(line, `{"level":"`) && strings.HasSuffix(line, "}"), "%q", line)
		require.Less(t, len(line), 16<<10)
		require.Equal(t, 1, strings.Count(line, `{"level":"`), "%q", line)
		for _, r := range line {
			require.True(t, unicode.IsPrint(r), "%U in %q", r, line)
		}
	}
}

type lockedWriter struct {
	mu  *sync.Mutex
	out *bytes.Buffer
}

func (w lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Write(p)
}
