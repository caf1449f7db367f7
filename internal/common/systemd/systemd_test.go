//go:build unix

package systemd_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/systemd"
	"github.com/gometheus/gometheus/internal/common/systemd/systemdtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func env(vars ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, v := range vars {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

// run runs the notifier until the test's end or stop.
func run(t *testing.T, n systemd.Notifier, log *zap.Logger, check func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.Run(ctx, log, "doing well", check)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func TestReadyAndStopping(t *testing.T) {
	m := systemdtest.Listen(t)
	stop := run(t, systemd.New(env(m.Env()...), 1), zap.NewNop(), nil)
	m.Await("READY=1\nSTATUS=doing well")
	stop()
	m.Await("STOPPING=1\nSTATUS=stopping")
}

func TestAbstractSocket(t *testing.T) {
	name := systemdtest.Abstract(t)
	if name == "" {
		t.Skip("abstract sockets are Linux's")
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, systemd.New(env("NOTIFY_SOCKET="+name), 1).Tell("READY=1"))
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "READY=1", string(buf[:n]))
}

// TestWatchdogFollowsTheCheck: pings come while the check is fine, none comes
// while it isn't, and they come again.
func TestWatchdogFollowsTheCheck(t *testing.T) {
	m := systemdtest.Listen(t)
	core, logs := observer.New(zapcore.DebugLevel)
	var sick atomic.Bool
	var asked atomic.Int64
	run(t, systemd.New(env(m.Env("WATCHDOG_USEC=20000", "WATCHDOG_PID=7")...), 7), zap.New(core), func(ctx context.Context) error {
		asked.Add(1)
		deadline, bounded := ctx.Deadline()
		if !bounded || time.Until(deadline) > 5*time.Millisecond {
			return errors.New("the check has no bound")
		}
		if sick.Load() {
			return errors.New("a loop is stuck")
		}
		return nil
	})
	m.Await("WATCHDOG=1")
	m.Await("WATCHDOG=1")
	sick.Store(true)
	m.Quiet(func() bool { return logs.FilterMessage("systemd's watchdog gets no sign of life").Len() == 1 })
	before := asked.Load()
	require.Eventually(t, func() bool { return asked.Load() > before+5 }, 10*time.Second, time.Millisecond)
	require.Empty(t, m.Heard(), "it is told that a sick process lives")
	require.Equal(t, 1, logs.Len(), "said once")
	sick.Store(false)
	m.Await("WATCHDOG=1")
}

func TestHangingCheckIsSilence(t *testing.T) {
	m := systemdtest.Listen(t)
	hangs, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	run(t, systemd.New(env(m.Env("WATCHDOG_USEC=4000")...), 1), zap.NewNop(), func(ctx context.Context) error {
		once.Do(func() { close(hangs) })
		<-ctx.Done()
		<-release
		return nil
	})
	m.Await("READY=1\nSTATUS=doing well")
	<-hangs
	<-time.After(20 * time.Millisecond) // five intervals
	require.Empty(t, m.Heard())
	close(release)
	m.Await("WATCHDOG=1")
}

func TestNobodyListens(t *testing.T) {
	for _, n := range []systemd.Notifier{{}, systemd.New(env("WATCHDOG_USEC=1000"), 1), systemd.New(env("NOTIFY_SOCKET="), 1)} {
		require.NoError(t, n.Tell("READY=1"))
		n.Run(context.Background(), zap.NewNop(), "", nil) // returns
	}
	// A socket that is gone is logged and stops nothing.
	core, logs := observer.New(zapcore.WarnLevel)
	stop := run(t, systemd.New(env("NOTIFY_SOCKET="+filepath.Join(t.TempDir(), "none")), 1), zap.New(core), nil)
	require.Eventually(t, func() bool { return logs.Len() == 1 }, 10*time.Second, time.Millisecond)
	stop()
	require.Equal(t, 2, logs.Len())
}

// TestWatchdogOfAnother: what is meant for the parent, or is no number, is no
// watchdog of this process.
func TestWatchdogOfAnother(t *testing.T) {
	for _, vars := range [][]string{
		{"WATCHDOG_USEC=1000", "WATCHDOG_PID=2"}, {"WATCHDOG_USEC=soon"}, {"WATCHDOG_USEC=-5"}, {"WATCHDOG_USEC=99999999999999999999"}, {},
	} {
		m := systemdtest.Listen(t)
		stop := run(t, systemd.New(env(m.Env(vars...)...), 1), zap.NewNop(), func(context.Context) error {
			t.Error("asked")
			return nil
		})
		m.Await("READY=1\nSTATUS=doing well")
		<-time.After(5 * time.Millisecond)
		stop()
	}
}
