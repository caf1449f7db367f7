// Package pgtest gives tests a real PostgreSQL, found in this order: the server
// of a DSN; a private, temporary cluster made from the programs of this machine;
// a container. With none of them Start says what to install.
//
// A test binary starts one server, in TestMain, and takes a database for each
// test:
//
//	server, err := pgtest.Start(os.Getenv("TEST_DATABASE_DSN"))
//	…
//	dsn := server.Database(t)
//
// Whatever the server is, tests only ever touch databases that Database made,
// and only a cluster of our own, in a folder of our own, is ever stopped.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a PostgreSQL for tests.
type Server struct {
	admin string // DSN of a role that may create databases
	local *cluster
	stop  func() error
}

// Start finds or starts a server. dsn names one that runs already; empty: none.
func Start(dsn string) (*Server, error) {
	if dsn != "" {
		if err := reachable(dsn); err != nil {
			return nil, fmt.Errorf("reach TEST_DATABASE_DSN: %w", err)
		}
		return &Server{admin: dsn, stop: func() error { return nil }}, nil
	}
	local, localErr := startCluster()
	if localErr == nil {
		return &Server{admin: local.dsn("postgres"), local: local, stop: local.remove}, nil
	}
	if !errors.Is(localErr, errNoPrograms) {
		return nil, fmt.Errorf("start a private PostgreSQL: %w", localErr)
	}
	admin, stop, err := startContainer()
	if err != nil {
		return nil, fmt.Errorf("these tests need a PostgreSQL: run scripts/test-deps, which installs one, "+
			"or set TEST_DATABASE_DSN to a role that may create databases, or start Docker: %w", errors.Join(localErr, err))
	}
	return &Server{admin: admin, stop: stop}, nil
}

// Stop ends what Start started.
func (s *Server) Stop() error { return s.stop() }

// CanRestart reports whether Restart and Halt work: the server is our own.
func (s *Server) CanRestart() bool { return s.local != nil }

// Database makes an empty database for the test, which is dropped at its end,
// and returns its DSN, a URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := "gometheus_test_" + strings.ToLower(rand.Text()[:12])
	if err := s.exec("CREATE DATABASE " + name + " TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() {
		if err := s.exec("DROP DATABASE " + name + " WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	dsn, err := withDatabase(s.admin, name)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

func (s *Server) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.admin)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

// withDatabase is dsn with another database, as a URL.
func withDatabase(dsn, name string) (string, error) {
	if u, err := url.Parse(dsn); err == nil && strings.HasPrefix(u.Scheme, "postgres") {
		u.Path = "/" + name
		return u.String(), nil
	}
	return "", errors.New("TEST_DATABASE_DSN must be a URL, postgres://…")
}

func reachable(dsn string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

// waitReachable polls until the server takes connections or gone is closed.
func waitReachable(dsn string, most time.Duration, gone <-chan struct{}) error {
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		err := reachable(dsn)
		if err == nil {
			return nil
		}
		select {
		case <-poll.C:
		case <-gone:
			return errors.New("the server ended")
		case <-deadline.C:
			return fmt.Errorf("not there after %s: %w", most, err)
		}
	}
}
