package gometheus_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBackup copies the state of a server that takes writes and often snapshots,
// again and again, and starts another one on each copy: all that was acknowledged
// before is there, nothing that was never sent, and the marks belong to it.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "server")
	out, err := exec.Command("go", "build", "-o", binary, "./cmd/server").CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, interval := range []string{"150ms", "0"} {
		state := filepath.Join(dir, "state-"+interval, "metrics.json")
		address := serve(t, binary, state, interval)
		const writers = 4
		var sent, acked [writers]atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for ctx.Err() == nil {
					n := sent[w].Add(1)
					if status, _ := push(t, address, w, interval, n); status != http.StatusOK {
						t.Errorf("push %d of writer %d: %d", n, w, status)
						return
					}
					acked[w].Store(n)
				}
			})
		}
		for i := range 3 {
			var least [writers]int64
			for w := range writers {
				require.Eventually(t, func() bool { return acked[w].Load() > int64(10*i) }, 20*time.Second, time.Millisecond)
				least[w] = acked[w].Load()
			}
			backup := filepath.Join(dir, fmt.Sprintf("backup-%s-%d", interval, i))
			out, err := exec.Command("scripts/backup", state, backup).CombinedOutput()
			require.NoError(t, err, "%s", out)
			var most [writers]int64
			for w := range writers {
				most[w] = sent[w].Load()
			}
			t.Run(fmt.Sprintf("%s/%d", interval, i), func(t *testing.T) {
				restored := serve(t, binary, filepath.Join(backup, "metrics.json"), "300")
				for w := range writers {
					got := total(t, restored, w, interval)
					require.GreaterOrEqual(t, got, least[w], "acknowledged before the backup")
					require.LessOrEqual(t, got, most[w], "sent before its end")
					for n := int64(1); n <= most[w]; n++ {
						status, replayed := push(t, restored, w, interval, n)
						require.Equal(t, http.StatusOK, status)
						require.Equal(t, n <= got, replayed, "batch %d of %d", n, got)
					}
					require.Equal(t, most[w], total(t, restored, w, interval))
				}
			})
		}
		cancel()
		wg.Wait()
	}
	out, err = exec.Command("scripts/backup", filepath.Join(dir, "none.json"), filepath.Join(dir, "none")).CombinedOutput()
	require.Error(t, err, "%s", out)
	require.NoDirExists(t, filepath.Join(dir, "none"))
}

// target is a server that runs.
type target struct {
	address string
	client  *http.Client
}

// serve runs the server on a free port until the end of the test.
func serve(t *testing.T, binary, state, interval string) (s target) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	s = target{address, &http.Client{Timeout: 20 * time.Second, Transport: new(http.Transport)}}
	var log bytes.Buffer
	cmd := exec.Command(binary, "--address", address, "--file-storage-path", state, "--store-interval", interval,
		"--history-path", t.TempDir())
	cmd.Stderr = &log // complete, and ours, when it has ended
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		s.client.CloseIdleConnections()         // stopping waits for those that were never used
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("the server ended: %v\n%s", err, &log)
		}
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		return err == nil && conn.Close() == nil
	}, 20*time.Second, 5*time.Millisecond)
	return s
}

// push sends batch n of a writer, an increment of 1.
func push(t *testing.T, s target, writer int, run string, n int64) (status int, replayed bool) {
	url := fmt.Sprintf("http://%s/update/counter/pushes-%s-%d/1", s.address, run, writer)
	request, err := http.NewRequest(http.MethodPost, url, http.NoBody)
	if err == nil {
		request.Header.Set("Idempotency-Key", fmt.Sprintf(`"writer-%s-%d/%d"`, run, writer, n))
		var response *http.Response
		if response, err = s.client.Do(request); err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			status, replayed = response.StatusCode, response.Header.Get("Idempotency-Replayed") == "true"
			response.Body.Close()
		}
	}
	if err != nil {
		t.Error(err)
	}
	return status, replayed
}

func total(t *testing.T, s target, writer int, run string) int64 {
	t.Helper()
	response, err := s.client.Get(fmt.Sprintf("http://%s/value/counter/pushes-%s-%d", s.address, run, writer))
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	require.NoError(t, err, "%s", text)
	return n
}
