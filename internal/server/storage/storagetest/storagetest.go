// Package storagetest holds the tests that every storage.Storage passes: the
// contract, written down as behaviour.
package storagetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// Now is the time of the tests' samples, in Unix milliseconds.
const Now = 1_795_454_731_960

// Run tests the storage that open makes. open is called for each test and must
// clean up by itself.
func Run(t *testing.T, open func(t *testing.T) storage.Storage) {
	for _, tt := range []struct {
		name string
		test func(*testing.T, storage.Storage)
	}{
		{"counters add up", countersAddUp},
		{"the newest gauge stands", newestGaugeStands},
		{"a wrong clock poisons nothing", wrongClock},
		{"kinds are apart", kindsAreApart},
		{"labels not given are summed away", labelsSummedAway},
		{"a series twice in one batch", seriesTwice},
		{"answers are in request order", answersInOrder},
		{"minimal leaves the batch alone", minimalLeavesBatch},
		{"steps tell what a batch did", stepsTell},
		{"overflow changes nothing", overflowChangesNothing},
		{"a sum beyond int64 saturates", sumSaturates},
		{"names of all sorts", oddNames},
		{"nothing of the caller's memory is kept", callerKeepsMemory},
		{"all yields every series once", allYieldsOnce},
		{"a mark counts once", markCountsOnce},
		{"marks out of order", marksOutOfOrder},
		{"marks below the window were applied", marksBelowWindow},
		{"a key without sequence counts once", opaqueKey},
		{"a refused batch leaves no mark", refusedLeavesNoMark},
		{"the same mark at once", sameMarkAtOnce},
		{"many writers at once", manyWriters},
		{"an empty batch", emptyBatch},
		{"random writes against a model", againstModel},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

// Gauge is a gauge at Now.
func Gauge(name string, v float64, labels ...string) metric.Metric {
	return metric.Metric{Kind: metric.Gauge, Name: name, Value: v, Timestamp: Now, Labels: labelsOf(labels)}
}

// Counter is an increment at Now.
func Counter(name string, d int64, labels ...string) metric.Metric {
	return metric.Metric{Kind: metric.Counter, Name: name, Delta: d, Timestamp: Now, Labels: labelsOf(labels)}
}

func labelsOf(pairs []string) metric.Labels {
	if len(pairs) == 0 {
		return nil
	}
	return metric.NewLabels(pairs...)
}

func at(m metric.Metric, ts int64) metric.Metric {
	m.Timestamp = ts
	return m
}

// Apply applies a batch and demands that it is taken.
func Apply(t testing.TB, s storage.Storage, ms ...metric.Metric) []metric.Metric {
	t.Helper()
	w := &storage.Write{Metrics: slices.Clone(ms)}
	replayed, err := s.Apply(context.Background(), w)
	require.NoError(t, err)
	require.False(t, replayed)
	return w.Metrics
}

func applyMarked(t testing.TB, s storage.Storage, mark storage.Mark, ms ...metric.Metric) (replayed bool) {
	t.Helper()
	replayed, err := s.Apply(context.Background(), &storage.Write{Metrics: slices.Clone(ms), Mark: mark})
	require.NoError(t, err)
	return replayed
}

// Total is the counter's sum over all series with the labels; -1 if there is
// none.
func Total(t testing.TB, s storage.Storage, name string, labels ...string) int64 {
	t.Helper()
	m, err := s.Value(context.Background(), storage.Selector{Kind: metric.Counter, Name: name, Labels: labelsOf(labels)})
	if err != nil {
		require.ErrorIs(t, err, storage.ErrNotFound)
		return -1
	}
	return m.Delta
}

func value(t testing.TB, s storage.Storage, name string, labels ...string) metric.Metric {
	t.Helper()
	m, err := s.Value(context.Background(), storage.Selector{Kind: metric.Gauge, Name: name, Labels: labelsOf(labels)})
	require.NoError(t, err)
	return m
}

func countersAddUp(t *testing.T, s storage.Storage) {
	require.Equal(t, int64(-1), Total(t, s, "c"))
	require.Equal(t, int64(3), Apply(t, s, Counter("c", 3))[0].Delta)
	require.Equal(t, int64(7), Apply(t, s, Counter("c", 4))[0].Delta)
	require.Equal(t, int64(7), Apply(t, s, Counter("c", 0))[0].Delta)
	require.Equal(t, int64(7), Total(t, s, "c"))
	got := Apply(t, s, at(Counter("c", 1), Now-5))[0]
	require.Equal(t, int64(8), got.Delta)
	require.Equal(t, int64(Now), got.Timestamp, "a late increment doesn't turn the time back")
}

func newestGaugeStands(t *testing.T, s storage.Storage) {
	Apply(t, s, Gauge("g", 1))
	got := Apply(t, s, at(Gauge("g", 2), Now-1))[0]
	require.Equal(t, Gauge("g", 1), got, "the answer is what stands")
	Apply(t, s, Gauge("g", 3))
	require.Equal(t, 3.0, value(t, s, "g").Value, "on a tie the later one")
	Apply(t, s, at(Gauge("g", 4), Now+1))
	require.Equal(t, at(Gauge("g", 4), Now+1), value(t, s, "g"))
	for _, v := range []float64{0, -1.5, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Copysign(0, -1)} {
		Apply(t, s, at(Gauge("g", v), Now+2))
		require.Equal(t, math.Float64bits(v), math.Float64bits(value(t, s, "g").Value))
	}
}

// wrongClock: what was stored while the server's clock was ten years ahead gives
// way once the clock is right again.
func wrongClock(t *testing.T, s storage.Storage) {
	const ahead = 10 * 365 * 24 * 3600 * 1000
	apply := func(arrived int64, ms ...metric.Metric) []metric.Metric {
		w := &storage.Write{Metrics: ms, Arrived: arrived}
		_, err := s.Apply(context.Background(), w)
		require.NoError(t, err)
		return w.Metrics
	}
	apply(Now+ahead, at(Gauge("g", 1), Now+ahead), at(Counter("c", 1), Now+ahead))
	got := apply(Now, Gauge("g", 2), Counter("c", 1))
	require.Equal(t, []metric.Metric{Gauge("g", 2), Counter("c", 2)}, got)
	got = apply(Now, at(Gauge("g", 3), Now-1), at(Counter("c", 1), Now-1))
	require.Equal(t, []metric.Metric{Gauge("g", 2), Counter("c", 3)}, got, "a right time stands")
	apply(Now-metric.MaxAhead, at(Gauge("g", 4), Now-5))
	require.Equal(t, Gauge("g", 2), value(t, s, "g"), "within what is accepted it is not wrong")
}

func kindsAreApart(t *testing.T, s storage.Storage) {
	Apply(t, s, Gauge("x", 1.5), Counter("x", 2))
	require.Equal(t, 1.5, value(t, s, "x").Value)
	require.Equal(t, int64(2), Total(t, s, "x"))
	_, err := s.Value(context.Background(), storage.Selector{Kind: metric.Gauge, Name: "y"})
	require.ErrorIs(t, err, storage.ErrNotFound)
}

func labelsSummedAway(t *testing.T, s storage.Storage) {
	Apply(t, s,
		Counter("c", 1), Counter("c", 2, "a", "1"), Counter("c", 4, "a", "1", "b", "1"), Counter("c", 8, "a", "2", "b", "1"),
		at(Gauge("g", 1, "a", "1"), Now+2), at(Gauge("g", 2, "a", "2"), Now+3), at(Gauge("g", 3, "a", "3"), Now+1))
	require.Equal(t, int64(15), Total(t, s, "c"))
	require.Equal(t, int64(6), Total(t, s, "c", "a", "1"))
	require.Equal(t, int64(12), Total(t, s, "c", "b", "1"))
	require.Equal(t, int64(4), Total(t, s, "c", "a", "1", "b", "1"))
	require.Equal(t, int64(-1), Total(t, s, "c", "a", "3"))
	without := storage.Selector{Kind: metric.Counter, Name: "c", Labels: metric.Labels{{Name: "b", Value: ""}}}
	m, err := s.Value(context.Background(), without)
	require.NoError(t, err)
	require.Equal(t, int64(3), m.Delta, "an empty value asks for series without the label")
	require.Equal(t, at(Gauge("g", 2), Now+3), value(t, s, "g"))
	require.Equal(t, at(Gauge("g", 3, "a", "3"), Now+1), value(t, s, "g", "a", "3"))
}

func seriesTwice(t *testing.T, s storage.Storage) {
	got := Apply(t, s, Counter("c", 1), at(Gauge("g", 1), Now+1), Counter("c", 2), at(Gauge("g", 2), Now+1), at(Gauge("g", 3), Now))
	require.Equal(t, []metric.Metric{Counter("c", 3), at(Gauge("g", 2), Now+1), Counter("c", 3), at(Gauge("g", 2), Now+1), at(Gauge("g", 2), Now+1)}, got)
}

func answersInOrder(t *testing.T, s storage.Storage) {
	var batch, want []metric.Metric
	for i := range 300 {
		batch = append(batch, Counter(fmt.Sprintf("c%d", i*7919%300), int64(i)))
		want = append(want, Counter(fmt.Sprintf("c%d", i*7919%300), int64(2*i)))
	}
	require.Equal(t, batch, Apply(t, s, batch...))
	require.Equal(t, want, Apply(t, s, batch...))
}

func minimalLeavesBatch(t *testing.T, s storage.Storage) {
	Apply(t, s, Counter("c", 1))
	w := &storage.Write{Metrics: []metric.Metric{Counter("c", 2)}, Minimal: true}
	_, err := s.Apply(context.Background(), w)
	require.NoError(t, err)
	require.Equal(t, int64(3), Total(t, s, "c"))
}

func stepsTell(t *testing.T, s storage.Storage) {
	traced := func(mark storage.Mark, ms ...metric.Metric) (steps []metric.Step, replayed bool) {
		w := &storage.Write{Metrics: ms, Mark: mark, Minimal: true, Steps: metric.Trace(nil, ms)}
		replayed, err := s.Apply(context.Background(), w)
		require.NoError(t, err)
		return w.Steps, replayed
	}
	seen := map[uint32]string{}
	known := func(steps []metric.Step, ms ...metric.Metric) {
		for i := range steps {
			if n := steps[i].Series; n != 0 {
				key := string(ms[i].AppendKey(nil))
				require.Equal(t, key, steps[i].Key)
				if before, ok := seen[n]; ok {
					require.Equal(t, before, key, "one number, two series")
				}
				seen[n] = key
			}
			steps[i].Series, steps[i].Key = 0, ""
		}
	}
	first := []metric.Metric{Counter("c", 2), at(Gauge("g", 1.5, "a", "b"), Now-7), Counter("c", 3, "a", "b"), Counter("h", 0)}
	steps, _ := traced(storage.Mark{}, slices.Clone(first)...)
	known(steps, first...)
	require.True(t, steps[0].Created)
	require.True(t, steps[2].Created)
	require.Equal(t, metric.Step{Stored: true, Created: true, Time: Now, Total: 2}, steps[0])
	require.Equal(t, metric.Step{Stored: true, Created: true, Time: Now, Total: 3}, steps[2])
	require.Equal(t, int64(Now-7), steps[1].Time)
	require.Equal(t, 1.5, steps[1].Value)

	second := []metric.Metric{at(Counter("c", 4), Now-50), at(Gauge("g", 2.5, "a", "b"), Now-90)}
	mark := storage.Mark{Producer: "#p", Sequence: 1}
	steps, _ = traced(mark, slices.Clone(second)...)
	known(steps, second...)
	require.Equal(t, metric.Step{Stored: true, Time: Now, Total: 6}, steps[0], "a counter's newest time")
	require.Equal(t, int64(Now-90), steps[1].Time, "a gauge's own time, though a newer value stands")
	require.Equal(t, 2.5, steps[1].Value)
	require.False(t, steps[1].Created)

	steps, replayed := traced(mark, slices.Clone(second)...)
	require.True(t, replayed)
	known(steps, second...)
	require.True(t, steps[0].Stored)
	require.True(t, steps[1].Stored)
	require.Equal(t, int64(6), steps[0].Total, "what a replay changes nothing of is told all the same")
	require.Equal(t, int64(Now-90), steps[1].Time)
	require.Equal(t, 2.5, steps[1].Value)
	other := []metric.Metric{Counter("unheard", 1), Gauge("of", 1)}
	steps, replayed = traced(mark, slices.Clone(other)...)
	require.True(t, replayed)
	require.Zero(t, steps[0].Series)
	require.False(t, steps[0].Stored)
	require.False(t, steps[1].Stored)
	require.Equal(t, int64(9), Total(t, s, "c"), "with c{a=\"b\"}")
}

func overflowChangesNothing(t *testing.T, s storage.Storage) {
	Apply(t, s, Counter("big", math.MaxInt64-10), Counter("small", 1), Gauge("g", 1))
	before := dump(t, s)
	_, err := s.Apply(context.Background(), &storage.Write{Metrics: []metric.Metric{
		Counter("small", 5), Counter("big", 6), Counter("new", 1), Counter("big", 6), at(Gauge("g", 9), Now+5), Counter("big", math.MaxInt64),
	}})
	var invalid *metric.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, 2, invalid.Count)
	require.Equal(t, 3, invalid.Elements[0].Index)
	require.Equal(t, 5, invalid.Elements[1].Index)
	require.Equal(t, before, dump(t, s))
	require.Equal(t, int64(math.MaxInt64), Apply(t, s, Counter("big", 10))[0].Delta, "what was refused reserved nothing")
}

func sumSaturates(t *testing.T, s storage.Storage) {
	Apply(t, s, Counter("c", math.MaxInt64, "a", "1"), Counter("c", 5, "a", "2"))
	require.Equal(t, int64(math.MaxInt64), Total(t, s, "c"))
}

func oddNames(t *testing.T, s storage.Storage) {
	names := []string{
		"a", "A", " ", "a b", "cpu.load", "ä", "a\u0308", "日本語", "😀", "<script>alert(1)</script>", `"quoted"`, `back\slash`,
		"new\nline", "tab\t", "%2F", "a/b", "'; DROP TABLE series; --", "\x01\x7f", strings.Repeat("x", 512), strings.Repeat("ß", 256),
	}
	for i, n := range names {
		Apply(t, s, Counter(n, int64(i+1)), Counter("labelled", int64(i+1), "l", n))
	}
	for i, n := range names {
		require.Equal(t, int64(i+1), Total(t, s, n), "%q", n)
		require.Equal(t, int64(i+1), Total(t, s, "labelled", "l", n), "%q", n)
	}
	require.Len(t, dump(t, s), 2*len(names))
}

func callerKeepsMemory(t *testing.T, s storage.Storage) {
	buf := []byte(`[{"id":"one","type":"counter","delta":1,"labels":{"a":"x"}}]`)
	lim := metric.DefaultLimits()
	var b metric.Batch
	require.NoError(t, b.DecodeArray(buf, &lim, Now))
	_, err := s.Apply(context.Background(), &storage.Write{Metrics: b.Metrics, Mark: storage.Mark{Producer: "#p", Sequence: 1}})
	require.NoError(t, err)
	for i := range buf {
		buf[i] = 'z'
	}
	require.Equal(t, int64(1), Total(t, s, "one", "a", "x"))
	require.Equal(t, map[string]metric.Metric{key(Counter("one", 1, "a", "x")): Counter("one", 1, "a", "x")}, dump(t, s))
}

func key(m metric.Metric) string { return string(m.AppendKey(nil)) }

// dump is everything that All yields, by series; a series twice fails.
func dump(t testing.TB, s storage.Storage) map[string]metric.Metric {
	t.Helper()
	out := map[string]metric.Metric{}
	for m, err := range s.All(context.Background()) {
		require.NoError(t, err)
		require.NotContains(t, out, key(m))
		out[key(m)] = m
	}
	return out
}

func allYieldsOnce(t *testing.T, s storage.Storage) {
	require.Empty(t, dump(t, s))
	want := map[string]metric.Metric{}
	var batch []metric.Metric
	for i := range 1000 {
		m := Counter("c", int64(i), "i", fmt.Sprint(i))
		if i%2 == 0 {
			m = Gauge("g", float64(i), "i", fmt.Sprint(i))
		}
		batch = append(batch, m)
		want[key(m)] = m
	}
	Apply(t, s, batch...)
	require.Equal(t, want, dump(t, s))
	for _, err := range s.All(context.Background()) { // the consumer may stop, and write meanwhile
		require.NoError(t, err)
		Apply(t, s, Counter("c", 1, "i", "1"))
		break
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var last error
	for _, err := range s.All(ctx) {
		last = err
	}
	require.ErrorIs(t, last, context.Canceled)
}

func markCountsOnce(t *testing.T, s storage.Storage) {
	mark := storage.Mark{Producer: "#agent", Sequence: 1}
	require.False(t, applyMarked(t, s, mark, Counter("c", 2), Gauge("g", 1)))
	require.True(t, applyMarked(t, s, mark, Counter("c", 2), at(Gauge("g", 7), Now+1)))
	require.Equal(t, int64(2), Total(t, s, "c"))
	require.Equal(t, 1.0, value(t, s, "g").Value)
	require.False(t, applyMarked(t, s, storage.Mark{Producer: "#agent", Sequence: 2}, Counter("c", 2)))
	require.False(t, applyMarked(t, s, storage.Mark{Producer: "#other", Sequence: 1}, Counter("c", 2)))
	require.Equal(t, int64(6), Total(t, s, "c"))

	w := &storage.Write{Mark: mark, Metrics: []metric.Metric{Counter("c", 2), Gauge("g", 9)}}
	replayed, err := s.Apply(context.Background(), w)
	require.NoError(t, err)
	require.True(t, replayed)
	require.Equal(t, []metric.Metric{Counter("c", 6), Gauge("g", 1)}, w.Metrics, "the answer to a replay is what is stored")
}

func marksOutOfOrder(t *testing.T, s storage.Storage) {
	order := rand.New(rand.NewPCG(1, 1)).Perm(2 * storage.WindowSize / 3)
	for round := range 2 {
		for _, i := range order {
			replayed := applyMarked(t, s, storage.Mark{Producer: "#p", Sequence: uint64(i + 1)}, Counter("c", 1))
			require.Equal(t, round == 1, replayed)
		}
	}
	require.Equal(t, int64(len(order)), Total(t, s, "c"))
}

func marksBelowWindow(t *testing.T, s storage.Storage) {
	high := uint64(5 * storage.WindowSize)
	p := func(seq uint64) storage.Mark { return storage.Mark{Producer: "#p", Sequence: seq} }
	require.False(t, applyMarked(t, s, p(high), Counter("c", 1)))
	require.True(t, applyMarked(t, s, p(high-storage.WindowSize-1), Counter("c", 1)), "below the window")
	require.True(t, applyMarked(t, s, p(1), Counter("c", 1)), "far below the window")
	require.False(t, applyMarked(t, s, p(high-storage.WindowSize), Counter("c", 1)), "lowest of the window")
	require.False(t, applyMarked(t, s, p(high+1), Counter("c", 1)))
	require.True(t, applyMarked(t, s, p(high-storage.WindowSize), Counter("c", 1)), "the window moved on")
	require.False(t, applyMarked(t, s, p(math.MaxInt64), Counter("c", 1)), "a leap empties the window")
	require.True(t, applyMarked(t, s, p(high+1), Counter("c", 1)))
	require.False(t, applyMarked(t, s, p(math.MaxInt64-1), Counter("c", 1)))
	require.Equal(t, int64(5), Total(t, s, "c"))
}

func opaqueKey(t *testing.T, s storage.Storage) {
	mark := storage.Mark{Producer: "=8e03978e-40d5-43dd-bc93-6894a57f9324"}
	require.False(t, applyMarked(t, s, mark, Counter("c", 1)))
	require.True(t, applyMarked(t, s, mark, Counter("c", 1)))
	require.Equal(t, int64(1), Total(t, s, "c"))
}

func refusedLeavesNoMark(t *testing.T, s storage.Storage) {
	Apply(t, s, Counter("c", math.MaxInt64))
	mark := storage.Mark{Producer: "#p", Sequence: 1}
	_, err := s.Apply(context.Background(), &storage.Write{Mark: mark, Metrics: []metric.Metric{Counter("c", 1)}})
	require.Error(t, err)
	require.False(t, applyMarked(t, s, mark, Counter("d", 1)))
}

func sameMarkAtOnce(t *testing.T, s storage.Storage) {
	const marks, copies = 20, 8
	var wg sync.WaitGroup
	var mu sync.Mutex
	first := 0
	for i := range marks * copies {
		wg.Go(func() {
			w := &storage.Write{
				Mark:    storage.Mark{Producer: "#p", Sequence: uint64(i%marks + 1)},
				Metrics: []metric.Metric{Counter("c", 1), Counter("d", 1, "i", fmt.Sprint(i%marks))},
			}
			replayed, err := s.Apply(context.Background(), w)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if !replayed {
				first++
			}
		})
	}
	wg.Wait()
	require.Equal(t, marks, first)
	require.Equal(t, int64(marks), Total(t, s, "c"))
	require.Equal(t, int64(marks), Total(t, s, "d"))
}

func manyWriters(t *testing.T, s storage.Storage) {
	const writers, batches, series = 8, 25, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range batches {
				batch := make([]metric.Metric, 0, 2*series)
				for _, n := range rng.Perm(series) {
					batch = append(batch, Counter("c", 1, "n", fmt.Sprint(n)), at(Gauge("g", float64(i), "n", fmt.Sprint(n)), Now+int64(i)))
				}
				if _, err := s.Apply(context.Background(), &storage.Write{
					Metrics: batch, Mark: storage.Mark{Producer: fmt.Sprintf("#w%d", w), Sequence: uint64(i + 1)}, Minimal: i%2 == 0,
				}); err != nil {
					t.Error(err)
				}
				if _, err := s.Value(context.Background(), storage.Selector{Kind: metric.Counter, Name: "c"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, int64(writers*batches*series), Total(t, s, "c"))
	for n := range series {
		require.Equal(t, int64(writers*batches), Total(t, s, "c", "n", fmt.Sprint(n)))
		require.Equal(t, float64(batches-1), value(t, s, "g", "n", fmt.Sprint(n)).Value)
	}
}

func emptyBatch(t *testing.T, s storage.Storage) {
	require.Empty(t, Apply(t, s))
	mark := storage.Mark{Producer: "#p", Sequence: 1}
	require.False(t, applyMarked(t, s, mark))
	require.True(t, applyMarked(t, s, mark))
}

// againstModel applies random batches, some twice, to the storage and to the
// plainest thing that does the same.
func againstModel(t *testing.T, s storage.Storage) {
	rng := rand.New(rand.NewPCG(7, 7))
	model := map[string]metric.Metric{}
	applied := map[storage.Mark]bool{}
	for range 200 {
		batch := make([]metric.Metric, rng.IntN(20))
		for i := range batch {
			name := string(rune('a' + rng.IntN(4)))
			ts := Now + rng.Int64N(50)
			label := fmt.Sprint(rng.IntN(3))
			if rng.IntN(2) == 0 {
				batch[i] = at(Counter(name, rng.Int64N(1000), "l", label), ts)
			} else {
				batch[i] = at(Gauge(name, rng.NormFloat64(), "l", label), ts)
			}
		}
		mark := storage.Mark{}
		if rng.IntN(2) == 0 {
			mark = storage.Mark{Producer: "#p", Sequence: uint64(1 + rng.IntN(100))}
		}
		replayed := applyMarked(t, s, mark, batch...)
		require.Equal(t, applied[mark], replayed)
		if replayed {
			continue
		}
		if !mark.IsZero() {
			applied[mark] = true
		}
		for _, m := range batch {
			old, ok := model[key(m)]
			switch {
			case m.Kind == metric.Counter:
				m.Delta += old.Delta
				m.Timestamp = max(m.Timestamp, old.Timestamp)
				model[key(m)] = m
			case !ok || m.Timestamp >= old.Timestamp:
				model[key(m)] = m
			}
		}
	}
	require.Equal(t, model, dump(t, s))
}
