package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/retry"
)

// ballast is a file that takes the room on a disk.
type ballast struct{ path string }

// fill takes all room but some bytes.
func (b ballast) fill(t *testing.T, but int64) {
	t.Helper()
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	require.NoError(t, err)
	defer f.Close()
	block := make([]byte, 4096)
	for {
		if _, err := f.Write(block); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			break
		}
	}
	info, err := f.Stat()
	require.NoError(t, err)
	require.NoError(t, f.Truncate(max(0, info.Size()-but)))
}

func (b ballast) remove(t *testing.T) {
	t.Helper()
	if err := os.Remove(b.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// full is a server on a small disk and one sender.
type full struct {
	t      *testing.T
	ctx    context.Context
	server *server
	disk   string
	ballast
	oracle *oracle
	rng    *rand.Rand
	client *client.Client
	view   *httpView
	// waiting is a batch that was refused for lack of room; it is to be sent again.
	waiting *batch
	sealed  client.Batch
}

func newFull(t *testing.T, size, interval string) *full {
	s := newServer(t, build(t, "server", ""), interval)
	logs := s.dir
	s.dir = smallDisk(t, s.dir, size)
	s.logs = logs // not on the disk that fills up
	f := &full{
		t: t, ctx: deadline(t), server: s, disk: s.dir, ballast: ballast{filepath.Join(s.dir, "ballast")}, oracle: &oracle{}, rng: newRand(t),
	}
	require.NoError(t, s.up(f.ctx))
	f.view = newHTTPView(f.ctx, s.target)
	t.Cleanup(f.view.close)
	tr := s.target.transport()
	t.Cleanup(tr.CloseIdleConnections)
	var err error
	f.client, err = client.New("server", client.WithTransport(tr), client.WithRetry(retry.Policy{Attempts: 1}))
	require.NoError(t, err)
	// The server must be gone before the disk is.
	t.Cleanup(func() { s.now.end() })
	return f
}

// push sends a batch, the waiting one or a new one of so many more metrics, and
// answers the status.
func (f *full) push(more int) int {
	f.t.Helper()
	if f.waiting == nil {
		b := f.oracle.next(0, f.rng)
		metrics := b.metrics()
		for i := range more {
			metrics = append(metrics, request.Gauge("filler", float64(b.n)).With(map[string]string{"i": strconv.Itoa(i)}))
		}
		sealed, err := f.client.NewBatch(metrics)
		require.NoError(f.t, err)
		b.key = sealed.Key
		f.waiting, f.sealed = b, sealed
	}
	_, err := f.client.Try(f.ctx, f.sealed)
	if err == nil {
		f.oracle.ack(f.waiting)
		f.waiting = nil
		return http.StatusNoContent
	}
	e, ok := errors.AsType[*client.Error](err)
	require.True(f.t, ok, "%v", err)
	require.False(f.t, e.Permanent(), "the client must try again: %v", err)
	return e.Status
}

func (f *full) ping() int {
	f.t.Helper()
	status, _, err := f.view.get("/ping")
	require.NoError(f.t, err)
	return status
}

// until pushes until the status comes.
func (f *full) until(status, more int) (pushes int) {
	f.t.Helper()
	for {
		pushes++
		got := f.push(more)
		if got == status {
			return pushes
		}
		require.Contains(f.t, []int{http.StatusNoContent, http.StatusInsufficientStorage}, got)
		require.NoError(f.t, f.ctx.Err())
		if status == http.StatusNoContent {
			pause(f.ctx, 5*time.Millisecond)
		}
	}
}

// check compares all that is stored. The waiting batch must not be there.
func (f *full) check() {
	f.t.Helper()
	applied, err := f.oracle.check(f.view, nil)
	require.NoError(f.t, err)
	if f.waiting != nil {
		require.Zero(f.t, applied[f.waiting.n], "%v was refused, but applied", f.waiting)
	}
}

// isFull checks what a full disk must look like from outside.
func (f *full) isFull() {
	f.t.Helper()
	for range 10 {
		require.Equal(f.t, http.StatusInsufficientStorage, f.push(0))
	}
	require.Equal(f.t, http.StatusInternalServerError, f.ping())
	status, _, err := f.view.get("/")
	require.NoError(f.t, err)
	require.Equal(f.t, http.StatusOK, status, "the page is still shown")
	f.check()
	require.NoError(f.t, f.server.now.alive())
}

// recovers makes room and checks that nothing more is needed.
func (f *full) recovers() {
	f.t.Helper()
	f.remove(f.t)
	require.Eventually(f.t, func() bool { return f.ping() == http.StatusOK }, 10*time.Second, 5*time.Millisecond)
	f.until(http.StatusNoContent, 0)
	for range 20 {
		require.Equal(f.t, http.StatusNoContent, f.push(0))
	}
	f.check()
}

// restart kills the server and starts it again.
func (f *full) restart() {
	f.t.Helper()
	require.NoError(f.t, f.server.now.kill())
	f.server.now = nil
	f.oracle.killed()
	require.NoError(f.t, f.server.up(f.ctx))
	f.check()
}

// TestDiskFull: writes are refused with 507, reads go on, nothing acknowledged
// is lost, and room is all it takes to go on.
func TestDiskFull(t *testing.T) {
	for _, interval := range []string{"300", "0.05", "0"} {
		t.Run("interval "+interval, func(t *testing.T) {
			f := newFull(t, "4m", interval)
			for round := range count(3, 30) {
				for range 20 {
					require.Equal(t, http.StatusNoContent, f.push(50))
				}
				// Room for nothing, or for a bit: part of a record, of a snapshot.
				f.fill(t, int64(round%3)*8192)
				t.Logf("round %d: full after %d batches", round, f.until(http.StatusInsufficientStorage, 50))
				f.isFull()
				f.recovers()
				// Killed while it is full, with room again when it starts.
				f.fill(t, 0)
				f.until(http.StatusInsufficientStorage, 50)
				require.NoError(t, f.server.now.kill())
				f.server.now = nil
				f.oracle.killed()
				f.remove(t)
				require.NoError(t, f.server.up(f.ctx))
				f.check()
				f.recovers()
				f.restart()
			}
			require.NoError(t, f.server.stop())
		})
	}
}

// TestNoRoomForSnapshot: while there is room for the journal and not for a
// snapshot writes go on; what the snapshot left half-written goes away.
func TestNoRoomForSnapshot(t *testing.T) {
	f := newFull(t, "8m", "0.05")
	// Some 700 KB of snapshot.
	for i := range 10 {
		var metrics []request.Metric
		for j := range 1000 {
			metrics = append(metrics, request.Gauge("many", 1).With(map[string]string{"i": fmt.Sprint(i*1000 + j)}))
		}
		require.NoError(t, f.client.Push(f.ctx, metrics...))
	}
	snapshot := filepath.Join(f.disk, "db.json")
	size := func(name string) int64 {
		info, err := os.Stat(name)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	require.Eventually(t, func() bool {
		return size(snapshot) > 500_000 && size(snapshot+".bak") > 500_000 || f.push(0) == 0
	}, 20*time.Second, 20*time.Millisecond)
	f.fill(t, 300<<10)
	before, err := os.Stat(snapshot)
	require.NoError(t, err)
	failures := func() int {
		log, err := os.ReadFile(filepath.Join(f.server.logs, "server.log"))
		require.NoError(t, err)
		return strings.Count(string(log), "snapshot not taken")
	}
	for failures() < 5 {
		require.Equal(t, http.StatusNoContent, f.push(0), "the journal has room")
		require.Equal(t, http.StatusOK, f.ping())
		require.True(t, pause(f.ctx, 5*time.Millisecond))
	}
	after, err := os.Stat(snapshot)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "the old snapshot stays")
	f.check()
	f.restart()
	// Now the journal takes the rest; what a snapshot takes of it while it is tried
	// comes back.
	for refused := 0; refused < 20; {
		switch f.push(200) {
		case http.StatusInsufficientStorage:
			refused++
			f.check()
		case http.StatusNoContent:
		default:
			t.Fatal("neither taken nor refused for lack of room")
		}
		require.NoError(t, f.ctx.Err())
	}
	f.recovers()
	require.Eventually(t, func() bool {
		now, err := os.Stat(snapshot)
		return err == nil && !os.SameFile(before, now)
	}, 10*time.Second, 5*time.Millisecond, "snapshots are taken again")
	f.restart()
	require.NoFileExists(t, snapshot+".tmp")
	require.Eventually(t, func() bool {
		require.Equal(t, http.StatusNoContent, f.push(0))
		journal, err := os.ReadDir(snapshot + ".journal")
		return err == nil && len(journal) <= 3
	}, 10*time.Second, 5*time.Millisecond, "the journal is cut again")
	f.restart()
	require.NoError(t, f.server.stop())
}

// TestStartOnFullDisk: a server that finds no room to begin with either starts
// and serves reads, or says so and ends; what it has stays.
func TestStartOnFullDisk(t *testing.T) {
	f := newFull(t, "4m", "300")
	for range 100 {
		require.Equal(t, http.StatusNoContent, f.push(50))
	}
	require.NoError(t, f.server.now.kill())
	f.oracle.killed()
	f.fill(t, 0)
	f.server.now = nil
	f.server.start()
	_, err := f.server.now.listening(f.ctx)
	if err == nil {
		require.NoError(t, f.server.up(f.ctx))
		f.isFull()
		f.recovers()
	} else {
		require.ErrorContains(t, err, "no space left")
		t.Logf("it doesn't start: %s", f.server.now.out.tail())
		f.remove(t)
		f.server.now = nil
		require.NoError(t, f.server.up(f.ctx))
	}
	f.check()
	require.NoError(t, f.server.stop())
}

// TestHalfSnapshotTakesTheRoom: what a kill left of a snapshot must not keep the
// server from starting.
func TestHalfSnapshotTakesTheRoom(t *testing.T) {
	f := newFull(t, "4m", "300")
	for range 100 {
		require.Equal(t, http.StatusNoContent, f.push(50))
	}
	require.NoError(t, f.server.now.kill())
	f.server.now = nil
	f.oracle.killed()
	f.path = filepath.Join(f.disk, "db.json.tmp")
	f.fill(t, 0)
	require.NoError(t, f.server.up(f.ctx))
	require.NoFileExists(t, f.path)
	require.Equal(t, http.StatusNoContent, f.push(50))
	f.check()
	require.NoError(t, f.server.stop())
}
