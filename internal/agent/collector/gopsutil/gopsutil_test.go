package gopsutil

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
)

func values(t *testing.T, c *Collector) (map[string]float64, error) {
	t.Helper()
	ms, err := c.Collect(t.Context())
	out := make(map[string]float64, len(ms))
	for _, m := range ms {
		assert.Equal(t, metric.Gauge, m.Kind)
		out[m.Name] = m.Value
	}
	require.Len(t, out, len(ms), "a name stands twice")
	return out, err
}

func TestThisMachine(t *testing.T) {
	c := New()
	start := time.Now()
	for poll := range 2 {
		got, err := values(t, c)
		require.NoError(t, err)
		assert.Greater(t, got["TotalMemory"], float64(1<<20))
		assert.Positive(t, got["FreeMemory"])
		assert.Less(t, got["FreeMemory"], got["TotalMemory"])
		assert.Len(t, got, 2+cpus(t), "poll %d: one utilization for each logical CPU", poll)
		for i := range cpus(t) {
			v, ok := got["CPUutilization"+strconv.Itoa(i+1)]
			assert.True(t, ok)
			assert.GreaterOrEqual(t, v, 0.0)
			assert.LessOrEqual(t, v, 100.0)
		}
	}
	assert.Less(t, time.Since(start), time.Second, "no poll waits for a sampling interval")
}

func cpus(t *testing.T) int {
	t.Helper()
	n, err := cpu.Counts(true)
	require.NoError(t, err)
	return n
}

func TestUtilization(t *testing.T) {
	type times = []cpu.TimesStat
	idle := func(name string, busy, idle float64) cpu.TimesStat {
		return cpu.TimesStat{CPU: name, User: busy, Idle: idle / 2, Iowait: idle / 2}
	}
	polls := []struct {
		name  string
		times times
		want  map[string]float64
	}{
		{
			"the first: average since the start",
			times{idle("cpu0", 10, 90), idle("cpu1", 0, 100)},
			map[string]float64{"CPUutilization1": 10, "CPUutilization2": 0},
		},
		{
			"the difference",
			times{idle("cpu0", 11, 90), idle("cpu1", 0.5, 101.5)},
			map[string]float64{"CPUutilization1": 100, "CPUutilization2": 25},
		},
		{
			"no tick: the previous value stands",
			times{idle("cpu0", 11, 90), idle("cpu1", 0.5, 101.5)},
			map[string]float64{"CPUutilization1": 100, "CPUutilization2": 25},
		},
		{
			"one goes offline, the other keeps its name",
			times{idle("cpu1", 0.5, 103.5)},
			map[string]float64{"CPUutilization2": 0},
		},
		{
			"it comes back, another is new",
			times{idle("cpu0", 12, 91), idle("cpu1", 1.5, 104.5), idle("cpu2", 3, 1)},
			map[string]float64{"CPUutilization1": 50, "CPUutilization2": 50, "CPUutilization3": 75},
		},
		{
			"the clock goes back: the previous value stands",
			times{idle("cpu0", 6, 50), idle("cpu1", 2.5, 104.5), idle("cpu2", 3, 3)},
			map[string]float64{"CPUutilization1": 50, "CPUutilization2": 100, "CPUutilization3": 0},
		},
		{
			"and then on from there",
			times{idle("cpu0", 7, 53), idle("cpu1", 2.5, 105.5), idle("cpu2", 4, 2.5)},
			map[string]float64{"CPUutilization1": 25, "CPUutilization2": 0, "CPUutilization3": 100},
		},
		{
			"nameless ones by their place",
			times{idle("_Total", 1, 1)},
			map[string]float64{"CPUutilization1": 50},
		},
	}
	c := New()
	for _, p := range polls {
		c.times = func(context.Context, bool) ([]cpu.TimesStat, error) { return p.times, nil }
		got, err := values(t, c)
		require.NoError(t, err)
		delete(got, "TotalMemory")
		delete(got, "FreeMemory")
		assert.InDeltaMapValues(t, p.want, got, 1e-9, p.name)
	}
}

func TestGuestTimeIsNotCountedTwice(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux counts guest time as user time too")
	}
	var u usage
	u.update(&cpu.TimesStat{User: 50, Guest: 50, Idle: 50})
	assert.InDelta(t, 50, u.percent, 1e-9)
}

func TestOneSourceFails(t *testing.T) {
	boom := errors.New("boom")
	c := New()
	c.memory = func(context.Context) (*mem.VirtualMemoryStat, error) { return nil, boom }
	got, err := values(t, c)
	require.EqualError(t, err, "read memory: boom")
	assert.Len(t, got, cpus(t))

	c = New()
	c.times = func(context.Context, bool) ([]cpu.TimesStat, error) { return nil, boom }
	got, err = values(t, c)
	require.EqualError(t, err, "read processor times: boom")
	assert.Len(t, got, 2)

	c.times = func(context.Context, bool) ([]cpu.TimesStat, error) { return nil, nil }
	_, err = values(t, c)
	require.EqualError(t, err, "read processor times: there are none")
}

func BenchmarkCollect(b *testing.B) {
	c := New()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Collect(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
