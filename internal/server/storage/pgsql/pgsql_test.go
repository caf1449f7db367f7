package pgsql_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql/pgtest"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

// server is the PostgreSQL of these tests.
var server *pgtest.Server

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	var err error
	if server, err = pgtest.Start(os.Getenv("TEST_DATABASE_DSN")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code = m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// long reports whether the counts of the issue are wanted.
func long() bool { return os.Getenv("GOMETHEUS_LONG") != "" }

// pick is short in a normal run.
func pick[T any](short, full T) T {
	if long() {
		return full
	}
	return short
}

func options(dsn string) pgsql.Options {
	return pgsql.Options{
		DSN: logger.Secret(dsn), MaxConns: 10, Timeout: 10 * time.Second, ConnectTimeout: 3 * time.Second, Log: zap.NewNop(),
	}
}

func open(t testing.TB, dsn string, change ...func(*pgsql.Options)) *pgsql.Store {
	t.Helper()
	o := options(dsn)
	for _, f := range change {
		f(&o)
	}
	s, err := pgsql.Open(context.Background(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// observed gives the options a log that is kept.
func observed() (logs *observer.ObservedLogs, change func(*pgsql.Options)) {
	core, logs := observer.New(zap.DebugLevel)
	return logs, func(o *pgsql.Options) { o.Log = zap.New(core) }
}

// query asks the database itself.
func query[T any](t testing.TB, dsn, sql string, args ...any) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer conn.Close(ctx)
	var out T
	require.NoError(t, conn.QueryRow(ctx, sql, args...).Scan(&out))
	return out
}

func TestContract(t *testing.T) {
	storagetest.Run(t, func(t *testing.T) storage.Storage { return open(t, server.Database(t)) })
}

func TestLimit(t *testing.T) {
	storagetest.RunLimit(t, func(t *testing.T, limit int) storagetest.Limited {
		dsn := server.Database(t)
		limited := func(limit int) storage.Storage {
			return open(t, dsn, func(o *pgsql.Options) { o.MaxSeries = limit })
		}
		return storagetest.Limited{Storage: limited(limit), Reopen: limited}
	})
}

// TestSeriesAreCounted: the number holds whoever adds or removes series, and the
// servers of one database share it.
func TestSeriesAreCounted(t *testing.T) {
	dsn := server.Database(t)
	limit := func(o *pgsql.Options) { o.MaxSeries = 10 }
	a, b := open(t, dsn, limit), open(t, dsn, limit)
	requireCount := func(want int) {
		t.Helper()
		require.Equal(t, want, query[int](t, dsn, "SELECT n FROM series_count"))
		require.Equal(t, want, query[int](t, dsn, "SELECT count(*) FROM series"))
	}
	for i := range 10 {
		storagetest.Apply(t, []storage.Storage{a, b}[i%2], storagetest.Counter("c", 1, "i", fmt.Sprint(i)), storagetest.Counter("c", 1, "i", "0"))
	}
	requireCount(10)
	for _, s := range []storage.Storage{a, b} {
		_, err := s.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{storagetest.Counter("d", 1)}})
		require.ErrorIs(t, err, storage.ErrExhausted)
	}
	query[int](t, dsn, "WITH gone AS (DELETE FROM series WHERE labels LIKE '%\"3\"%' RETURNING 1) SELECT count(*) FROM gone")
	requireCount(9)
	storagetest.Apply(t, b, storagetest.Counter("d", 1))
	requireCount(10)
	conn, err := pgx.Connect(context.Background(), dsn)
	require.NoError(t, err)
	defer conn.Close(context.Background())
	_, err = conn.Exec(context.Background(), "TRUNCATE series")
	require.NoError(t, err)
	requireCount(0)
	_, err = conn.Exec(context.Background(), "INSERT INTO series (kind, name, labels, counter, newest) SELECT 2, 'm', '{\"i\":\"' || i || '\"}', 1, 1 FROM generate_series(1, 20) AS i")
	require.NoError(t, err, "SQL by hand has no limit")
	requireCount(20)
}

// TestLongestKey: the longest name that LIMIT_NAME allows fits the index with the
// longest labels that are not digested.
func TestLongestKey(t *testing.T) {
	s := open(t, server.Database(t))
	rng := rand.New(rand.NewPCG(1, 1)) // it must not compress
	text := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('!' + rng.IntN(93))
		}
		return strings.NewReplacer(`"`, "a", `\`, "b", "&", "c", "<", "d", ">", "e").Replace(string(b))
	}
	for n := 1000; n <= 1024; n++ {
		name := text(1024)
		storagetest.Apply(t, s, storagetest.Counter(name, 1, "l", text(n)))
		require.Equal(t, int64(1), storagetest.Total(t, s, name))
	}
}
