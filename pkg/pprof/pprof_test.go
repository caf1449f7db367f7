package pprof_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	runtimepprof "runtime/pprof"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/pkg/pprof"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parse reads a profile that must be complete, 0600, and the only file in its
// folder.
func parse(t *testing.T, path string) *profile.Profile {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	p, err := profile.Parse(f)
	require.NoError(t, err)
	info, err := f.Stat()
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode())
	require.Equal(t, []string{filepath.Base(path)}, files(t, filepath.Dir(path)))
	return p
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestCPUForTheDuration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.pprof")
	start := time.Now()
	require.NoError(t, pprof.CPU(t.Context(), path, 50*time.Millisecond))
	require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
	p := parse(t, path)
	require.Equal(t, "cpu", p.PeriodType.Type)
}

func TestCPUUntilTheContextEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.pprof")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.NoError(t, pprof.CPU(ctx, path, time.Hour))
	require.Equal(t, "cpu", parse(t, path).PeriodType.Type)
}

func TestOneCPUProfileAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cpu.pprof")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o600))
	require.NoError(t, runtimepprof.StartCPUProfile(io.Discard))
	err := pprof.CPU(t.Context(), path, time.Hour)
	runtimepprof.StopCPUProfile()
	require.ErrorIs(t, err, pprof.ErrRunning)
	require.Equal(t, []string{"cpu.pprof"}, files(t, filepath.Dir(path)))
	old, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "old", string(old))

	require.NoError(t, pprof.CPU(t.Context(), path, 0), "the other one is over")
	parse(t, path)
}

var keep []byte // on the heap while it is profiled

func TestHeapReplacesTheOldFile(t *testing.T) {
	keep = make([]byte, 64<<20)
	defer func() { keep = nil }()
	path := filepath.Join(t.TempDir(), "mem.pprof")
	require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
	require.NoError(t, pprof.Heap(path))
	p := parse(t, path)
	inUse := int64(0)
	for _, s := range p.Sample {
		inUse += s.Value[len(s.Value)-1]
	}
	// A garbage collection has to come before: without it the new slice is not in
	// the profile yet.
	require.GreaterOrEqual(t, inUse, int64(len(keep)))
}

func TestWriteEveryProfileOfTheRuntime(t *testing.T) {
	for _, name := range []string{"goroutine", "allocs", "heap", "threadcreate", "block", "mutex"} {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, pprof.Write(name, path))
		parse(t, path)
	}
}

func TestWriteUnknown(t *testing.T) {
	dir := t.TempDir()
	err := pprof.Write("cpu", filepath.Join(dir, "x"))
	require.ErrorIs(t, err, pprof.ErrUnknown)
	require.ErrorContains(t, err, `unknown profile "cpu": not one of allocs, block, `)
	require.Empty(t, files(t, dir))
}

func TestFileErrors(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "no", "x")
	require.ErrorIs(t, pprof.Heap(missing), fs.ErrNotExist)
	require.ErrorIs(t, pprof.CPU(t.Context(), missing, time.Hour), fs.ErrNotExist)

	// The rename fails where a folder stands: nothing is left behind.
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "x", "y"), 0o700))
	require.ErrorContains(t, pprof.Heap(filepath.Join(dir, "x")), "write heap profile: rename ")
	require.ErrorContains(t, pprof.CPU(t.Context(), filepath.Join(dir, "x"), 0), "write CPU profile: rename ")
	require.Equal(t, []string{"x"}, files(t, dir))
}

func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	fmt.Println(pprof.CPU(ctx, filepath.Join(dir, "cpu.pprof"), time.Minute))
	fmt.Println(pprof.Heap(filepath.Join(dir, "mem.pprof")))
	// Output:
	// <nil>
	// <nil>
}
