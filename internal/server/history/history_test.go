package history_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/history"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a storage, a history, and a clock that stands until it is moved.
type rig struct {
	t     *testing.T
	dir   string
	state storage.Storage
	h     *history.History

	mu  sync.Mutex
	now time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), state: memory.New(), now: time.UnixMilli(1_795_454_000_000)}
	r.open()
	t.Cleanup(func() {
		if r.h != nil {
			require.NoError(t, r.h.Close())
		}
	})
	return r
}

func (r *rig) open() {
	r.t.Helper()
	h, err := history.Open(history.Options{
		Path: r.dir, Retention: 15 * 24 * time.Hour, OutOfOrder: 7 * 24 * time.Hour,
		QueryTimeout: time.Minute, QueryConcurrency: 4, QueryMaxSamples: 1e6,
		Now: r.clock, Log: zaptest.NewLogger(r.t, zaptest.Level(zap.WarnLevel)),
	})
	require.NoError(r.t, err)
	r.h = h
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) ms() int64 { return r.clock().UnixMilli() }

func (r *rig) sleep(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// push applies a batch to the state and records it, as the manager does.
func (r *rig) push(mark storage.Mark, every time.Duration, ms ...metric.Metric) {
	r.t.Helper()
	for i := range ms {
		if ms[i].Timestamp == 0 {
			ms[i].Timestamp = r.ms()
		}
	}
	w := &storage.Write{Metrics: ms, Mark: mark, Arrived: r.ms(), Steps: metric.Trace(nil, ms)}
	replayed, err := r.state.Apply(context.Background(), w)
	require.NoError(r.t, err)
	p := &history.Push{Metrics: ms, Steps: w.Steps, Replayed: replayed, Every: every}
	if mark.Producer != "" {
		p.Producer = mark.Producer[1:]
	}
	r.h.Record(p)
}

type point struct {
	T int64
	V float64
}

// points are all samples of a selector over a range up to the end of time.
func (r *rig) points(selector string) map[string][]point {
	r.t.Helper()
	end := r.clock().Add(time.Hour)
	q, err := r.h.Engine().NewInstantQuery(context.Background(), r.h, nil, selector+"[10d]", end)
	require.NoError(r.t, err)
	defer q.Close()
	res := q.Exec(context.Background())
	require.NoError(r.t, res.Err)
	matrix, err := res.Matrix()
	require.NoError(r.t, err)
	out := map[string][]point{}
	for _, s := range matrix {
		for _, p := range s.Floats {
			out[s.Metric.String()] = append(out[s.Metric.String()], point{p.T, p.F})
		}
	}
	return out
}

// at is the instant value of a query now; NaN if there is none.
func (r *rig) at(query string) float64 {
	r.t.Helper()
	q, err := r.h.Engine().NewInstantQuery(context.Background(), r.h, nil, query, r.clock())
	require.NoError(r.t, err)
	defer q.Close()
	res := q.Exec(context.Background())
	require.NoError(r.t, res.Err)
	vector, ok := res.Value.(promql.Vector)
	require.True(r.t, ok)
	if len(vector) == 0 {
		return math.NaN()
	}
	require.Len(r.t, vector, 1)
	return vector[0].F
}

func gauge(name string, v float64, t int64, labels ...string) metric.Metric {
	return metric.Metric{Kind: metric.Gauge, Name: name, Value: v, Timestamp: t, Labels: metric.NewLabels(labels...)}
}

func counter(name string, d int64, t int64, labels ...string) metric.Metric {
	return metric.Metric{Kind: metric.Counter, Name: name, Delta: d, Timestamp: t, Labels: metric.NewLabels(labels...)}
}

func TestGaugesHaveTheirOwnTime(t *testing.T) {
	r := newRig(t)
	now := r.ms()
	r.push(storage.Mark{}, 0, gauge("g", 1, now-60_000), gauge("g", 3, now))
	r.push(storage.Mark{}, 0, gauge("g", 2, now-30_000)) // late, and not the newest in the state
	r.h.Flush()
	r.push(storage.Mark{}, 0, gauge("g", 1.5, now-45_000))
	require.Equal(t, map[string][]point{`{__name__="g"}`: {{now - 60_000, 1}, {now - 45_000, 1.5}, {now - 30_000, 2}, {now, 3}}}, r.points("g"))
}

func TestGaugesAtOneTime(t *testing.T) {
	r := newRig(t)
	now := r.ms()
	r.push(storage.Mark{}, 0, gauge("g", 1, now), gauge("g", 2, now))
	r.push(storage.Mark{}, 0, gauge("g", 3, now))
	r.h.Flush()
	r.push(storage.Mark{}, 0, gauge("g", 3, now))
	r.push(storage.Mark{}, 0, gauge("g", 4, now))
	require.Equal(t, map[string][]point{`{__name__="g"}`: {{now, 3}, {now + 1, 4}}}, r.points("g"))
}

// TestGaugesOfOneTimeAskedBetween: of values of one time the last stands, however
// often somebody looked between them, and a replay of an earlier one changes nothing.
func TestGaugesOfOneTimeAskedBetween(t *testing.T) {
	r := newRig(t)
	at := r.ms() - 1000
	r.push(storage.Mark{Producer: "pa", Sequence: 1}, 0, gauge("g", 1, at))
	for v := 2.0; v <= 5; v++ {
		r.push(storage.Mark{}, 0, gauge("g", v, at))
		require.InDelta(t, v, r.at("g"), 0)
	}
	r.push(storage.Mark{Producer: "pa", Sequence: 1}, 0, gauge("g", 1, at))
	require.InDelta(t, 5, r.at("g"), 0)
	r.push(storage.Mark{}, 0, gauge("g", 6, at+2)) // its time was given out
	require.InDelta(t, 6, r.at("g"), 0)
	r.push(storage.Mark{}, 0, gauge("g", 0, at-1)) // late, and known as such
	require.InDelta(t, 6, r.at("g"), 0)
	r.push(storage.Mark{}, 0, gauge("g", 7, at+100))
	require.Equal(t, map[string][]point{`{__name__="g"}`: {
		{at - 1, 0}, {at, 2}, {at + 1, 3}, {at + 2, 4}, {at + 3, 5}, {at + 4, 6}, {at + 100, 7},
	}}, r.points("g"))
	require.Zero(t, r.h.Counts().Duplicate.Load())
}

func TestCounterStartsAtZero(t *testing.T) {
	r := newRig(t)
	now := r.ms()
	r.push(storage.Mark{}, 0, counter("c", 7, now))
	require.Equal(t, map[string][]point{`{__name__="c"}`: {{now - 1, 0}, {now, 7}}}, r.points("c"))
	r.sleep(30 * time.Second)
	r.push(storage.Mark{}, 0, counter("c", 5, 0))
	r.sleep(time.Second)
	require.InDelta(t, 12, r.at("increase(c[1m])"), 6.1)
	require.Equal(t, 12.0, r.at("c"))
}

func TestCounterNeverGoesBack(t *testing.T) {
	r := newRig(t)
	now := r.ms()
	r.push(storage.Mark{}, 0, counter("c", 1, now))
	r.h.Flush()
	r.push(storage.Mark{}, 0, counter("c", 1, now-3_600_000)) // an hour late
	r.h.Flush()
	r.push(storage.Mark{}, 0, counter("c", 1, now+300_000)) // a clock that is ahead
	r.sleep(time.Second)
	r.push(storage.Mark{}, 0, counter("c", 1, 0))
	all := r.points("c")[`{__name__="c"}`]
	require.Equal(t, point{now, 1}, all[1])
	for i := 1; i < len(all); i++ {
		require.Greater(t, all[i].T, all[i-1].T)
		require.GreaterOrEqual(t, all[i].V, all[i-1].V)
	}
	require.Equal(t, 4.0, r.at("c"), "seen now, not when the clock that is ahead will be right")
	require.Equal(t, 0.0, r.at("resets(c[1h])"))
}

func TestCounterHitOften(t *testing.T) {
	r := newRig(t)
	start := r.ms()
	for i := range 20_000 { // 10,000 a second, flushed as Run does
		r.push(storage.Mark{}, 0, counter("c", 1, 0))
		if i%10 == 9 {
			r.sleep(time.Millisecond)
		}
		if i%2500 == 2499 {
			r.h.Flush()
		}
	}
	all := r.points("c")[`{__name__="c"}`]
	require.LessOrEqual(t, len(all), 20)
	require.Equal(t, point{start - 1, 0}, all[0])
	require.Equal(t, 20_000.0, all[len(all)-1].V)
}

// TestBacklog: what an agent kept for an hour arrives at once, beside live data,
// and the graph has no hole.
func TestBacklog(t *testing.T) {
	r := newRig(t)
	r.push(storage.Mark{}, 0, counter("c", 1, 0, "instance", "a"), gauge("g", 1, 0, "instance", "a"))
	begin := r.ms()
	for range 3600 / 10 { // live data of another machine
		r.sleep(10 * time.Second)
		r.push(storage.Mark{}, 0, counter("c", 1, 0, "instance", "b"), gauge("g", 1, 0, "instance", "b"))
		r.h.Flush()
	}
	for at := begin + 10_000; at <= r.ms(); at += 10_000 {
		r.push(storage.Mark{}, 0, counter("c", 1, at, "instance", "a"), gauge("g", float64(at), at, "instance", "a"))
	}
	for _, selector := range []string{`c{instance="a"}`, `g{instance="a"}`} {
		all := r.points(selector)
		require.Len(t, all, 1)
		for _, points := range all {
			if selector[0] == 'c' {
				points = points[1:] // the zero
			}
			require.Len(t, points, 361)
			for i, p := range points {
				require.Equal(t, begin+int64(i)*10_000, p.T)
			}
		}
	}
	require.Equal(t, 361.0, r.at(`c{instance="a"}`))
	require.Equal(t, 0.0, r.at(`resets(c{instance="a"}[2h])`))
}

func TestReopen(t *testing.T) {
	r := newRig(t)
	now := r.ms()
	r.push(storage.Mark{}, 0, counter("c", 5, now), gauge("g", 1, now))
	for range 5 { // pushes the counter's time beyond its newest increment's
		r.h.Flush()
		r.push(storage.Mark{}, 0, counter("c", 1, now-10))
	}
	require.NoError(t, r.h.Close())
	r.open()
	require.NoError(t, r.h.Reconcile(context.Background(), r.state.All(context.Background())))
	r.push(storage.Mark{}, 0, counter("c", 1, now-5), counter("c", 1, now-4))
	r.h.Flush()
	r.push(storage.Mark{}, 0, counter("c", 1, now-3))
	r.sleep(time.Second)
	require.Equal(t, 13.0, r.at("c"))
	require.Equal(t, 0.0, r.at("resets(c[1h])"))
	require.Equal(t, 1.0, r.at("g"))
	all := r.points("c")[`{__name__="c"}`]
	for i := 1; i < len(all); i++ {
		require.Greater(t, all[i].V, all[i-1].V, "%v", all)
	}
}

// TestReconcile: the process was killed between the commit to the state and the
// flush.
func TestReconcile(t *testing.T) {
	r := newRig(t)
	r.push(storage.Mark{}, 0, counter("c", 5, 0), gauge("g", 1, 0), counter("idle", 1, 0))
	r.h.Flush()
	r.sleep(time.Second)
	ms := []metric.Metric{counter("c", 2, r.ms()), gauge("g", 2, r.ms()), counter("new", 3, r.ms())}
	_, err := r.state.Apply(context.Background(), &storage.Write{Metrics: ms})
	require.NoError(t, err)
	require.NoError(t, r.h.Close())
	r.open()
	require.NoError(t, r.h.Reconcile(context.Background(), r.state.All(context.Background())))
	require.Equal(t, 7.0, r.at("c"))
	require.Equal(t, 2.0, r.at("g"))
	require.Equal(t, 3.0, r.at("new"))
	require.Equal(t, 0.0, r.at("resets(c[1h])"))
}

func TestReplayKeepsGauges(t *testing.T) {
	r := newRig(t)
	mark := storage.Mark{Producer: "#p", Sequence: 1}
	ms := []metric.Metric{counter("c", 2, r.ms()), gauge("g", 2, r.ms())}
	_, err := r.state.Apply(context.Background(), &storage.Write{Metrics: append([]metric.Metric{}, ms...), Mark: mark})
	require.NoError(t, err) // killed here; the producer sends it again
	r.push(mark, 0, ms...)
	r.push(mark, 0, gauge("g", 2, r.ms()))
	require.Equal(t, 2.0, r.at("g"))
	require.Equal(t, map[string][]point{`{__name__="g"}`: {{r.ms(), 2}}}, r.points("g"))
}

func TestKindsOfOneName(t *testing.T) {
	r := newRig(t)
	r.push(storage.Mark{}, 0, gauge("x", 1.5, 0))
	r.h.Flush()
	r.sleep(time.Second)
	r.push(storage.Mark{}, 0, counter("x", 4, 0), gauge("x", 2.5, 0))
	require.Equal(t, 4.0, r.at(`x{__kind__=""}`))
	require.Equal(t, 2.5, r.at(`x{__kind__="gauge"}`))
	for _, q := range []string{"rate(x[1m])", "x * 2", "abs(x)", "max_over_time(x[1m])"} {
		query, err := r.h.Engine().NewInstantQuery(context.Background(), r.h, nil, q, r.clock())
		require.NoError(t, err)
		require.NoError(t, query.Exec(context.Background()).Err, "both are one where their labels are the same")
		query.Close()
	}
}

// TestCounterIsBornOnce: a storage that applies several batches together says of
// each that it made the series, and of each the same total.
func TestCounterIsBornOnce(t *testing.T) {
	r := newRig(t)
	ms := []metric.Metric{counter("c", 1, r.ms()), counter("c", 2, r.ms())}
	steps := metric.Trace(nil, ms)
	for i := range steps {
		steps[i].Stored, steps[i].Total, steps[i].Created = true, 3, true
	}
	r.h.Record(&history.Push{Metrics: ms, Steps: steps})
	r.h.Flush()
	r.h.Record(&history.Push{Metrics: ms[1:], Steps: steps[1:]})
	r.sleep(time.Second)
	require.Equal(t, 0.0, r.at("resets(c[1m])"))
	require.Equal(t, 3.0, r.at("c"))
	require.Equal(t, point{ms[0].Timestamp - 1, 0}, r.points("c")[`{__name__="c"}`][0])
}

// TestBornOutOfOrder: of two first batches the second is recorded first.
func TestBornOutOfOrder(t *testing.T) {
	for _, flush := range []bool{false, true} {
		r := newRig(t)
		var steps [2][]metric.Step
		ms := []metric.Metric{counter("c", 5, r.ms())}
		for i := range steps {
			w := &storage.Write{Metrics: slices.Clone(ms), Steps: metric.Trace(nil, ms)}
			_, err := r.state.Apply(context.Background(), w)
			require.NoError(t, err)
			steps[i] = w.Steps
		}
		r.h.Record(&history.Push{Metrics: ms, Steps: steps[1]})
		if flush {
			r.h.Flush()
		}
		r.h.Record(&history.Push{Metrics: ms, Steps: steps[0]})
		require.Equal(t, map[string][]point{`{__name__="c"}`: {{r.ms() - 1, 0}, {r.ms(), 10}}}, r.points("c"))
	}
}

// TestReplayIsNoSeriesOfItsOwn: what comes twice must not go stale twice.
func TestReplayIsNoSeriesOfItsOwn(t *testing.T) {
	r := newRig(t)
	const every = 10 * time.Second
	mark := func(n int) storage.Mark { return storage.Mark{Producer: "#a", Sequence: uint64(n)} }
	first := gauge("g", 1, r.ms(), "instance", "i")
	r.push(mark(1), every, first)
	r.sleep(time.Second)
	r.push(mark(1), every, first)
	for i := range 8 {
		r.sleep(every)
		r.push(mark(2+i), every, gauge("g", 1, 0, "instance", "i"))
		r.h.Sweep()
		require.Equal(t, 1.0, r.at("g"))
	}
}

// TestReplayOfAnotherBody: a mark that was applied must not let in what no limit
// has looked at.
func TestReplayOfAnotherBody(t *testing.T) {
	r := newRig(t)
	mark := storage.Mark{Producer: "#a", Sequence: 1}
	r.push(mark, time.Second, gauge("g", 1, 0, "instance", "i"))
	for i := range 100 {
		r.push(mark, time.Second, gauge(fmt.Sprint("x", i), 1, 0, "instance", fmt.Sprint(i)))
	}
	r.h.Sweep()
	r.h.Flush()
	require.Equal(t, uint64(2), r.h.DB().Head().NumSeries(), "g and up")
}

// TestReplayTellsTotal: the outcome of the first try was not known.
func TestReplayTellsTotal(t *testing.T) {
	r := newRig(t)
	r.push(storage.Mark{}, 0, counter("c", 1, 0))
	r.h.Flush()
	r.sleep(time.Second)
	mark := storage.Mark{Producer: "#a", Sequence: 1}
	ms := []metric.Metric{counter("c", 100, r.ms())}
	_, err := r.state.Apply(context.Background(), &storage.Write{Mark: mark, Metrics: slices.Clone(ms)})
	require.NoError(t, err)
	r.push(mark, 0, ms...)
	r.sleep(time.Second)
	require.Equal(t, 101.0, r.at("c"))
	require.Equal(t, 0.0, r.at("resets(c[1m])"))
}

func TestReconcileWithClocksThatAreOff(t *testing.T) {
	r := newRig(t)
	r.push(storage.Mark{}, 0, gauge("ahead", 1, r.ms()+60_000), counter("c", 1, 0), counter("behind", 1, r.ms()-3_000_000))
	r.h.Flush()
	r.sleep(time.Second)
	ms := []metric.Metric{counter("c", 10, r.ms()), counter("behind", 10, r.ms()-2_999_000)}
	_, err := r.state.Apply(context.Background(), &storage.Write{Metrics: ms, Arrived: r.ms()})
	require.NoError(t, err)
	require.NoError(t, r.h.Close())
	r.open()
	require.NoError(t, r.h.Reconcile(context.Background(), r.state.All(context.Background())))
	require.Equal(t, 11.0, r.at("c"))
	require.Equal(t, 11.0, r.at("last_over_time(behind[1h])"))
	require.Equal(t, 0.0, r.at("resets(behind[2h])"))
}

func TestReconcileIntoNothing(t *testing.T) {
	r := newRig(t)
	ms := []metric.Metric{counter("c", 10, r.ms())}
	_, err := r.state.Apply(context.Background(), &storage.Write{Metrics: ms})
	require.NoError(t, err)
	require.NoError(t, r.h.Reconcile(context.Background(), r.state.All(context.Background())))
	require.Equal(t, 10.0, r.at("c"))
}

// TestSmallTimes: a record that never waited must not be taken for one that does.
func TestSmallTimes(t *testing.T) {
	r := newRig(t)
	_, err := r.state.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{counter("c", 1, 1)}})
	require.NoError(t, err)
	r.push(storage.Mark{}, 0, counter("c", 1, 2))
	r.push(storage.Mark{}, 0, counter("c", 1, -5), gauge("g", 1, -3))
	r.h.Flush()
}

func TestProducerOfSeveralInstances(t *testing.T) {
	r := newRig(t)
	const every = 10 * time.Second
	for i := range 4 {
		a, b := gauge("g", 1, 0, "instance", "a"), gauge("g", 1, 0, "instance", "b")
		r.push(storage.Mark{Producer: "#gw", Sequence: uint64(2*i + 1)}, every, a, b)
		r.push(storage.Mark{Producer: "#gw", Sequence: uint64(2*i + 2)}, every, b, a)
		for range 2 {
			r.h.Sweep()
			require.Equal(t, 1.0, r.at(`up{instance="a"}`))
			require.Equal(t, 1.0, r.at(`up{instance="b"}`))
			r.sleep(every / 2)
		}
	}
	for range 5 { // b is no longer there
		r.push(storage.Mark{Producer: "#gw", Sequence: uint64(100 + r.ms())}, every, gauge("g", 1, 0, "instance", "a"))
		r.sleep(every)
		r.h.Sweep()
	}
	require.Equal(t, 1.0, r.at(`up{instance="a"}`))
	require.Equal(t, 0.0, r.at(`up{instance="b"}`))
}

// TestCountersHoldAfterRestart: one that is seldom incremented stays in sight
// while its producer reports.
func TestCountersHoldAfterRestart(t *testing.T) {
	r := newRig(t)
	const every = 10 * time.Second
	r.push(storage.Mark{Producer: "#a", Sequence: 1}, every, gauge("g", 1, 0, "instance", "i"), counter("errors", 1, 0, "instance", "i"))
	require.NoError(t, r.h.Close())
	r.open()
	require.NoError(t, r.h.Reconcile(context.Background(), r.state.All(context.Background())))
	for i := range 60 {
		r.sleep(every)
		r.push(storage.Mark{Producer: "#a", Sequence: uint64(i + 2)}, every, gauge("g", 1, 0, "instance", "i"))
		r.h.Sweep()
	}
	require.Equal(t, 1.0, r.at("errors"))
	r.push(storage.Mark{Producer: "#a", Sequence: 1000}, every, counter("errors", 1, 0, "instance", "i"))
	r.sleep(time.Second)
	require.Equal(t, 2.0, r.at("errors"))
	require.Equal(t, 0.0, r.at("resets(errors[1h])"))
}

// TestClockBehind: the times of an agent whose clock is behind are kept as they
// are, and its gauges come back at once.
func TestClockBehind(t *testing.T) {
	r := newRig(t)
	const every, behind = 10 * time.Second, 100_000
	push := func() {
		r.push(storage.Mark{Producer: "#a", Sequence: uint64(r.ms())}, every,
			gauge("g", 1, r.ms()-behind, "instance", "i"), counter("c", 10, r.ms()-behind, "instance", "i"))
	}
	for range 20 {
		push()
		r.sleep(every)
		r.h.Sweep()
	}
	all := r.points("c")[`{__name__="c", instance="i"}`]
	require.Len(t, all, 21)
	for i := range all[2:] {
		require.Equal(t, every.Milliseconds(), all[i+2].T-all[i+1].T)
	}
	r.sleep(5 * every)
	r.h.Sweep()
	require.True(t, math.IsNaN(r.at("g")))
	push()
	require.Equal(t, 1.0, r.at("g"))
}

func TestSilentProducer(t *testing.T) {
	r := newRig(t)
	mark := func(n uint64) storage.Mark { return storage.Mark{Producer: "#agent", Sequence: n} }
	for i := range 5 {
		r.push(mark(uint64(i+1)), 10*time.Second, counter("c", 1, 0, "instance", "web"), gauge("g", 1, 0, "instance", "web"))
		r.sleep(10 * time.Second)
	}
	r.push(storage.Mark{}, 0, gauge("silent", 1, 0, "instance", "web"))
	require.Equal(t, 1.0, r.at(`up{instance="web"}`))
	require.Equal(t, 1.0, r.at(`g`))
	// The gauge stops, the producer goes on: the counter holds.
	for i := range 5 {
		r.push(mark(uint64(i+6)), 10*time.Second, gauge("other", 1, 0, "instance", "web"))
		r.sleep(10 * time.Second)
		r.h.Sweep()
	}
	require.True(t, math.IsNaN(r.at("g")))
	require.Equal(t, 5.0, r.at("c"))
	require.Equal(t, 1.0, r.at("up"))
	for range 5 {
		r.sleep(10 * time.Second)
		r.h.Sweep()
	}
	require.Equal(t, 0.0, r.at("up"))
	require.True(t, math.IsNaN(r.at("c")))
	require.True(t, math.IsNaN(r.at("other")))
	require.Equal(t, 1.0, r.at("silent"), "its producer said nothing")
	require.Equal(t, 0.0, r.at("resets(c[1h])"))

	r.push(mark(100), 10*time.Second, counter("c", 1, 0, "instance", "web"))
	require.Equal(t, 1.0, r.at("up"))
	require.Equal(t, 6.0, r.at("c"))
}

func TestUpOverRestart(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"dead", "alive"} {
		r.push(storage.Mark{Producer: "#" + name, Sequence: 1}, time.Second, gauge("g", 1, 0, "instance", name))
	}
	require.NoError(t, r.h.Close())
	r.sleep(time.Hour)
	r.open()
	for i := range 6 {
		r.sleep(time.Second)
		r.push(storage.Mark{Producer: "#alive", Sequence: uint64(i + 2)}, time.Second, gauge("g", 1, 0, "instance", "alive"))
		r.h.Sweep()
	}
	require.Equal(t, 0.0, r.at(`up{instance="dead"}`))
	require.Equal(t, 1.0, r.at(`up{instance="alive"}`))
}

func TestSecondServerOnTheFolder(t *testing.T) {
	r := newRig(t)
	_, err := history.Open(history.Options{
		Path: r.dir, Retention: time.Hour, QueryConcurrency: 1, Now: time.Now, Log: zap.NewNop(),
	})
	require.EqualError(t, err, fmt.Sprintf("open HISTORY_PATH %s: another server uses it", r.dir))
}

func TestTooOld(t *testing.T) {
	r := newRig(t)
	r.push(storage.Mark{}, 0, gauge("g", 1, 0))
	r.push(storage.Mark{}, 0, gauge("g", 1, r.ms()-8*24*3_600_000))
	r.h.Flush()
	require.Equal(t, int64(1), r.h.Counts().TooOld.Load())
	require.Equal(t, map[string][]point{`{__name__="g"}`: {{r.ms(), 1}}}, r.points("g"))
}
