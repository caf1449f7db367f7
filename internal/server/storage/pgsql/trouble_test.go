package pgsql_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql/pgtest"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func needRestart(t testing.TB) {
	t.Helper()
	if !server.CanRestart() {
		t.Skip("the database server is not ours to stop: unset TEST_DATABASE_DSN")
	}
}

// halt stops the database until server.Resume, or the end of a test that failed.
func halt(t testing.TB, how pgtest.Mode) {
	t.Helper()
	server.Halt(t, how)
	t.Cleanup(func() {
		if t.Failed() {
			server.Restart(t, pgtest.Fast)
		}
	})
}

func execute(t testing.TB, dsn, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	require.NoError(t, err)
}

// quick is a store with short timeouts.
func quick(o *pgsql.Options) {
	o.Timeout, o.ConnectTimeout = 500*time.Millisecond, 500*time.Millisecond
}

// within demands that f ends in time.
func within(t testing.TB, most time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	require.Less(t, time.Since(start), most)
}

func allOf(s *pgsql.Store) (err error) {
	for _, err = range s.All(context.Background()) {
	}
	return err
}

// TestAwayAndBack: without the database everything says so at once, with one line
// in the log; with it, everything goes on.
func TestAwayAndBack(t *testing.T) {
	needRestart(t)
	ctx := context.Background()
	logs, observe := observed()
	s := open(t, server.Database(t), observe)
	storagetest.Apply(t, s, storagetest.Counter("c", 1))
	require.NoError(t, s.Ping(ctx))
	background, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(background) }()

	halt(t, pgtest.Fast)
	within(t, 2*time.Second, func() { require.ErrorIs(t, s.Ping(ctx), storage.ErrUnavailable) })
	for range 3 {
		within(t, 2*time.Second, func() {
			_, err := s.Apply(ctx, &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
			require.ErrorIs(t, err, storage.ErrUnavailable)
		})
		within(t, 2*time.Second, func() {
			_, err := s.Value(ctx, storage.Selector{Kind: metric.Counter, Name: "c"})
			require.ErrorIs(t, err, storage.ErrUnavailable)
		})
		within(t, 2*time.Second, func() { require.ErrorIs(t, allOf(s), storage.ErrUnavailable) })
	}
	require.Equal(t, 1, logs.FilterMessage("the database is away").Len())

	server.Resume(t)
	require.Eventually(t, func() bool { return logs.FilterMessage("the database is back").Len() == 1 }, 10*time.Second, 10*time.Millisecond,
		"Run finds out by itself")
	storagetest.Apply(t, s, storagetest.Counter("c", 1))
	require.Equal(t, int64(2), storagetest.Total(t, s, "c"))
	require.Equal(t, 1, logs.FilterMessage("the database is away").Len())
	stop()
	require.NoError(t, <-done)
}

// TestBackWithoutRun: calls find out too.
func TestBackWithoutRun(t *testing.T) {
	needRestart(t)
	s := open(t, server.Database(t))
	halt(t, pgtest.Immediate)
	require.Error(t, s.Ping(context.Background()))
	server.Resume(t)
	require.Eventually(t, func() bool {
		_, err := s.Value(context.Background(), storage.Selector{Kind: metric.Counter, Name: "c"})
		return errors.Is(err, storage.ErrNotFound)
	}, 10*time.Second, 10*time.Millisecond)
}

// TestRestartIsNotSeen: a request that is under way waits out a short restart.
func TestRestartIsNotSeen(t *testing.T) {
	needRestart(t)
	logs, observe := observed()
	s := open(t, server.Database(t), observe)
	storagetest.Apply(t, s, storagetest.Counter("c", 1))
	halt(t, pgtest.Fast)
	done := make(chan error, 1)
	go func() {
		_, err := s.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}, Mark: storage.Mark{Producer: "#p", Sequence: 1}})
		done <- err
	}()
	require.Eventually(t, func() bool { return logs.FilterMessage("the database is away").Len() == 1 }, 10*time.Second, time.Millisecond)
	server.Resume(t)
	require.NoError(t, <-done)
	require.Equal(t, int64(2), storagetest.Total(t, s, "c"))
}

// TestExhaustedPool: who gets no connection is told so in time.
func TestExhaustedPool(t *testing.T) {
	ctx := context.Background()
	dsn := server.Database(t)
	s := open(t, dsn, quick, func(o *pgsql.Options) { o.MaxConns = 1 })
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer conn.Close(ctx)
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "LOCK TABLE series")
	require.NoError(t, err)

	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			start := time.Now()
			_, err := s.Apply(ctx, &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
			if !errors.Is(err, storage.ErrUnavailable) || time.Since(start) > 5*time.Second {
				t.Errorf("after %s: %v", time.Since(start), err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, tx.Rollback(ctx))
	storagetest.Apply(t, s, storagetest.Counter("c", 1))
	require.Equal(t, int64(1), storagetest.Total(t, s, "c"))
}

// TestAbortedReadFreesItsConnection: there is only one, and more than one page.
func TestAbortedReadFreesItsConnection(t *testing.T) {
	s := open(t, server.Database(t), func(o *pgsql.Options) { o.MaxConns = 1 })
	storagetest.Apply(t, s, fleet(pgsql.PageSize+500)...)
	seen := 0
	for _, err := range s.All(context.Background()) {
		require.NoError(t, err)
		if seen%1000 == 0 {
			storagetest.Apply(t, s, storagetest.Counter("other", 1))
		}
		if seen++; seen == pgsql.PageSize+100 {
			break
		}
	}
	require.Equal(t, int64(6), storagetest.Total(t, s, "other"))
	n := 0
	for _, err := range s.All(context.Background()) {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, pgsql.PageSize+501, n)
}

// TestGoneCallerCutsNothingOff: a statement that was sent ends in its own time.
func TestGoneCallerCutsNothingOff(t *testing.T) {
	ctx := context.Background()
	dsn := server.Database(t)
	s := open(t, dsn)
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer conn.Close(ctx)
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "LOCK TABLE series")
	require.NoError(t, err)
	caller, leave := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		_, err := s.Apply(caller, &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
		done <- err
	}()
	require.Eventually(t, func() bool {
		return query[int](t, dsn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") == 1
	}, 10*time.Second, 10*time.Millisecond)
	leave()
	require.NoError(t, tx.Rollback(ctx))
	require.NoError(t, <-done)
	require.Equal(t, int64(1), storagetest.Total(t, s, "c"))
	_, err = s.Apply(caller, &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, storage.ErrUnavailable)
}

// TestRetryClasses lets a trigger fail the first statements of a call.
func TestRetryClasses(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	s.SetDelays(time.Millisecond, time.Millisecond, time.Millisecond)
	execute(t, dsn, `CREATE SEQUENCE tries;
		CREATE TABLE plan (code text, times int);
		CREATE FUNCTION flaky() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE p plan;
		BEGIN
			SELECT * INTO p FROM plan;
			IF nextval('tries') <= p.times THEN RAISE EXCEPTION 'planned' USING ERRCODE = p.code; END IF;
			RETURN NULL;
		END $$;
		CREATE TRIGGER flaky AFTER INSERT ON series FOR EACH STATEMENT EXECUTE FUNCTION flaky()`)
	errDefect := errors.New("none of the contract")
	want := int64(0)
	for _, tt := range []struct {
		code  string
		times int
		err   error // nil: it goes well in the end
		tries int
	}{
		{"08006", 3, nil, 4},
		{"40001", 3, nil, 4},
		{"40P01", 1, nil, 2},
		{"53300", 2, nil, 3},
		{"57P01", 2, nil, 3},
		{"57P02", 2, nil, 3},
		{"57P03", 2, nil, 3},
		{"40001", 100, storage.ErrUnavailable, 5}, // its turn, at once after it, and after each delay
		{"53100", 100, storage.ErrFull, 1},
		{"57014", 100, storage.ErrUnavailable, 1},
		{"25006", 100, storage.ErrUnavailable, 1},
		{"22012", 100, errDefect, 1},
	} {
		for _, mark := range []storage.Mark{{}, {Producer: "#p" + tt.code, Sequence: uint64(1 + tt.times)}} {
			t.Run(fmt.Sprintf("%s %d times, mark %q", tt.code, tt.times, mark.Producer), func(t *testing.T) {
				execute(t, dsn, fmt.Sprintf("ALTER SEQUENCE tries RESTART; DELETE FROM plan; INSERT INTO plan VALUES ('%s', %d)", tt.code, tt.times))
				replayed, err := s.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}, Mark: mark})
				require.False(t, replayed)
				switch {
				case tt.err == nil:
					require.NoError(t, err)
					want++
				case errors.Is(tt.err, errDefect):
					require.Error(t, err)
					for _, of := range []error{storage.ErrFull, storage.ErrUnavailable, storage.ErrExhausted} {
						require.NotErrorIs(t, err, of)
					}
				default:
					require.ErrorIs(t, err, tt.err)
				}
				require.Equal(t, tt.tries, query[int](t, dsn, "SELECT last_value FROM tries"))
				execute(t, dsn, "DELETE FROM plan")
				if want > 0 {
					require.Equal(t, want, storagetest.Total(t, s, "c"))
				}
			})
		}
	}
}

// TestReadOnlyServer: a database that takes no writes isn't fine, and once it does
// again everything goes on.
func TestReadOnlyServer(t *testing.T) {
	ctx := context.Background()
	dsn := server.Database(t)
	s := open(t, dsn)
	name := query[string](t, dsn, "SELECT current_database()")
	execute(t, dsn, "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	server.TerminateBackends(t, dsn)
	require.Eventually(t, func() bool { return errors.Is(s.Ping(ctx), storage.ErrUnavailable) }, 10*time.Second, 10*time.Millisecond)
	_, err := s.Apply(ctx, &storage.Write{Metrics: []metric.Metric{storagetest.Counter("c", 1)}, Mark: storage.Mark{Producer: "=x"}})
	require.ErrorIs(t, err, storage.ErrUnavailable)
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	q := u.Query()
	q.Set("default_transaction_read_only", "off")
	u.RawQuery = q.Encode()
	execute(t, u.String(), "ALTER DATABASE "+name+" SET default_transaction_read_only = off")
	require.NoError(t, s.Ping(ctx))
	storagetest.Apply(t, s, storagetest.Counter("c", 1))
}
