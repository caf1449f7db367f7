package runtime_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	collector "github.com/gometheus/gometheus/internal/agent/collector/runtime"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// TestAgreesWithMemStats reads the runtime between two ReadMemStats and demands
// that every value lies between theirs, apart from what the processors' caches
// may hide.
func TestAgreesWithMemStats(t *testing.T) {
	c, err := collector.New()
	require.NoError(t, err)
	_, err = c.Collect(t.Context()) // the buffers exist now
	require.NoError(t, err)

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before) // flushes the caches as well
	start := time.Now().UnixMilli()
	got, err := c.Collect(t.Context())
	require.NoError(t, err)
	runtime.ReadMemStats(&after)

	// The lag of the caches: a few spans of 8 KiB, each of at most 1,024 objects.
	const bytesLag, objectsLag = 256 << 10, 4096
	tests := []struct {
		name        string
		first, last float64
		lag         float64
	}{
		{"Alloc", float64(before.Alloc), float64(after.Alloc), bytesLag},
		{"BuckHashSys", float64(before.BuckHashSys), float64(after.BuckHashSys), 0},
		{"Frees", float64(before.Frees), float64(after.Frees), objectsLag},
		{"GCCPUFraction", before.GCCPUFraction, after.GCCPUFraction, 1e-12},
		{"GCSys", float64(before.GCSys), float64(after.GCSys), bytesLag},
		{"HeapAlloc", float64(before.HeapAlloc), float64(after.HeapAlloc), bytesLag},
		{"HeapIdle", float64(before.HeapIdle), float64(after.HeapIdle), bytesLag},
		{"HeapInuse", float64(before.HeapInuse), float64(after.HeapInuse), bytesLag},
		{"HeapObjects", float64(before.HeapObjects), float64(after.HeapObjects), objectsLag},
		{"HeapReleased", float64(before.HeapReleased), float64(after.HeapReleased), bytesLag},
		{"HeapSys", float64(before.HeapSys), float64(after.HeapSys), bytesLag},
		{"LastGC", float64(before.LastGC), float64(after.LastGC), 0},
		{"Lookups", 0, 0, 0},
		{"MCacheInuse", float64(before.MCacheInuse), float64(after.MCacheInuse), 0},
		{"MCacheSys", float64(before.MCacheSys), float64(after.MCacheSys), 0},
		{"MSpanInuse", float64(before.MSpanInuse), float64(after.MSpanInuse), bytesLag},
		{"MSpanSys", float64(before.MSpanSys), float64(after.MSpanSys), bytesLag},
		{"Mallocs", float64(before.Mallocs), float64(after.Mallocs), objectsLag},
		{"NextGC", float64(before.NextGC), float64(after.NextGC), 0},
		{"NumForcedGC", float64(before.NumForcedGC), float64(after.NumForcedGC), 0},
		{"NumGC", float64(before.NumGC), float64(after.NumGC), 0},
		{"OtherSys", float64(before.OtherSys), float64(after.OtherSys), bytesLag},
		{"PauseTotalNs", float64(before.PauseTotalNs), float64(after.PauseTotalNs), 0},
		{"StackInuse", float64(before.StackInuse), float64(after.StackInuse), bytesLag},
		{"StackSys", float64(before.StackSys), float64(after.StackSys), bytesLag},
		{"Sys", float64(before.Sys), float64(after.Sys), bytesLag},
		{"TotalAlloc", float64(before.TotalAlloc), float64(after.TotalAlloc), bytesLag},
	}
	require.Len(t, got, len(tests))
	for i, tt := range tests {
		m := got[i]
		assert.Equal(t, tt.name, m.Name)
		assert.Equal(t, metric.Gauge, m.Kind)
		assert.GreaterOrEqual(t, m.Timestamp, start)
		assert.GreaterOrEqual(t, m.Value, min(tt.first, tt.last)-tt.lag, tt.name)
		assert.LessOrEqual(t, m.Value, max(tt.first, tt.last)+tt.lag, tt.name)
	}
}

// TestIdentities checks what must hold between the values of one poll.
func TestIdentities(t *testing.T) {
	c, err := collector.New()
	require.NoError(t, err)
	got, err := c.Collect(t.Context())
	require.NoError(t, err)
	v := make(map[string]float64, len(got))
	for _, m := range got {
		v[m.Name] = m.Value
	}
	// All are whole numbers below 2^53, so the equality is exact.
	assert.InDelta(t, v["Alloc"], v["HeapAlloc"], 0)
	assert.InDelta(t, v["HeapObjects"], v["Mallocs"]-v["Frees"], 0)
	assert.InDelta(t, v["HeapSys"], v["HeapInuse"]+v["HeapIdle"], 0)
	assert.Positive(t, v["Alloc"])
	assert.LessOrEqual(t, v["HeapAlloc"], v["HeapInuse"])
	assert.InDelta(t, v["Sys"], v["HeapSys"]+v["StackSys"]+v["MSpanSys"]+v["MCacheSys"]+v["BuckHashSys"]+v["GCSys"]+v["OtherSys"], 1<<20)
}

func BenchmarkCollect(b *testing.B) {
	c, err := collector.New()
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReadMemStats is the yardstick: what stopping the world would cost.
func BenchmarkReadMemStats(b *testing.B) {
	var m runtime.MemStats
	for b.Loop() {
		runtime.ReadMemStats(&m)
	}
}
