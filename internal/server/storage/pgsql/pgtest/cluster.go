package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Mode is how a server is stopped.
type Mode = os.Signal

// How a server ends: orderly, cutting its clients off; or at once, as a crash
// would, with recovery at the next start.
const (
	Fast      = syscall.SIGINT
	Immediate = syscall.SIGQUIT
)

var errNoPrograms = errors.New("no initdb and postgres in PATH or /usr/lib/postgresql/*/bin")

// settings of the cluster. A killed server keeps what it wrote even without
// fsync, which is there for power cuts; those no test makes.
var settings = []string{
	"listen_addresses=", "fsync=off", "full_page_writes=off", "max_connections=200",
	"shared_buffers=128MB", "max_wal_size=2GB", "logging_collector=off", "timezone=UTC",
}

// cluster is a PostgreSQL in a folder of our own, reachable through a socket in
// it. It ends with this process, however that ends.
type cluster struct {
	bin  string // folder of the programs
	dir  string // our folder, owned by the user that the programs run as
	attr *syscall.SysProcAttr

	proc *os.Process
	gone chan struct{} // closed when proc has ended
}

func startCluster() (c *cluster, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	c = &cluster{bin: bin}
	uid := os.Getuid()
	if uid == 0 { // the programs refuse to run as root
		var gid int
		if uid, gid, err = unprivileged(); err != nil {
			return nil, err
		}
		c.attr = runAs(uid, gid)
	} else {
		c.attr = runAs(-1, -1)
	}
	if c.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(c.dir))
		}
	}()
	if os.Getuid() == 0 {
		if err := os.Chown(c.dir, uid, -1); err != nil {
			return nil, err
		}
	}
	if err := c.init(); err != nil {
		return nil, err
	}
	if err := c.start(); err != nil {
		return nil, err
	}
	return c, nil
}

// programs finds the folder of the newest initdb and postgres.
func programs() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	version := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // no number: the oldest
		return n
	}
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append([]string{filepath.Dir(path)}, dirs...)
		}
	}
	for _, dir := range dirs {
		_, initErr := os.Stat(filepath.Join(dir, "initdb"))
		_, serverErr := os.Stat(filepath.Join(dir, "postgres"))
		if initErr == nil && serverErr == nil {
			return dir, nil
		}
	}
	return "", errNoPrograms
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }
func (c *cluster) log() string  { return filepath.Join(c.dir, "log") }

func (c *cluster) dsn(database string) string {
	return "postgres:///" + database + "?user=postgres&sslmode=disable&host=" + url.QueryEscape(c.dir)
}

func (c *cluster) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), filepath.Join(c.bin, name), args...)
	cmd.Dir = c.dir
	cmd.Env = []string{"PATH=" + c.bin, "LC_ALL=C", "TZ=UTC"} // no PG… variable of the caller
	cmd.SysProcAttr = c.attr
	return cmd
}

func (c *cluster) init() error {
	out, err := c.command("initdb", "--pgdata="+c.data(), "--username=postgres", "--auth=trust", "--encoding=UTF8",
		"--locale=C", "--no-sync", "--no-instructions").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// start runs the server and waits until it takes connections. The log is kept
// open by the child alone.
func (c *cluster) start() error {
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // nothing was written through it
	args := []string{"-D", c.data(), "-k", c.dir}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	cmd := c.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	started := make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		// The kernel ends the child when the thread that started it ends.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
		close(gone)
	}()
	if err := <-started; err != nil {
		return err
	}
	c.proc, c.gone = cmd.Process, gone
	if err := waitReachable(c.dsn("postgres"), time.Minute, gone); err != nil {
		text, _ := os.ReadFile(c.log()) // there may be none
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(text[max(0, len(text)-2000):]))
	}
	return nil
}

// signal tells the server to stop and waits for its end, having made sure that
// it is the server of our folder.
func (c *cluster) signal(how Mode) error {
	text, err := os.ReadFile(filepath.Join(c.data(), "postmaster.pid"))
	if err != nil {
		return fmt.Errorf("not our server: %w", err)
	}
	lines := strings.SplitN(string(text), "\n", 3)
	if len(lines) < 3 || lines[0] != strconv.Itoa(c.proc.Pid) || lines[1] != c.data() {
		return fmt.Errorf("not our server: postmaster.pid is of process %s in %s", lines[0], lines[1])
	}
	if err := c.proc.Signal(how); err != nil {
		return err
	}
	select {
	case <-c.gone:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("the server doesn't stop on %s", how)
	}
}

func (c *cluster) ended() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

func (c *cluster) remove() error {
	var err error
	if !c.ended() {
		err = c.signal(Immediate)
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// Halt stops the server until Resume.
func (s *Server) Halt(t testing.TB, how Mode) {
	t.Helper()
	if s.local.ended() {
		return
	}
	if err := s.local.signal(how); err != nil {
		t.Fatalf("stop PostgreSQL: %v", err)
	}
}

// Resume starts the server after Halt.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if err := s.local.start(); err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
}

// Restart stops the server and starts it again.
func (s *Server) Restart(t testing.TB, how Mode) {
	t.Helper()
	s.Halt(t, how)
	s.Resume(t)
}

// TerminateBackends ends all connections to the test's database. The database
// is one that Database made, and of a private server the folder is checked too.
func (s *Server) TerminateBackends(t testing.TB, dsn string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // it only read
	if !strings.HasPrefix(conn.Config().Database, "gometheus_test_") {
		t.Fatalf("database %s is not one of the tests", conn.Config().Database)
	}
	if s.local != nil {
		var folder string
		if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&folder); err != nil || folder != s.local.data() {
			t.Fatalf("not our server: its data is in %q: %v", folder, err)
		}
	}
	var n int
	err = conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid()`).Scan(&n)
	if err != nil {
		t.Fatalf("terminate backends: %v", err)
	}
	return n
}
