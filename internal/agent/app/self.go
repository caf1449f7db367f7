package app

import (
	"context"
	"runtime"
	"time"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// self is what the agent tells of itself, whatever else it collects: that it is
// there, in which version, and how its batches fare. It is polled like the others,
// and answers once a report.
type self struct {
	a     *agent
	every time.Duration
	now   func() time.Time
	next  time.Time
}

func (s *self) Name() string { return "self" }

// The metrics of the agent itself. They are gauges since they begin anew with it.
const (
	infoName    = "gometheus_agent_info"
	waitingName = "gometheus_agent_waiting_metrics"
	droppedName = "gometheus_agent_dropped_samples"
	refusedName = "gometheus_agent_refused_metrics"
	replayName  = "gometheus_agent_replayed_batches"
	spoolName   = "gometheus_agent_spool_metrics"
)

func (s *self) Collect(context.Context) ([]metric.Metric, error) {
	now := s.now()
	// A poll that comes a little early is on time.
	if now.Before(s.next) && s.next.Sub(now) > s.every/16 && s.next.Sub(now) <= s.every {
		return nil, nil
	}
	s.next = now.Add(s.every)
	_, requests := s.a.requests.Len()
	gauges := []metric.Metric{
		{Name: infoName, Value: 1, Labels: metric.Labels{
			{Name: "goarch", Value: runtime.GOARCH}, {Name: "goos", Value: runtime.GOOS}, {Name: "version", Value: buildinfo.Read().Version},
		}},
		{Name: waitingName, Value: float64(s.a.buffer.Len() + requests)},
		{Name: droppedName, Value: float64(s.a.dropped())},
		{Name: refusedName, Value: float64(s.a.stats.refused.metrics.Load())},
		{Name: replayName, Value: float64(s.a.stats.replayed.batches.Load())},
	}
	if s.a.spool != nil {
		gauges = append(gauges, metric.Metric{Name: spoolName, Value: float64(s.a.spool.Stats().WaitingMetrics)})
	}
	for i := range gauges {
		gauges[i].Kind, gauges[i].Timestamp = metric.Gauge, now.UnixMilli()
	}
	return gauges, nil
}
