package dump

import (
	"context"
	"iter"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Named yields every series of a name, gauges before counters. It looks at no
// other series.
func (s *Store) Named(ctx context.Context, name string) iter.Seq2[metric.Metric, error] {
	return s.mem.Named(ctx, name)
}
