package promapi_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// promtool finds the program in PATH, or where scripts/test-deps puts it. In CI
// it must be there.
func promtool(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("promtool"); err == nil {
		return path
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		require.NoError(t, err)
		cache = filepath.Join(home, ".cache")
	}
	path := filepath.Join(cache, "gometheus-tests", "prometheus", "usr", "bin", "promtool")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("CI") != "" {
			require.NoError(t, err)
		}
		t.Skip("no promtool; scripts/test-deps fetches it")
	}
	return path
}

// TestPromtool asks with a client of another release.
func TestPromtool(t *testing.T) {
	program := promtool(t)
	o, _ := options(t, script)
	srv := httptest.NewServer(handler(o))
	t.Cleanup(srv.Close)
	run := func(args ...string) (string, string, error) {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), program, append([]string{"query"}, args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		return out.String(), errs.String(), err
	}
	ask := func(args ...string) string {
		t.Helper()
		out, errs, err := run(args...)
		require.NoError(t, err, errs)
		return out
	}
	// Series come in no order.
	lines := func(s string) []string {
		out := strings.Split(strings.TrimSpace(s), "\n")
		slices.Sort(out)
		return out
	}

	require.Equal(t, []string{
		`gauge{instance="1", job="a"} => 90 @[1810]`,
		`gauge{instance="1", job="b"} => 5 @[1810]`,
		`gauge{instance="2", job="a"} => -95 @[1810]`,
	}, lines(ask("instant", "--time=1810", srv.URL, "gauge")))
	require.Equal(t, "scalar: 2 @[1810]\n", ask("instant", "--time=1810", srv.URL, "1 + 1"))
	require.Equal(t,
		"{job=\"a\"} =>\n100 @[300]\n200 @[600]\n300 @[900]\n",
		ask("range", "--start=300", "--end=900", "--step=300s", srv.URL, `sum without () (label_replace(total, "__name__", "", "", ""))`))
	require.Equal(t, []string{
		`{__name__="gauge", instance="1", job="a"}`, `{__name__="gauge", instance="1", job="b"}`, `{__name__="gauge", instance="2", job="a"}`,
	}, lines(ask("series", "--match=gauge", "--start=0", "--end=1810", srv.URL)))
	require.Equal(t, []string{"a", "b"}, lines(ask("labels", "--start=0", "--end=1810", srv.URL, "job")))

	_, errs, err := run("instant", srv.URL, "gauge{")
	require.Error(t, err)
	require.Contains(t, errs, "bad_data")
	_, errs, err = run("range", "--start=0", "--end=1000000", "--step=1s", srv.URL, "gauge")
	require.Error(t, err)
	require.Contains(t, errs, "11,000 points")
}
