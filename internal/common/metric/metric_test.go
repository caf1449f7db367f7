package metric_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
)

func TestAppendFloat(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 1: "1", -1: "-1", 1.5: "1.5", 0.1: "0.1", 1e20: "100000000000000000000", 1e21: "1e+21", 1e-6: "0.000001",
		1e-7: "1e-7", 1.5e-9: "1.5e-9", 1e-10: "1e-10", 1 << 53: "9007199254740992", 123456789012345: "123456789012345", math.MaxFloat64: "1.7976931348623157e+308",
	} {
		require.Equal(t, want, string(metric.AppendFloat(nil, v)))
	}
	require.Equal(t, "-0", string(metric.AppendFloat(nil, math.Copysign(0, -1))))
}

func TestFloatsReadBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		v := math.Float64frombits(rng.Uint64())
		if rng.IntN(2) == 0 {
			v = math.Trunc(rng.NormFloat64()*1e6) / math.Pow10(rng.IntN(8))
		}
		if math.IsNaN(v) || math.IsInf(v, 0) {
			continue
		}
		s := string(metric.AppendFloat(nil, v))
		m := metric.Metric{Kind: metric.Gauge}
		require.NoError(t, m.SetValue(s))
		require.Equal(t, math.Float64bits(v), math.Float64bits(m.Value), s)

		var b metric.Batch
		require.NoError(t, b.DecodeOne([]byte(`{"id":"x","type":"gauge","value":`+s+`}`), &limits, now))
		require.Equal(t, math.Float64bits(v), math.Float64bits(b.Metrics[0].Value), s)
		require.LessOrEqual(t, len(s), len(strconv.FormatFloat(v, 'f', -1, 64)))
	}
}

func TestSetValue(t *testing.T) {
	for _, s := range []string{"", " ", "x", "1 ", " 1", "1,5", "NaN", "nan", "Inf", "-Inf", "infinity", "0x1p4", "1_000", "1e309", "1e", "--1", "."} {
		require.Error(t, (&metric.Metric{Kind: metric.Gauge}).SetValue(s), s)
	}
	for _, s := range []string{"", "x", "1.5", "1e3", "-1x", "9223372036854775808", "+1", "0x1", "1_0", "NaN"} {
		require.Error(t, (&metric.Metric{Kind: metric.Counter}).SetValue(s), s)
	}
	m := metric.Metric{Kind: metric.Counter}
	require.NoError(t, m.SetValue("9223372036854775807"))
	require.Equal(t, int64(math.MaxInt64), m.Delta)
}

func TestValidate(t *testing.T) {
	good := metric.Metric{Kind: metric.Gauge, Name: "g", Value: 1, Timestamp: now}
	require.NoError(t, good.Validate(&limits, now))
	for name, change := range map[string]func(*metric.Metric){
		"no name":           func(m *metric.Metric) { m.Name = "" },
		"NUL":               func(m *metric.Metric) { m.Name = "a\x00" },
		"no kind":           func(m *metric.Metric) { m.Kind = 0 },
		"NaN":               func(m *metric.Metric) { m.Value = math.NaN() },
		"Inf":               func(m *metric.Metric) { m.Value = math.Inf(-1) },
		"negative counter":  func(m *metric.Metric) { m.Kind, m.Delta = metric.Counter, -1 },
		"future":            func(m *metric.Metric) { m.Timestamp = now + metric.MaxAhead + 1 },
		"before the epoch":  func(m *metric.Metric) { m.Timestamp = -1 },
		"reserved label":    func(m *metric.Metric) { m.Labels = metric.NewLabels("__x", "1") },
		"label with a dash": func(m *metric.Metric) { m.Labels = metric.NewLabels("a-b", "1") },
	} {
		m := good
		change(&m)
		require.Error(t, m.Validate(&limits, now), name)
	}
	edge := good
	edge.Timestamp = now + metric.MaxAhead
	require.NoError(t, edge.Validate(&limits, now))
}

func TestKey(t *testing.T) {
	long := string(make([]byte, 300))
	ms := []metric.Metric{
		{Kind: metric.Gauge, Name: "a"},
		{Kind: metric.Counter, Name: "a"},
		{Kind: metric.Gauge, Name: "a", Labels: metric.NewLabels("b", "c")},
		{Kind: metric.Gauge, Name: "ab", Labels: metric.NewLabels("c", "d")},
		{Kind: metric.Gauge, Name: "a", Labels: metric.NewLabels("b", "cd")},
		{Kind: metric.Gauge, Name: "a", Labels: metric.NewLabels("b", "c", "d", "e")},
		{Kind: metric.Gauge, Name: "a", Labels: metric.NewLabels("bc", "d")},
		{Kind: metric.Gauge, Name: long, Labels: metric.NewLabels(long, long)},
	}
	seen := map[string]bool{}
	for _, m := range ms {
		key := string(m.AppendKey(nil))
		require.False(t, seen[key], "%v shares its key", m)
		seen[key] = true
		var back metric.Metric
		require.NoError(t, back.ParseKey(key, nil))
		require.Equal(t, m, back)
		for i := range key { // no prefix of a key is taken for a key with the same meaning
			var cut metric.Metric
			if cut.ParseKey(key[:i], nil) == nil {
				require.NotEqual(t, m, cut)
			}
		}
	}
}

func FuzzParseKey(f *testing.F) {
	m := metric.Metric{Kind: metric.Gauge, Name: "a", Labels: metric.NewLabels("b", "c")}
	f.Add(string(m.AppendKey(nil)))
	f.Fuzz(func(t *testing.T, key string) {
		var m metric.Metric
		if m.ParseKey(key, nil) != nil {
			return
		}
		var again metric.Metric
		require.NoError(t, again.ParseKey(string(m.AppendKey(nil)), nil))
		require.Equal(t, m, again)
	})
}

func TestLabels(t *testing.T) {
	ls := metric.NewLabels("b", "2", "a", "1", "c", "")
	require.Equal(t, metric.Labels{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}}, ls)
	require.Equal(t, "2", ls.Get("b"))
	require.Empty(t, ls.Get("c"))
	require.Equal(t, `{a="1",b="2"}`, ls.String())
	require.True(t, ls.Matches(nil))
	require.True(t, ls.Matches(metric.Labels{{Name: "b", Value: "2"}, {Name: "x", Value: ""}}))
	require.False(t, ls.Matches(metric.Labels{{Name: "b", Value: ""}}))
	require.Negative(t, ls.Compare(metric.NewLabels("b", "2")))
	_, err := metric.Labels{{Name: "a", Value: "1"}, {Name: "b", Value: "1"}, {Name: "a", Value: "2"}}.Normalize()
	require.Error(t, err)
}

func TestJSONStringsAreHarmless(t *testing.T) {
	name := "</script>&\u2028\u2029\x01\x1f\"\\\n\t\r\xff"
	m := metric.Metric{Kind: metric.Gauge, Name: name, Labels: metric.NewLabels("a", name)}
	out := m.AppendJSON(nil)
	require.NotContains(t, string(out), "<")
	require.NotContains(t, string(out), "\u2028")
	var back struct {
		ID     string            `json:"id"`
		Labels map[string]string `json:"labels"`
	}
	require.NoError(t, json.Unmarshal(out, &back))
	want := "</script>&\u2028\u2029\x01\x1f\"\\\n\t\r\ufffd"
	require.Equal(t, want, back.ID)
	require.Equal(t, want, back.Labels["a"])
}
