package statsd_test

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/agent/collector"
	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
	"github.com/gometheus/gometheus/internal/common/metric"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ collector.Collector = (*statsd.Server)(nil)
	_ prometheus.Gatherer = (*statsd.Server)(nil)
)

// clock is a time that a test sets.
type clock struct{ t time.Time }

func newClock() *clock                   { return &clock{time.UnixMilli(1_800_000_000_000)} }
func (c *clock) now() time.Time          { return c.t }
func (c *clock) pass(d time.Duration)    { c.t = c.t.Add(d) }
func packet(lines ...string) []byte      { return []byte(strings.Join(lines, "\n")) }
func take(s *statsd.Server, l ...string) { s.Take(packet(l...)) }

// collected is what Collect gives, a line for each metric, sorted.
func collected(t testing.TB, s *statsd.Server) []string {
	t.Helper()
	ms, err := s.Collect(t.Context())
	require.NoError(t, err)
	out := []string{}
	for _, m := range ms {
		v := fmt.Sprint(m.Value)
		if m.Kind == metric.Counter {
			v = fmt.Sprint(m.Delta)
		}
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %s%s", m.Kind, m.Name, m.Labels), "{}")+" "+v)
	}
	sort.Strings(out)
	return out
}

// gathered is what Gather gives: the histograms, count and sum, and of the
// receiver's own counters those that aren't 0.
func gathered(t testing.TB, s *statsd.Server) (histograms []string, own map[string]float64) {
	t.Helper()
	mfs, err := prometheus.Gatherers{s}.Gather() // looks whether all of it is consistent
	require.NoError(t, err)
	histograms, own = []string{}, map[string]float64{}
	for _, f := range mfs {
		for _, m := range f.Metric {
			var ls metric.Labels
			for _, p := range m.Label {
				ls = append(ls, metric.Label{Name: p.GetName(), Value: p.GetValue()})
			}
			id := strings.TrimSuffix(f.GetName()+ls.String(), "{}")
			if f.GetType() == dto.MetricType_HISTOGRAM {
				h := m.GetHistogram()
				histograms = append(histograms, fmt.Sprintf("%s %d %.6g", id, h.GetSampleCount(), h.GetSampleSum()))
				continue
			}
			if v := m.GetCounter().GetValue(); v != 0 {
				own[strings.TrimPrefix(id, "gometheus_agent_statsd_")] = v
			}
		}
	}
	return histograms, own
}

func TestCounters(t *testing.T) {
	c := newClock()
	s := statsd.New(statsd.Options{Now: c.now})

	take(s, "x:2|c", "x:3|c", "x:1|c|#a:b")
	take(s, "x:4|c")
	assert.Equal(t, []string{"counter x 9", `counter x{a="b"} 1`}, collected(t, s))
	assert.Empty(t, collected(t, s), "nothing came, nothing counts twice")
	take(s, "x:1|c")
	assert.Equal(t, []string{"counter x 1"}, collected(t, s))

	t.Run("fractions are carried over", func(t *testing.T) {
		var total int64
		for i := range 10 {
			take(s, "third:1|c|@0.3")
			ms, err := s.Collect(t.Context())
			require.NoError(t, err)
			require.Len(t, ms, 1)
			total += ms[0].Delta
			assert.EqualValues(t, math.Floor(float64(i+1)/0.3+1e-6), total)
		}
		assert.EqualValues(t, 33, total)
	})
	t.Run("what is nearly whole is", func(t *testing.T) {
		for range 7 {
			take(s, "seventh:1|c|@0.7")
		}
		for range 1000 {
			take(s, "tenth:0.1|c")
		}
		assert.Equal(t, []string{"counter seventh 10", "counter tenth 100"}, collected(t, s))
	})
	t.Run("a sum can't overflow", func(t *testing.T) {
		for range 1024 {
			take(s, "big:9007199254740992|c")
		}
		assert.Equal(t, []string{"counter big 9214364837600034816"}, collected(t, s), "the one before 2^63 − 1")
		_, own := gathered(t, s)
		assert.InDelta(t, 1, own["invalid_total"], 0)
	})
	t.Run("the rest is rounded when it is forgotten", func(t *testing.T) {
		take(s, "up:0.5|c", "down:0.4|c")
		assert.Equal(t, []string{"counter down 0", "counter up 0"}, collected(t, s))
		c.pass(time.Hour)
		assert.Contains(t, collected(t, s), "counter up 1")
		assert.Empty(t, collected(t, s))
	})
	t.Run("an increment is never forgotten", func(t *testing.T) {
		take(s, "late:1|c")
		c.pass(100 * time.Hour)
		_, _ = gathered(t, s)
		assert.Equal(t, []string{"counter late 1"}, collected(t, s))
	})
}

func TestGauges(t *testing.T) {
	c := newClock()
	s := statsd.New(statsd.Options{Now: c.now, Hold: 10 * time.Second, Forget: time.Minute})
	tests := []struct {
		after time.Duration
		line  string
		want  []string
	}{
		{0, "x:1|g", []string{"gauge x 1"}},
		{2 * time.Second, "", []string{}},
		{2 * time.Second, "x:1|g", []string{}}, // not changed
		{2 * time.Second, "x:2|g", []string{"gauge x 2"}},
		{2 * time.Second, "x:3|g\nx:2|g", []string{}},
		{7999 * time.Millisecond, "", []string{"gauge x 2"}}, // held, a moment early
		{10 * time.Second, "", []string{"gauge x 2"}},
		{2 * time.Second, "x:-5|g", []string{"gauge x -3"}},
		{-5 * time.Second, "", []string{"gauge x -3"}}, // the clock was set back
		{59 * time.Second, "", []string{"gauge x -3"}},
		{10 * time.Second, "", []string{}},              // forgotten
		{0, "x:+1|g", []string{"gauge x 1"}},            // from 0 again
		{0, "x:1|c", []string{"counter x 1"}},           // another series
		{0, "x:7|g|#a:b", []string{`gauge x{a="b"} 7`}}, // another one
		{10 * time.Second, "", []string{"gauge x 1", `gauge x{a="b"} 7`}},
	}
	for i, tt := range tests {
		c.pass(tt.after)
		take(s, tt.line)
		assert.Equal(t, tt.want, collected(t, s), "step %d", i)
	}
	ms, err := s.Collect(t.Context())
	require.NoError(t, err)
	for _, m := range ms {
		assert.Equal(t, c.now().UnixMilli(), m.Timestamp)
	}
}

// TestManyLargeTags: the memory is bounded by what series are called, too, and
// there is room again when they are gone.
func TestManyLargeTags(t *testing.T) {
	c := newClock()
	core, logs := observer.New(zapcore.InfoLevel)
	s := statsd.New(statsd.Options{Now: c.now, Spare: 2, Forget: time.Minute, Log: zap.New(core)})
	tags := make([]string, 31)
	for i := range tags {
		tags[i] = fmt.Sprintf("tag%02d:%s", i, strings.Repeat("v", 1000))
	}
	take(s, "x:1|c|#"+strings.Join(tags, ","))
	require.Empty(t, collected(t, s), "no room for what others add")
	for i := range 1000 {
		take(s, fmt.Sprintf("x%d:1|c|#%s", i, strings.Join(tags[:30], ",")))
	}
	n := len(collected(t, s))
	require.InDelta(t, 16<<20, n*30*1008, 40<<10)
	require.Equal(t, 1, logs.FilterMessageSnippet("no room for more StatsD series").Len())
	c.pass(time.Hour)
	require.Empty(t, collected(t, s))
	take(s, "x:1|c|#"+strings.Join(tags[:30], ","))
	require.Len(t, collected(t, s), 1)
	require.Equal(t, 1, logs.FilterMessageSnippet("there is room").Len())
}

func TestSets(t *testing.T) {
	c := newClock()
	core, logs := observer.New(zapcore.WarnLevel)
	s := statsd.New(statsd.Options{Now: c.now, Hold: 10 * time.Second, Forget: time.Minute, Log: zap.New(core)})
	take(s, "x:a|s", "x:b|s", "x:a|s", "x:A|s|#k:v")
	c.pass(5 * time.Second)
	assert.Empty(t, collected(t, s), "the window isn't over")
	take(s, "x:c|s", "x:a|s")
	c.pass(5 * time.Second)
	assert.Equal(t, []string{"gauge x 3", `gauge x{k="v"} 1`}, collected(t, s))
	take(s, "x:a|s")
	c.pass(10 * time.Second)
	assert.Equal(t, []string{"gauge x 1", `gauge x{k="v"} 0`}, collected(t, s), "a new window counts anew")

	take(s, setLines("x", 8192+10)...)
	take(s, "x:1|s")
	c.pass(10 * time.Second)
	assert.Contains(t, collected(t, s), "gauge x 8192")
	_, own := gathered(t, s)
	assert.InDelta(t, 10, own[`dropped_total{reason="set_limit"}`], 0)
	require.Equal(t, 1, logs.Len(), "said once")
	assert.Equal(t, "x", logs.All()[0].ContextMap()["set"])

	t.Run("forgotten before anybody collects", func(t *testing.T) {
		s := statsd.New(statsd.Options{Now: c.now, Forget: time.Minute})
		for set := range 32 {
			take(s, setLines(fmt.Sprintf("all%d", set), 8192)...)
		}
		take(s, "x:1|s")
		_, own := gathered(t, s)
		assert.InDelta(t, 1, own[`dropped_total{reason="set_limit"}`], 0, "they are full")
		c.pass(time.Minute)
		_, _ = gathered(t, s)
		take(s, "x:1|s")
		assert.Equal(t, []string{"gauge x 1"}, collected(t, s), "there is room again")
	})
	t.Run("all together", func(t *testing.T) {
		for set := range 33 {
			take(s, setLines(fmt.Sprintf("all%d", set), 8000)...)
		}
		_, own := gathered(t, s)
		assert.InDelta(t, 10+33*8000-1<<18, own[`dropped_total{reason="set_limit"}`], 0)
		c.pass(10 * time.Second)
		collected(t, s)
		take(s, "x:1|s") // there is room again
		c.pass(50 * time.Second)
		collected(t, s)
		c.pass(10 * time.Second)
		assert.Empty(t, collected(t, s), "all are forgotten")
	})
}

// setLines are as many values of a set.
func setLines(name string, values int) (out []string) {
	for i := range values {
		out = append(out, fmt.Sprintf("%s:%d|s", name, i))
	}
	return out
}

func TestConflicts(t *testing.T) {
	tests := []struct {
		lines []string
		want  []string
	}{
		{[]string{"x:1|g", "x:a|s"}, []string{"gauge x 1"}},
		{[]string{"x:a|s", "x:1|g"}, []string{"gauge x 1"}}, // the size of the set
		{[]string{"x:1|g", "x:5|ms"}, []string{"gauge x 1"}},
		{[]string{"x:1|c", "x:5|h"}, []string{"counter x 1"}},
		{[]string{"x:5|h", "x:1|c"}, []string{"x 1 5"}},
		{[]string{"x:5|h", "x:a|s"}, []string{"x 1 5"}},
		{[]string{"x:5|h", "x_count:5|h"}, []string{"x 1 5"}},
		{[]string{"x_sum:5|h", "x:5|h"}, []string{"x_sum 1 5"}},
		{[]string{"x_bucket:5|h|#a:b", "x:5|h"}, []string{`x_bucket{a="b"} 1 5`}},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.lines, " "), func(t *testing.T) {
			c := newClock()
			s := statsd.New(statsd.Options{Now: c.now})
			take(s, tt.lines...)
			c.pass(10 * time.Second)
			histograms, own := gathered(t, s)
			assert.Equal(t, tt.want, append(collected(t, s), histograms...))
			assert.InDelta(t, 1, own[`dropped_total{reason="conflict"}`], 0)
			assert.InDelta(t, 1, own["samples_total"], 0)

			c.pass(time.Hour) // the first is forgotten: the second may come
			collected(t, s)
			collected(t, s)
			take(s, tt.lines[1])
			_, own = gathered(t, s)
			assert.InDelta(t, 2, own["samples_total"], 0)
		})
	}
	s := statsd.New(statsd.Options{})
	take(s, "x:1|c", "x:1|g", "y:1|ms", "y:1|h", "y:1|g|#a:b")
	histograms, own := gathered(t, s)
	assert.Equal(t, []string{"y 2 1.001"}, histograms)
	assert.InDelta(t, 5, own["samples_total"], 0, "these are no conflicts")
}

func TestMaxSeries(t *testing.T) {
	c := newClock()
	core, logs := observer.New(zapcore.InfoLevel)
	s := statsd.New(statsd.Options{Now: c.now, MaxSeries: 10, Log: zap.New(core)})
	for i := range 20 {
		take(s, fmt.Sprintf("x%d:1|%s", i, []string{"c", "g", "h", "s"}[i%4]))
	}
	take(s, "x0:1|c")
	_, own := gathered(t, s)
	assert.InDelta(t, 10, own[`dropped_total{reason="series_limit"}`], 0)
	assert.InDelta(t, 11, own["samples_total"], 0, "the known ones go on")
	assert.Contains(t, collected(t, s), "counter x0 2")
	require.Equal(t, 1, logs.Len(), "logged once")
	assert.Equal(t, "no room for more StatsD series: samples of new ones are dropped", logs.TakeAll()[0].Message)

	c.pass(time.Hour)
	collected(t, s)
	require.Equal(t, 1, logs.Len())
	assert.Equal(t, "there is room for StatsD series again", logs.TakeAll()[0].Message)
	take(s, "y:1|c")
	assert.Equal(t, []string{"counter y 1"}, collected(t, s))
}

func TestInvalidIsLoggedOnceAMinute(t *testing.T) {
	c := newClock()
	core, logs := observer.New(zapcore.InfoLevel)
	s := statsd.New(statsd.Options{Now: c.now, Log: zap.New(core)})
	for range 5 {
		take(s, "\x1b[31m\xff"+strings.Repeat("y", 200))
		c.pass(15 * time.Second)
	}
	require.Equal(t, 2, logs.Len())
	e := logs.All()[1].ContextMap()
	assert.Equal(t, "not UTF-8, or a NUL byte", e["reason"])
	assert.Equal(t, `"\x1b[31m\xff`+strings.Repeat("y", 74)+`"…`, e["line"], "escaped and shortened")
	assert.EqualValues(t, 4, e["invalid_since_last_message"])
}

func TestLabels(t *testing.T) {
	s := statsd.New(statsd.Options{Labels: metric.NewLabels("instance", "web-1", "reason", "none", "zone", "eu")})
	take(s, "x:1|c", "x:1|c|#instance:web-1", "x:1|c|#instance:other,k:v", "t:1|h", "t:1|h|#zone:eu")
	assert.Equal(t, []string{
		`counter x{instance="other",k="v",reason="none",zone="eu"} 1`,
		`counter x{instance="web-1",reason="none",zone="eu"} 2`,
	}, collected(t, s))
	histograms, own := gathered(t, s)
	assert.Equal(t, []string{`t{instance="web-1",reason="none",zone="eu"} 2 2`}, histograms)
	assert.Equal(t, map[string]float64{
		`packets_total{instance="web-1",reason="none",zone="eu"}`: 1,
		`samples_total{instance="web-1",reason="none",zone="eu"}`: 5,
	}, own)
}
