package pgsql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/pkg/retry"
)

// SQLSTATEs that are decided upon. Appendix A of PostgreSQL's manual has them.
const (
	codeOutOfRange         = "22003" // numeric_value_out_of_range
	codeReadOnly           = "25006" // read_only_sql_transaction
	codeSerialization      = "40001" // serialization_failure
	codeDeadlock           = "40P01" // deadlock_detected
	codeDiskFull           = "53100" // disk_full
	codeTooManyConnections = "53300" // too_many_connections
	codeQueryCanceled      = "57014" // query_canceled, by the statement timeout too
	codeAdminShutdown      = "57P01"
	codeCrashShutdown      = "57P02"
	codeCannotConnectNow   = "57P03"
	codeSeriesLimit        = "GM429" // our own, of the trigger on series
)

var (
	errBusy     = errors.New("no connection to the database became free in time")
	errAway     = errors.New("the database is away")
	errReadOnly = errors.New("the database is read only")
)

// acquireError is that no connection could be had: nothing was sent.
type acquireError struct{ err error }

func (e *acquireError) Error() string { return "connect to the database: " + e.err.Error() }
func (e *acquireError) Unwrap() error { return e.err }

// call runs f on a connection, and again after what another attempt may cure, if
// that is safe: repeatable says that f may run again although it may have taken
// effect. f must not keep the connection.
func (s *Store) call(ctx context.Context, repeatable bool, f func(context.Context, *pgxpool.Conn) error) error {
	probing, refused := s.health.enter()
	if refused {
		return outward(ctx, &acquireError{errAway})
	}
	policy := retry.Policy{Delays: s.delays}
	if probing {
		policy = retry.Policy{Attempts: 1}
	}
	err := retry.Do(ctx, policy, func(ctx context.Context) error {
		err := s.attempt(ctx, f)
		if err != nil && (!isTransient(err) || !repeatable && !isWithoutEffect(err)) {
			return retry.Permanent(err)
		}
		return err
	})
	return outward(ctx, err)
}

// attempt runs f once. f is not stopped by the end of ctx, but by the timeout.
func (s *Store) attempt(ctx context.Context, f func(context.Context, *pgxpool.Conn) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.o.Timeout+grace)
	defer cancel()
	err = f(ctx, conn)
	if isCode(err, codeReadOnly) || errors.Is(err, errReadOnly) {
		// The server has changed its role; a new connection may find one that writes.
		return errors.Join(err, conn.Conn().Close(ctx))
	}
	return err
}

func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	bounded, cancel := context.WithTimeout(ctx, s.o.ConnectTimeout+grace)
	defer cancel()
	conn, err := s.pool.Acquire(bounded)
	switch {
	case err == nil:
		s.health.succeeded()
		return conn, nil
	case ctx.Err() != nil: // the caller is gone, which says nothing of the database
		return nil, &acquireError{context.Cause(ctx)}
	case bounded.Err() != nil:
		return nil, &acquireError{errBusy}
	case !isCode(err, codeTooManyConnections):
		s.health.failed(err)
	}
	return nil, &acquireError{err}
}

func isCode(err error, code string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == code
}

// isTransient reports whether another attempt may go well soon. One that timed
// out has kept its caller waiting for long enough.
func isTransient(err error) bool {
	if err == nil || errors.Is(err, errBusy) || errors.Is(err, context.Canceled) || isTimeout(err) {
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code {
		case codeSerialization, codeDeadlock, codeTooManyConnections, codeAdminShutdown, codeCrashShutdown, codeCannotConnectNow:
			return true
		}
		return strings.HasPrefix(pg.Code, "08") // connection_exception
	}
	if _, ok := errors.AsType[net.Error](err); ok { // names that can't be resolved, too
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err)
}

func isTimeout(err error) bool {
	network, ok := errors.AsType[net.Error](err)
	return ok && network.Timeout() || errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err)
}

// isWithoutEffect reports whether it is certain that nothing was applied:
// nothing was sent, or PostgreSQL reports an error of the statement, which then
// was rolled back. An error that ended the connection may have met it after the
// commit.
func isWithoutEffect(err error) bool {
	if _, ok := errors.AsType[*acquireError](err); ok {
		return true
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.SeverityUnlocalized == "ERROR"
	}
	return pgconn.SafeToRetry(err)
}

// outward turns the error of a call with ctx into one of the storage's contract.
func outward(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	_, notConnected := errors.AsType[*acquireError](err)
	switch {
	case isCode(err, codeSeriesLimit):
		return seriesLimit(err)
	case isCode(err, codeDiskFull):
		return fmt.Errorf("%w: %w", storage.ErrFull, err)
	case notConnected, isTransient(err), isTimeout(err), ctx.Err() != nil,
		isCode(err, codeQueryCanceled), isCode(err, codeReadOnly), errors.Is(err, errReadOnly):
		return fmt.Errorf("%w: %w", storage.ErrUnavailable, err)
	}
	return err
}

// seriesLimit is the error of the trigger on series, whose detail is the limit.
func seriesLimit(err error) error {
	pg, _ := errors.AsType[*pgconn.PgError](err)
	limit, convErr := strconv.Atoi(pg.Detail)
	if convErr != nil {
		return errors.Join(err, convErr)
	}
	return &storage.SeriesLimitError{Limit: limit}
}
