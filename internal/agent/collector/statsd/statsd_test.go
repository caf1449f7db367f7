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

func TestLines(t *testing.T) {
	long := strings.Repeat("n", 513)
	tags := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",t%d:%d", i, i)
		}
		return b.String()[1:]
	}
	const dropTag = `dropped_total{reason="tag"}`
	tests := []struct {
		line string
		want string             // metrics and histograms, separated by "; "
		own  map[string]float64 // besides one packet; nil: one sample
	}{
		{"x:1|c", "counter x 1", nil},
		{"x:0|c", "counter x 0", nil},
		{"x:+12|c", "counter x 12", nil},
		{"x:1e3|c", "counter x 1000", nil},
		{"x:1|c|@0.1", "counter x 10", nil},
		{"x:3|c|@0.5|#a:b", `counter x{a="b"} 6`, nil},
		{"x:3|c|#a:b|@0.5", `counter x{a="b"} 6`, nil},
		{"x:1.75|c", "counter x 1", nil},
		{"x:1:2:3|c", "counter x 6", map[string]float64{"samples_total": 3}},
		{"x:9007199254740992|c", "counter x 9007199254740992", nil},
		{"x:1.5|g", "gauge x 1.5", nil},
		{"x:1.5|g|@0.1", "gauge x 1.5", nil},
		{"x:+4|g", "gauge x 4", nil},
		{"x:-4|g", "gauge x -4", nil},
		{"x:1:+4:-0.5|g", "gauge x 4.5", map[string]float64{"samples_total": 3}},
		{"x:100|ms", "x 1 0.1", nil},
		{"x:100|h", "x 1 100", nil},
		{"x:100|d", "x 1 100", nil},
		{"x:-1|d", "x 1 -1", nil},
		{"x:100:200:300|ms|@0.25", "x 12 2.4", map[string]float64{"samples_total": 3}},
		{"x:alice|s", "gauge x 1", nil},
		{"x:a:b|s", "gauge x 1", nil}, // a set's value may hold a colon
		{"x:1|c\r", "counter x 1", nil},
		{"x:1|c\ny:2|c\n\n", "counter x 1; counter y 2", map[string]float64{"samples_total": 2}},

		{"a.b-c/d é:1|c", "counter a_b_c_d__ 1", nil},
		{"2xx:1|c", "counter _2xx 1", nil},
		{"__x:1|c", "counter __x 1", nil},

		{"x:1|c|#b:2,a:1", `counter x{a="1",b="2"} 1`, nil},
		{"x:1|c|#a:1,a:2", `counter x{a="2"} 1`, nil},
		{"x:1|c|#a:1,#b:2", `counter x{a="1",b="2"} 1`, nil},
		{"x:1|c|#a:1|#b:2", `counter x{a="1",b="2"} 1`, nil},
		{"x:1|c|#url:http://a/b c", `counter x{url="http://a/b c"} 1`, nil},
		{"x:1|c|#a.b:1,a-b:2,1:3", `counter x{_1="3",a_b="2"} 1`, nil},
		{"x:1|c|#__name__:y,_z:1", `counter x{_z="1",tag__name__="y"} 1`, nil},
		{"x:1|h|#le:1", `x{tag_le="1"} 1 1`, nil},
		{"x:1|c|#le:1", `counter x{le="1"} 1`, nil},
		{"x:1|c|#a:é", `counter x{a="é"} 1`, nil},
		{"x:1|c|#", "counter x 1", nil},
		{"x:1|c|#bare", "counter x 1", map[string]float64{"samples_total": 1, dropTag: 1}},
		{"x:1|c|#a:,:b,,c:1,", `counter x{c="1"} 1`, map[string]float64{"samples_total": 1, dropTag: 3}},
		{"x:1|c|#" + long + ":1", "counter x 1", map[string]float64{"samples_total": 1, dropTag: 1}},
		{"x:1|c|#a:" + strings.Repeat("é", 600), `counter x{a="` + strings.Repeat("é", 512) + `"} 1`, nil},
		{"x:1|c|#a:b" + strings.Repeat("é", 600), `counter x{a="b` + strings.Repeat("é", 511) + `"} 1`, nil},

		{"x:1|c|T1800000000", "counter x 1", nil},
		{"x:1|g|#a:b|c:ci-123|T1800000000", `gauge x{a="b"} 1`, nil},
		{"x:1|c|c:in-1|e:it-false|card:low", "counter x 1", nil},

		{"_e{5,4}:title|text|#a:b", "", map[string]float64{`dropped_total{reason="event"}`: 1}},
		{"_sc|name|0|#a:b", "", map[string]float64{`dropped_total{reason="service_check"}`: 1}},
		{"_sc:1|c", "counter _sc 1", nil},
		{"gometheus_agent_statsd_packets_total:1|h", "", map[string]float64{`dropped_total{reason="conflict"}`: 1}},
		{"gometheus.agent.statsd.packets_total:1|c", "", map[string]float64{`dropped_total{reason="conflict"}`: 1}},

		{"x:1:a:2|c", "counter x 3", map[string]float64{"samples_total": 2, "invalid_total": 1}},
		{"x:1e308:1e308|g", "gauge x 1e+308", map[string]float64{"samples_total": 2}},
		{"x:1e308:+1e308|g", "gauge x 1e+308", map[string]float64{"samples_total": 1, "invalid_total": 1}},
		{"x:1e308:1e308|h", "x 1 1e+308", map[string]float64{"samples_total": 1, "invalid_total": 1}},
	}
	for _, line := range []string{
		"x", "x:", ":1|c", "x:1", "x|c", "x:|c", "x:1|", "x:1|q", "x:1|cc", "x:1|C", "x:1|c|", "x:1|c||#a:b", "x:1|c|0.5", "x:1|c|q",
		"x:1|c|@", "x:1|c|@0", "x:1|c|@-1", "x:1|c|@1.5", "x:1|c|@NaN", "x:1|c|@1e-300", "x:1|h|@1e-300",
		"x:1|c|T", "x:1|c|T1.5", "x:1|c|T-1",
		"x:-1|c", "x:NaN|c", "x:Inf|c", "x:+Inf|c", "x:1e300|c", "x:9007199254740994|c", "x:9007199254740992|c|@0.5",
		"x:a|c", "x:1 |c", "x: 1|c", "x:1_000|c", "x:0x10|c", "x:1,5|c", "x:--1|c", "x:.|c",
		"x:NaN|g", "x:Inf|g", "x:1e400|g", "x:|g", "x:nan|ms", "x:inf|h", "x:1e308|h|@0.1", "x:|s",
		"x:1|c|#a:\xff", "\xff:1|c", "x\x00:1|c", "x:1|c|#a:\x00", "x:\x00|s",
		long + ":1|c", "9" + long[1:] + ":1|c", "x:1|c|#" + tags(33), "[x]", "{", "|||", ":::|c",
	} {
		tests = append(tests, struct {
			line string
			want string
			own  map[string]float64
		}{line, "", map[string]float64{"invalid_total": 1}})
	}
	tests = append(tests, struct {
		line string
		want string
		own  map[string]float64
	}{":1:2|c", "", map[string]float64{"invalid_total": 1}})
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%.40q", tt.line), func(t *testing.T) {
			c := newClock()
			s := statsd.New(statsd.Options{Now: c.now})
			take(s, tt.line)
			c.pass(10 * time.Second) // the window of the sets
			histograms, own := gathered(t, s)
			assert.Equal(t, tt.want, strings.Join(append(collected(t, s), histograms...), "; "))
			if tt.own == nil {
				tt.own = map[string]float64{"samples_total": 1}
			}
			tt.own["packets_total"] = 1
			assert.Equal(t, tt.own, own)
		})
	}
	t.Run("32 tags", func(t *testing.T) {
		s := statsd.New(statsd.Options{})
		take(s, "x:1|c|#"+tags(32))
		assert.Len(t, collected(t, s), 1)
	})
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

	for i := range 8192 + 10 {
		take(s, fmt.Sprintf("x:%d|s", i))
	}
	take(s, "x:1|s")
	c.pass(10 * time.Second)
	assert.Contains(t, collected(t, s), "gauge x 8192")
	_, own := gathered(t, s)
	assert.InDelta(t, 10, own[`dropped_total{reason="set_limit"}`], 0)
	require.Equal(t, 1, logs.Len(), "said once")
	assert.Equal(t, "x", logs.All()[0].ContextMap()["set"])

	t.Run("all together", func(t *testing.T) {
		for set := range 33 {
			for i := range 8000 {
				take(s, fmt.Sprintf("all%d:%d|s", set, i))
			}
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
