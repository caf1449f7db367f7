package buffer_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/buffer"
	"github.com/gometheus/gometheus/internal/common/metric"
)

func gauge(name string, at int64) metric.Metric {
	return metric.Metric{Kind: metric.Gauge, Name: name, Value: float64(at), Timestamp: at}
}

func counter(name string, delta, at int64, labels ...string) metric.Metric {
	return metric.Metric{Kind: metric.Counter, Name: name, Delta: delta, Timestamp: at, Labels: metric.NewLabels(labels...)}
}

// show is the metrics in short: name[labels]=value@time.
func show(ms []metric.Metric) string {
	s := ""
	for i := range ms {
		m := &ms[i]
		labels := ""
		if len(m.Labels) > 0 {
			labels = m.Labels.String()
		}
		s += fmt.Sprintf("%s%s=%s@%d ", m.Name, labels, m.AppendValue(nil), m.Timestamp)
	}
	return s
}

func TestGaugesInOrderCountersAdded(t *testing.T) {
	b := buffer.New(100)
	assert.Zero(t, b.Add([]metric.Metric{gauge("g", 1), counter("c", 1, 1), gauge("h", 1), counter("c", 5, 1, "a", "1")}))
	assert.Zero(t, b.Add([]metric.Metric{gauge("g", 3), counter("c", 2, 3), gauge("h", 3)}))
	assert.Zero(t, b.Add([]metric.Metric{counter("c", 4, 2)}))
	assert.Equal(t, 6, b.Len())
	assert.Equal(t, `c=7@3 c{a="1"}=5@1 g=1@1 `, show(b.Take(3, 1<<20)), "the newest time stands with the sum")
	assert.Zero(t, b.Add([]metric.Metric{counter("c", 9, 4)}))
	assert.Equal(t, "c=9@4 h=1@1 g=3@3 h=3@3 ", show(b.Take(100, 1<<20)))
	assert.Empty(t, b.Take(100, 1<<20))
	assert.Zero(t, b.Len())
}

func TestTakeLessThanTheCounters(t *testing.T) {
	b := buffer.New(100)
	b.Add([]metric.Metric{counter("a", 1, 1), counter("b", 2, 1), counter("c", 3, 1), gauge("g", 1)})
	assert.Equal(t, "a=1@1 ", show(b.Take(1, 1<<20)))
	b.Add([]metric.Metric{counter("a", 4, 2), counter("b", 1, 2), counter("c", 1, 2)})
	assert.Equal(t, "b=3@2 c=4@2 a=4@2 g=1@1 ", show(b.Take(10, 1<<20)))
}

// TestTakeBySize: of what is large a batch gets less.
func TestTakeBySize(t *testing.T) {
	b := buffer.New(100)
	long := strings.Repeat("v", 1000)
	b.Add([]metric.Metric{counter("a", 1, 1, "l", long), counter("b", 1, 1, "l", long), gauge("g", 1), counter("c", 1, 1, "l", long), gauge("h", 1)})
	require.Len(t, b.Take(10, 2000), 2)
	require.Len(t, b.Take(10, 1), 1, "one at least")
	require.Equal(t, "g=1@1 ", show(b.Take(10, 1)))
	require.Equal(t, "h=1@1 ", show(b.Take(10, 2000)))
	require.Zero(t, b.Len())
}

func TestOldestGaugesGoFirst(t *testing.T) {
	b := buffer.New(3)
	assert.Zero(t, b.Add([]metric.Metric{gauge("a", 1), gauge("b", 1), counter("c", 1, 1)}))
	assert.Equal(t, 1, b.Add([]metric.Metric{gauge("a", 2), gauge("b", 2), counter("c", 1, 2)}))
	assert.Equal(t, 2, b.Add([]metric.Metric{gauge("a", 3), gauge("b", 3), counter("c", 1, 3)}))
	assert.EqualValues(t, 3, b.Dropped())
	assert.Equal(t, "c=3@3 b=2@2 a=3@3 b=3@3 ", show(b.Take(10, 1<<20)))
	assert.Zero(t, b.Add([]metric.Metric{gauge("a", 4)}))
}

func TestSumsDoNotOverflow(t *testing.T) {
	const most = math.MaxInt64
	b := buffer.New(10)
	b.Add([]metric.Metric{counter("c", most-1, 1), counter("d", 1, 1), gauge("g", 1)})
	b.Add([]metric.Metric{counter("c", 1, 2)}) // still fits
	b.Add([]metric.Metric{counter("c", 5, 3), counter("d", 1, 3)})
	b.Add([]metric.Metric{counter("c", most, 4), counter("c", 0, 5)})

	assert.Equal(t, fmt.Sprintf("c=%d@2 d=2@3 g=1@1 ", int64(most)), show(b.Take(10, 1<<20)))
	assert.Equal(t, "c=5@3 ", show(b.Take(10, 1<<20)), "never two sums of a counter in one batch")
	assert.Equal(t, fmt.Sprintf("c=%d@5 ", int64(most)), show(b.Take(10, 1<<20)))
	assert.Empty(t, b.Take(10, 1<<20))
}

// TestNothingIsLost adds and takes at random from many goroutines: all
// increments arrive, and every gauge sample arrives or is counted as dropped.
func TestNothingIsLost(t *testing.T) {
	const writers, rounds = 4, 500
	b := buffer.New(50)
	sums := map[string]int64{}
	gauges := 0
	collect := func(ms []metric.Metric) {
		for _, m := range ms {
			if m.Kind == metric.Counter {
				sums[m.Name] += m.Delta
			} else {
				gauges++
			}
		}
	}
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range rounds {
				b.Add([]metric.Metric{counter("a", 1, 1), gauge("g", int64(i)), counter("b", 2, 1), gauge("h", int64(i))})
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		collect(b.Take(1+rand.IntN(20), 1<<20))
	}
	for b.Len() > 0 {
		collect(b.Take(7, 1<<20))
	}
	require.Equal(t, map[string]int64{"a": writers * rounds, "b": 2 * writers * rounds}, sums)
	require.EqualValues(t, 2*writers*rounds, uint64(gauges)+b.Dropped())
}

// BenchmarkAdd is one poll of the agent into a full buffer.
func BenchmarkAdd(b *testing.B) {
	var poll []metric.Metric
	for i := range 33 {
		poll = append(poll, gauge(fmt.Sprintf("g%d", i), 1))
	}
	poll = append(poll, counter("PollCount", 1, 1, "instance", "a"))
	buf := buffer.New(1000)
	b.ReportAllocs()
	for b.Loop() {
		buf.Add(poll)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(poll)), "ns/metric")
}
