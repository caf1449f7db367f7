package pgsql_test

import (
	"context"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql/pgtest"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func TestMigrateTwiceKeepsTheState(t *testing.T) {
	dsn := server.Database(t)
	logs, observe := observed()
	storagetest.Apply(t, open(t, dsn, observe), storagetest.Counter("c", 2))
	require.Equal(t, 1, logs.FilterMessage("migrated the database").Len())
	require.Equal(t, int64(2), storagetest.Total(t, open(t, dsn, observe), "c"))
	require.Equal(t, 1, logs.FilterMessage("migrated the database").Len())
}

func TestMigrateManyAtOnce(t *testing.T) {
	dsn := server.Database(t)
	logs, observe := observed()
	o := options(dsn)
	observe(&o)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := pgsql.Open(context.Background(), o)
			if err != nil {
				t.Error(err)
				return
			}
			storagetest.Apply(t, s, storagetest.Counter("c", 1))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 1, logs.FilterMessage("migrated the database").Len())
	require.Equal(t, int64(8), storagetest.Total(t, open(t, dsn), "c"))
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	dsn := server.Database(t)
	open(t, dsn)
	query[int](t, dsn, "INSERT INTO gometheus_migrations (version_id, is_applied) VALUES (4711, true) RETURNING 1")
	_, err := pgsql.Open(context.Background(), options(dsn))
	require.ErrorContains(t, err, "the database has version 4711, but this program knows")
	require.Equal(t, 4711, query[int](t, dsn, "SELECT max(version_id) FROM gometheus_migrations"))
}

func TestOnlyUTF8(t *testing.T) {
	dsn := server.Database(t)
	query[int](t, dsn, "SELECT 1")
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	name := u.Path[1:] + "_ascii"
	execute(t, dsn, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	defer execute(t, dsn, "DROP DATABASE "+name)
	u.Path = "/" + name
	_, err = pgsql.Open(context.Background(), options(u.String()))
	require.ErrorContains(t, err, "must be UTF8")
}

// TestWhatWaitingCannotCure: mistakes in the settings end the start at once, and
// never show the password.
func TestWhatWaitingCannotCure(t *testing.T) {
	dsn := server.Database(t)
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	elsewhere := *u
	elsewhere.Path = "/no_such_database"
	for dsn, says := range map[string]string{
		"postgres://u:hunter2@localhost:notaport/d":          "DATABASE_DSN ***",
		"postgres://u:hunter2@localhost/d?sslmode=sometimes": "DATABASE_DSN postgres://u:***@localhost/d?sslmode=sometimes",
		"host=localhost password=hunter2 port=x":             "DATABASE_DSN host=localhost password=*** port=x",
		elsewhere.String():                                   "no_such_database",
	} {
		_, err := pgsql.Open(context.Background(), options(dsn))
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestStartWaitsForTheDatabase(t *testing.T) {
	needRestart(t)
	dsn := server.Database(t)
	logs, observe := observed()
	o := options(dsn)
	observe(&o)

	server.Halt(t, pgtest.Fast)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		s, err := pgsql.Open(ctx, o)
		if err == nil {
			err = s.Close()
		}
		done <- err
	}()
	require.Eventually(t, func() bool { return logs.FilterMessage("waiting for the database").Len() == 1 }, 10*time.Second, time.Millisecond)
	server.Resume(t)
	require.NoError(t, <-done)
	require.Equal(t, 1, logs.FilterMessage("waiting for the database").Len())
	require.Equal(t, 1, logs.FilterMessage("connected to the database").Len())

	server.Halt(t, pgtest.Fast)
	defer server.Resume(t)
	go func() {
		_, err := pgsql.Open(ctx, o)
		done <- err
	}()
	require.Eventually(t, func() bool { return logs.FilterMessage("waiting for the database").Len() == 2 }, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
}

// TestPasswordStaysOutOfTheLog waits for a database that isn't there.
func TestPasswordStaysOutOfTheLog(t *testing.T) {
	logs, observe := observed()
	o := options("postgres://u:hunter2@127.0.0.1:1/d?application_name=x")
	observe(&o)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := pgsql.Open(ctx, o)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotContains(t, err.Error(), "hunter2")
	require.Equal(t, 1, logs.Len())
	line, err := zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}).EncodeEntry(logs.All()[0].Entry, logs.All()[0].Context)
	require.NoError(t, err)
	require.Contains(t, line.String(), "127.0.0.1")
	require.NotContains(t, line.String(), "hunter2")
	require.Equal(t, "***", logger.Secret("hunter2").String())
}
