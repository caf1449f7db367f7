// Package systemdtest is the other end of the notification socket: a service
// manager that writes down what it is told.
package systemdtest

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Manager hears what a process tells.
type Manager struct {
	t      *testing.T
	socket string

	mu    sync.Mutex
	heard []string
}

// Listen opens a notification socket until the end of the test.
func Listen(t *testing.T) *Manager {
	t.Helper()
	// The path of a socket has 104 bytes at most, which t.TempDir may exceed.
	dir, err := os.MkdirTemp("", "notify") //nolint:usetesting // see above
	require.NoError(t, err)
	m := &Manager{t: t, socket: filepath.Join(dir, "socket")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.heard = append(m.heard, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		<-done
		require.NoError(t, os.RemoveAll(dir))
	})
	return m
}

// Env is the variables that name the socket, and more.
func (m *Manager) Env(more ...string) []string {
	return append([]string{"NOTIFY_SOCKET=" + m.socket}, more...)
}

// Heard is what was told since the last Await or Quiet.
func (m *Manager) Heard() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.heard)
}

// Await waits for the message and forgets it and what came before.
func (m *Manager) Await(message string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		i := slices.IndexFunc(m.heard, func(s string) bool { return s == message || strings.HasPrefix(s, message+"\n") })
		if i < 0 {
			return false
		}
		m.heard = slices.Delete(m.heard, 0, i+1)
		return true
	}, 10*time.Second, time.Millisecond, "%q not among what was told", message)
}

// Quiet waits for the condition and forgets all that was told until then.
func (m *Manager) Quiet(condition func() bool) {
	m.t.Helper()
	require.Eventually(m.t, condition, 10*time.Second, time.Millisecond)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = nil
}

// Abstract is the name of a socket outside the file system; empty where there are
// none.
func Abstract(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return ""
	}
	return "@gometheus-" + strconv.Itoa(os.Getpid()) + "-" + strings.ReplaceAll(t.Name(), "/", "-")
}
