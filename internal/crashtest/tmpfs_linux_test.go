package crashtest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// smallDisk mounts a tmpfs of some bytes within dir. Without the right to do so
// the test is skipped.
func smallDisk(t *testing.T, dir, size string) string {
	t.Helper()
	at := filepath.Join(dir, "disk")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mount a tmpfs (it needs root): %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() { // what is on it is to be kept
			if err := os.CopyFS(filepath.Join(dir, "disk-copy"), os.DirFS(at)); err != nil {
				t.Log(err)
			}
		}
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return at
}
