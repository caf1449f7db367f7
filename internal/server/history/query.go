package history

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
)

// Lookback is how long a series without staleness marker holds its last value.
const Lookback = 5 * time.Minute

// Engine evaluates queries. It holds the limits.
func (h *History) Engine() *promql.Engine { return h.engine }

// Parser parses as the engine does.
func (h *History) Parser() parser.Parser { return h.parser }

// DB is the TSDB, for what concerns it alone: statistics, deletion, snapshots,
// and appending what is not pushed.
func (h *History) DB() *tsdb.DB { return h.db }

// Querier implements storage.Queryable. What was pushed before is seen.
func (h *History) Querier(mint, maxt int64) (promstorage.Querier, error) {
	h.Flush()
	return h.db.Querier(mint, maxt)
}

// ChunkQuerier implements storage.ChunkQueryable. What was pushed before is
// seen.
func (h *History) ChunkQuerier(mint, maxt int64) (promstorage.ChunkQuerier, error) {
	h.Flush()
	return h.db.ChunkQuerier(mint, maxt)
}

// ExemplarQuerier implements storage.ExemplarQueryable.
func (h *History) ExemplarQuerier(ctx context.Context) (promstorage.ExemplarQuerier, error) {
	return h.db.ExemplarQuerier(ctx)
}

// AppenderV2 implements storage.AppendableV2, for samples that are not pushed.
func (h *History) AppenderV2(ctx context.Context) promstorage.AppenderV2 {
	return h.db.AppenderV2(ctx)
}

var _ promstorage.SampleAndChunkQueryable = (*History)(nil)

// gate lets a number of queries run at once. It is the engine's query tracker.
type gate struct {
	slots   chan int
	closed  chan struct{}
	waiting atomic.Int64 // queries
}

func newGate(n int) *gate {
	g := &gate{slots: make(chan int, n), closed: make(chan struct{})}
	for i := range n {
		g.slots <- i
	}
	return g
}

// GetMaxConcurrent implements promql.QueryTracker.
func (g *gate) GetMaxConcurrent() int { return cap(g.slots) }

// Insert implements promql.QueryTracker: it waits for a slot.
func (g *gate) Insert(ctx context.Context, _ string) (int, error) {
	g.waiting.Add(1)
	defer g.waiting.Add(-1)
	select {
	case n := <-g.slots:
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-g.closed:
		return 0, errors.New("the server is stopping")
	}
}

// Delete implements promql.QueryTracker.
func (g *gate) Delete(n int) { g.slots <- n }

// Close implements promql.QueryTracker.
func (g *gate) Close() error {
	close(g.closed)
	return nil
}

// maxMetadata is how many metric families have their metadata kept.
const maxMetadata = 100_000

// SetMetadata notes what a metric family is, as its sender says.
func (h *History) SetMetadata(name, typ, help, unit string) {
	m := metadata.Metadata{Type: model.MetricType(typ), Help: help, Unit: unit}
	h.metaMu.Lock()
	defer h.metaMu.Unlock()
	if have, ok := h.meta[name]; ok && have == m || !ok && len(h.meta) >= maxMetadata {
		return
	}
	h.meta[name] = m
}

// Metadata yields what is known of a metric family, or of all if name is "". A
// name that was pushed both as gauge and as counter comes twice.
func (h *History) Metadata(_ context.Context, name string) iter.Seq2[string, metadata.Metadata] {
	return func(yield func(string, metadata.Metadata) bool) {
		for _, k := range h.known(name) {
			if !yield(k.name, k.meta) {
				return
			}
		}
	}
}

type knownFamily struct {
	name string
	meta metadata.Metadata
}

func (h *History) known(name string) (out []knownFamily) {
	h.metaMu.Lock()
	for n, m := range h.meta {
		if name == "" || n == name {
			out = append(out, knownFamily{n, m})
		}
	}
	h.metaMu.Unlock()
	add := func(n string, f *family) {
		if f.counter.Load() {
			out = append(out, knownFamily{n, metadata.Metadata{Type: model.MetricTypeCounter}})
		}
		if f.gauge.Load() {
			out = append(out, knownFamily{n, metadata.Metadata{Type: model.MetricTypeGauge}})
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if name != "" {
		if f, ok := h.families.byName[name]; ok {
			add(name, f)
		}
		return out
	}
	for n, f := range h.families.byName {
		add(n, f)
	}
	return out
}
