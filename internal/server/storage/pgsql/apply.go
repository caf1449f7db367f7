package pgsql

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/gometheus/gometheus/internal/server/storage"
)

// The statements of a write.
const (
	// markSQL remembers the marks $1 (producers), $2 (sequences) as storage.Window
	// does, and writes a row for each that was not there. The producers' rows are
	// locked either way. bits begins with the highest number; >> lets those that
	// leave the window fall off the end.
	markSQL = `INSERT INTO producers AS p (name, high, bits, seen)
	SELECT name, high, CASE WHEN high > 0 THEN B'1'::bit(1025) END, coalesce((SELECT seconds FROM uptime), 0)
	FROM unnest($1::text[], $2::bigint[]) AS u (name, high)
	ON CONFLICT (name) DO UPDATE SET
		seen = excluded.seen,
		high = greatest(p.high, excluded.high),
		bits = CASE
			WHEN excluded.high > p.high THEN set_bit(p.bits >> least(excluded.high - p.high, 1025)::int, 0, 1)
			ELSE set_bit(p.bits, (p.high - excluded.high)::int, 1)
		END
	WHERE CASE
		WHEN p.bits IS NULL THEN false
		WHEN excluded.high > p.high THEN true
		WHEN p.high - excluded.high > 1024 THEN false
		ELSE get_bit(p.bits, (p.high - excluded.high)::int) = 0
	END`

	// applySQL adds a batch to what is stored. Of a single write ($3) that was
	// applied before it writes no row; of several that were added up, all must be
	// new, else it fails. A stored time beyond $4 was taken by a wrong clock and
	// gives way. A parameter array that is shorter than the others is filled up
	// with nulls. A gauge has no counter and the other way round; null plus null is
	// null.
	applySQL = `WITH mark AS (` + markSQL + ` RETURNING 1)
	INSERT INTO series AS s (kind, name, labels, long_labels, counter, gauge, newest)
	SELECT * FROM unnest($5::smallint[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::float8[], $11::bigint[])
	WHERE CASE
		WHEN (SELECT count(*) FROM mark) = cardinality($1) THEN true
		WHEN $3::boolean THEN false
		ELSE 1 / ((SELECT count(*) FROM mark) - (SELECT count(*) FROM mark)) = 0
	END
	ON CONFLICT (kind, name, labels) DO UPDATE SET
		counter = s.counter + excluded.counter,
		gauge = CASE WHEN excluded.newest >= s.newest OR s.newest > $4::bigint THEN excluded.gauge ELSE s.gauge END,
		newest = CASE WHEN excluded.newest >= s.newest OR s.newest > $4 THEN excluded.newest ELSE s.newest END`

	applyAnswerSQL = applySQL + ` RETURNING kind, name, labels, counter, gauge, newest`
)

// Apply implements storage.Storage. It waits for its turn among the writes of
// this process, then goes with those that wait too. If that meets trouble it goes
// on by itself, outside of the turns, so that it keeps nobody waiting.
func (s *Store) Apply(ctx context.Context, w *storage.Write) (replayed bool, err error) {
	switch {
	case len(w.Metrics) == 0 && w.Mark.IsZero():
		return false, nil
	case ctx.Err() != nil:
		return false, fmt.Errorf("apply batch: %w", outward(ctx, &acquireError{context.Cause(ctx)}))
	case s.health.isAway():
		return s.applyAlone(ctx, w)
	}
	p := &pending{w: w, told: make(chan verdict, 1)}
	v, err := s.lanes.enter(ctx, p, s.o.ConnectTimeout+grace)
	if err != nil {
		return false, fmt.Errorf("apply batch: %w", outward(ctx, &acquireError{err}))
	}
	if v.lead {
		v = s.lead(ctx, p)
	}
	switch {
	case v.err == nil && v.replayed:
		return true, s.replay(ctx, w)
	case v.err == nil:
		return false, nil
	case v.single && (isCode(v.err, codeOutOfRange) || errors.Is(v.err, errAddUp)):
		return s.refuse(ctx, w)
	case v.single && !isTransient(v.err), w.Mark.IsZero() && !isWithoutEffect(v.err):
		return false, fmt.Errorf("apply batch: %w", outward(ctx, v.err))
	}
	return s.applyAlone(ctx, w)
}

// errAbandoned is what the others of a group hear when its leader came to grief:
// the outcome is unknown.
var errAbandoned = errors.New("the statement was abandoned")

// lead applies the writes of p and of those that wait for the same, gives the
// lane on, and tells the others how it went.
func (s *Store) lead(ctx context.Context, p *pending) (own verdict) {
	group := s.lanes.take(p)
	v := verdict{err: errAbandoned}
	defer func() { // also when it panics: nobody else may wait for ever
		s.lanes.leave()
		for _, other := range group[1:] {
			other.told <- v
		}
	}()
	v = s.applyTogether(context.WithoutCancel(ctx), group)
	return v
}

func (s *Store) applyTogether(ctx context.Context, group []*pending) (v verdict) {
	writes := make([]*storage.Write, len(group))
	for i, p := range group {
		writes[i] = p.w
	}
	b := s.batch(writes...)
	defer s.release(b)
	v.single = len(group) == 1
	if b.refused {
		v.err = errAddUp
		return v
	}
	v.err = s.attempt(ctx, func(ctx context.Context, conn *pgxpool.Conn) (err error) {
		v.replayed, err = b.apply(ctx, conn, writes)
		return err
	})
	return v
}

// applyAlone applies one write, with another attempt where that is safe.
func (s *Store) applyAlone(ctx context.Context, w *storage.Write) (replayed bool, err error) {
	writes := []*storage.Write{w}
	b := s.batch(w)
	defer s.release(b)
	if b.refused {
		return s.refuse(ctx, w)
	}
	err = s.call(ctx, !w.Mark.IsZero(), func(ctx context.Context, conn *pgxpool.Conn) (err error) {
		replayed, err = b.apply(ctx, conn, writes)
		return err
	})
	switch {
	case isCode(err, codeOutOfRange):
		return s.refuse(ctx, w)
	case err != nil:
		return false, fmt.Errorf("apply batch: %w", err)
	case replayed:
		return true, s.replay(ctx, w)
	}
	return false, nil
}

func (s *Store) batch(writes ...*storage.Write) *batch {
	b := s.batches.Get().(*batch)
	b.fill(writes...)
	return b
}

func (s *Store) release(b *batch) {
	b.release()
	s.batches.Put(b)
}

// apply runs the one statement, and answers the writes that want to know. Of a
// single write it tells whether it was applied before: then no row was written.
func (b *batch) apply(ctx context.Context, conn *pgxpool.Conn, writes []*storage.Write) (replayed bool, err error) {
	if b.len() == 0 && len(writes) == 1 {
		tag, err := conn.Exec(ctx, markSQL, b.producers, b.sequences)
		return err == nil && tag.RowsAffected() == 0, err
	}
	args := []any{
		b.producers, b.sequences, len(writes) == 1, b.latest,
		b.kinds, b.names, b.labels, b.long, b.counters, b.gauges, b.newest,
	}
	minimal := true
	for _, w := range writes {
		minimal = minimal && w.Minimal && w.Steps == nil
	}
	if minimal {
		tag, err := conn.Exec(ctx, applySQL, args...)
		return err == nil && tag.RowsAffected() == 0 && len(writes) == 1, err
	}
	rows, err := conn.Query(ctx, applyAnswerSQL, args...)
	if err != nil {
		return false, err
	}
	stored, n, err := b.collect(rows)
	if err == nil && n > 0 {
		b.answer(writes, stored)
	}
	return err == nil && n == 0 && len(writes) == 1, err
}

// collect reads rows of the columns of applyAnswerSQL into their series' places.
// n is how many there were.
func (b *batch) collect(rows pgx.Rows) (stored []state, n int, err error) {
	defer rows.Close()
	stored = make([]state, b.len())
	var (
		kind         int16
		name, labels pgtype.DriverBytes
		counter      pgtype.Int8
		gauge        pgtype.Float8
		newest       int64
	)
	dest := []any{&kind, &name, &labels, &counter, &gauge, &newest}
	for ; rows.Next(); n++ {
		if err := rows.Scan(dest...); err != nil {
			return nil, 0, err
		}
		// They come in the order in which they were sent, though SQL doesn't say so.
		i, ok := b.find(n, kind, name, labels)
		if !ok {
			return nil, 0, fmt.Errorf("the database answers with a series that was not asked for: %q", name)
		}
		stored[i] = state{counter.Int64, gauge.Float64, newest, true}
	}
	return stored, n, rows.Err()
}
