package app_test

import (
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/app"
	"github.com/gometheus/gometheus/internal/agent/config"
)

// TestHealthOfLoops: an agent whose server is away for a day, and whose buffer and
// outbox are full, is well; one whose poll loop hangs is not, and says which.
func TestHealthOfLoops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "health")
		there := func() bool {
			synctest.Wait()
			_, err := os.Stat(file)
			return err == nil
		}
		s := newServer(t)
		var away atomic.Bool
		s.answer = func(try) reply {
			if away.Load() {
				return reply{status: http.StatusServiceUnavailable}
			}
			return reply{status: http.StatusNoContent}
		}
		hang := make(chan struct{})
		var hanging atomic.Bool
		r := start(t, s, func(cfg *config.Config, o *app.Options) {
			cfg.HealthFile, cfg.RateLimit, o.BufferSize = file, 2, 100
			o.Wall = func() time.Time {
				if hanging.Load() {
					<-hang
				}
				return time.Now()
			}
		}, &counting{n: 3})
		require.True(t, there())
		text, err := app.Healthcheck(config.Config{HealthFile: file})
		require.NoError(t, err)
		require.Equal(t, "collecting and sending", text)

		away.Store(true)
		for range 2 {
			require.NoError(t, os.Remove(file))
			time.Sleep(time.Hour) // fake time
			require.True(t, there(), "a server that is away makes no agent sick")
		}
		text, err = app.Healthcheck(config.Config{HealthFile: file})
		require.NoError(t, err)
		require.Contains(t, text, "the server takes no batches, for 1h")

		hanging.Store(true)
		time.Sleep(2*time.Second + 29*time.Second)
		require.NoError(t, os.Remove(file))
		time.Sleep(10 * time.Second)
		require.False(t, there(), "the poll loop hangs")
		require.Contains(t, r.said(), "the health file is not written")
		away.Store(false)
		hanging.Store(false)
		close(hang)
		time.Sleep(time.Minute)
		require.True(t, there(), "it goes on")
		r.end()
		require.False(t, there(), "stopped")
	})
}
