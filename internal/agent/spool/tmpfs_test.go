//go:build linux

package spool_test

import (
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/spool"
)

// TestRealDiskFull fills a tmpfs of 1 MiB.
func TestRealDiskFull(t *testing.T) {
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("a small tmpfs can't be mounted here: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(mount, 0)) })
	rng := rand.New(rand.NewPCG(1, 1))
	r := newRig(t, vfs.Default, func(o *spool.Options) { o.Dir = mount + "/spool" })
	require.NoError(t, os.WriteFile(mount+"/hog", make([]byte, 300<<10), 0o600))
	for range 50 {
		r.fill(rng)
	}
	require.Greater(t, r.Stats().WaitingBatches, int64(500))
	require.NoError(t, r.Close())
	r.open()
	for range 50 {
		r.lease().Ack()
		r.fill(rng)
	}
	r.drain()
	require.NoError(t, os.Remove(mount+"/hog"))
	r.append(10, 1_000)
	r.drain()
	r.complete()
	require.NoError(t, r.Close())
	r.open()
	require.Zero(t, r.Stats().WaitingBatches)
	require.NoError(t, r.Close())
}
