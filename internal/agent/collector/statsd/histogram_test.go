package statsd_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
)

// histogram is the only one that s has.
func histogram(t *testing.T, g prometheus.Gatherer) *dto.Histogram {
	t.Helper()
	mfs, err := g.Gather()
	require.NoError(t, err)
	for _, f := range mfs {
		if f.GetType() == dto.MetricType_HISTOGRAM {
			require.Len(t, f.Metric, 1)
			return f.Metric[0].GetHistogram()
		}
	}
	require.Fail(t, "no histogram")
	return nil
}

// TestHistogramIsThatOfClientGolang observes the same values with both.
func TestHistogramIsThatOfClientGolang(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	boundary := func(i int) float64 { // ends of buckets, and what is just beside them
		v := math.Ldexp(math.Exp2(float64(i%8)/8), i/8-5)
		return []float64{v, math.Nextafter(v, 0), math.Nextafter(v, 9e9)}[i%3]
	}
	tests := []struct {
		name   string
		n      int
		value  func(i int) float64
		schema int32
	}{
		{"one", 1, func(int) float64 { return 1 }, 3},
		{"latencies", 10_000, func(int) float64 { return rnd.ExpFloat64() / 100 }, 3},
		{"ends of buckets", 120, boundary, 3},
		{"negative", 5000, func(int) float64 { return rnd.NormFloat64() * 10 }, -9},
		{"gaps", 8, func(i int) float64 { return math.Ldexp(1, i*i) }, 3},
		{"wide", 5000, func(i int) float64 { return math.Ldexp(1, i%240-100) }, -1},
		{"very wide", 5000, func(i int) float64 { return math.Ldexp(1+rnd.Float64(), rnd.IntN(400)-200) }, -9},
		{"all there is", 10_000, func(i int) float64 { return math.Ldexp(0.5+rnd.Float64()/2, rnd.IntN(2046)-1021) }, -9},
		{"zeros", 100, func(i int) float64 { return []float64{0, math.Copysign(0, -1), 0x1p-128, -0x1p-128, 0x1.1p-128}[i%5] }, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			theirs := prometheus.NewHistogram(prometheus.HistogramOpts{
				Name: "x", NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
			})
			registry := prometheus.NewRegistry()
			registry.MustRegister(theirs)
			s := statsd.New(statsd.Options{})
			sum := 0.0
			for i := range tt.n {
				v := tt.value(i)
				if math.IsInf(sum+v, 0) {
					continue // which this one refuses
				}
				sum += v
				theirs.Observe(v)
				take(s, "x:"+strconv.FormatFloat(v, 'g', -1, 64)+"|h")
			}
			want, got := histogram(t, registry), histogram(t, s)
			if tt.schema >= -4 {
				assert.Equal(t, tt.schema, got.GetSchema(), "else the test doesn't test what it says")
			}
			want.CreatedTimestamp = got.CreatedTimestamp
			want.Exemplars = nil
			assert.Equal(t, want.String(), got.String())
		})
	}
}

func TestHistogramWeights(t *testing.T) {
	c := newClock()
	s := statsd.New(statsd.Options{Now: c.now})
	for range 3 {
		take(s, "x:200|ms|@0.3")
	}
	take(s, "x:100:0:-100|ms|@0.001")
	h := histogram(t, s)
	assert.EqualValues(t, 3010, h.GetSampleCount())
	assert.InDelta(t, 2, h.GetSampleSum(), 1e-9)
	assert.EqualValues(t, 1000, h.GetZeroCount())
	assert.Equal(t, []int64{1000, 10 - 1000}, h.PositiveDelta)
	assert.Equal(t, []int64{1000}, h.NegativeDelta)
	assert.Empty(t, h.Bucket, "no classic buckets")
	assert.Equal(t, c.now().UnixMilli(), h.CreatedTimestamp.AsTime().UnixMilli())

	for range 1100 {
		take(s, "x:1|h|@1.12e-16")
	}
	assert.LessOrEqual(t, histogram(t, s).GetSampleCount(), uint64(math.MaxInt64))
	_, own := gathered(t, s)
	assert.Positive(t, own["invalid_total"], "the count can't overflow")
}

// TestHistogramBeginsAnew holds that wide buckets end an hour later, and not
// before everything they hold was given out.
func TestHistogramBeginsAnew(t *testing.T) {
	c := newClock()
	s := statsd.New(statsd.Options{Now: c.now})
	for i := range 200 {
		take(s, fmt.Sprintf("x:%g|h", math.Ldexp(1, i)))
	}
	assert.EqualValues(t, -1, histogram(t, s).GetSchema())
	c.pass(59 * time.Minute)
	take(s, "x:1|h")
	h := histogram(t, s)
	assert.EqualValues(t, -1, h.GetSchema())
	assert.EqualValues(t, 201, h.GetSampleCount())
	c.pass(time.Minute)
	take(s, "x:1|h")
	assert.EqualValues(t, 202, histogram(t, s).GetSampleCount(), "told before it ends")
	take(s, "x:1|h")
	h = histogram(t, s)
	assert.EqualValues(t, 3, h.GetSchema())
	assert.EqualValues(t, 1, h.GetSampleCount())
	assert.Equal(t, c.now().UnixMilli(), h.CreatedTimestamp.AsTime().UnixMilli(), "a reset that readers can see")

	c.pass(time.Hour)
	got, _ := gathered(t, s)
	assert.Empty(t, got, "nobody sent it for so long")
}
