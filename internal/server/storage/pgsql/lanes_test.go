package pgsql_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

// sent is a write and how it went.
type sent struct {
	w        *storage.Write
	replayed bool
	err      error
}

// together sees to it that all writes wait for their turn at the same time: it
// locks the table until every lane is taken and the rest waits behind. It returns
// how many statements wrote the series.
func together(t *testing.T, dsn string, s storage.Storage, writes ...*storage.Write) (out []sent, statements int) {
	t.Helper()
	ctx := context.Background()
	execute(t, dsn, `CREATE SEQUENCE IF NOT EXISTS statements;
		CREATE OR REPLACE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN PERFORM nextval('statements'); RETURN NULL; END $$;
		CREATE OR REPLACE TRIGGER count_statement AFTER INSERT ON series FOR EACH STATEMENT EXECUTE FUNCTION count_statement();
		SELECT setval('statements', 1, false)`)
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(t, err)
	defer conn.Close(ctx)
	tx, err := conn.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "LOCK TABLE series")
	require.NoError(t, err)

	out = make([]sent, len(writes))
	var wg sync.WaitGroup
	start := func(i int) {
		wg.Go(func() {
			out[i].w = writes[i]
			out[i].replayed, out[i].err = s.Apply(ctx, writes[i])
		})
	}
	blocked := func() int {
		return query[int](t, dsn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	}
	// The lanes first, one after the other, then the rest.
	lanes := min(3, len(writes))
	for i := range lanes {
		start(i)
		require.Eventually(t, func() bool { return blocked() == i+1 }, 10*time.Second, time.Millisecond)
	}
	for i := lanes; i < len(writes); i++ {
		start(i)
	}
	waiting := s.(interface{ Waiting() int })
	require.Eventually(t, func() bool { return waiting.Waiting() == len(writes)-lanes }, 10*time.Second, time.Millisecond)
	require.NoError(t, tx.Rollback(ctx))
	wg.Wait()
	return out, query[int](t, dsn, "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM statements")
}

func increment(producer string, sequence uint64, name string, delta int64) *storage.Write {
	return &storage.Write{
		Metrics: []metric.Metric{storagetest.Counter("all", 1), storagetest.Counter(name, delta)},
		Mark:    storage.Mark{Producer: producer, Sequence: sequence},
	}
}

// TestWaitingWritesGoTogether: in one statement behind the three under way.
func TestWaitingWritesGoTogether(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	var writes []*storage.Write
	for i := range 40 {
		w := increment(fmt.Sprint("#", i), 1, fmt.Sprint("c", i), int64(i))
		w.Minimal = i%2 == 0
		if i%5 == 0 {
			w.Mark = storage.Mark{}
		}
		writes = append(writes, w)
	}
	out, statements := together(t, dsn, s, writes...)
	for i, o := range out {
		require.NoError(t, o.err)
		require.False(t, o.replayed)
		if !o.w.Minimal {
			require.Equal(t, int64(i), o.w.Metrics[1].Delta)
		}
		require.Equal(t, int64(i), storagetest.Total(t, s, fmt.Sprint("c", i)))
	}
	require.Equal(t, int64(40), storagetest.Total(t, s, "all"))
	require.LessOrEqual(t, statements, 8) // 4 on a machine with nothing else to do
}

// TestOneProducerTakesTurns: batches of one producer don't go together.
func TestOneProducerTakesTurns(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	var writes []*storage.Write
	for i := range 12 {
		writes = append(writes, increment("#p", uint64(i/2+1), "c", 1)) // each twice
	}
	out, _ := together(t, dsn, s, writes...)
	replayed := 0
	for _, o := range out {
		require.NoError(t, o.err)
		if o.replayed {
			replayed++
		}
	}
	require.Equal(t, 6, replayed)
	require.Equal(t, int64(6), storagetest.Total(t, s, "c"))
}

// TestTogetherWithTrouble: what is refused or was applied before takes nobody with
// it.
func TestTogetherWithTrouble(t *testing.T) {
	dsn := server.Database(t)
	s := open(t, dsn)
	storagetest.Apply(t, s, storagetest.Counter("full", math.MaxInt64))
	require.False(t, apply(t, s, increment("#old", 1, "old", 1)))
	for _, trouble := range [][]*storage.Write{
		{increment("#old", 1, "old", 1)},
		{increment("#new", 1, "full", 1)},
		{increment("", 0, "full", 1)},
		{increment("", 0, "half", math.MaxInt64/2+1), increment("", 0, "half", math.MaxInt64/2+1)}, // too much only together
		{increment("#old", 1, "old", 1), increment("#new", 1, "full", 1), {Mark: storage.Mark{Producer: "#empty", Sequence: 1}}},
	} {
		before := storagetest.Total(t, s, "fine")
		writes := []*storage.Write{
			increment("", 0, "fine", 1), increment("", 0, "fine", 1), increment("", 0, "fine", 1), // take the lanes
			increment("", 0, "fine", 1), increment(fmt.Sprint("#", before), 1, "fine", 1),
		}
		first := len(writes)
		out, _ := together(t, dsn, s, append(writes, trouble...)...)
		for _, o := range out[:first] {
			require.NoError(t, o.err)
			require.False(t, o.replayed)
		}
		require.Equal(t, max(0, before)+5, storagetest.Total(t, s, "fine"))
		failed := 0
		for _, o := range out[first:] {
			require.Equal(t, o.w.Mark.Producer == "#old", o.replayed)
			switch {
			case len(o.w.Metrics) > 0 && o.w.Metrics[1].Name == "full":
				var invalid *metric.InvalidError
				require.ErrorAs(t, o.err, &invalid)
				require.Equal(t, 1, invalid.Elements[0].Index)
			case o.err != nil:
				failed++
			}
		}
		if trouble[0].Metrics[1].Name == "half" {
			require.Equal(t, 1, failed, "the second of the two")
		} else {
			require.Zero(t, failed)
		}
	}
	require.Equal(t, int64(1), storagetest.Total(t, s, "old"))
}

// TestLeavingTheQueue: who goes away while nobody has taken the write along has
// changed nothing.
func TestLeavingTheQueue(t *testing.T) {
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
	var wg sync.WaitGroup
	var mu sync.Mutex
	left := 0
	for i := range 10 {
		wg.Go(func() {
			_, err := s.Apply(caller, increment(fmt.Sprint("#", i), 1, "c", 1))
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, context.Canceled) && errors.Is(err, storage.ErrUnavailable) {
				left++
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	require.Eventually(t, func() bool { return s.Waiting() == 7 }, 10*time.Second, time.Millisecond)
	leave()
	require.Eventually(t, func() bool { return s.Waiting() == 0 }, 10*time.Second, time.Millisecond)
	require.NoError(t, tx.Rollback(ctx))
	wg.Wait()
	require.Equal(t, 7, left)
	require.Equal(t, int64(3), storagetest.Total(t, s, "c"))
}
