package app_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/agent/app"
	"github.com/gometheus/gometheus/internal/agent/collector"
	"github.com/gometheus/gometheus/internal/agent/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run is an agent in fake time.
type run struct {
	t    *testing.T
	logs *observer.ObservedLogs
	stop context.CancelFunc
	done chan error
}

// start runs an agent with default settings but those that change sets. Reports
// come a little more often than every 10 seconds, so that within the first three
// minutes none falls into the same moment as a poll.
func start(t *testing.T, s *server, change func(*config.Config, *app.Options), collectors ...collector.Collector) *run {
	t.Helper()
	cfg := config.Default()
	cfg.Labels = map[string]string{"instance": "test"}
	cfg.ReportInterval = 9900 * time.Millisecond
	o := app.Options{Transport: s, Collectors: collectors}
	if change != nil {
		change(&cfg, &o)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithCancel(t.Context())
	r := &run{t: t, logs: logs, stop: cancel, done: make(chan error, 1)}
	go func() { r.done <- app.Run(ctx, cfg, zap.New(core), o) }()
	return r
}

// end stops the agent and returns how long that took and its last words.
func (r *run) end() (time.Duration, map[string]any) {
	r.t.Helper()
	began := time.Now()
	r.stop()
	require.NoError(r.t, <-r.done)
	last := r.logs.All()[r.logs.Len()-1]
	require.Equal(r.t, "agent stopped", last.Message)
	return time.Since(began), last.ContextMap()
}

// said are the messages between the first and the last two, in order.
func (r *run) said() []string {
	var out []string
	for _, e := range r.logs.All() {
		if e.Message != "agent started" && e.Message != "agent stops" && e.Message != "agent stopped" {
			out = append(out, e.Message)
		}
	}
	return out
}

func (r *run) field(message, name string) any {
	r.t.Helper()
	es := r.logs.FilterMessage(message).All()
	require.Len(r.t, es, 1)
	return es[0].ContextMap()[name]
}

func seconds(ns ...float64) []time.Duration {
	var out []time.Duration
	for _, n := range ns {
		out = append(out, time.Duration(n*float64(time.Second)))
	}
	return out
}

// requireEverySample checks that each of n gauges arrived exactly once for each
// of the polls at 0, 2, 4 … seconds.
func requireEverySample(t *testing.T, s *server, n, polls int) {
	t.Helper()
	want := map[string]int{}
	for p := range polls {
		for i := range n {
			want[fmt.Sprintf("g%d@%d", i, p*2000)] = 1
		}
	}
	require.Equal(t, want, s.samples)
	require.Equal(t, map[string]int64{"PollCount": int64(polls)}, s.sums)
}

func TestRhythm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r := start(t, s, nil, &counting{n: 3})
		synctest.Wait()
		require.Len(t, s.tries, 1, "the first report goes out right after the first poll")
		require.Equal(t, time.Duration(0), s.tries[0].at)
		require.Len(t, s.tries[0].metrics, 4)

		time.Sleep(61 * time.Second) // fake time
		took, last := r.end()
		assert.Zero(t, took)
		assert.Equal(t, seconds(0, 9.9, 19.8, 29.7, 39.6, 49.5, 59.4, 61), s.at())
		assert.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8}, s.sequences())
		requireEverySample(t, s, 3, 31)
		assert.Equal(t, map[string]struct{}{"map[instance:test]": {}}, s.labels)
		assert.Empty(t, r.said())
		assert.EqualValues(t, 8, last["sent_batches"])
		assert.EqualValues(t, 0, last["given_up_metrics"])
	})
}

func TestBatchesAndRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.answer = func(try) reply { return reply{after: time.Second} }
		r := start(t, s, func(cfg *config.Config, o *app.Options) {
			cfg.PollInterval, cfg.ReportInterval = time.Hour, time.Hour
			cfg.BatchSize, cfg.RateLimit = 100, 3
		}, &counting{n: 999})
		time.Sleep(time.Minute) // fake time
		synctest.Wait()
		assert.Equal(t, 3, s.most, "as many requests at once as allowed, and no more")
		assert.Equal(t, seconds(0, 0, 0, 1, 1, 1, 2, 2, 2, 3), s.at())
		assert.Equal(t, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, slices.Sorted(slices.Values(s.sequences())))
		for _, tr := range s.tries {
			assert.Len(t, tr.metrics, 100)
		}
		requireEverySample(t, s, 999, 1)
		r.end()
	})
}

func TestServerAwayAndBack(t *testing.T) {
	tests := []struct {
		name string
		away reply
	}{
		{"no connection", reply{drop: true, err: errAway}},
		{"answers are lost", reply{err: errors.New("connection reset")}},
		{"503", reply{drop: true, status: 503}},
		{"500 after the batch was applied", reply{status: 500}},
		{"429 with Retry-After", reply{drop: true, status: 429, header: http.Header{"Retry-After": {"3"}}}},
		{"hangs", reply{drop: true, after: time.Hour}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.answer = during(5*time.Second, 125*time.Second, tt.away)
				r := start(t, s, nil, &counting{n: 5})
				time.Sleep(301 * time.Second) // fake time
				_, last := r.end()
				requireEverySample(t, s, 5, 151)
				assert.Equal(t, []string{"the server takes no batches", "the server is back"}, r.said())
				away := r.field("the server is back", "away_for").(time.Duration)
				assert.Greater(t, away, 100*time.Second)
				assert.Less(t, away, 145*time.Second)
				assert.EqualValues(t, 0, last["given_up_metrics"])
				assert.EqualValues(t, 0, last["dropped_samples"])
				assert.LessOrEqual(t, s.most, 10)
			})
		})
	}
}

// TestBoundedBuffer keeps the server away for so long that samples must go.
func TestBoundedBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const gauges, room, limit = 10, 100, 4
		s := newServer(t)
		s.answer = during(0, 599*time.Second, reply{drop: true, err: errAway})
		r := start(t, s, func(cfg *config.Config, o *app.Options) {
			o.BufferSize, cfg.RateLimit = room, limit
		}, &counting{n: gauges})
		time.Sleep(598 * time.Second) // fake time
		synctest.Wait()
		keys := map[string]bool{}
		for _, tr := range s.tries {
			keys[tr.key] = true
		}
		assert.Len(t, keys, limit, "no more was sealed and sent than may be on its way")

		// 661 s: polls at 0 … 660
		time.Sleep(63 * time.Second) // fake time
		_, last := r.end()
		assert.Equal(t, map[string]int64{"PollCount": 331}, s.sums, "no increment is lost")
		for sample, n := range s.samples {
			assert.Equal(t, 1, n, sample)
		}
		dropped := 331*gauges - len(s.samples)
		assert.Positive(t, dropped)
		assert.EqualValues(t, dropped, last["dropped_samples"])
		assert.EqualValues(t, dropped, r.field("the buffer has room again", "dropped_samples"))
		assert.ElementsMatch(t, []string{
			"the server takes no batches", "the server is back",
			"the buffer is full: the oldest gauge samples go, increments are kept", "the buffer has room again",
		}, r.said())
		// The longest pause between tries is 22.5 s and the buffer holds 20 s: what was
		// taken later than 621.5 - 20 s can't have gone.
		for at := 602; at <= 660; at += 2 {
			assert.Contains(t, s.samples, "g0@"+strconv.Itoa(at*1000), "the newest samples are kept")
		}
	})
}

// TestOrder: with one request at a time batches and gauge samples arrive in the
// order in which they were made, however often a batch is tried.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		n := 0
		s.answer = func(try) reply { n++; return reply{status: []int{204, 503, 502}[n%3], drop: n%3 == 1} }
		r := start(t, s, func(cfg *config.Config, o *app.Options) { cfg.RateLimit, cfg.BatchSize = 1, 7 },
			&counting{n: 5})
		time.Sleep(301 * time.Second) // fake time
		r.end()
		requireEverySample(t, s, 5, 151)
		seqs := s.sequences()
		assert.True(t, slices.IsSorted(seqs))
		assert.Equal(t, seqs[len(seqs)-1], len(slices.Compact(slices.Clone(seqs))), "no number is left out")
		seen, last := map[string]bool{}, int64(0)
		for _, tr := range s.tries {
			for _, m := range tr.metrics {
				if m.ID == "g0" && !seen[tr.key] {
					require.Greater(t, m.Timestamp, last)
					last = m.Timestamp
				}
			}
			seen[tr.key] = true
		}
	})
}

func TestShutdownSendsWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		r := start(t, s, func(cfg *config.Config, o *app.Options) { cfg.ReportInterval = time.Hour }, &counting{n: 50})
		// 50 polls, of which the first was reported
		time.Sleep(99 * time.Second) // fake time
		took, last := r.end()
		assert.Zero(t, took)
		requireEverySample(t, s, 50, 50)
		assert.Equal(t, seconds(0, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99), s.at(), "2,451 metrics by 200")
		assert.EqualValues(t, 0, last["given_up_metrics"])
	})
}

// TestShutdownDoesNotWaitOutPauses: the server comes back during the shutdown.
func TestShutdownDoesNotWaitOutPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.answer = during(0, 102*time.Second,
			reply{drop: true, status: 503, header: http.Header{"Retry-After": {"300"}}})
		r := start(t, s, nil, &counting{n: 1})
		time.Sleep(101 * time.Second) // fake time
		s.mu.Lock()
		s.answer = during(0, 102*time.Second, reply{drop: true, err: errAway})
		s.mu.Unlock()
		took, last := r.end()
		assert.GreaterOrEqual(t, took, time.Second)
		assert.Less(t, took, 3*time.Second)
		requireEverySample(t, s, 1, 51)
		assert.EqualValues(t, 0, last["given_up_metrics"])
	})
}

func TestShutdownDeadline(t *testing.T) {
	tests := []struct {
		name   string
		answer reply
	}{
		{"server away", reply{drop: true, err: errAway}},
		{"server hangs", reply{drop: true, after: time.Hour}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t)
				s.answer = func(try) reply { return tt.answer }
				r := start(t, s, func(cfg *config.Config, o *app.Options) { cfg.RateLimit = 2 }, &counting{n: 9})
				// 31 polls
				time.Sleep(61 * time.Second) // fake time
				took, last := r.end()
				assert.Equal(t, 5*time.Second, took)
				assert.Empty(t, s.applied)
				// All samples are given up. Their increments stand in three batches (two
				// in the outbox and one in hand) and, added up, in the buffer.
				assert.EqualValues(t, 31*9+4, last["given_up_metrics"])
				assert.EqualValues(t, 3, last["given_up_batches"])
				assert.EqualValues(t, 0, last["sent_batches"])
				assert.Equal(t, []string{"the server takes no batches"}, r.said())
			})
		})
	}
}

func TestRequestUnderWayIsNotCutByShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.answer = func(try) reply { return reply{after: 3 * time.Second} }
		r := start(t, s, nil, &counting{n: 1})
		time.Sleep(time.Second) // fake time
		took, _ := r.end()
		assert.Equal(t, 2*time.Second, took)
		assert.Equal(t, seconds(0), s.at(), "one try, whose answer was waited for")
		requireEverySample(t, s, 1, 1)
	})
}

func TestRefusedBatchesAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		s.answer = during(5*time.Second, 35*time.Second, reply{drop: true, status: 400})
		r := start(t, s, nil, &counting{n: 1})
		time.Sleep(61 * time.Second) // fake time
		_, last := r.end()
		assert.Equal(t, seconds(0, 9.9, 19.8, 29.7, 39.6, 49.5, 59.4, 61), s.at(), "a refused batch is not sent again")
		assert.Equal(t, []string{"the server refuses batches, which are lost", "the server accepts batches again"}, r.said())
		assert.EqualValues(t, 3, r.field("the server accepts batches again", "refused_batches"))
		sent, _ := last["sent_metrics"].(int64)
		refused, _ := last["refused_metrics"].(int64)
		assert.EqualValues(t, 31+8, sent+refused, "31 gauge samples and 8 sums")
	})
}

func TestHungCollectorHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		h := &hanging{release: make(chan struct{})}
		r := start(t, s, nil, h, &counting{n: 1})
		time.Sleep(21 * time.Second) // fake time
		took, _ := r.end()
		assert.Equal(t, time.Second, took, "it gets a moment to return")
		// The first poll is the one that waits for the timeout of a second.
		assert.Equal(t, seconds(1, 10.9, 20.8), s.at())
		assert.Equal(t, map[string]int64{"PollCount": 11}, s.sums)
		assert.Equal(t, []string{"collector fails", "left behind"}, r.said())
		close(h.release)
	})
}

func TestLateCollectorStillCountsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t)
		h := &hanging{release: make(chan struct{})}
		r := start(t, s, nil, h, &counting{n: 1})
		time.Sleep(3 * time.Second) // fake time
		time.AfterFunc(500*time.Millisecond, func() { close(h.release) })
		took, _ := r.end()
		assert.Equal(t, 500*time.Millisecond, took)
		assert.Equal(t, map[string]int64{"PollCount": 2, "Late": 1}, s.sums)
	})
}

func TestOldBatchesAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		s := newServer(t)
		s.answer = func(try) reply {
			return reply{drop: true, status: 503, header: http.Header{"Retry-After": {"300"}}}
		}
		r := start(t, s, func(cfg *config.Config, o *app.Options) {
			cfg.PollInterval, cfg.ReportInterval = 30*day, 30*day
		}, &counting{n: 1})
		time.Sleep(8 * day) // fake time
		assert.EqualValues(t, 2, r.field("a batch is lost", "metrics"))
		assert.LessOrEqual(t, s.tries[len(s.tries)-1].at, 7*day)
		_, last := r.end()
		assert.EqualValues(t, 2, last["expired_metrics"])
		assert.EqualValues(t, 0, last["given_up_metrics"])
	})
}

func TestDoesNotStart(t *testing.T) {
	tests := []struct {
		change func(*config.Config)
		want   string
	}{
		{func(c *config.Config) { c.Address = "ftp://host" }, `start the agent: address "ftp://host"`},
	}
	for _, tt := range tests {
		cfg := config.Default()
		tt.change(&cfg)
		require.ErrorContains(t, app.Run(t.Context(), cfg, zap.NewNop(), app.Options{}), tt.want)
	}
}

// TestThisMachine runs the real collectors against a real HTTP server.
func TestThisMachine(t *testing.T) {
	s := newServer(t)
	h := &history{server: s}
	var got atomic.Int64
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res, err := h.RoundTrip(r)
		assert.NoError(t, err)
		w.WriteHeader(res.StatusCode)
		got.Add(1)
	}))
	defer hs.Close()

	cfg := config.Default()
	cfg.Address = hs.URL
	cfg.PollInterval, cfg.ReportInterval = 20*time.Millisecond, 50*time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- app.Run(ctx, cfg, zap.NewNop(), app.Options{}) }()
	require.Eventually(t, func() bool { return got.Load() >= 5 }, 10*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-done)

	names := map[string]bool{}
	for sample := range s.samples {
		names[sample[:slices.Index([]byte(sample), '@')]] = true
	}
	want := []string{
		"Alloc", "BuckHashSys", "Frees", "GCCPUFraction", "GCSys", "HeapAlloc", "HeapIdle", "HeapInuse",
		"HeapObjects", "HeapReleased", "HeapSys", "LastGC", "Lookups", "MCacheInuse", "MCacheSys", "MSpanInuse",
		"MSpanSys", "Mallocs", "NextGC", "NumForcedGC", "NumGC", "OtherSys", "PauseTotalNs", "StackInuse",
		"StackSys", "Sys", "TotalAlloc", "RandomValue", "TotalMemory", "FreeMemory", "gometheus_agent_info",
		"gometheus_agent_waiting_metrics", "gometheus_agent_dropped_samples", "gometheus_agent_refused_metrics",
		"gometheus_agent_replayed_batches",
	}
	for i := range runtime.NumCPU() {
		want = append(want, "CPUutilization"+strconv.Itoa(i+1))
	}
	assert.Subset(t, slices.Collect(maps.Keys(names)), want)
	assert.Positive(t, s.sums["PollCount"])
	for labels := range s.labels {
		assert.Contains(t, labels, "instance:"+cfg.Labels["instance"], "every series has the default label")
	}
	if runtime.GOOS == "linux" {
		require.NotEmpty(t, h.of("node_load1"))
		assert.Contains(t, h.of("node_load1")[0], "instance="+cfg.Labels["instance"]+" job=node")
	}
}
