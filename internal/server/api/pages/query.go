package pages

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"

	codes "github.com/gometheus/gometheus/pkg/errors"
)

// instant is the value of a query at a time, as a vector. It is the caller's.
func (p *Pages) instant(ctx context.Context, query string, at time.Time) (promql.Vector, error) {
	q, err := p.o.Engine.NewInstantQuery(ctx, p.o.Storage, nil, query, at)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, failed(ctx, query, res.Err)
	}
	switch v := res.Value.(type) {
	case promql.Vector:
		// Closing the query gives its memory back.
		return append(promql.Vector(nil), v...), nil
	case promql.Scalar:
		return promql.Vector{{T: v.T, F: v.V}}, nil
	default:
		return nil, fmt.Errorf("query %s: it is a %s", query, v.Type())
	}
}

// span is the values of a query over time, as a matrix. It is the caller's.
func (p *Pages) span(ctx context.Context, query string, start, end time.Time, step time.Duration) (promql.Matrix, error) {
	q, err := p.o.Engine.NewRangeQuery(ctx, p.o.Storage, nil, query, start, end, step)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", query, err)
	}
	defer q.Close()
	res := q.Exec(ctx)
	if res.Err != nil {
		return nil, failed(ctx, query, res.Err)
	}
	m, ok := res.Value.(promql.Matrix)
	if !ok {
		return nil, fmt.Errorf("query %s: it is a %s", query, res.Value.Type())
	}
	out := make(promql.Matrix, len(m))
	for i, s := range m {
		out[i] = promql.Series{Metric: s.Metric, Floats: append([]promql.FPoint(nil), s.Floats...)}
	}
	return out, nil
}

// failed is what went wrong with a query: who asked has left, or it took too long,
// which is nobody's fault.
func failed(ctx context.Context, query string, err error) error {
	var slow promql.ErrQueryTimeout
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("query %s: %w", query, ctx.Err())
	case errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.As(err, &slow):
		return codes.Wrap(codes.Unavailable, fmt.Errorf("query %s: %w", query, err), "the history did not give in time")
	}
	return fmt.Errorf("query %s: %w", query, err)
}

// quote is text as PromQL writes it.
func quote(s string) string { return strconv.Quote(s) }
