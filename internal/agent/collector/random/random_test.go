package random_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/collector/random"
	"github.com/gometheus/gometheus/internal/common/metric"
)

func TestCollect(t *testing.T) {
	c := random.New()
	values := map[float64]bool{}
	start := time.Now().UnixMilli()
	for range 10 {
		ms, err := c.Collect(t.Context())
		require.NoError(t, err)
		require.Len(t, ms, 2)

		assert.Equal(t, "RandomValue", ms[0].Name)
		assert.Equal(t, metric.Gauge, ms[0].Kind)
		assert.GreaterOrEqual(t, ms[0].Value, 0.0)
		assert.Less(t, ms[0].Value, 1.0)
		values[ms[0].Value] = true

		assert.Equal(t, "PollCount", ms[1].Name)
		assert.Equal(t, metric.Counter, ms[1].Kind)
		assert.Equal(t, int64(1), ms[1].Delta, "an increment, not a total")
		for _, m := range ms {
			assert.GreaterOrEqual(t, m.Timestamp, start)
			assert.LessOrEqual(t, m.Timestamp, time.Now().UnixMilli())
		}
	}
	assert.Len(t, values, 10, "a new value each time")
}
