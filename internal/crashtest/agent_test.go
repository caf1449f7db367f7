package crashtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/request"
)

// counted is the agent's counter: one more with every poll.
const counted = "PollCount"

// seen is a batch that came by the recorder.
type seen struct {
	body     [sha256.Size]byte
	polls    int64
	tries    int
	answered int // times that the agent was told that the server has it
}

// recorder is a reverse proxy between agent and server that writes down every
// batch before it passes it on. Some answers it loses.
type recorder struct {
	target *target
	server *http.Server
	listen net.Listener
	client *http.Client
	// inOrder demands that a producer's numbers come one after the other: the
	// agent sends one batch at a time.
	inOrder bool

	mu     sync.Mutex
	rng    *rand.Rand
	lossy  bool
	seen   map[string]*seen
	newest map[string]uint64 // sequence by producer
	last   time.Time         // when a batch came by
	failed error
	wg     sync.WaitGroup
}

func newRecorder(t *testing.T, tg *target, rng *rand.Rand, inOrder bool) *recorder {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &recorder{
		target: tg, listen: l, inOrder: inOrder, rng: rng, lossy: true,
		client: &http.Client{Transport: tg.transport(), Timeout: 5 * time.Second},
		seen:   map[string]*seen{}, newest: map[string]uint64{},
	}
	r.server = &http.Server{Handler: r}
	r.wg.Go(func() { _ = r.server.Serve(l) }) // it ends by Close
	t.Cleanup(func() {
		r.server.Close()
		r.wg.Wait()
		r.client.CloseIdleConnections()
	})
	return r
}

func (r *recorder) failLockedf(format string, args ...any) {
	if r.failed == nil {
		r.failed = fmt.Errorf(format, args...)
	}
}

// note writes a batch down; lose tells to lose the answer.
func (r *recorder) note(key, encoding string, body []byte) (s *seen, lose bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = time.Now()
	sum := sha256.Sum256(body)
	s = r.seen[key]
	if s == nil {
		polls, err := polls(encoding, body)
		if err != nil {
			r.failLockedf("batch %s: %w", key, err)
		}
		s = &seen{body: sum, polls: polls}
		r.seen[key] = s
		producer, sequence, err := parseKey(key)
		if err != nil {
			r.failLockedf("%w", err)
		}
		if r.inOrder && sequence != r.newest[producer]+1 {
			r.failLockedf("batch %s comes after number %d of its producer", key, r.newest[producer])
		}
		r.newest[producer] = max(r.newest[producer], sequence)
	}
	if s.body != sum {
		r.failLockedf("key %s was seen with two different bodies", key)
	}
	s.tries++
	return s, r.lossy && r.rng.IntN(20) == 0
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	if in.URL.Path == "/ping" { // the agent asks what time it is
		return
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the agent was killed
	}
	s, lose := r.note(in.Header.Get(request.HeaderIdempotencyKey), in.Header.Get("Content-Encoding"), body)
	// Not with the agent's context: what it has sent is on its way.
	out, err := http.NewRequestWithContext(context.WithoutCancel(in.Context()), in.Method, "http://server"+in.URL.Path, bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	out.Header = in.Header.Clone()
	res, err := r.client.Do(out)
	if err != nil || lose {
		if err == nil {
			res.Body.Close()
		}
		panic(http.ErrAbortHandler)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.mu.Lock()
	switch {
	case res.StatusCode < 300:
		s.answered++
	case res.StatusCode < 500:
		r.failLockedf("the server answers %d: %s", res.StatusCode, answer)
	}
	r.mu.Unlock()
	maps.Copy(w.Header(), res.Header)
	w.WriteHeader(res.StatusCode)
	w.Write(answer) //nolint:errcheck // the agent may be gone
}

// polls is how much a body adds to the agent's counter.
func polls(encoding string, body []byte) (n int64, err error) {
	if encoding == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		if body, err = io.ReadAll(zr); err != nil {
			return 0, err
		}
	}
	var ms []request.Metric
	if err := json.Unmarshal(body, &ms); err != nil {
		return 0, err
	}
	for _, m := range ms {
		if m.ID == counted && m.Type == request.TypeCounter {
			n += *m.Delta
		}
	}
	return n, nil
}

func parseKey(key string) (producer string, sequence uint64, err error) {
	producer, number, ok := strings.Cut(strings.Trim(key, `"`), "/")
	if !ok {
		return "", 0, fmt.Errorf("key %s has no sequence", key)
	}
	sequence, err = strconv.ParseUint(number, 10, 64)
	return producer, sequence, err
}

// neverAnswered is said of batches that may still be in the spool.
const neverAnswered = "never answered"

// check compares what came by with what is stored, when all is quiet.
func (r *recorder) check(v view) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed != nil {
		return r.failed
	}
	var sum int64
	var errs []error
	sequences := map[string][]uint64{}
	for key, s := range r.seen {
		sum += s.polls
		producer, sequence, err := parseKey(key)
		if err != nil {
			return err
		}
		sequences[producer] = append(sequences[producer], sequence)
		if s.answered == 0 {
			errs = append(errs, fmt.Errorf("batch %s was tried %d times and %s", key, s.tries, neverAnswered))
		}
	}
	for producer, list := range sequences {
		slices.Sort(list)
		for i, n := range list {
			if n != uint64(i+1) {
				errs = append(errs, fmt.Errorf("producer %s: number %d is missing, and %d follows", producer, i+1, n))
				break
			}
		}
	}
	got, err := v.counter(counted, "", "")
	if err != nil {
		return err
	}
	if got != sum {
		errs = append(errs, fmt.Errorf("%s is %d, but %d distinct batches add up to %d", counted, got, len(r.seen), sum))
	}
	if n := len(errs) - 8; n > 0 {
		errs = append(errs[:7], fmt.Errorf("… and %d more", n), errs[len(errs)-1])
	}
	return errors.Join(errs...)
}

func (r *recorder) numbers() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	tries := 0
	for _, s := range r.seen {
		tries += s.tries
	}
	return fmt.Sprintf("%d producers, %d batches, %d tries", len(r.newest), len(r.seen), tries)
}

// quietSince waits until no batch has come by for some time.
func (r *recorder) quietSince(ctx context.Context, d time.Duration) error {
	for {
		r.mu.Lock()
		quiet := time.Since(r.last)
		r.mu.Unlock()
		if quiet >= d {
			return nil
		}
		if !pause(ctx, d-quiet) {
			return ctx.Err()
		}
	}
}

// agent is an agent program in its many lives, over one spool.
type agent struct {
	t       *testing.T
	program string
	dir     string
	address string
	rate    int
	noSpool bool
	now     *process
}

func (a *agent) start(reportInterval string) {
	args := []string{
		"--collectors", "runtime,random,gopsutil", // what counts is pushed
		"--address", a.address, "--poll-interval", "0.01", "--report-interval", reportInterval,
		"--batch-size", "20", "--rate-limit", strconv.Itoa(a.rate), "--labels", "instance=test",
	}
	if !a.noSpool {
		args = append(args, "--spool-dir", filepath.Join(a.dir, "spool"))
	}
	a.now = start(a.t, filepath.Join(a.dir, "agent.log"), a.program, args...)
}

// hasSpool fails the test if the agent can't keep its queue on disk.
func hasSpool(t *testing.T, program string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, "--help").CombinedOutput()
	require.NoError(t, err)
	if !strings.Contains(string(out), "--spool-dir") {
		t.Fatal("the agent has no --spool-dir yet: nothing of its queue survives a kill")
	}
}

// agentRound is one folder's life: kills, then quiet, then the check.
type agentRound struct {
	agent, server string // programs
	interval      string
	kills         int
	both          bool // kill agent and server in turns
	rate          int
	noSpool       bool // for the negative control
}

// run runs the round. The error is what the recorder found, or what kept the
// round from going on.
func (r agentRound) run(ctx context.Context, t *testing.T, rng *rand.Rand) error {
	s := newServer(t, r.server, r.interval)
	if err := s.up(ctx); err != nil {
		return err
	}
	rec := newRecorder(t, s.target, fork(rng), r.rate == 1)
	a := &agent{t: t, program: r.agent, dir: s.dir, address: rec.listen.Addr().String(), rate: r.rate, noSpool: r.noSpool}
	t.Cleanup(func() { a.now.end() })
	a.start("0.02")
	for kill := range r.kills {
		if !pause(ctx, within(rng, 300*time.Millisecond)) {
			return ctx.Err()
		}
		var err error
		if r.both && kill%2 == 1 {
			err = s.now.kill()
			s.now = nil
			s.target.set("")
			// Away for some time: batches pile up in the spool.
			pause(ctx, within(rng, 200*time.Millisecond))
			err = errors.Join(err, s.up(ctx))
		} else {
			err = a.now.kill()
			a.start("0.02")
		}
		if err != nil {
			return fmt.Errorf("kill %d: %w", kill+1, err)
		}
	}
	// The end: no more losses, and an agent that stops in order delivers all.
	rec.mu.Lock()
	rec.lossy = false
	rec.mu.Unlock()
	if !pause(ctx, time.Second) {
		return ctx.Err()
	}
	if err := errors.Join(s.now.alive(), a.now.stop(), rec.quietSince(ctx, 200*time.Millisecond)); err != nil {
		return err
	}
	view := newHTTPView(ctx, s.target)
	defer view.close()
	if err := rec.check(view); err != nil {
		if r.noSpool || !strings.Contains(err.Error(), neverAnswered) { // more time cures nothing
			return err
		}
		// What an orderly end had no time for is in the spool.
		t.Logf("after the agent's end: %v", err)
		a.start("3600")
		pause(ctx, time.Second)
		if err := errors.Join(rec.quietSince(ctx, 2*time.Second), a.now.stop(), rec.check(view)); err != nil {
			return err
		}
	}
	t.Logf("%d kills, interval %s: %s", r.kills, r.interval, rec.numbers())
	return errors.Join(s.stop(), os.RemoveAll(s.dir))
}

// TestAgentKilled: kill -9 of the agent with a spool, and of agent and server in
// turns. What the agent has ever sent counts exactly once in the end.
func TestAgentKilled(t *testing.T) {
	agentProgram, serverProgram := build(t, "agent", ""), build(t, "server", "")
	hasSpool(t, agentProgram)
	for _, tt := range []struct {
		name  string
		kills int
		both  bool
		rate  int
	}{
		{"agent, one request at a time", count(6, 100), false, 1},
		{"agent, many requests at once", count(6, 100), false, 8},
		{"both in turns", count(10, 400), true, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rng, ctx := newRand(t), deadline(t)
			for left := tt.kills; left > 0; left -= 25 {
				require.NoError(t, agentRound{
					agent: agentProgram, server: serverProgram, interval: []string{"300", "0.05", "0"}[rng.IntN(3)],
					kills: min(left, 25), both: tt.both, rate: tt.rate,
				}.run(ctx, t, rng))
			}
		})
	}
}

// untilCaught repeats the round of a negative control until it finds something: a
// kill has to fall into the right moment, and a few rounds may have no such luck.
func untilCaught(round func() error) (err error) {
	for range 8 {
		if err = round(); err != nil {
			return err
		}
	}
	return nil
}

// TestHarnessCatchesAgents are the negative controls: an agent without a spool
// loses what it has sent and not delivered, and a server that commits the mark
// apart counts twice what an agent with one sends again.
func TestHarnessCatchesAgents(t *testing.T) {
	agentProgram := build(t, "agent", "")
	t.Run("no spool", func(t *testing.T) {
		rng, ctx := newRand(t), deadline(t)
		err := untilCaught(func() error {
			return agentRound{
				agent: agentProgram, server: build(t, "server", ""), interval: "300", kills: 12, both: true, rate: 4, noSpool: true,
			}.run(ctx, t, rng)
		})
		require.ErrorContains(t, err, neverAnswered)
		t.Logf("caught: %v", err)
	})
	t.Run("mark apart", func(t *testing.T) {
		rng, ctx := newRand(t), deadline(t)
		hasSpool(t, agentProgram)
		err := untilCaught(func() error {
			return agentRound{
				agent: agentProgram, server: build(t, "server", "markapart"), interval: "300", kills: 20, both: true, rate: 4,
			}.run(ctx, t, rng)
		})
		require.ErrorContains(t, err, "distinct batches add up to")
		require.NotContains(t, err.Error(), neverAnswered)
		t.Logf("caught: %v", err)
	})
}
