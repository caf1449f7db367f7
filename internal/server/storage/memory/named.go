package memory

import (
	"context"
	"iter"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Named yields every series of a name, gauges before counters. It looks at no
// other series.
func (s *Store) Named(ctx context.Context, name string) iter.Seq2[metric.Metric, error] {
	return func(yield func(metric.Metric, error) bool) {
		for _, kind := range []metric.Kind{metric.Gauge, metric.Counter} {
			for _, id := range s.families.find(kind, name) {
				key, c := s.read(id)
				if c.ts == absent {
					continue
				}
				var m metric.Metric
				if err := m.ParseKey(key, nil); err != nil {
					panic("memory: key of our own making: " + err.Error())
				}
				c.fill(&m)
				if !yield(m, nil) {
					return
				}
			}
			if err := ctx.Err(); err != nil {
				yield(metric.Metric{}, err)
				return
			}
		}
	}
}
