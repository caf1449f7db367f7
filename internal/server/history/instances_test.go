package history

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Instances says who reports, since when not, by whoever reports for it, and knows
// it after a restart.
func TestInstances(t *testing.T) {
	clock := time.Unix(1_795_000_000, 0)
	o := Options{
		Path: t.TempDir(), Retention: 24 * time.Hour, OutOfOrder: time.Hour, QueryTimeout: time.Minute,
		QueryConcurrency: 1, QueryMaxSamples: 1000, Now: func() time.Time { return clock }, Log: zap.NewNop(),
	}
	h, err := Open(o)
	require.NoError(t, err)
	report := func(producer, instance string, every time.Duration) {
		m := metric.Metric{Kind: metric.Gauge, Name: "g", Labels: metric.NewLabels("instance", instance), Timestamp: clock.UnixMilli()}
		h.Record(&Push{Producer: producer, Every: every, Metrics: []metric.Metric{m}, Steps: []metric.Step{{Stored: true, Time: m.Timestamp}}})
	}
	instances := func() map[string]string {
		out := map[string]string{}
		for _, in := range h.Instances() {
			out[in.Name] = fmt.Sprintf("up=%v every=%v ago=%v", in.Up, in.Every, clock.Sub(in.Seen))
		}
		return out
	}
	require.Empty(t, instances())
	report("a", "one", 10*time.Second)
	report("b", "two", 20*time.Second)
	report("", "nobody", 0)
	clock = clock.Add(5 * time.Second)
	report("c", "one", time.Second) // another producer of the same
	require.Equal(t, map[string]string{"one": "up=true every=1s ago=0s", "two": "up=true every=20s ago=5s"}, instances())
	clock = clock.Add(20 * time.Second)
	require.Equal(t, "up=true every=1s ago=20s", instances()["one"], "the slower producer may still report")
	clock = clock.Add(20 * time.Second)
	h.sweep()
	require.Equal(t, map[string]string{"one": "up=false every=1s ago=40s", "two": "up=true every=20s ago=45s"}, instances())
	require.NoError(t, h.Close())
	h, err = Open(o)
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	require.Equal(t, map[string]string{"one": "up=false every=1s ago=40s", "two": "up=true every=20s ago=0s"}, instances())
	clock = clock.Add(8 * 24 * time.Hour)
	h.sweep() // notes that two is gone
	clock = clock.Add(8 * 24 * time.Hour)
	h.sweep()
	require.Empty(t, instances())
}
