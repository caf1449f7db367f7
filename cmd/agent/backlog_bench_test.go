//go:build linux

package main

import (
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/spool"
	"github.com/gometheus/gometheus/pkg/client"
)

// backlog fills a spool with about size bytes in batches as those of a report
// with default settings, 12 to an fsync, and returns how many there are.
func backlog(b *testing.B, dir string, size int) (batches int) {
	b.Helper()
	s, err := spool.Open(spool.Options{FS: vfs.Default, Dir: dir, MaxSize: 1 << 30, MaxAge: time.Hour, Log: zap.NewNop()})
	require.NoError(b, err)
	body := make([]byte, 2200) // 200 metrics as gzip
	for written := 0; written < size; {
		bs := make([]client.Batch, 12)
		for i := range bs {
			_, err := rand.Read(body)
			require.NoError(b, err)
			bs[i] = client.Batch{Body: append([]byte(nil), body...), ContentEncoding: "gzip", Count: 200}
			written += len(body)
			batches++
		}
		require.NoError(b, s.Append(bs))
	}
	require.NoError(b, s.Close())
	return batches
}

// BenchmarkBacklog starts the real agent with default settings over a spool of
// 500 MB: 20 s with the server away, then until all of it is delivered to a
// server that takes everything. It reports the most memory the agent had
// resident, how long it took to start, and how fast the backlog went.
func BenchmarkBacklog(b *testing.B) {
	const watch = 20 * time.Second
	bin := filepath.Join(b.TempDir(), "agent")
	out, err := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", bin, ".").CombinedOutput()
	require.NoError(b, err, "%s", out)

	for b.Loop() {
		dir := b.TempDir()
		batches := backlog(b, dir, 500_000_000)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		var up atomic.Bool
		var first, got, wrong atomic.Int64
		began := time.Now()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			first.CompareAndSwap(0, int64(time.Since(began)))
			if !up.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n == 0 {
				wrong.Add(1)
			}
			got.Add(1)
			w.WriteHeader(http.StatusNoContent)
		})}
		go server.Serve(l) //nolint:errcheck // it ends by Close
		cmd := exec.CommandContext(b.Context(), bin, "-a", l.Addr().String(), "-l", "error", "--spool-dir", dir)
		require.NoError(b, cmd.Start())
		<-time.After(watch)
		away := peak(b, cmd.Process.Pid)
		up.Store(true)
		back := time.Now()
		for got.Load() < int64(batches) && time.Since(back) < 10*time.Minute {
			<-time.After(10 * time.Millisecond)
		}
		took := time.Since(back)
		require.GreaterOrEqual(b, got.Load(), int64(batches))
		require.Zero(b, wrong.Load())
		b.ReportMetric(away, "MB-away")
		b.ReportMetric(peak(b, cmd.Process.Pid), "MB-resident")
		b.ReportMetric(time.Duration(first.Load()).Seconds(), "s-start")
		b.ReportMetric(float64(got.Load())/took.Seconds(), "batches/s")
		require.NoError(b, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(b, cmd.Wait())
		require.NoError(b, server.Close())
	}
}
