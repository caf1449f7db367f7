package health_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m health.Monitor
		require.NoError(t, m.Check())
		poll, send := m.Loop("poll"), m.Loop("send")
		time.Sleep(time.Hour)
		require.NoError(t, m.Check(), "both wait")

		poll.Within(time.Minute)
		time.Sleep(time.Minute)
		require.NoError(t, m.Check(), "not over")
		time.Sleep(time.Second)
		require.EqualError(t, m.Check(), "poll hangs: overdue for 1s")

		poll.Within(time.Minute)
		send.Within(time.Second)
		require.NoError(t, m.Check())
		time.Sleep(2 * time.Second)
		require.EqualError(t, m.Check(), "send hangs: overdue for 1s")
		send.Waits()
		require.NoError(t, m.Check())
		send.Within(time.Second)
		time.Sleep(time.Hour)
		send.End()
		require.ErrorContains(t, m.Check(), "poll hangs")
		poll.End()
		require.NoError(t, m.Check())
	})
}

// TestKeep: the file is there and young while the check is fine, gets old while
// it isn't, and is gone when the program has stopped.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "health")
		core, logs := observer.New(zapcore.WarnLevel)
		ctx, cancel := context.WithCancel(t.Context())
		var sick atomic.Bool
		var checks int
		done := make(chan struct{})
		go func() {
			defer close(done)
			health.Keep(ctx, path, zap.New(core), func() (string, error) {
				checks++
				if sick.Load() {
					return "", errors.New("poll hangs")
				}
				return "all well", nil
			})
		}()
		synctest.Wait()
		text, err := health.Read(path, time.Now())
		require.NoError(t, err)
		require.Equal(t, "all well", text)

		require.NoError(t, os.Remove(path))
		time.Sleep(health.Every)
		synctest.Wait()
		require.FileExists(t, path, "written again")

		sick.Store(true)
		require.NoError(t, os.Remove(path))
		time.Sleep(10 * health.Every)
		synctest.Wait()
		require.NoFileExists(t, path, "a sick program leaves no sign of life")
		require.Equal(t, 1, logs.FilterMessage("the health file is not written").Len(), "said once")

		sick.Store(false)
		time.Sleep(health.Every)
		synctest.Wait()
		require.FileExists(t, path)
		cancel()
		<-done
		require.NoFileExists(t, path)
		require.Equal(t, 13, checks)
		left, err := os.ReadDir(filepath.Dir(path))
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "health")
	_, err := health.Read(path, time.Now())
	require.ErrorContains(t, err, "is not there")
	require.NoError(t, os.WriteFile(path, []byte("x\n"), 0o600))
	now := time.Now()
	require.NoError(t, os.Chtimes(path, now, now))
	text, err := health.Read(path, now.Add(health.MaxAge-time.Second))
	require.NoError(t, err)
	require.Equal(t, "x", text)
	_, err = health.Read(path, now.Add(health.MaxAge+time.Second))
	require.ErrorContains(t, err, "16s old")
}

// TestKeepWithoutFolder: what can't be written is logged, and tried again.
func TestKeepWithoutFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "later")
		core, logs := observer.New(zapcore.WarnLevel)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			health.Keep(ctx, filepath.Join(dir, "health"), zap.New(core), func() (string, error) { return "", nil })
		}()
		synctest.Wait()
		require.Equal(t, 1, logs.Len())
		require.NoError(t, os.Mkdir(dir, 0o750))
		time.Sleep(health.Every)
		synctest.Wait()
		require.FileExists(t, filepath.Join(dir, "health"))
		cancel()
		<-done
		require.Equal(t, 1, logs.Len())
	})
}
