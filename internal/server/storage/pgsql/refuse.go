package pgsql

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

const (
	// appliedSQL asks for a mark without changing or locking anything.
	appliedSQL = `SELECT CASE
		WHEN p.bits IS NULL THEN true
		WHEN $2 > p.high THEN false
		WHEN p.high - $2 > 1024 THEN true
		ELSE get_bit(p.bits, (p.high - $2)::int) = 1
	END FROM producers p WHERE name = $1 UNION ALL SELECT false LIMIT 1`

	seenSQL = `UPDATE producers SET seen = coalesce((SELECT seconds FROM uptime), 0) WHERE name = $1`

	storedSQL = `SELECT s.kind, s.name, s.labels, s.counter, s.gauge, s.newest
	FROM unnest($1::smallint[], $2::text[], $3::text[]) AS u (kind, name, labels)
	JOIN series s ON s.kind = u.kind AND s.name = u.name AND s.labels = u.labels`
)

// replay answers a batch that was applied before with what is stored, and notes
// that its producer lives.
func (s *Store) replay(ctx context.Context, w *storage.Write) error {
	b := s.batch(w)
	defer s.release(b)
	var stored []state
	err := s.call(ctx, true, func(ctx context.Context, conn *pgxpool.Conn) (err error) {
		if _, err = conn.Exec(ctx, seenSQL, w.Mark.Producer); err == nil && (!w.Minimal || w.Steps != nil) {
			stored, err = b.stored(ctx, conn)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("answer a batch applied before: %w", err)
	}
	if stored != nil {
		b.answer([]*storage.Write{w}, stored)
	}
	return nil
}

// stored reads what is stored of the batch's series.
func (b *batch) stored(ctx context.Context, conn *pgxpool.Conn) ([]state, error) {
	rows, err := conn.Query(ctx, storedSQL, b.kinds, b.names, b.labels)
	if err != nil {
		return nil, err
	}
	stored, _, err := b.collect(rows)
	return stored, err
}

// refuse tells which elements of a batch that didn't fit are to blame: in their
// order, each that does not fit on what is stored and those before it. It was not
// applied, unless by the same batch another time, which it then is a replay of.
func (s *Store) refuse(ctx context.Context, w *storage.Write) (replayed bool, err error) {
	b := s.batch(w)
	defer s.release(b)
	var stored []state
	err = s.call(ctx, true, func(ctx context.Context, conn *pgxpool.Conn) (err error) {
		replayed = false
		if !w.Mark.IsZero() {
			err = conn.QueryRow(ctx, appliedSQL, w.Mark.Producer, int64(w.Mark.Sequence)).Scan(&replayed)
		}
		if err == nil && !replayed {
			stored, err = b.stored(ctx, conn)
		}
		return err
	})
	switch {
	case err != nil:
		return false, fmt.Errorf("look for what exceeds its range: %w", err)
	case replayed:
		return true, s.replay(ctx, w)
	}
	var invalid metric.InvalidError
	for i := range w.Metrics {
		m, st := &w.Metrics[i], &stored[b.of[i]]
		if m.Kind != metric.Counter {
			continue
		}
		if m.Delta > math.MaxInt64-st.counter {
			invalid.Add(i, fmt.Errorf("delta %d: the counter, at %d, would exceed %d", m.Delta, st.counter, int64(math.MaxInt64)))
			continue
		}
		st.counter += m.Delta
	}
	if invalid.Count == 0 { // somebody has changed the table by hand
		return false, fmt.Errorf("%w: %w", storage.ErrUnavailable, errors.New("a counter exceeded its range, but does so no more"))
	}
	return false, &invalid
}
