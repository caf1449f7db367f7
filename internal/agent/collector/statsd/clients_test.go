package statsd_test

import (
	"testing"
	"time"

	datadog "github.com/DataDog/datadog-go/v5/statsd"
	cactus "github.com/cactus/go-statsd-client/v5/statsd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
)

// TestDatadog speaks with the client of DogStatsD, as it does by default (which
// adds up what comes within some seconds), with values packed into lines, and with
// a line for each call.
func TestDatadog(t *testing.T) {
	tests := []struct {
		name string
		opts []datadog.Option
	}{
		{"aggregating", []datadog.Option{datadog.WithClientSideAggregation()}},
		{"packing values", []datadog.Option{datadog.WithExtendedClientSideAggregation()}},
		{"plain", []datadog.Option{datadog.WithoutClientSideAggregation()}},
		{"with all fields", []datadog.Option{
			datadog.WithoutClientSideAggregation(),
			datadog.WithContainerID("0123456789abcdef"), datadog.WithCardinality(datadog.CardinalityLow),
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClock()
			s, addr, stop := running(t, statsd.Options{Now: c.now})
			client, err := datadog.New(addr, append(tt.opts, datadog.WithoutTelemetry(),
				datadog.WithNamespace("shop."), datadog.WithTags([]string{"env:prod"}))...)
			require.NoError(t, err)
			tags := []string{"page:/cart", "bare"}
			for i := range 300 {
				require.NoError(t, client.Count("orders.total", 3, tags, 1))
				require.NoError(t, client.Incr("clicks", nil, 1))
				require.NoError(t, client.Gauge("queue", float64(i)/2, nil, 1))
				require.NoError(t, client.Set("users", []string{"a", "b", "c"}[i%3], nil, 1))
				require.NoError(t, client.Timing("latency", 250*time.Millisecond, tags, 1))
				require.NoError(t, client.Histogram("size", 1024, nil, 1))
				require.NoError(t, client.Distribution("weight", 2.5, nil, 1))
			}
			at := time.Unix(1_700_000_000, 0)
			require.NoError(t, client.CountWithTimestamp("late", 7, nil, 1, at))
			require.NoError(t, client.SimpleEvent("deployed", "now"))
			require.NoError(t, client.SimpleServiceCheck("up", datadog.Ok))
			require.NoError(t, client.Close()) // flushes
			stop()
			require.Less(t, s.Packets(), uint64(90), "they fit the socket's buffer even if nobody reads")

			c.pass(10 * time.Second)
			assert.Equal(t, []string{
				`counter shop_clicks{env="prod"} 300`,
				`counter shop_late{env="prod"} 7`,
				`counter shop_orders_total{env="prod",page="/cart"} 900`,
				`gauge shop_queue{env="prod"} 149.5`,
				`gauge shop_users{env="prod"} 3`,
			}, collected(t, s))
			histograms, own := gathered(t, s)
			assert.Equal(t, []string{
				`shop_latency{env="prod",page="/cart"} 300 75`,
				`shop_size{env="prod"} 300 307200`,
				`shop_weight{env="prod"} 300 750`,
			}, histograms)
			assert.Zero(t, own["invalid_total"])
			assert.InDelta(t, 1, own[`dropped_total{reason="event"}`], 0)
			assert.InDelta(t, 1, own[`dropped_total{reason="service_check"}`], 0)
			assert.Positive(t, own[`dropped_total{reason="tag"}`], "the bare ones")
		})
	}
}

// TestDatadogSamples: the client leaves calls out and says how many; what is
// counted is near to what was called.
func TestDatadogSamples(t *testing.T) {
	s, addr, stop := running(t, statsd.Options{})
	client, err := datadog.New(addr, datadog.WithoutTelemetry(), datadog.WithoutClientSideAggregation())
	require.NoError(t, err)
	const calls = 8000
	for range calls {
		require.NoError(t, client.Incr("x", nil, 0.25))
		require.NoError(t, client.Timing("t", time.Second, nil, 0.25))
	}
	require.NoError(t, client.Close())
	stop()
	ms, err := s.Collect(t.Context())
	require.NoError(t, err)
	require.Len(t, ms, 1)
	// Ten standard deviations: √(8000 × 0.25 × 0.75) × 4 ≈ 155 each.
	assert.InDelta(t, calls, ms[0].Delta, 1550)
	assert.Zero(t, ms[0].Delta%4)
	assert.InDelta(t, calls, histogramCount(t, s), 1550)
}

// TestCactus speaks with a client of plain StatsD, with a packet for each call and
// with many lines in one.
func TestCactus(t *testing.T) {
	for name, buffered := range map[string]bool{"a packet each": false, "buffered": true} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			s, addr, stop := running(t, statsd.Options{Now: c.now})
			client, err := cactus.NewClientWithConfig(&cactus.ClientConfig{
				Address: addr, Prefix: "shop", UseBuffered: buffered, TagFormat: cactus.SuffixOctothorpe,
			})
			require.NoError(t, err)
			tag := cactus.Tag{"page", "cart"}
			for i := range 20 {
				require.NoError(t, client.Inc("orders", 2, 1, tag))
				require.NoError(t, client.Gauge("queue", int64(i), 1))
				require.NoError(t, client.GaugeDelta("level", 2, 1))
				require.NoError(t, client.GaugeDelta("level", -1, 1))
				require.NoError(t, client.SetInt("users", int64(i%4), 1))
				require.NoError(t, client.TimingDuration("latency", 500*time.Millisecond, 1, tag))
			}
			require.NoError(t, client.Close())
			stop()
			c.pass(10 * time.Second)
			assert.Equal(t, []string{
				"counter shop_orders{page=\"cart\"} 40", "gauge shop_level 20", "gauge shop_queue 19", "gauge shop_users 4",
			}, collected(t, s))
			histograms, own := gathered(t, s)
			assert.Equal(t, []string{`shop_latency{page="cart"} 20 10`}, histograms)
			assert.Zero(t, own["invalid_total"])
			assert.InDelta(t, 120, own["samples_total"], 0)
		})
	}
}
