// Package runtime collects the memory statistics of the agent's own Go runtime:
// the 27 gauges named as the fields of runtime.MemStats and with their meaning.
//
// runtime.ReadMemStats would stop the world for every poll (9 µs of an idle
// process, 850 µs of one with more runnable goroutines than processors). The
// same numbers come without a stop from two other places, in about 1 µs and
// without an allocation:
//
//   - runtime/metrics: all memory classes, object counts, the heap goal, forced
//     cycles, and GCCPUFraction, whose CPU classes are, as in MemStats, those of
//     the end of the last cycle.
//   - runtime/debug.ReadGCStats: LastGC, NumGC and PauseTotalNs, which
//     runtime/metrics doesn't have or has only as a histogram.
//
// The price: what lies in the processors' allocation caches is counted when a
// cache is refilled and not, as a stopped world allows, at once. So Alloc,
// TotalAlloc, Mallocs, Frees, HeapAlloc and HeapObjects lag by up to a few spans
// for each processor; the other values are equal. Lookups is always zero, in
// MemStats too.
package runtime

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// The samples read, by their place in Collector.samples.
const (
	heapObjects = iota
	heapUnused
	heapFree
	heapReleased
	heapStacks
	osStacks
	mspanInuse
	mspanFree
	mcacheInuse
	mcacheFree
	gcMetadata
	buckets
	other
	total
	allocBytes
	allocObjects
	freeObjects
	tinyObjects
	liveObjects
	heapGoal
	forcedCycles
	gcCPU
	gcIdleCPU
	totalCPU
	sampleCount
)

var sampleNames = [sampleCount]string{
	heapObjects:  "/memory/classes/heap/objects:bytes",
	heapUnused:   "/memory/classes/heap/unused:bytes",
	heapFree:     "/memory/classes/heap/free:bytes",
	heapReleased: "/memory/classes/heap/released:bytes",
	heapStacks:   "/memory/classes/heap/stacks:bytes",
	osStacks:     "/memory/classes/os-stacks:bytes",
	mspanInuse:   "/memory/classes/metadata/mspan/inuse:bytes",
	mspanFree:    "/memory/classes/metadata/mspan/free:bytes",
	mcacheInuse:  "/memory/classes/metadata/mcache/inuse:bytes",
	mcacheFree:   "/memory/classes/metadata/mcache/free:bytes",
	gcMetadata:   "/memory/classes/metadata/other:bytes",
	buckets:      "/memory/classes/profiling/buckets:bytes",
	other:        "/memory/classes/other:bytes",
	total:        "/memory/classes/total:bytes",
	allocBytes:   "/gc/heap/allocs:bytes",
	allocObjects: "/gc/heap/allocs:objects",
	freeObjects:  "/gc/heap/frees:objects",
	tinyObjects:  "/gc/heap/tiny/allocs:objects",
	liveObjects:  "/gc/heap/objects:objects",
	heapGoal:     "/gc/heap/goal:bytes",
	forcedCycles: "/gc/cycles/forced:gc-cycles",
	gcCPU:        "/cpu/classes/gc/total:cpu-seconds",
	gcIdleCPU:    "/cpu/classes/gc/mark/idle:cpu-seconds",
	totalCPU:     "/cpu/classes/total:cpu-seconds",
}

// Collector reads the runtime. It keeps the buffers that reading needs.
type Collector struct {
	samples []metrics.Sample
	gc      debug.GCStats
}

// New returns a collector, or an error when this Go release no longer has one
// of the values.
func New() (*Collector, error) {
	c := &Collector{samples: make([]metrics.Sample, sampleCount)}
	for i, name := range sampleNames {
		c.samples[i].Name = name
	}
	metrics.Read(c.samples)
	for i := range c.samples {
		want := metrics.KindUint64
		if i >= gcCPU {
			want = metrics.KindFloat64
		}
		if c.samples[i].Value.Kind() != want {
			return nil, fmt.Errorf("read the Go runtime: no value %s", c.samples[i].Name)
		}
	}
	return c, nil
}

// Name implements collector.Collector.
func (c *Collector) Name() string { return "runtime" }

// Collect implements collector.Collector. Sizes are in bytes, LastGC is in Unix
// nanoseconds.
func (c *Collector) Collect(context.Context) ([]metric.Metric, error) {
	now := time.Now().UnixMilli()
	metrics.Read(c.samples)
	debug.ReadGCStats(&c.gc)

	lastGC := 0.0 // before the first cycle, as in MemStats
	if c.gc.NumGC > 0 {
		lastGC = float64(c.gc.LastGC.UnixNano())
	}
	inuse := c.uint(heapObjects) + c.uint(heapUnused)
	idle := c.uint(heapFree) + c.uint(heapReleased)
	gauges := [...]struct {
		name  string
		value float64
	}{
		{"Alloc", c.uint(heapObjects)},
		{"BuckHashSys", c.uint(buckets)},
		{"Frees", c.uint(freeObjects) + c.uint(tinyObjects)},
		{"GCCPUFraction", c.gcFraction()},
		{"GCSys", c.uint(gcMetadata)},
		{"HeapAlloc", c.uint(heapObjects)},
		{"HeapIdle", idle},
		{"HeapInuse", inuse},
		{"HeapObjects", c.uint(liveObjects)},
		{"HeapReleased", c.uint(heapReleased)},
		{"HeapSys", inuse + idle},
		{"LastGC", lastGC},
		{"Lookups", 0},
		{"MCacheInuse", c.uint(mcacheInuse)},
		{"MCacheSys", c.uint(mcacheInuse) + c.uint(mcacheFree)},
		{"MSpanInuse", c.uint(mspanInuse)},
		{"MSpanSys", c.uint(mspanInuse) + c.uint(mspanFree)},
		{"Mallocs", c.uint(allocObjects) + c.uint(tinyObjects)},
		{"NextGC", c.uint(heapGoal)},
		{"NumForcedGC", c.uint(forcedCycles)},
		{"NumGC", float64(c.gc.NumGC)},
		{"OtherSys", c.uint(other)},
		{"PauseTotalNs", float64(c.gc.PauseTotal)},
		{"StackInuse", c.uint(heapStacks)},
		{"StackSys", c.uint(heapStacks) + c.uint(osStacks)},
		{"Sys", c.uint(total)},
		{"TotalAlloc", c.uint(allocBytes)},
	}
	out := make([]metric.Metric, len(gauges))
	for i, g := range gauges {
		out[i] = metric.Metric{Kind: metric.Gauge, Name: g.name, Value: g.value, Timestamp: now}
	}
	return out, nil
}

func (c *Collector) uint(i int) float64 { return float64(c.samples[i].Value.Uint64()) }

// gcFraction is the part of the process's CPU time that the garbage collector
// took, without what it did on processors that were idle anyway.
func (c *Collector) gcFraction() float64 {
	all := c.samples[totalCPU].Value.Float64()
	if all <= 0 {
		return 0 // no cycle yet
	}
	return (c.samples[gcCPU].Value.Float64() - c.samples[gcIdleCPU].Value.Float64()) / all
}

// Help says what one of the metrics is; empty for others.
func Help(name string) string { return helps[name] }

var helps = map[string]string{
	"Alloc":         "Bytes of heap objects of the agent.",
	"BuckHashSys":   "Bytes of tables for profiling.",
	"Frees":         "Heap objects freed so far.",
	"GCCPUFraction": "Part of the agent's CPU time that garbage collection took.",
	"GCSys":         "Bytes of what garbage collection needs to know.",
	"HeapAlloc":     "Bytes of heap objects of the agent.",
	"HeapIdle":      "Bytes in spans of the heap that nothing is in.",
	"HeapInuse":     "Bytes in spans of the heap that something is in.",
	"HeapObjects":   "Heap objects.",
	"HeapReleased":  "Bytes of the heap given back to the operating system.",
	"HeapSys":       "Bytes of address space that the heap took.",
	"LastGC":        "When the last garbage collection ended, in Unix nanoseconds.",
	"Lookups":       "Always 0.",
	"MCacheInuse":   "Bytes of allocation caches in use.",
	"MCacheSys":     "Bytes taken for allocation caches.",
	"MSpanInuse":    "Bytes of descriptions of spans in use.",
	"MSpanSys":      "Bytes taken for descriptions of spans.",
	"Mallocs":       "Heap objects allocated so far.",
	"NextGC":        "Bytes of heap at which the next garbage collection begins.",
	"NumForcedGC":   "Garbage collections that the program asked for.",
	"NumGC":         "Garbage collections so far.",
	"OtherSys":      "Bytes of the runtime that are in none of the others.",
	"PauseTotalNs":  "Time for which garbage collections stopped the agent so far, in nanoseconds.",
	"StackInuse":    "Bytes in spans of stacks.",
	"StackSys":      "Bytes taken for stacks.",
	"Sys":           "Bytes taken from the operating system.",
	"TotalAlloc":    "Bytes allocated for heap objects so far.",
}
