package crashtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// long asks for the counts of the promise instead of the short form.
var long = os.Getenv("GOMETHEUS_LONG") != ""

// count is n in the long form, few in the short one.
func count(few, n int) int {
	if long {
		return n
	}
	return few
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(programs.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// newRand is the test's random numbers, from CRASH_SEED or a new seed, which is
// logged.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CRASH_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, "CRASH_SEED")
	}
	t.Logf("repeat with CRASH_SEED=%d go test -run '^%s$' ./internal/crashtest", seed, t.Name())
	h := fnv.New64a()
	h.Write([]byte(t.Name()))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// fork is random numbers of its own for another goroutine.
func fork(rng *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64())) }

// folder is a new folder that is kept when the test fails, unless it was removed
// before.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "crashtest-"+strings.ReplaceAll(t.Name(), "/", "-")+"-") //nolint:usetesting // it is kept when the test fails
	require.NoError(t, err)
	t.Cleanup(func() {
		if _, err := os.Stat(dir); err == nil && t.Failed() {
			t.Logf("logs and data are kept in %s", dir)
			return
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// deadline is a context that ends early enough before the test binary's timeout
// to say what happened and to stop what was started.
func deadline(t testing.TB) context.Context {
	ctx := t.Context()
	if tt, ok := t.(*testing.T); ok {
		if at, ok := tt.Deadline(); ok {
			c, cancel := context.WithDeadline(ctx, at.Add(-15*time.Second))
			t.Cleanup(cancel)
			return c
		}
	}
	return ctx
}

// pause waits; false means that ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func within(rng *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rng.Int64N(int64(d)))
}

// programs are the binaries, built when they are first asked for.
var programs struct {
	mu   sync.Mutex
	dir  string
	made map[string]string
}

// build builds cmd/name with a build tag (or none), once per test run.
func build(t testing.TB, name, tag string) string {
	t.Helper()
	p := &programs
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made == nil {
		dir, err := os.MkdirTemp("", "crashtest-programs-") //nolint:usetesting // for all tests
		require.NoError(t, err)
		p.dir, p.made = dir, map[string]string{}
	}
	id := name + "-" + tag
	if path, ok := p.made[id]; ok {
		return path
	}
	path := filepath.Join(p.dir, strings.TrimSuffix(id, "-"))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", tag, "-o", path,
		"github.com/gometheus/gometheus/cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	p.made[id] = path
	return path
}
