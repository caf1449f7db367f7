package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/server/app"
	"github.com/gometheus/gometheus/internal/server/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server that Run serves.
type running struct {
	t      testing.TB
	url    string
	cancel context.CancelFunc
	done   chan error
	logs   *observer.ObservedLogs
	client *http.Client
}

func start(t testing.TB, change func(*config.Config)) *running {
	t.Helper()
	cfg := config.Default()
	cfg.Address = "127.0.0.1:0"
	cfg.FileStoragePath = ""
	cfg.HistoryPath = filepath.Join(t.TempDir(), "history")
	change(&cfg)
	core, logs := observer.New(zapcore.DebugLevel)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: t, cancel: cancel, done: make(chan error, 1), logs: logs, client: &http.Client{Transport: &http.Transport{}}}
	go func() { r.done <- app.Run(ctx, cfg, zap.New(core), app.Signals{}) }()
	t.Cleanup(r.client.CloseIdleConnections)
	require.Eventually(t, func() bool {
		listening := logs.FilterMessage("listening").All()
		if len(listening) == 1 {
			r.url = "http://" + fmt.Sprint(listening[0].ContextMap()["address"])
		}
		return r.url != "" || len(r.done) > 0
	}, 10*time.Second, time.Millisecond)
	return r
}

func (r *running) stop() error {
	r.client.CloseIdleConnections()
	r.cancel()
	select {
	case err := <-r.done:
		return err
	case <-time.After(20 * time.Second):
		r.t.Fatal("does not stop")
		return nil
	}
}

func (r *running) post(path, body string) (int, string) {
	r.t.Helper()
	response, err := r.client.Post(r.url+path, "application/json", strings.NewReader(body))
	require.NoError(r.t, err)
	defer response.Body.Close()
	out, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	return response.StatusCode, string(out)
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	response, err := r.client.Get(r.url + path)
	require.NoError(r.t, err)
	defer response.Body.Close()
	out, err := io.ReadAll(response.Body)
	require.NoError(r.t, err)
	return response.StatusCode, string(out)
}

func TestStateSurvivesRestart(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Hour, 10 * time.Millisecond} {
		path := filepath.Join(t.TempDir(), "db.json")
		file := func(c *config.Config) { c.FileStoragePath, c.StoreInterval = path, interval }
		for i := range 3 {
			r := start(t, file)
			status, body := r.post("/updates", `[{"id":"c","type":"counter","delta":2},{"id":"g","type":"gauge","value":1.25,"labels":{"a":"b"}}]`)
			require.Equal(t, http.StatusOK, status, body)
			status, body = r.get("/value/counter/c")
			require.Equal(t, http.StatusOK, status)
			require.Equal(t, fmt.Sprint(2*(i+1)), body)
			require.NoError(t, r.stop())
		}
	}
}

func TestNoRestoreStartsEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.json")
	r := start(t, func(c *config.Config) { c.FileStoragePath = path })
	r.post("/update", `{"id":"c","type":"counter","delta":2}`)
	require.NoError(t, r.stop())
	r = start(t, func(c *config.Config) { c.FileStoragePath, c.Restore = path, false })
	status, _ := r.get("/value/counter/c")
	require.Equal(t, http.StatusNotFound, status)
	require.NoError(t, r.stop())
	require.FileExists(t, path+".bak")
}

// TestRequestInFlightFinishes: a request whose body is still on its way when the
// server is told to stop gets its answer, and its effect is saved.
func TestRequestInFlightFinishes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.json")
	file := func(c *config.Config) { c.FileStoragePath = path }
	r := start(t, file)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	body := `{"id":"late","type":"counter","delta":7}`
	_, err = fmt.Fprintf(conn, "POST /update HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:5])
	require.NoError(t, err)
	r.get("/ping") // a round trip: the server has seen the first half
	r.cancel()
	require.Eventually(t, func() bool { return r.logs.FilterMessage("stopping").Len() == 1 }, 10*time.Second, time.Millisecond)
	_, err = io.WriteString(conn, body[5:])
	require.NoError(t, err)
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Contains(t, string(answer), "HTTP/1.1 200 OK")
	require.NoError(t, r.stop())
	r = start(t, file)
	_, got := r.get("/value/counter/late")
	require.Equal(t, "7", got)
	require.NoError(t, r.stop())
}

func TestWrongSettingsFailAtOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	dir := t.TempDir()
	for says, change := range map[string]func(*config.Config){
		"listen on ADDRESS " + taken.Addr().String(): func(c *config.Config) { c.Address = taken.Addr().String() },
		"is a directory": func(c *config.Config) { c.FileStoragePath = dir },
	} {
		require.ErrorContains(t, start(t, change).stop(), says)
	}
}

// TestSecretsStayOutOfTheLog runs with a key at debug level and looks for it in
// everything that is logged and answered.
func TestSecretsStayOutOfTheLog(t *testing.T) {
	const key = "correct-horse-battery-staple"
	r := start(t, func(c *config.Config) { c.Key = key })
	status, body := r.post("/update", `{"id":"c","type":"counter","delta":2}`)
	require.Equal(t, http.StatusBadRequest, status)
	require.NotContains(t, body, key)
	r.get("/")
	require.NoError(t, r.stop())
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	var all bytes.Buffer
	for _, e := range r.logs.All() {
		line, err := enc.EncodeEntry(e.Entry, e.Context)
		require.NoError(t, err)
		all.Write(line.Bytes())
	}
	require.NotEmpty(t, all.Bytes())
	require.NotContains(t, all.String(), key)
}
