package statsd_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
)

// lines is how many a packet of the benchmarks holds, as those of clients do.
const lines = 20

func lineOf(i int, kind string) string {
	switch kind {
	case "counter":
		return fmt.Sprintf("shop.orders_%d.total:1|c", i)
	case "counter, sampled, 3 tags":
		return fmt.Sprintf("shop.orders_%d.total:1|c|@0.1|#page:/cart,env:prod,zone:eu", i)
	case "gauge":
		return fmt.Sprintf("shop.queue_%d:12.5|g", i)
	case "timer, 3 tags":
		return fmt.Sprintf("shop.latency_%d:12.5|ms|#page:/cart,env:prod,zone:eu", i)
	default:
		return fmt.Sprintf("shop.users_%d:user-%d|s", i, i)
	}
}

func packetsOf(kind string) (out [][]byte) {
	for i := range 50 {
		var ls []string
		for j := range lines {
			ls = append(ls, lineOf(i*lines+j, kind))
		}
		out = append(out, packet(ls...))
	}
	return out
}

var kinds = []string{"counter", "counter, sampled, 3 tags", "gauge", "timer, 3 tags", "set"}

// BenchmarkLine takes lines of 1,000 series that are known.
func BenchmarkLine(b *testing.B) {
	for _, kind := range kinds {
		b.Run(kind, func(b *testing.B) {
			s := statsd.New(statsd.Options{})
			ps := packetsOf(kind)
			for _, p := range ps {
				s.Take(p)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				s.Take(ps[n%len(ps)])
				n++
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n*lines), "ns/line")
		})
	}
}

// BenchmarkCollect collects 10,000 counters that have risen.
func BenchmarkCollect(b *testing.B) {
	s := statsd.New(statsd.Options{})
	var ls []string
	for i := range 10_000 {
		ls = append(ls, fmt.Sprintf("x%d:1|c|#a:b", i))
	}
	p := packet(ls...)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		s.Take(p)
		b.StartTimer()
		ms, err := s.Collect(b.Context())
		require.NoError(b, err)
		require.Len(b, ms, 10_000)
	}
}

func TestKnownSeriesDontAllocate(t *testing.T) {
	for _, kind := range kinds {
		s := statsd.New(statsd.Options{})
		ps := packetsOf(kind)
		n := 0
		all := func() {
			s.Take(ps[n%len(ps)])
			n++
		}
		for range ps {
			all()
		}
		if allocs := testing.AllocsPerRun(len(ps), all); allocs > 0 {
			t.Errorf("%s: %v allocations for a packet", kind, allocs)
		}
	}
}
