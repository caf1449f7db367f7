package app_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/app"
	"github.com/gometheus/gometheus/internal/agent/config"
)

// TestCheck: what is wrong is said in plain words. The rest of it is tried with a
// real server, in internal/agenttest.
func TestCheck(t *testing.T) {
	answer := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body)) // a HEAD has none
		}
	}
	const problem = "application/problem+json"
	at := func(offset time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(offset).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusNoContent)
		}
	}
	closed := httptest.NewServer(nil)
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	secure := httptest.NewUnstartedServer(at(0))
	secure.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	secure.StartTLS()
	defer secure.Close()

	for name, tt := range map[string]struct {
		handler http.HandlerFunc
		address string
		key     string
		wants   []string
	}{
		"well":             {handler: at(0), wants: []string{"ok    push", "ok    history", "they are not signed", "ok    clock      agrees"}},
		"clock far ahead":  {handler: at(-time.Hour), wants: []string{"WRONG clock", "ahead of the server's"}},
		"clock far behind": {handler: at(time.Hour), wants: []string{"WRONG clock", "behind the server's"}},
		"clock a bit off":  {handler: at(time.Minute), wants: []string{"ok    clock", "behind the server's"}},
		"nobody listens":   {address: closed.URL, wants: []string{"WRONG server", "nothing listens there"}},
		"no such name":     {address: "http://nobody.invalid:1", wants: []string{"WRONG server"}},
		"TLS, unknown":     {address: secure.URL, wants: []string{"WRONG server", "TLS_CA"}},
		"TLS, not asked":   {address: strings.Replace(secure.URL, "https", "http", 1), wants: []string{"WRONG server"}},
		"plain, asked TLS": {handler: at(0), address: "https", wants: []string{"WRONG server", "use http:// in ADDRESS"}},
		"another site":     {handler: answer(404, "text/html", "<h1>no"), wants: []string{"WRONG server", "WRONG push", "no gometheus server"}},
		"password":         {handler: answer(401, "text/plain", "no"), wants: []string{"WRONG push", "BASIC_AUTH_USER"}},
		"address":          {handler: answer(403, problem, `{"code":"invalid","detail":"no"}`), wants: []string{"WRONG push", "TRUSTED_SUBNET"}},
		"unsigned":         {handler: answer(400, problem, `{"code":"signature","detail":"no"}`), wants: []string{"WRONG push", "KEY must be the same"}},
		"storage away":     {handler: answer(500, problem, `{"code":"internal"}`), wants: []string{"WRONG server", "its storage can take no writes"}},
		"elsewhere":        {handler: answer(301, "text/plain", ""), wants: []string{"WRONG push", "sends elsewhere"}},
		"no history": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/api/v1/write" {
					answer(404, problem, `{"code":"no_history","detail":"none"}`)(w, r)
					return
				}
				at(0)(w, r)
			},
			wants: []string{"ok    push", "WRONG history", "HISTORY=false"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config.Default()
			cfg.Address = tt.address
			cfg.Collect.Collectors = []string{config.Node}
			if tt.handler != nil {
				hs := httptest.NewServer(tt.handler)
				defer hs.Close()
				cfg.Address = hs.URL
				if tt.address != "" {
					cfg.Address = strings.Replace(hs.URL, "http", tt.address, 1)
				}
			}
			var out bytes.Buffer
			ok, err := app.Check(t.Context(), cfg, &out, app.Options{})
			require.NoError(t, err)
			wrong := false
			for _, want := range tt.wants {
				require.Contains(t, out.String(), want)
				wrong = wrong || strings.HasPrefix(want, "WRONG")
			}
			require.Equal(t, !wrong, ok, out.String())
			require.Equal(t, wrong, strings.Contains(out.String(), "WRONG"))
		})
	}

	t.Run("no answer", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		cfg := config.Default()
		cfg.Address = silent.Addr().String()
		var out bytes.Buffer
		ok, err := app.Check(ctx, cfg, &out, app.Options{})
		require.NoError(t, err)
		require.False(t, ok)
		require.Contains(t, out.String(), "no answer in time")
	})
}
