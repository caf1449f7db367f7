package securitytest

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql/pgtest"
)

// kept is a storage that may be closed, or lost, and opened again.
type kept struct {
	name string
	storage.Storage
	reopen, crash, snapshot func()
}

func keptInMemory(limit int) *kept {
	s := memory.New()
	s.LimitSeries(limit)
	nothing := func() {}
	return &kept{"memory", s, nothing, nothing, nothing}
}

func keptInFiles(t *testing.T, limit int) *kept {
	fs := vfs.NewCrashableMem()
	k := &kept{name: "dump"}
	var s *dump.Store
	open := func() {
		var err error
		s, err = dump.Open(dump.Options{
			FS: fs, Path: "/data/db.json", Interval: 0, Restore: true, MaxSeries: limit, Log: zap.NewNop(),
			Now: func() time.Time { return time.UnixMilli(now) },
		})
		require.NoError(t, err)
		k.Storage = s
	}
	open()
	k.reopen = func() { require.NoError(t, s.Close()); open() }
	k.snapshot = func() { require.NoError(t, s.Snapshot()) }
	k.crash = func() { // every batch was synced: what was not is lost
		left := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 0})
		require.NoError(t, s.Close())
		fs = left
		open()
	}
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return k
}

func keptInDatabase(t *testing.T, dsn string, limit int) *kept {
	k := &kept{name: "pgsql", snapshot: func() {}}
	var stop func()
	open := func() {
		s, err := pgsql.Open(context.Background(), pgsql.Options{
			DSN: logger.Secret(dsn), MaxConns: 4, Timeout: 30 * time.Second, ConnectTimeout: 5 * time.Second, MaxSeries: limit, Log: zap.NewNop(),
		})
		require.NoError(t, err)
		k.Storage = s
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		stop = func() {
			cancel()
			wg.Wait()
			require.NoError(t, s.Close())
		}
	}
	open()
	k.reopen = func() { stop(); open() }
	k.crash = k.reopen
	t.Cleanup(func() { stop() })
	return k
}

func postgres(t *testing.T) *pgtest.Server {
	s, err := pgtest.Start(os.Getenv("TEST_DATABASE_DSN"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	return s
}

func contents(t testing.TB, s storage.Storage) map[string]string {
	t.Helper()
	out := map[string]string{}
	for m, err := range s.All(context.Background()) {
		require.NoError(t, err)
		_, twice := out[key(&m)]
		require.False(t, twice, "%s comes twice", key(&m))
		out[key(&m)] = show(&m)
	}
	return out
}

// show is a metric with all its bits.
func show(m *metric.Metric) string {
	return fmt.Sprintf("%s %v at %d: %d, %x", m.Kind, m.Labels, m.Timestamp, m.Delta, math.Float64bits(m.Value))
}

func showAll(ms []metric.Metric) (out []string) {
	for i := range ms {
		out = append(out, show(&ms[i]))
	}
	return out
}

// TestStorages leads all storages and the model through the same random life:
// writes with marks and without, repeated ones, overflows, wrong clocks, more
// series than are allowed, snapshots, restarts and crashes. After each step they
// must agree, to the words of an error and the last bit of a number.
func TestStorages(t *testing.T) {
	rng := newRand(t)
	db := postgres(t)
	until := time.Now().Add(count(3*time.Second, 5*time.Minute))
	steps, lives := 0, 0
	for time.Now().Before(until) {
		lives++
		t.Run(fmt.Sprint("life ", lives), func(t *testing.T) {
			limit := 20 + rng.IntN(200)
			md, mk := newModel(limit), &maker{rng: rng, spread: 1000}
			all := []*kept{keptInMemory(limit), keptInFiles(t, limit), keptInDatabase(t, db.Database(t), limit)}
			for step := range 400 {
				if !time.Now().Before(until) {
					break
				}
				steps++
				live(t, fmt.Sprintf("life %d, step %d", lives, step), md, mk, all)
			}
			for _, k := range all {
				k.reopen()
			}
			agree(t, "in the end", md, all)
		})
		if t.Failed() {
			return
		}
	}
	t.Logf("%d steps in %d lives: no difference", steps, lives)
}

func agree(t *testing.T, at string, md *model, all []*kept) {
	t.Helper()
	want := map[string]string{}
	for k, m := range md.series {
		want[k] = show(&m)
	}
	for _, k := range all {
		require.Equal(t, want, contents(t, k), "%s: %s", at, k.name)
	}
}

// live is one step.
func live(t *testing.T, at string, md *model, mk *maker, all []*kept) {
	t.Helper()
	switch what := mk.rng.IntN(40); {
	case what == 0:
		for _, k := range all {
			k.reopen()
		}
	case what == 1:
		for _, k := range all {
			k.crash()
		}
	case what == 2:
		for _, k := range all {
			k.snapshot()
		}
	case what < 10:
		sel := mk.selector()
		want, wantErr := md.value(sel)
		for _, k := range all {
			got, err := k.Value(t.Context(), sel)
			require.Equal(t, describe(wantErr), describe(err), "%s: %s: %v", at, k.name, sel)
			if md.tie(sel) {
				got.Value = want.Value
			}
			require.Equal(t, show(&want), show(&got), "%s: %s: %v", at, k.name, sel)
		}
		return
	default:
		w := mk.write()
		asked := fmt.Sprintf("%+v", *w)
		mine := clone(w)
		wantReplayed, wantErr := md.apply(mine)
		var first map[string]metric.Step
		for _, k := range all {
			theirs := clone(w)
			theirs.Steps = metric.Trace(nil, theirs.Metrics)
			replayed, err := k.Apply(t.Context(), theirs)
			require.Equal(t, describe(wantErr), describe(err), "%s: %s: %s", at, k.name, asked)
			require.Equal(t, wantReplayed, replayed, "%s: %s: %s", at, k.name, asked)
			if err != nil {
				continue
			}
			if !replayed || !w.Minimal {
				require.Equal(t, showAll(mine.Metrics), showAll(theirs.Metrics), "%s: %s: %s", at, k.name, asked)
			}
			if replayed {
				continue
			}
			steps := cameTo(theirs.Steps, w.Metrics)
			if first == nil {
				first = steps
			}
			require.Equal(t, first, steps, "%s: the steps of %s and %s: %s", at, all[0].name, k.name, asked)
		}
	}
	if mk.rng.IntN(10) == 0 {
		agree(t, at, md, all)
	}
}

// cameTo is where a write's steps lead to: of a series that stands in it more
// than once, storages may tell of each or of the end alone. asked are the metrics
// before they were overwritten.
func cameTo(steps []metric.Step, asked []metric.Metric) map[string]metric.Step {
	out, added := map[string]metric.Step{}, map[string]int64{}
	for i, st := range steps {
		k := key(&asked[i])
		added[k] += asked[i].Delta
		st.Series, st.Key = 0, "" // a storage's own
		st.Created = st.Created || out[k].Created
		out[k] = st
	}
	for k, st := range out {
		// It is asked of counters alone, and there it means that the total was 0 before.
		if k[0] == byte(metric.Gauge) || st.Total == added[k] {
			st.Created = false
		}
		out[k] = st
	}
	return out
}
