// Package collector is what every source of metrics looks like to the agent,
// and a Group that polls many of them side by side.
//
// Each source has its own subpackage: runtime (the agent's Go runtime), random
// (a random gauge and the number of polls) and gopsutil (memory and processors
// of the machine). They know nothing of each other; internal/agent/app chooses
// which run.
package collector

import (
	"context"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Collector is one source of metrics.
type Collector interface {
	// Name names the source in the log: a short lower-case word.
	Name() string

	// Collect takes the values as of now. Every metric carries its own
	// Timestamp, the time it was taken; a counter's Delta is the increment since
	// the previous call. Labels may be nil: the Group adds those of the agent.
	//
	// An error may come with metrics: they are kept. Collect must return soon
	// after ctx ends. It is never called twice at once, so an implementation
	// needs no lock. The result is the caller's to keep and to change.
	Collect(ctx context.Context) ([]metric.Metric, error)
}
