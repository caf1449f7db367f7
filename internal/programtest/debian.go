package programtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Debian finds a program in PATH, or in the folder of that name where
// scripts/test-deps unpacks Debian's package. A test that doesn't require it is
// skipped without.
func Debian(tb testing.TB, folder, program string, required bool) string {
	tb.Helper()
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	require.NoError(tb, err)
	path := filepath.Join(cache, "gometheus-tests", folder, "usr", "bin", program)
	if _, err := os.Stat(path); err != nil {
		if required {
			require.NoError(tb, err)
		}
		tb.Skip("no " + program + "; scripts/test-deps fetches it")
	}
	return path
}
