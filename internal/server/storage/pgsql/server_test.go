package pgsql_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql/pgtest"
)

// process is a gometheus server, built and started, on a port that stays the
// same when it is started again.
type process struct {
	binary, address, dsn string
	log                  *os.File
	cmd                  *exec.Cmd
}

var client = &http.Client{
	Timeout:   30 * time.Second,
	Transport: &http.Transport{MaxIdleConnsPerHost: 64},
}

func build(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "server")
	out, err := exec.Command("go", "build", "-o", binary, "github.com/gometheus/gometheus/cmd/server").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

func newProcess(t testing.TB, binary, dsn string) *process {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &process{binary: binary, address: listener.Addr().String(), dsn: dsn}
	require.NoError(t, listener.Close())
	p.log, err = os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	p.start(t)
	t.Cleanup(func() {
		client.CloseIdleConnections()
		p.kill()
		p.log.Close()
		if t.Failed() {
			text, _ := os.ReadFile(p.log.Name())
			t.Logf("the end of the log of %s:\n%s", p.address, text[max(0, len(text)-2000):])
		}
	})
	return p
}

func (p *process) start(t testing.TB) {
	t.Helper()
	p.cmd = exec.Command(p.binary)
	p.cmd.Env = []string{"ADDRESS=" + p.address, "DATABASE_DSN=" + p.dsn, "DATABASE_MAX_CONNS=8", "HISTORY=false"}
	p.cmd.Dir = filepath.Dir(p.binary)
	p.cmd.Stderr = p.log
	require.NoError(t, p.cmd.Start())
	require.Eventually(t, func() bool { status, _ := p.get("/ping"); return status == http.StatusOK }, time.Minute, 5*time.Millisecond)
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // unless it has ended
	_ = p.cmd.Wait()         // it was killed
}

func (p *process) get(path string) (status int, body string) {
	r, err := client.Get("http://" + p.address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(text)
}

// send posts a batch. Whatever isn't a 2xx may be sent again, but a 4xx.
func (p *process) send(ctx context.Context, w *storage.Write) error {
	for i := range w.Metrics {
		w.Metrics[i].Timestamp = 0
	}
	body := metric.AppendJSONArray(nil, w.Metrics)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+"/updates", bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Prefer", "return=minimal")
	r.Header.Set("Idempotency-Key", fmt.Sprintf("%q", fmt.Sprintf("%s/%d", w.Mark.Producer, w.Mark.Sequence)))
	response, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	case response.StatusCode >= 500:
		return fmt.Errorf("%w: %s: %s", storage.ErrUnavailable, response.Status, text)
	case response.StatusCode != http.StatusNoContent:
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	return nil
}

// TestServersKilled runs two servers on one database, kills one of them again and
// again under load, and the database now and then too. Writers go to the other
// server when theirs doesn't answer.
func TestServersKilled(t *testing.T) {
	dsn := server.Database(t)
	binary := build(t)
	servers := []*process{newProcess(t, binary, dsn), newProcess(t, binary, dsn)}
	var mu sync.Mutex
	turns := map[int]int{}
	l := &load{
		writers: 12, size: 20, series: 50,
		send: func(ctx context.Context, writer int, w *storage.Write) error {
			mu.Lock()
			turn := turns[writer]
			mu.Unlock()
			err := servers[(writer+turn)%2].send(ctx, w)
			if err != nil {
				mu.Lock()
				turns[writer]++
				mu.Unlock()
			}
			return err
		},
	}
	l.start(t)
	for i := range pick(4, 200) {
		l.progress(t, 20)
		victim := servers[i%2]
		victim.kill()
		if i%20 == 3 && server.CanRestart() {
			server.Restart(t, pgtest.Immediate)
		}
		l.progress(t, 20)
		victim.start(t)
	}
	l.end(t, dsn)
	_, one := servers[0].get("/value/counter/load")
	_, two := servers[1].get("/value/counter/load")
	require.Equal(t, one, two)
	require.Equal(t, fmt.Sprint(l.batched.Load()*int64(l.size)), one)
}

// TestServerWithoutDatabase: what a client sees while the database is away.
func TestServerWithoutDatabase(t *testing.T) {
	needRestart(t)
	p := newProcess(t, build(t), server.Database(t))
	post := func() *http.Response {
		r, err := client.Post("http://"+p.address+"/update/counter/c/1", "", nil)
		require.NoError(t, err)
		r.Body.Close()
		return r
	}
	require.Equal(t, http.StatusOK, post().StatusCode)
	halt(t, pgtest.Fast)
	status, _ := p.get("/ping")
	require.Equal(t, http.StatusInternalServerError, status)
	r := post()
	require.Equal(t, http.StatusServiceUnavailable, r.StatusCode)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	for _, path := range []string{"/value/counter/c", "/"} {
		status, body := p.get(path)
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.NotContains(t, body, "pgtest", "what is inside stays inside")
	}
	server.Resume(t)
	require.Eventually(t, func() bool { status, _ := p.get("/ping"); return status == http.StatusOK }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, post().StatusCode)
	_, body := p.get("/value/counter/c")
	require.Equal(t, "2", body)
	_, body = p.get("/")
	require.Contains(t, body, ">c<")
	text, err := os.ReadFile(p.log.Name())
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), `"the database is away"`))
	require.Equal(t, 1, strings.Count(string(text), `"the database is back"`))
}
