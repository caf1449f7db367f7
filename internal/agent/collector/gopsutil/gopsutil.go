// Package gopsutil collects memory and processor use of the machine through
// github.com/shirou/gopsutil: the gauges TotalMemory and FreeMemory in bytes,
// and CPUutilization1 … CPUutilizationN, one for each logical CPU, in percent
// from 0 to 100.
//
// FreeMemory is what nothing uses at all; memory that caches hold and would give
// back is not in it.
//
// Utilization is the difference to the previous poll, so no poll waits for a
// sampling interval. The first poll has nothing to compare with and reports the
// average since the machine started. gopsutil's own cpu.Percent is not used: it
// keeps its previous values in a variable shared by the whole process, answers 0
// when two calls fall into one tick of the kernel's clock, and fails for good
// when the number of processors changes.
package gopsutil

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/mem"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Collector remembers the processor times of the previous poll.
type Collector struct {
	memory func(context.Context) (*mem.VirtualMemoryStat, error)
	times  func(ctx context.Context, perCPU bool) ([]cpu.TimesStat, error)
	cpus   map[string]*usage
}

// usage is what is known of one logical CPU.
type usage struct {
	name        string  // of the metric
	busy, total float64 // seconds since the machine started
	percent     float64 // as last reported
}

// New returns a collector of this machine.
func New() *Collector {
	return &Collector{
		memory: mem.VirtualMemoryWithContext,
		times:  cpu.TimesWithContext,
		cpus:   make(map[string]*usage),
	}
}

// Name implements collector.Collector.
func (c *Collector) Name() string { return "gopsutil" }

// Collect implements collector.Collector. When one of the two sources fails the
// other's metrics still come.
func (c *Collector) Collect(ctx context.Context) ([]metric.Metric, error) {
	out := make([]metric.Metric, 0, 2+len(c.cpus))
	out, memErr := c.appendMemory(ctx, out)
	out, cpuErr := c.appendCPU(ctx, out)
	return out, errors.Join(memErr, cpuErr)
}

func (c *Collector) appendMemory(ctx context.Context, out []metric.Metric) ([]metric.Metric, error) {
	now := time.Now()
	vm, err := c.memory(ctx)
	if err != nil {
		return out, fmt.Errorf("read memory: %w", err)
	}
	return append(out,
		gauge("TotalMemory", float64(vm.Total), now),
		gauge("FreeMemory", float64(vm.Free), now),
	), nil
}

func (c *Collector) appendCPU(ctx context.Context, out []metric.Metric) ([]metric.Metric, error) {
	now := time.Now()
	times, err := c.times(ctx, true)
	if err != nil {
		return out, fmt.Errorf("read processor times: %w", err)
	}
	if len(times) == 0 { // how gopsutil reports an unreadable /proc/stat
		return out, errors.New("read processor times: there are none")
	}
	for i := range times {
		u := c.cpus[times[i].CPU]
		if u == nil {
			u = &usage{name: metricName(times[i].CPU, i)}
			c.cpus[times[i].CPU] = u
		}
		u.update(&times[i])
		out = append(out, gauge(u.name, u.percent, now))
	}
	return out, nil
}

// metricName numbers the CPUs from 1 by the number the kernel gives them, so
// that one which is taken offline doesn't rename those after it. Where the
// kernel's name has no number the place in the list counts.
func metricName(kernel string, place int) string {
	n, err := strconv.Atoi(strings.TrimPrefix(kernel, "cpu"))
	if err != nil || n < 0 {
		n = place
	}
	return "CPUutilization" + strconv.Itoa(n+1)
}

// update sets the utilization since the previous call. When no time has passed
// by the kernel's clock (a tick is 10 ms) the previous value stands; after the
// clock has gone back (a virtual machine that moved) it does too.
func (u *usage) update(t *cpu.TimesStat) {
	total := t.User + t.System + t.Idle + t.Nice + t.Iowait + t.Irq + t.Softirq + t.Steal
	if runtime.GOOS != "linux" { // where user and nice hold the guests' time
		total += t.Guest + t.GuestNice
	}
	busy := total - t.Idle - t.Iowait
	if total > u.total {
		u.percent = min(100, max(0, (busy-u.busy)/(total-u.total)*100))
	}
	u.busy, u.total = busy, total
}

func gauge(name string, value float64, at time.Time) metric.Metric {
	return metric.Metric{Kind: metric.Gauge, Name: name, Value: value, Timestamp: at.UnixMilli()}
}

// Help says what one of the metrics is; empty for others.
func Help(name string) string {
	switch {
	case name == "TotalMemory":
		return "Memory of the machine, in bytes."
	case name == "FreeMemory":
		return "Memory that nothing uses, in bytes."
	case strings.HasPrefix(name, "CPUutilization"):
		return "How busy this logical CPU was since the poll before, in percent."
	}
	return ""
}
