package pgsql

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"go.uber.org/zap"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// versionTable is goose's, under a name that another program's goose in the
	// same database doesn't use.
	versionTable = "gometheus_migrations"
	// migrationLock is the advisory lock that one server at a time migrates under.
	migrationLock = 0x676f6d65 // "gome"

	lockPoll = 100 * time.Millisecond
	// waitLeast and waitMost are how long to wait for a database that is away.
	waitLeast = 250 * time.Millisecond
	waitMost  = 5 * time.Second
)

// migrateWhenThere waits for the database and migrates it.
func migrateWhenThere(ctx context.Context, cfg *pgx.ConnConfig, log *zap.Logger) error {
	where := []zap.Field{zap.String("host", cfg.Host), zap.Uint16("port", cfg.Port), zap.String("database", cfg.Database)}
	wait, away := waitLeast, false
	for {
		err := migrate(ctx, cfg, log)
		switch {
		case err == nil:
			log.Info("connected to the database", where...)
			return nil
		case ctx.Err() != nil:
			return errors.Join(fmt.Errorf("wait for the database: %w", context.Cause(ctx)), err)
		case !isTransient(err) && !isTimeout(err):
			return err
		case !away:
			away = true
			log.Warn("waiting for the database", append(where, zap.Error(err))...)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		wait = min(2*wait, waitMost)
	}
}

// migrate brings the schema up to date. Many servers may do it at once.
func migrate(ctx context.Context, cfg *pgx.ConnConfig, log *zap.Logger) (err error) {
	cfg = cfg.Copy()
	cfg.RuntimeParams["statement_timeout"] = "0" // a migration takes the time it needs
	cfg.RuntimeParams["idle_in_transaction_session_timeout"] = "0"
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()

	unlock, err := lockMigrations(ctx, db)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()

	var encoding string
	if err := db.QueryRowContext(ctx, "SHOW server_encoding").Scan(&encoding); err != nil {
		return fmt.Errorf("ask for the database's encoding: %w", err)
	}
	if encoding != "UTF8" {
		return fmt.Errorf("the database's encoding is %s, but names may hold any character: it must be UTF8", encoding)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("ask for the version of the database: %w", err)
	}
	if current > newest {
		return fmt.Errorf("the database has version %d, but this program knows %d at most: a newer gometheus has used it; run that one",
			current, newest)
	}
	done, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	if len(done) > 0 {
		log.Info("migrated the database", zap.Int64("from", current), zap.Int64("to", newest))
	}
	return nil
}

// lockMigrations waits until no other server migrates. It asks again and again
// instead of waiting inside a statement, whose snapshot would be in the way of
// a migration that builds an index concurrently.
func lockMigrations(ctx context.Context, db *sql.DB) (unlock func() error, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		var locked bool
		if err := conn.QueryRowContext(ctx, "SELECT pg_try_advisory_lock($1)", migrationLock).Scan(&locked); err != nil {
			return nil, fmt.Errorf("lock the migrations: %w", err)
		}
		if locked {
			break
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for another server to migrate: %w", context.Cause(ctx))
		}
	}
	return func() error {
		// The lock goes with the session at the latest.
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLock)
		return errors.Join(err, conn.Close())
	}, nil
}
