package pgsql_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/logger"
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
