package app_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/app"
	"github.com/gometheus/gometheus/internal/server/config"
)

// TestHealthcheck asks servers in every state a real one can be in; plain HTTP to
// a real one is asked for in cmd/server.
func TestHealthcheck(t *testing.T) {
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/ping" || r.Method != http.MethodGet {
				status = http.StatusNotFound
			}
			w.WriteHeader(status)
			w.Write([]byte(text)) //nolint:errcheck // the client is there
		}
	}
	for _, c := range []struct {
		name    string
		handler http.Handler
		tls     *tls.Config
		healthy bool
		text    string
	}{
		{"well", says(200, "OK\n"), nil, true, "OK"},
		{"storage away", says(500, "the storage does not answer"), nil, false, "/ping answers 500: the storage does not answer"},
		{"something else listens", says(404, ""), nil, false, "/ping answers 404: Not Found"},
		{"wants a password", says(401, ""), nil, true, "who asks"},
		{"TLS", says(200, "OK\n"), &tls.Config{}, true, "OK"},
		{"TLS, storage away", says(500, "x"), &tls.Config{}, false, "/ping answers 500: x"},
		{"TLS with client certificates", says(200, "OK\n"), &tls.Config{ClientAuth: tls.RequireAnyClientCert}, true, "client certificate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(c.handler)
			server.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
			if c.tls != nil {
				server.TLS = c.tls
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			_, address, _ := strings.Cut(server.URL, "://")
			text, err := app.Healthcheck(t.Context(), config.Config{Address: address})
			if c.healthy {
				require.NoError(t, err)
				require.Contains(t, text, c.text)
				return
			}
			require.EqualError(t, err, c.text)
		})
	}
}

func TestHealthcheckGivesUp(t *testing.T) {
	_, err := app.Healthcheck(t.Context(), config.Config{Address: "127.0.0.1:0"})
	require.ErrorContains(t, err, "no port to ask at")

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer server.Close()
	_, err = app.Healthcheck(ctx, config.Config{Address: strings.TrimPrefix(server.URL, "http://")})
	require.ErrorContains(t, err, "deadline exceeded")
}
