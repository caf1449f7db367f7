package conformance

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/teststorage"
	"github.com/stretchr/testify/require"
)

// script is half an hour of samples, two a minute from time 0: each kind of
// series there is.
const script = `
load 30s
  gauge{job="a", instance="1", zone="x"} 0+1.5x60
  gauge{job="a", instance="2", zone="y"} 100-3.25x60
  gauge{job="b", instance="1", zone="x"} 5 -7 1e-7 1e21 123456789.123456789 _x10 0.1+0.1x44
  gauge{job="b", instance="3"} -0x60
  total{job="a", instance="1"} 0+10x20 0+7x39
  total{job="a", instance="2"} 5+0.5x60
  total{job="b", instance="1"} 0+1x10 _x15 30+1x33
  ends{job="a"} 1+1x20 stale
  ends{job="b"} 1+1x10 stale 5+1x10 stale 7x20
  classic_bucket{job="a", le="0.1"} 0+1x60
  classic_bucket{job="a", le="1"} 0+3x60
  classic_bucket{job="a", le="10"} 0+4x60
  classic_bucket{job="a", le="+Inf"} 0+5x60
  classic_bucket{job="b", le="0.1"} 0+2x60
  classic_bucket{job="b", le="1"} 0+2x60
  classic_bucket{job="b", le="+Inf"} 0+9x60
  classic_sum{job="a"} 0+7.5x60
  classic_count{job="a"} 0+5x60
  native{job="a"} {{schema:1 count:12 sum:30.5 z_bucket:2 z_bucket_w:0.001 buckets:[1 2 3] n_buckets:[2 2]}}+{{schema:1 count:12 sum:30.5 z_bucket:2 z_bucket_w:0.001 buckets:[1 2 3] n_buckets:[2 2]}}x60
  native{job="b"} {{schema:0 count:5 sum:9 offset:-2 buckets:[1 0 4]}}+{{schema:0 count:5 sum:9 offset:-2 buckets:[1 0 4]}}x30 {{schema:0 count:1 sum:1 buckets:[1]}}x28
  native{job="c"} {{schema:2 count:4 sum:NaN buckets:[4] counter_reset_hint:gauge}}x60
  native{job="e"} {{schema:2}}x60
  custom{job="a"} {{schema:-53 count:10 sum:21 custom_values:[0.5 1 2.5] buckets:[1 2 3 4]}}+{{schema:-53 count:10 sum:21 custom_values:[0.5 1 2.5] buckets:[1 2 3 4]}}x60
  custom{job="b"} {{schema:-53 count:3 sum:2 custom_values:[1 2.5 7] buckets:[0 2 1]}}x60
  mixed{job="a"} 1+1x30 {{schema:1 count:3 sum:4 buckets:[1 2]}}x29
  {"cpu.load", "host.name"="web-1"} 1+1x60
  {"Größe 🚀", "ключ"="значение ☃", job="a"} 2x60
  left{id="1", job="a"} 1x60
  left{id="2", job="a"} 2x60
  left{id="3", job="b"} 3x60
  right{id="1", job="a", extra="e1"} 10x60
  right{id="2", job="a", extra="e2"} 0x60
  right{id="9", job="b", extra="e9"} 30x60
  one{job="a"} 4x60
  one{job="b"} 0x60
  target_info{job="a", instance="1", version="1.0", region="eu"} 1x60
  target_info{job="a", instance="2", version="2.0", region="us"} 1x60
  dotted{path="/a/b", "a.b"="c", n="10"} 1x60
  dotted{path="/a/c", "a.b"="d", n="9"} 1x60
`

// odd are label values and names that JSON, HTML or JavaScript could stumble over.
var odd = []string{
	`"quoted"`, `back\slash`, "<script>alert('&')</script>", "tab\tnew\nline\r", "\x00\x01\b\f\x1f\x7f",
	"\u2028\u2029", "🚀 ☃ é", "", " ", "a,b=c;{d}", "\ufffd", "%zz%20+", "\U0010ffff",
}

func load(t *testing.T) *teststorage.TestStorage {
	t.Helper()
	st := promqltest.LoadedStorage(t, script, func(o *tsdb.Options) {
		o.EnableSTStorage = true
		o.FloatChunkEncoding = chunkenc.EncXOR2
		o.EnableHistogramSTEncoding = true
	})
	app := st.AppenderV2(t.Context())
	start := int64(0)
	put := func(ls labels.Labels, ts int64, v float64, ex ...exemplar.Exemplar) {
		t.Helper()
		_, err := app.Append(0, ls, start, ts, v, nil, nil, storage.AppendV2Options{Exemplars: ex})
		require.NoError(t, err)
	}
	for i, s := range odd {
		for ts := int64(0); ts <= 1_800_000; ts += 60_000 {
			put(labels.FromStrings("__name__", "odd", "value", s, "n", string(rune('a'+i))), ts+1, float64(i))
		}
	}
	nan, inf := math.NaN(), math.Inf(1)
	for name, vs := range map[string][]float64{
		"nan": {nan}, "inf": {inf}, "-inf": {-inf}, "mixed": {1, nan, 2, inf, 3, -inf, 4, nan},
	} {
		for i := range int64(60) {
			put(labels.FromStrings("__name__", "special", "v", name), i*30_000, vs[int(i)%len(vs)])
		}
	}
	// Names that need quotes, also of labels.
	put(labels.FromStrings("__name__", "odd \"<name>\"\n", "l<a>\"\\\tb\u2028", "v"), 1_200_000, 1)
	// Times with and without fractions, values of all sizes.
	for i, v := range []float64{
		0, math.Copysign(0, -1), 1, -1, 0.1, 1.0 / 3, 1e-6, 9.99e-7, 1e-7, 1e20, 1e21, 1.5e21, -1e21, 1e300, 5e-324,
		math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1), 123456.789, 2e9 + 0.5, float64(1 << 53),
	} {
		put(labels.FromStrings("__name__", "sizes", "i", string(rune('a'+i))), 1_199_000+int64(i*37), v)
	}
	put(labels.FromStrings("__name__", "gone"), 1_190_000, 1)
	put(labels.FromStrings("__name__", "gone"), 1_195_000, math.Float64frombits(value.StaleNaN))
	start = 999_000
	for i := range int64(12) {
		put(labels.FromStrings("__name__", "traced_total", "job", string(rune('a'+i%2)), "odd", odd[i]), 1_000_000+i*1000, float64(i),
			exemplar.Exemplar{
				Labels: labels.FromStrings("trace_id", odd[i]+"x", "z", "<&>"), Value: float64(i) / 3, Ts: 1_000_000 + i*1000 + i, HasTs: true,
			})
	}
	require.NoError(t, app.Commit())
	return st
}

// splitStrings splits a JSON array of strings into its elements.
func splitStrings(list string) []string {
	var raw []json.RawMessage
	if json.Unmarshal([]byte(list), &raw) != nil {
		return []string{list}
	}
	out := make([]string, 0, len(raw))
	for _, r := range raw {
		out = append(out, string(r))
	}
	return out
}

// series splits the result of a query. nil: there is none.
func series(body string) (head string, list []string) {
	head, rest, ok := strings.Cut(body, `"result":[`)
	if !ok {
		return body, nil
	}
	var raw []json.RawMessage
	d := json.NewDecoder(strings.NewReader("[" + rest))
	if d.Decode(&raw) != nil {
		return body, nil
	}
	for _, r := range raw {
		list = append(list, string(r))
	}
	return head + rest[d.InputOffset()-1:], list
}

// between cuts out what stands between two texts.
func between(s, before, after string) string {
	_, s, _ = strings.Cut(s, before)
	s, _, _ = strings.Cut(s, after)
	return s
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}

// copyToNow appends the samples of half an hour again, the last of them at now.
func (b *bench) copyToNow(t *testing.T, now int64, names ...string) {
	t.Helper()
	q, err := b.stores[0].Querier(0, 1_800_000)
	require.NoError(t, err)
	defer q.Close()
	app := b.stores[0].AppenderV2(t.Context())
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchRegexp, "__name__", strings.Join(names, "|")))
	for set.Next() {
		it := set.At().Iterator(nil)
		for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
			var (
				v float64
				h *histogram.FloatHistogram
			)
			if typ == chunkenc.ValFloat {
				_, v = it.At()
			} else {
				_, h = it.AtFloatHistogram(nil)
			}
			_, err := app.Append(0, set.At().Labels().Copy(), 0, it.AtT()+now-1_800_000, v, nil, h, storage.AppendV2Options{})
			require.NoError(t, err)
		}
		require.NoError(t, it.Err())
	}
	require.NoError(t, set.Err())
	require.NoError(t, app.Commit())
}
