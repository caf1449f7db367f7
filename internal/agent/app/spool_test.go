package app_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/app"
	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// two is a collector of two counters and n gauges.
type two struct{ counting }

func (c *two) Collect(ctx context.Context) ([]metric.Metric, error) {
	ms, err := c.counting.Collect(ctx)
	return append(ms, metric.Metric{Kind: metric.Counter, Name: "Other", Delta: 3, Timestamp: ms[0].Timestamp}), err
}

// spooled lets the agent keep its queue on the file system.
func spooled(fs vfs.FS) func(*config.Config, *app.Options) {
	return func(cfg *config.Config, o *app.Options) { cfg.SpoolDir, o.FS = "/spool", fs }
}

// requirePolls checks that two increments of each poll and n gauge samples of
// each poll arrived exactly once.
func requirePolls(t *testing.T, s *server, n, polls int) {
	t.Helper()
	require.Equal(t, map[string]int64{"PollCount": int64(polls), "Other": int64(3 * polls)}, s.sums)
	require.Len(t, s.samples, n*polls)
	for sample, times := range s.samples {
		require.Equal(t, 1, times, sample)
	}
}

// requireNoGap checks that the sequences that were sent are 1, 2, 3 …, and with
// order that each was sent for the first time after those before.
func requireNoGap(t *testing.T, s *server, order bool) {
	t.Helper()
	seqs := s.sequences()
	if order {
		require.True(t, slices.IsSorted(seqs), "%v", seqs)
	}
	slices.Sort(seqs)
	seqs = slices.Compact(seqs)
	for i, n := range seqs {
		require.Equal(t, i+1, n)
	}
}

// TestSpoolServerAwayForAnHour: every sample of the hour is sealed in its time,
// and all of them arrive in order and once.
func TestSpoolServerAwayForAnHour(t *testing.T) {
	for _, limit := range []int{1, 10} {
		t.Run(fmt.Sprintf("RATE_LIMIT %d", limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.answer = func(tr try) reply {
					if tr.at > 5*time.Second && tr.at < time.Hour {
						return reply{drop: true, err: errAway}
					}
					return reply{after: 5 * time.Millisecond}
				}
				r := start(t, s, func(cfg *config.Config, o *app.Options) {
					spooled(vfs.NewMem())(cfg, o)
					cfg.RateLimit = limit
				}, &two{counting{n: 10}})
				time.Sleep(time.Hour - time.Second) // fake time
				synctest.Wait()
				keys := map[string]bool{}
				for _, tr := range s.tries {
					keys[tr.key] = true
				}
				require.LessOrEqual(t, len(keys), limit+1)
				time.Sleep(2*time.Minute + time.Second) // fake time
				synctest.Wait()
				back := time.Duration(0)
				for _, tr := range s.tries {
					if n := len(tr.metrics); n > 0 && tr.at >= time.Hour && tr.metrics[n-1].Timestamp < s.start.Add(time.Hour).UnixMilli() {
						back = max(back, tr.at-time.Hour)
					}
				}
				t.Logf("the backlog of an hour is in %s after the server's return", back)
				require.Less(t, back, time.Minute)
				_, last := r.end()
				requirePolls(t, s, 10, 3720/2+1)
				requireNoGap(t, s, limit == 1)
				require.LessOrEqual(t, s.most, limit)
				require.EqualValues(t, 0, last["spooled_batches"])
				require.EqualValues(t, 0, last["dropped_samples"])
				require.Equal(t, []string{"the server takes no batches", "the server is back"}, r.said())
			})
		})
	}
}

// TestSpoolKeepsWhatShutdownLeaves: what is left is not given up but sent by the
// next run.
func TestSpoolKeepsWhatShutdownLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		s := newServer(t)
		s.answer = during(15*time.Second, 300*time.Second, reply{err: errAway}) // applies, and the answer is lost
		collector := &two{counting{n: 5}}
		r := start(t, s, spooled(fs), collector)
		time.Sleep(101 * time.Second) // fake time
		took, last := r.end()
		require.Equal(t, 5*time.Second, took)
		require.Positive(t, last["spooled_batches"])
		require.EqualValues(t, 0, last["given_up_metrics"])
		sealed := 51

		r = start(t, s, spooled(fs), collector)
		require.NotNil(t, r)
		time.Sleep(301 * time.Second) // fake time
		_, last = r.end()
		requirePolls(t, s, 5, sealed+151)
		requireNoGap(t, s, false)
		require.EqualValues(t, 0, last["spooled_batches"])
		require.Positive(t, last["replayed_batches"])
	})
}

// TestSpoolKilled: the agent ends without a word at any moment. What was sealed
// counts once, under the keys it had.
func TestSpoolKilled(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			s := newServer(t)
			luck := rand.New(rand.NewPCG(seed, 2)) // the server's
			s.answer = func(try) reply {
				switch luck.IntN(6) {
				case 0:
					return reply{drop: true, err: errAway}
				case 1:
					return reply{err: errAway}
				case 2:
					return reply{drop: true, after: 3 * time.Second, status: 503}
				}
				return reply{after: time.Duration(luck.IntN(3000)) * time.Millisecond}
			}
			fs := vfs.NewCrashableMem()
			collector := &two{counting{n: 3}}
			sealed := 0
			for range 4 {
				live := rng.IntN(8) // reports; the first right after the first poll
				front := &switchable{next: s}
				r := start(t, s, func(cfg *config.Config, o *app.Options) {
					spooled(fs)(cfg, o)
					o.Transport = front
				}, collector)
				// Not while the agent is at work: it can't be stopped in the middle.
				time.Sleep(time.Duration(live)*9900*time.Millisecond + time.Second + time.Duration(rng.IntN(900))*time.Millisecond) // fake time
				synctest.Wait()
				next := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rng})
				front.off.Store(true)
				sealed += int(time.Duration(live)*9900*time.Millisecond/(2*time.Second)) + 1
				r.end()
				fs = next
			}
			s.mu.Lock()
			s.answer = nil
			s.mu.Unlock()
			polls := collector.polls
			r := start(t, s, spooled(fs), collector)
			time.Sleep(time.Minute) // fake time
			r.end()
			sealed += collector.polls - polls
			require.EqualValues(t, sealed, s.sums["PollCount"], "seed %d", seed)
			require.EqualValues(t, 3*sealed, s.sums["Other"])
			require.Len(t, s.samples, 3*sealed)
			requireNoGap(t, s, false)
		})
	}
}

// switchable is a network that can be cut for good.
type switchable struct {
	next http.RoundTripper
	off  atomic.Bool
}

func (w *switchable) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.off.Load() {
		return nil, errAway
	}
	return w.next.RoundTrip(r)
}

// TestSpoolFull: gauge samples go, increments don't, and it ends by itself.
func TestSpoolFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.answer = during(5*time.Second, 60*time.Minute, reply{drop: true, err: errAway})
		r := start(t, s, func(cfg *config.Config, o *app.Options) {
			spooled(vfs.NewMem())(cfg, o)
			cfg.SpoolMaxSize = 200 << 10
		}, &two{counting{n: 50}})
		time.Sleep(65*time.Minute + time.Second) // fake time
		_, last := r.end()
		polls := 65 * 60 / 2
		require.EqualValues(t, map[string]int64{"PollCount": int64(polls) + 1, "Other": 3 * int64(polls+1)}, s.sums)
		for sample, n := range s.samples {
			require.Equal(t, 1, n, sample)
		}
		dropped := 50*(polls+1) - len(s.samples)
		require.Positive(t, dropped)
		require.EqualValues(t, dropped, last["dropped_samples"])
		require.Less(t, len(s.tries), 50_000)
		counts := map[string]int{}
		for _, said := range r.said() {
			counts[said]++
		}
		require.Equal(t, 1, counts["the spool takes samples again"], "%v", counts)
		require.Equal(t, 1, counts["the spool takes nothing: samples go, increments are kept in memory"], "%v", counts)
		require.EqualValues(t, 0, last["spooled_batches"])
		requireNoGap(t, s, false)
	})
}

// broken is a file system whose disk can fail.
type broken struct {
	vfs.FS
	err atomic.Pointer[error]
}

func (b *broken) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	if err := b.err.Load(); err != nil {
		return nil, *err
	}
	f, err := b.FS.Create(name, cat)
	return &brokenFile{f, b}, err
}

type brokenFile struct {
	vfs.File
	b *broken
}

func (f *brokenFile) Write(p []byte) (int, error) {
	if err := f.b.err.Load(); err != nil {
		return 0, *err
	}
	return f.File.Write(p)
}

// TestSpoolDiskFails: full or broken, the increments wait in memory.
func TestSpoolDiskFails(t *testing.T) {
	for _, fault := range []error{syscall.ENOSPC, syscall.EIO} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			fs := &broken{FS: vfs.NewMem()}
			r := start(t, s, spooled(fs), &two{counting{n: 5}})
			time.Sleep(25 * time.Second) // fake time
			synctest.Wait()
			fs.err.Store(&fault)
			time.Sleep(100 * time.Second) // fake time
			synctest.Wait()
			fs.err.Store(nil)
			time.Sleep(76 * time.Second) // fake time
			_, last := r.end()
			require.Equal(t, map[string]int64{"PollCount": 101, "Other": 303}, s.sums)
			require.EqualValues(t, 505-len(s.samples), last["dropped_samples"])
			require.Positive(t, last["dropped_samples"])
			require.Equal(t, []string{
				"the spool takes nothing: samples go, increments are kept in memory", "the spool takes samples again",
			}, r.said())
			requireNoGap(t, s, true)
		})
	}
}

func TestSpoolDeadLetters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		s := newServer(t)
		s.answer = during(5*time.Second, 35*time.Second, reply{drop: true, status: 400})
		r := start(t, s, spooled(fs), &two{counting{n: 1}})
		time.Sleep(61 * time.Second) // fake time
		_, last := r.end()
		require.Equal(t, []string{"the server refuses batches, which are kept as dead letters", "the server accepts batches again"}, r.said())
		require.EqualValues(t, "/spool/dead", r.field("the server refuses batches, which are kept as dead letters", "folder"))
		names, err := fs.List("/spool/dead")
		require.NoError(t, err)
		bodies := 0
		for _, name := range names {
			if !strings.HasSuffix(name, ".json.gz") {
				continue
			}
			f, err := fs.Open("/spool/dead/" + name)
			require.NoError(t, err)
			body, err := io.ReadAll(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			require.Contains(t, slices.Collect(maps.Values(s.bodies)), body)
			bodies++
		}
		require.Equal(t, 3, bodies)
		require.EqualValues(t, 0, last["given_up_metrics"])
	})
}

func TestSpoolOldBatchesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.answer = func(try) reply { return reply{drop: true, status: 503, header: http.Header{"Retry-After": {"300"}}} }
		r := start(t, s, func(cfg *config.Config, o *app.Options) {
			spooled(vfs.NewMem())(cfg, o)
			cfg.SpoolMaxAge = time.Hour
			cfg.PollInterval, cfg.ReportInterval, cfg.RateLimit = time.Minute, time.Minute, 2
		}, &two{counting{n: 1}})
		time.Sleep(5*time.Hour + time.Second) // fake time
		s.mu.Lock()
		s.answer = nil
		s.mu.Unlock()
		time.Sleep(10 * time.Minute) // fake time
		_, last := r.end()
		require.InDelta(t, 60, s.sums["PollCount"], 12, "those of the last hour")
		for _, tr := range s.tries {
			age := tr.at - time.UnixMilli(tr.metrics[0].Timestamp).Sub(s.start)
			require.LessOrEqual(t, age, time.Hour+time.Minute+time.Second, "an hour after it was sealed, which is up to a report after it was taken")
		}
		require.Positive(t, last["expired_metrics"])
		require.EqualValues(t, 0, last["spooled_batches"])
	})
}

func TestSpoolIsTaken(t *testing.T) {
	cfg := config.Default()
	cfg.SpoolDir = "/spool"
	fs := vfs.NewMem()
	require.NoError(t, fs.MkdirAll("/spool", 0o755))
	lock, err := fs.Lock("/spool/lock")
	require.NoError(t, err)
	err = app.Run(t.Context(), cfg, zap.NewNop(), app.Options{FS: fs})
	require.ErrorContains(t, err, "SPOOL_DIR /spool")
	require.NoError(t, lock.Close())
}

// TestOneBatchStuck: a server that never takes one batch holds up nothing that
// could be lost.
func TestOneBatchStuck(t *testing.T) {
	for _, spool := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			poison := ""
			s.answer = func(tr try) reply {
				if poison == "" {
					poison = tr.key
				}
				if tr.key == poison && tr.at < 4*time.Hour {
					return reply{drop: true, status: 500}
				}
				return reply{}
			}
			r := start(t, s, func(cfg *config.Config, o *app.Options) {
				if spool {
					spooled(vfs.NewMem())(cfg, o)
				}
			}, &two{counting{n: 1}})
			time.Sleep(4*time.Hour + time.Minute + time.Second) // fake time
			_, last := r.end()
			requirePolls(t, s, 1, (4*3600+60)/2+1)
			requireNoGap(t, s, false)
			require.EqualValues(t, 0, last["given_up_metrics"])
			require.EqualValues(t, 0, last["refused_metrics"])
		})
	}
}

// TestClockJumps: while the wall clock is wrong the server, which refuses what
// is ahead of it, hears the right times.
func TestClockJumps(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 10 * year, -10 * year} {
		for _, disk := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.answer = func(tr try) reply {
					now := s.start.Add(tr.at)
					for _, m := range tr.metrics {
						if d := time.UnixMilli(m.Timestamp).Sub(now); d > 10*time.Minute || d < -time.Minute {
							return reply{drop: true, status: 400}
						}
					}
					return reply{header: http.Header{"Date": {now.UTC().Format(http.TimeFormat)}}}
				}
				var off atomic.Int64
				wall := func() time.Time { return time.Now().Round(0).Add(time.Duration(off.Load())) }
				collector := &jumping{two{counting{n: 5}}, &off}
				r := start(t, s, func(cfg *config.Config, o *app.Options) {
					if disk {
						spooled(vfs.NewMem())(cfg, o)
					}
					o.Wall = wall
				}, collector)
				time.Sleep(33 * time.Second) // fake time
				off.Store(int64(jump))
				time.Sleep(100 * time.Second) // fake time
				off.Store(0)
				time.Sleep(68 * time.Second) // fake time
				_, last := r.end()
				require.Equal(t, map[string]int64{"PollCount": 101, "Other": 303}, s.sums, "jump %s %v", jump, r.logs.All())
				require.EqualValues(t, 0, last["refused_metrics"])
				assert.Equal(t, []string{
					"the clock of this machine is wrong; the times of samples are corrected", "the clock of this machine is right again",
				}, r.said())
			})
		}
	}
}

// jumping is a collector that looks at a wrong clock.
type jumping struct {
	two
	off *atomic.Int64
}

func (j *jumping) Collect(ctx context.Context) ([]metric.Metric, error) {
	ms, err := j.two.Collect(ctx)
	for i := range ms {
		ms[i].Timestamp += j.off.Load() / int64(time.Millisecond)
	}
	return ms, err
}
