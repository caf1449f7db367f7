//go:build unix

package securitytest

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// files sees to it that this process, and those that it starts, may have n files
// open.
func files(t testing.TB, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Cur >= n {
		return
	}
	if limit.Max < n {
		t.Skipf("it needs %d open files, and ulimit -Hn is %d", n, limit.Max)
	}
	limit.Cur = limit.Max
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
}
