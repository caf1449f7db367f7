package securitytest

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// long asks for the counts of the promise instead of the short form.
var long = os.Getenv("GOMETHEUS_LONG") != ""

// count is n in the long form, few in the short one.
func count[T any](few, n T) T {
	if long {
		return n
	}
	return few
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := os.RemoveAll(program.dir); err != nil {
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

// newRand is the test's random numbers, from SECURITY_SEED or a new seed, which
// is logged.
func newRand(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SECURITY_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err, "SECURITY_SEED")
	}
	t.Logf("repeat with SECURITY_SEED=%d go test -run '^%s$' ./internal/securitytest", seed, t.Name())
	h := fnv.New64a()
	h.Write([]byte(t.Name()))
	return rand.New(rand.NewPCG(seed, h.Sum64()))
}

// program is the server's binary, built when it is first asked for.
var program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

func build(t testing.TB) string {
	t.Helper()
	program.once.Do(func() {
		program.dir, program.err = os.MkdirTemp("", "securitytest-program-") //nolint:usetesting // for all tests
		if program.err != nil {
			return
		}
		program.path = filepath.Join(program.dir, "server")
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", program.path, "github.com/gometheus/gometheus/cmd/server")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			program.err = fmt.Errorf("build: %w\n%s", err, out)
		}
	})
	require.NoError(t, program.err)
	return program.path
}

// times are how long requests took.
type times struct {
	mu  sync.Mutex
	all []time.Duration
}

func (ts *times) add(d time.Duration) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.all = append(ts.all, d)
}

func (ts *times) len() int {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return len(ts.all)
}

// quantile is the time that q of all took at most.
func (ts *times) quantile(q float64) time.Duration {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if len(ts.all) == 0 {
		return 0
	}
	slices.Sort(ts.all)
	return ts.all[min(int(q*float64(len(ts.all))), len(ts.all)-1)]
}

func (ts *times) String() string {
	return fmt.Sprintf("%d requests, p50 %v, p99 %v, max %v", ts.len(),
		ts.quantile(0.5).Round(10*time.Microsecond), ts.quantile(0.99).Round(10*time.Microsecond), ts.quantile(1).Round(10*time.Microsecond))
}

const mib = 1 << 20
