package pgsql

import (
	"context"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gometheus/gometheus/internal/common/metric"
)

const (
	namedSQL = `SELECT kind, name, labels, long_labels, counter, gauge, newest FROM series
	WHERE kind = $1 AND name = $2 AND labels > $3 ORDER BY labels LIMIT $4`

	countSQL = `SELECT n FROM series_count`
)

// Named yields every series of a name, gauges before counters. It looks at no
// other series, and reads by pages.
func (s *Store) Named(ctx context.Context, name string) iter.Seq2[metric.Metric, error] {
	return func(yield func(metric.Metric, error) bool) {
		for _, kind := range []metric.Kind{metric.Gauge, metric.Counter} {
			after := position{kind: int16(kind), name: name}
			for more := true; more; {
				page, next, err := s.page(ctx, namedSQL, after)
				if err != nil {
					yield(metric.Metric{}, fmt.Errorf("read the series of a name: %w", err))
					return
				}
				for i := range page {
					if !yield(page[i], nil) {
						return
					}
				}
				after, more = next, len(page) == pageSize
			}
		}
	}
}

// Count is how many series there are, of all servers of the database.
func (s *Store) Count(ctx context.Context) (n int64, err error) {
	err = s.call(ctx, true, func(ctx context.Context, conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, countSQL).Scan(&n)
	})
	if err != nil {
		return 0, fmt.Errorf("count the series: %w", err)
	}
	return n, nil
}
