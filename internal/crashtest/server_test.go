package crashtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// server is a server program in its many lives, over one folder.
type server struct {
	t        *testing.T
	program  string
	dir      string
	logs     string // folder of the log, if not dir
	interval string
	args     []string // further ones
	target   *target
	now      *process
}

func newServer(t *testing.T, program, interval string) *server {
	s := &server{t: t, program: program, dir: folder(t), interval: interval, target: new(target)}
	t.Cleanup(func() { s.now.end() })
	return s
}

// start starts the program and returns at once.
func (s *server) start() {
	args := append([]string{
		"--address", "127.0.0.1:0", "--file-storage-path", filepath.Join(s.dir, "db.json"), "--store-interval", s.interval,
	}, s.args...)
	s.now = start(s.t, filepath.Join(cmp.Or(s.logs, s.dir), "server.log"), s.program, args...)
}

// up starts the program, if it doesn't run, and waits until it listens.
func (s *server) up(ctx context.Context) error {
	if s.now == nil {
		s.start()
	}
	address, err := s.now.listening(ctx)
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	s.target.set(address)
	return nil
}

// kill kills the program after a random time: a quarter of the times while it
// still starts.
func (s *server) kill(ctx context.Context, rng *rand.Rand) error {
	if s.now == nil {
		s.start()
	}
	after := within(rng, 60*time.Millisecond)
	if rng.IntN(4) > 0 {
		if err := s.up(ctx); err != nil {
			return err
		}
		after = within(rng, 250*time.Millisecond)
	}
	if !pause(ctx, after) {
		return ctx.Err()
	}
	err := s.now.kill()
	s.now = nil
	s.target.set("")
	return err
}

func (s *server) stop() error {
	err := s.now.stop()
	s.now = nil
	s.target.set("")
	return err
}

// round is one folder's life: load, kills, checks.
type round struct {
	server  *server
	senders int
	kills   int
	every   int // kills between two checks
}

// run runs the round. The error is what the oracle found, or what kept the round
// from going on.
func (r round) run(ctx context.Context, rng *rand.Rand) error {
	o := &oracle{}
	s := r.server
	view := newHTTPView(ctx, s.target)
	defer view.close()
	for done, first := 0, 0; done < r.kills; first += r.senders {
		kills := min(r.every, r.kills-done)
		if err := r.stretch(ctx, o, view, kills, first, rng); err != nil {
			return err
		}
		done += kills
	}
	// The last words are saved, too, by an orderly end.
	if err := errors.Join(s.stop(), s.up(ctx)); err != nil {
		return err
	}
	if _, err := o.check(view, nil); err != nil {
		return fmt.Errorf("after an orderly restart: %w", err)
	}
	s.t.Logf("%d kills, interval %s, %d senders: %s", r.kills, s.interval, r.senders, o.numbers())
	return errors.Join(s.stop(), os.RemoveAll(s.dir))
}

// stretch is load, some kills, and a check. first is the number of the first
// sender.
func (r round) stretch(ctx context.Context, o *oracle, view *httpView, kills, first int, rng *rand.Rand) error {
	s := r.server
	l := &load{oracle: o, target: s.target, timeout: 5 * time.Second, breath: 8 * time.Millisecond}
	l.run(ctx, r.senders, first, rng)
	defer l.abort()
	for range kills {
		if err := s.kill(ctx, rng); err != nil {
			return fmt.Errorf("kill %d: %w", o.kills+1, err)
		}
		o.killed()
		if err := o.failure(); err != nil {
			return err
		}
	}
	if err := s.up(ctx); err != nil {
		return fmt.Errorf("after kill %d: %w", o.kills, err)
	}
	return errors.Join(l.finish(), quiet(o, view), s.now.alive())
}

// quiet checks. A try that its sender cut short may still be at work in the
// server, so what looks wrong is looked at again.
func quiet(o *oracle, v view) error {
	var err error
	for range 3 {
		if _, err = o.check(v, nil); err == nil {
			return nil
		}
		pause(context.Background(), 50*time.Millisecond)
	}
	return err
}

// TestServerKilled: kill -9 of the server under load loses nothing acknowledged
// and counts nothing twice.
func TestServerKilled(t *testing.T) {
	program := build(t, "server", "")
	for _, tt := range []struct {
		name, interval string
		kills          int
	}{
		{"default interval", "300", count(16, 400)},
		{"short interval", "50ms", count(16, 300)},
		{"interval 0", "0", count(16, 300)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng, ctx := newRand(t), deadline(t)
			for left := tt.kills; left > 0; {
				kills := min(left, 25)
				r := round{server: newServer(t, program, tt.interval), senders: 8 + rng.IntN(9), kills: kills, every: 1 + rng.IntN(10)}
				require.NoError(t, r.run(ctx, rng))
				left -= kills
			}
		})
	}
}

// TestHarnessCatchesMarkApart is the negative control: a server that commits the
// mark apart from the effect counts batches twice, and the harness sees it.
func TestHarnessCatchesMarkApart(t *testing.T) {
	program := build(t, "server", "markapart")
	for _, interval := range []string{"300", "0"} {
		t.Run("interval "+interval, func(t *testing.T) {
			rng, ctx := newRand(t), deadline(t)
			// The folder is not kept: what is wrong in it is wrong on purpose.
			err := untilCaught(func() error {
				r := round{server: newServer(t, program, interval), senders: 8, kills: 30, every: 1}
				return r.run(ctx, rng)
			})
			var found *wrong
			require.ErrorAs(t, err, &found, "240 kills and nothing found: the harness is blind")
			require.NotEmpty(t, found.doubled, "%v", found)
			require.Empty(t, found.lost, "%v", found)
			t.Logf("caught: %v", found)
		})
	}
}
