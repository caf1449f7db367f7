package pprof_test

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/pprof"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a Run under test.
type service struct {
	t        *testing.T
	cpu, mem chan os.Signal
	logs     *observer.ObservedLogs
	stop     func()
}

func run(t *testing.T, cfg pprof.Config) *service {
	core, logs := observer.New(zap.DebugLevel)
	s := &service{t: t, cpu: make(chan os.Signal), mem: make(chan os.Signal), logs: logs}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- pprof.Run(ctx, cfg, s.cpu, s.mem, zap.New(core)) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(s.stop)
	return s
}

// logged waits for n entries with the message and returns the last one's path.
func (s *service) logged(message string, n int) string {
	s.t.Helper()
	entries := func() []observer.LoggedEntry { return s.logs.FilterMessage(message).All() }
	require.Eventually(s.t, func() bool { return len(entries()) >= n }, 10*time.Second, time.Millisecond, message)
	require.Len(s.t, entries(), n)
	return entries()[n-1].ContextMap()["path"].(string)
}

func requireProfile(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	_, err = profile.Parse(f)
	require.NoError(t, err)
}

func TestHeapProfileWhileACPUProfileRuns(t *testing.T) {
	dir := t.TempDir()
	cfg := pprof.Config{CPUFile: filepath.Join(dir, "cpu"), CPUDuration: time.Hour, MemFile: filepath.Join(dir, "mem")}
	s := run(t, cfg)

	s.cpu <- syscall.SIGUSR1
	s.logged("profile started", 1)
	s.mem <- syscall.SIGUSR2
	require.Equal(t, cfg.MemFile, s.logged("profile written", 1))
	requireProfile(t, cfg.MemFile)

	s.cpu <- syscall.SIGUSR1
	s.logged("profile skipped: one is running", 1)
	require.NoFileExists(t, cfg.CPUFile)

	s.stop()
	requireProfile(t, cfg.CPUFile) // at once: it is written before Run returns
	require.Equal(t, cfg.CPUFile, s.logged("profile written", 2))
}

func TestCPUProfilesOneAfterAnother(t *testing.T) {
	cfg := pprof.Config{CPUFile: filepath.Join(t.TempDir(), "cpu"), CPUDuration: time.Millisecond}
	s := run(t, cfg)
	for i := range 2 {
		s.cpu <- syscall.SIGUSR1
		require.Equal(t, cfg.CPUFile, s.logged("profile written", i+1))
		requireProfile(t, cfg.CPUFile)
	}
}

func TestAnErrorStopsNothing(t *testing.T) {
	dir := t.TempDir()
	cfg := pprof.Config{CPUFile: filepath.Join(dir, "no", "cpu"), CPUDuration: time.Hour, MemFile: filepath.Join(dir, "mem")}
	s := run(t, cfg)
	s.cpu <- syscall.SIGUSR1
	require.Equal(t, cfg.CPUFile, s.logged("profile not written", 1))
	s.mem <- syscall.SIGUSR2
	s.logged("profile written", 1)
}

func TestNoFileMeansOff(t *testing.T) {
	s := run(t, pprof.Config{CPUDuration: time.Hour})
	s.cpu <- syscall.SIGUSR1
	s.mem <- syscall.SIGUSR2
	s.logged("profile skipped: it has no file", 2)
}

func TestClosedChannelsAskForNothing(t *testing.T) {
	s := run(t, pprof.Config{})
	close(s.cpu)
	s.mem <- syscall.SIGUSR2
	close(s.mem)
	s.stop()
	s.logged("profile skipped: it has no file", 1)
}
