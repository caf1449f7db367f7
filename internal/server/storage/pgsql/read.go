package pgsql

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// pageSize is how many series All reads with one statement.
const pageSize = 5000

const (
	valueSQL = `SELECT coalesce(long_labels, labels), counter, gauge, newest FROM series WHERE kind = $1 AND name = $2`

	pageSQL = `SELECT kind, name, labels, long_labels, counter, gauge, newest FROM series
	WHERE (kind, name, labels) > ($1, $2, $3) ORDER BY kind, name, labels LIMIT $4`
)

// Value implements storage.Storage.
func (s *Store) Value(ctx context.Context, sel storage.Selector) (metric.Metric, error) {
	var out metric.Metric
	var found bool
	err := s.call(ctx, true, func(ctx context.Context, conn *pgxpool.Conn) error {
		out = metric.Metric{Kind: sel.Kind, Name: sel.Name, Labels: sel.Labels, Timestamp: math.MinInt64}
		found = false
		rows, err := conn.Query(ctx, valueSQL, int16(sel.Kind), sel.Name)
		if err != nil {
			return err
		}
		defer rows.Close()
		var (
			labels  pgtype.DriverBytes
			counter pgtype.Int8
			gauge   pgtype.Float8
			newest  int64
		)
		dest := []any{&labels, &counter, &gauge, &newest}
		for rows.Next() {
			if err := rows.Scan(dest...); err != nil {
				return err
			}
			if len(sel.Labels) > 0 {
				set, err := parseLabels(string(labels))
				if err != nil {
					return fmt.Errorf("series %q: %w", sel.Name, err)
				}
				if !set.Matches(sel.Labels) {
					continue
				}
			}
			found = true
			merge(&out, counter.Int64, gauge.Float64, newest)
		}
		return rows.Err()
	})
	switch {
	case err != nil:
		return metric.Metric{}, fmt.Errorf("read value: %w", err)
	case !found:
		return metric.Metric{}, storage.ErrNotFound
	}
	return out, nil
}

// merge folds one more series into the answer.
func merge(out *metric.Metric, counter int64, gauge float64, newest int64) {
	if out.Kind == metric.Counter {
		if counter > math.MaxInt64-out.Delta {
			out.Delta = math.MaxInt64
		} else {
			out.Delta += counter
		}
	} else if newest >= out.Timestamp {
		out.Value = gauge
	}
	out.Timestamp = max(out.Timestamp, newest)
}

// All implements storage.Storage. It reads by pages, in the order of the key, and
// holds nothing while the consumer runs.
func (s *Store) All(ctx context.Context) iter.Seq2[metric.Metric, error] {
	return func(yield func(metric.Metric, error) bool) {
		var after position
		for {
			if ctx.Err() != nil {
				yield(metric.Metric{}, context.Cause(ctx))
				return
			}
			page, next, err := s.page(ctx, pageSQL, after)
			if err != nil {
				yield(metric.Metric{}, fmt.Errorf("read all series: %w", err))
				return
			}
			for i := range page {
				if !yield(page[i], nil) {
					return
				}
			}
			if len(page) < pageSize {
				return
			}
			after = next
		}
	}
}

// position is the key of a series; the zero one comes before all.
type position struct {
	kind         int16
	name, labels string
}

// page reads the series that follow after, by pageSQL or namedSQL.
func (s *Store) page(ctx context.Context, statement string, after position) (page []metric.Metric, last position, err error) {
	err = s.call(ctx, true, func(ctx context.Context, conn *pgxpool.Conn) error {
		page = page[:0]
		rows, err := conn.Query(ctx, statement, after.kind, after.name, after.labels, pageSize)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var m metric.Metric
			if m, last, err = scanSeries(rows); err != nil {
				return err
			}
			page = append(page, m)
		}
		return rows.Err()
	})
	return page, last, err
}

func scanSeries(rows pgx.Rows) (m metric.Metric, key position, err error) {
	var (
		long    pgtype.Text
		counter pgtype.Int8
		gauge   pgtype.Float8
	)
	if err = rows.Scan(&key.kind, &key.name, &key.labels, &long, &counter, &gauge, &m.Timestamp); err != nil {
		return metric.Metric{}, position{}, err
	}
	labels := key.labels
	if long.Valid {
		labels = long.String
	}
	m.Kind, m.Name, m.Delta, m.Value = metric.Kind(key.kind), key.name, counter.Int64, gauge.Float64
	if m.Kind != metric.Counter && m.Kind != metric.Gauge {
		return metric.Metric{}, position{}, errors.New("a series of a kind that this program doesn't know")
	}
	if m.Labels, err = parseLabels(labels); err != nil {
		return metric.Metric{}, position{}, fmt.Errorf("series %q: %w", m.Name, err)
	}
	return m, key, nil
}
