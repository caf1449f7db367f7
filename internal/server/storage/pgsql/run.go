package pgsql

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

const (
	// tidyEvery is how often each server counts the uptime and looks for idle
	// producers. That reads their whole table, which is cheaper than an index on
	// seen that every batch would have to update.
	tidyEvery = time.Hour
	// forgetAtOnce bounds the rows of one statement.
	forgetAtOnce = 10_000

	// uptimeSQL counts at most twice tidyEvery, so that neither a clock that leaps
	// nor a long standstill makes producers look idle.
	uptimeSQL = `UPDATE uptime SET counted_at = now(),
		seconds = seconds + least(greatest(extract(epoch FROM now() - counted_at), 0), 7200)::bigint`

	// forgetSQL forgets after 7 days; the two hours more are what uptime may lag
	// behind. It passes over producers that a batch is just using: they aren't idle.
	forgetSQL = `DELETE FROM producers WHERE name IN (
		SELECT name FROM producers WHERE seen < (SELECT seconds FROM uptime) - (7 * 24 + 2) * 3600
		LIMIT $1 FOR UPDATE SKIP LOCKED)`
)

// Run works until ctx ends: it forgets producers that were idle for 7 days, and
// while the database is away it looks whether it is back.
func (s *Store) Run(ctx context.Context) error {
	probe := time.NewTicker(time.Second)
	defer probe.Stop()
	// Servers that start together don't do it together.
	tidy := time.NewTimer(rand.N(tidyEvery))
	defer tidy.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-probe.C:
			if s.health.isAway() {
				_ = s.Ping(ctx) // health has the news
			}
		case <-tidy.C:
			tidy.Reset(tidyEvery)
			n, err := s.forgetIdle(ctx)
			switch {
			case err != nil && ctx.Err() == nil:
				s.o.Log.Warn("could not forget idle producers; they will be tried again", zap.Error(err))
			case n > 0:
				s.o.Log.Info("forgot producers that were idle for 7 days", zap.Int64("count", n))
			}
		}
	}
}

func (s *Store) forgetIdle(ctx context.Context) (total int64, err error) {
	// Counted twice after a lost answer, the uptime is hardly further.
	sql, args := uptimeSQL, []any(nil)
	for {
		var n int64
		err := s.call(ctx, true, func(ctx context.Context, conn *pgxpool.Conn) error {
			tag, err := conn.Exec(ctx, sql, args...)
			n = tag.RowsAffected()
			return err
		})
		switch {
		case err != nil:
			return total, fmt.Errorf("forget idle producers: %w", err)
		case sql == uptimeSQL:
			sql, args = forgetSQL, []any{forgetAtOnce}
			continue
		}
		if total += n; n < forgetAtOnce {
			return total, nil
		}
	}
}
