package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/collector"
	"github.com/gometheus/gometheus/internal/agent/collector/gopsutil"
	"github.com/gometheus/gometheus/internal/agent/collector/random"
	"github.com/gometheus/gometheus/internal/agent/collector/runtime"
	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// onceTime is how long Once waits for a collector.
const onceTime = 10 * time.Second

// Once collects once and writes what an agent with this configuration would send,
// in the text format of Prometheus (0.0.4). Nothing is sent, and nothing listens.
// The error says which targets could not be scraped; the rest is written.
func Once(ctx context.Context, cfg config.Config, log *zap.Logger, out io.Writer) error {
	src, err := newSources(&cfg, log)
	if err != nil {
		return err
	}
	labels, err := labelSet(cfg.Labels)
	if err != nil {
		return err
	}
	group := collector.NewGroup(collector.Options{Timeout: onceTime, Labels: labels, Log: log}, src.collectors...)
	var x scrape.Exposition
	expose(&x, group.Collect(ctx))
	scraper, err := newScraper(&cfg, src.targets, labels, scrape.Options{Log: log})
	if err != nil {
		return err
	}
	// The error of the targets doesn't keep the rest from being shown.
	failed := scraper.Once(ctx, &x)
	if _, err := x.WriteTo(out); err != nil {
		return errors.Join(failed, fmt.Errorf("write the metrics: %w", err))
	}
	return failed
}

// expose adds metrics that are pushed. A counter is its increment.
func expose(x *scrape.Exposition, metrics []metric.Metric) {
	slices.SortStableFunc(metrics, func(a, b metric.Metric) int { return int(a.Kind) - int(b.Kind) })
	for i := range metrics {
		m := &metrics[i]
		value := m.Value
		if m.Kind == metric.Counter {
			value = float64(m.Delta)
		}
		x.Add(m.Name, help(m.Name), m.Kind.String(), scrape.Series{Labels: m.Labels, Value: value})
	}
}

// help says what one of the agent's own metrics is.
func help(name string) string {
	for _, of := range []func(string) string{runtime.Help, random.Help, gopsutil.Help} {
		if text := of(name); text != "" {
			return text
		}
	}
	return "A metric of the agent."
}
