// Package random collects a gauge that tells nothing, RandomValue, and the
// counter PollCount, which tells how often the agent has polled. Together they
// show whether values and increments arrive.
package random

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Collector has no state: every poll is one increment.
type Collector struct{}

// New returns a collector.
func New() *Collector { return &Collector{} }

// Name implements collector.Collector.
func (c *Collector) Name() string { return "random" }

// Collect implements collector.Collector. RandomValue is uniform in [0, 1).
func (c *Collector) Collect(context.Context) ([]metric.Metric, error) {
	now := time.Now().UnixMilli()
	return []metric.Metric{
		{Kind: metric.Gauge, Name: "RandomValue", Value: rand.Float64(), Timestamp: now},
		{Kind: metric.Counter, Name: "PollCount", Delta: 1, Timestamp: now},
	}, nil
}

// Help says what one of the metrics is; empty for others.
func Help(name string) string {
	switch name {
	case "RandomValue":
		return "A random number from 0 to 1, which shows that values arrive."
	case "PollCount":
		return "How often the agent has collected."
	}
	return ""
}
