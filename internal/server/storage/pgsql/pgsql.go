// Package pgsql keeps the state in PostgreSQL, where many servers share it.
//
// # A write
//
// A batch is one statement, so one transaction and one round trip whatever its
// size:
//
//	WITH mark AS (INSERT INTO producers … ON CONFLICT DO UPDATE … WHERE not applied yet)
//	INSERT INTO series SELECT … FROM unnest(…) WHERE mark ON CONFLICT DO UPDATE …
//
// The first part locks the producer's row and remembers the mark; when the mark
// was there it yields no row, and then the second part has nothing to insert. A
// server that brings the same mark meanwhile waits at that row and then finds
// the mark. So mark and effect commit together, or not at all, and no server
// needs to know of another.
//
// Before, the batch is added up in this process (batch.go): one row a series,
// sorted. All servers lock rows in the order producers by name, then series by
// kind, name and labels; so they wait for each other, but never in a circle, and
// no statement meets a row twice. The statement relies on read committed, where ON
// CONFLICT sees the newest version of the row it has locked; connections are set
// to it.
//
// A process has three statements under way at most; writes that come meanwhile
// are added up and sent together, as one statement (lanes.go). So 40 senders of
// the same series cost the database little more than one. A statement of several
// writes applies all of them or none: if one is a replay, or does not fit, each
// goes by itself.
//
// A counter that would overflow makes the statement fail as a whole. Only then
// the totals are read, to tell which elements are to blame (refuse.go). Counters
// never decrease, so what did not fit still does not.
//
// The number of series stands in a row of its own, which a trigger updates when
// series are added, in the same transaction; it refuses what would be too many by
// the limit that the connection brings along. So the number is exact, however many
// servers there are, and a batch without new series costs no more than the call.
// The row is locked last, so it adds no circle.
//
// # Trouble
//
// A request that meets a broken connection tries again (retry.go), if that can't
// count anything twice: always before anything was sent, or when PostgreSQL said
// that nothing was applied; after that, when the outcome is unknown, only with a
// mark. While no connection is to be had, calls fail at once (health.go). A
// statement once sent is not cut off by its caller going away: that would cost
// the connection, and make the outcome unknown for no reason. All of them are
// bounded in time, by PostgreSQL and, should that not answer, by the process.
//
// Reads take pages by key (read.go): between two pages no connection, no
// transaction and no snapshot is held, so a slow reader keeps neither a
// connection busy nor dead rows alive.
package pgsql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/logger"
)

// Options say where the database is and how much of it to use.
type Options struct {
	DSN logger.Secret
	// MaxConns is how many connections this process opens at most.
	MaxConns int
	// Timeout is how long a statement may take. A batch is one statement.
	Timeout time.Duration
	// ConnectTimeout is how long connecting to one address may take, and how long a
	// call waits for a connection.
	ConnectTimeout time.Duration
	// MaxSeries is how many series there may be; 0: any number.
	MaxSeries int
	Log       *zap.Logger
}

// grace is how much longer this process waits for what has a limit of its own,
// whose error says more.
const grace = time.Second

// Store is the storage. Open makes one; Run must run while it is used.
type Store struct {
	o       Options
	pool    *pgxpool.Pool
	health  health
	lanes   lanes
	delays  []time.Duration // between the attempts of a call
	batches sync.Pool
}

// Open connects, waiting for the database as long as ctx lives, and brings its
// schema up to date. What waiting can't cure (a DSN that can't be read, a wrong
// password, a database of a newer program) is an error at once. Errors and logs
// hold no password.
func Open(ctx context.Context, o Options) (*Store, error) {
	cfg, err := configure(o)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o:      o,
		health: health{log: o.Log},
		lanes:  lanes{most: min(maxLanes, o.MaxConns)},
		delays: []time.Duration{time.Second, 3 * time.Second, 5 * time.Second},
	}
	s.batches.New = func() any { return new(batch) }
	if err := migrateWhenThere(ctx, cfg.ConnConfig, o.Log); err != nil {
		return nil, err
	}
	if s.pool, err = pgxpool.NewWithConfig(context.WithoutCancel(ctx), cfg); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	return s, nil
}

// configure turns the options into the driver's. The driver's error holds the
// password, so it goes no further.
func configure(o Options) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(o.DSN.Reveal())
	if err != nil {
		return nil, fmt.Errorf("DATABASE_DSN %s: want postgres://user:password@host:5432/name or key=value pairs as of libpq",
			logger.RedactDSN(o.DSN.Reveal()))
	}
	if o.MaxConns < 1 || o.Timeout <= 0 || o.ConnectTimeout <= 0 {
		return nil, errors.New("pgsql: the number of connections and the timeouts must be positive")
	}
	cfg.MaxConns = int32(o.MaxConns)
	cfg.PingTimeout = min(o.ConnectTimeout, time.Second)
	cfg.ConnConfig.ConnectTimeout = o.ConnectTimeout
	params := cfg.ConnConfig.RuntimeParams
	for name, value := range map[string]string{
		"application_name":                    "gometheus",
		"client_encoding":                     "UTF8",
		"statement_timeout":                   milliseconds(o.Timeout),
		"idle_in_transaction_session_timeout": milliseconds(o.Timeout),
		"default_transaction_isolation":       "read committed",
		"gometheus.max_series":                strconv.Itoa(o.MaxSeries),
	} {
		if _, given := params[name]; !given {
			params[name] = value
		}
	}
	return cfg, nil
}

func milliseconds(d time.Duration) string {
	return strconv.FormatInt(max(1, d.Milliseconds()), 10)
}

// Ping implements storage.Storage: a connection can be had, to a server that
// takes writes.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.ConnectTimeout+2*grace)
	defer cancel()
	ask := func(ctx context.Context, conn *pgxpool.Conn) error {
		var readOnly bool
		err := conn.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::boolean").Scan(&readOnly)
		if err == nil && readOnly {
			return errReadOnly
		}
		return err
	}
	err := s.attempt(ctx, ask)
	if isTransient(err) { // a connection of before a restart says nothing of now
		err = s.attempt(ctx, ask)
	}
	return outward(ctx, err)
}

// Close implements storage.Storage. What was acknowledged is in the database
// already.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// Conns is how many connections are open, and how many of these are in use.
func (s *Store) Conns() (open, used int) {
	st := s.pool.Stat()
	return int(st.TotalConns()), int(st.AcquiredConns())
}
