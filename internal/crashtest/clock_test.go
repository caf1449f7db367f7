package crashtest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
)

// clocked is a server whose wall clock can be set. Senders have the right time.
type clocked struct {
	t     *testing.T
	fs    *vfs.MemFS
	ahead time.Duration // of the server's wall clock
	store *dump.Store
	api   *api.API
}

// now is the server's wall clock. It has no monotonic part, as if it had been
// read from somewhere else.
func (c *clocked) now() time.Time { return time.Now().Round(0).Add(c.ahead) }

func newClocked(t *testing.T) *clocked {
	c := &clocked{t: t, fs: vfs.NewCrashableMem()}
	c.open()
	t.Cleanup(func() { require.NoError(t, c.store.Close()) })
	return c
}

func (c *clocked) open() {
	c.t.Helper()
	store, err := dump.Open(dump.Options{FS: c.fs, Path: db, Interval: time.Hour, Restore: true, Now: c.now, Log: zap.NewNop()})
	require.NoError(c.t, err)
	c.store = store
	c.api = api.New(manager.New(store, nil, nil), metric.DefaultLimits(), c.now)
}

// restart ends the server, in order or by a kill, and starts it again.
func (c *clocked) restart(killed bool) {
	c.t.Helper()
	if !killed {
		require.NoError(c.t, c.store.Close())
		c.open()
		return
	}
	// All that was written is there, synced or not.
	left := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 2))})
	require.NoError(c.t, c.store.Close())
	c.fs = left
	c.open()
}

func (c *clocked) serve(h problem.Handler, method, path, body, key string) *httptest.ResponseRecorder {
	c.t.Helper()
	r := httptest.NewRequestWithContext(c.t.Context(), method, path, strings.NewReader(body))
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	problem.Writer{Log: zap.NewNop()}.Handle(h)(w, r)
	return w
}

// push sends batch n: it counts one, and sets gauges to n, of which one has the
// time of its arrival and one that of its sender. own is when the sender took
// it; zero: without that gauge.
func (c *clocked) push(n int, own time.Time) *httptest.ResponseRecorder {
	c.t.Helper()
	body := fmt.Sprintf(`[{"id":"c","type":"counter","delta":1},{"id":"arrival","type":"gauge","value":%d}`, n)
	if !own.IsZero() {
		body += fmt.Sprintf(`,{"id":"own","type":"gauge","value":%d,"timestamp":%d}`, n, own.UnixMilli())
	}
	return c.serve(c.api.UpdateMany, http.MethodPost, "/updates/", body+"]", fmt.Sprintf(`"p/%d"`, n))
}

func (c *clocked) value(kind, name string) string {
	c.t.Helper()
	w := c.serve(c.api.ValuePath, http.MethodGet, "/value/"+kind+"/"+name, "", "")
	require.Equal(c.t, http.StatusOK, w.Code, "%s", w.Body)
	return w.Body.String()
}

// TestClockJumps sets the server's clock while it runs and between two of its
// lives: what was applied is remembered, and no value from a wrong time hides
// the later ones.
func TestClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 10 * year, -10 * year} {
		for _, how := range []string{"running", "restarted", "killed"} {
			t.Run(fmt.Sprintf("%v, %s", jump, how), func(t *testing.T) {
				c := newClocked(t)
				n := 0
				// next is a jump to a clock that is ahead by so much, after which ten batches
				// come, and those before once more.
				next := func(ahead time.Duration) {
					t.Helper()
					switch c.ahead = ahead; how {
					case "restarted":
						c.restart(false)
					case "killed":
						c.restart(true)
					}
					for range 10 {
						n++
						own := time.Now()
						if ahead < -metric.MaxAhead*time.Millisecond {
							// By a clock that is behind, the senders' time is of the future, and
							// refused by it (DESIGN, §4). What has no time is taken.
							w := c.serve(c.api.UpdateMany, http.MethodPost, "/updates/",
								fmt.Sprintf(`[{"id":"own","type":"gauge","value":-1,"timestamp":%d}]`, own.UnixMilli()), "")
							require.Equal(t, http.StatusBadRequest, w.Code)
							own = time.Time{}
						}
						w := c.push(n, own)
						require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
						require.Empty(t, w.Header().Get("Idempotency-Replayed"))
						require.Equal(t, fmt.Sprint(n), c.value("counter", "c"))
						require.Equal(t, fmt.Sprint(n), c.value("gauge", "arrival"), "hidden by a value from a wrong time")
						if !own.IsZero() {
							require.Equal(t, fmt.Sprint(n), c.value("gauge", "own"))
						}
						if n%3 == 0 {
							require.NoError(t, c.store.Snapshot()) // forgets idle producers
						}
					}
					for again := 1; again <= n; again++ {
						w := c.push(again, time.Time{})
						require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
						require.Equal(t, "true", w.Header().Get("Idempotency-Replayed"), "batch %d was forgotten", again)
					}
					require.Equal(t, fmt.Sprint(n), c.value("counter", "c"))
				}
				next(0)
				next(jump)
				next(0)
				next(-jump)
				next(jump)
				next(0)
				c.restart(true)
				require.Equal(t, fmt.Sprint(n), c.value("counter", "c"))
				require.Equal(t, fmt.Sprint(n), c.value("gauge", "arrival"))
				require.Equal(t, fmt.Sprint(n), c.value("gauge", "own"))
			})
		}
	}
}
