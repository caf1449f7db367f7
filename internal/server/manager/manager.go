// Package manager is the facade the API talks to: it knows what stands behind
// it, the API does not. A push is committed to the state, then told to the
// history.
package manager

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/history"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// History is told of every push that was committed.
type History interface {
	Record(p *history.Push)
}

// Observer is told how every push ended.
type Observer interface {
	Batch(ms []metric.Metric, replayed bool, took time.Duration, err error)
}

// Manager is safe for use by many goroutines.
type Manager struct {
	storage storage.Storage
	history History
	watch   Observer
	traces  sync.Pool    // of *trace
	listed  atomic.Int64 // how many series List returned last
}

// trace is the memory in which a batch is followed.
type trace struct {
	steps []metric.Step
	push  history.Push
}

// New makes the Manager of a storage and a history, which stay the caller's to
// close. There may be no history: nil, and no observer.
func New(s storage.Storage, h History, o Observer) *Manager {
	m := &Manager{storage: s, history: h, watch: o}
	m.traces.New = func() any { return new(trace) }
	return m
}

// Update applies a batch. See storage.Storage.Apply. every is how often its
// producer says it reports; 0: it says nothing.
func (m *Manager) Update(ctx context.Context, w *storage.Write, every time.Duration) (replayed bool, err error) {
	if m.watch != nil {
		start := time.Now()
		defer func() { m.watch.Batch(w.Metrics, replayed, time.Since(start), err) }()
	}
	if m.history == nil {
		return m.storage.Apply(ctx, w)
	}
	t := m.traces.Get().(*trace)
	defer m.release(t)
	t.steps = metric.Trace(t.steps, w.Metrics)
	w.Steps = t.steps
	replayed, err = m.storage.Apply(ctx, w)
	w.Steps = nil
	if err != nil {
		return replayed, err
	}
	t.push = history.Push{Metrics: w.Metrics, Steps: t.steps, Replayed: replayed, Producer: w.Mark.Name(), Every: every}
	m.history.Record(&t.push)
	return replayed, nil
}

func (m *Manager) release(t *trace) {
	const most = 16384 // one huge batch must not stay in memory
	if cap(t.steps) > most {
		return
	}
	clear(t.steps)
	t.push = history.Push{}
	m.traces.Put(t)
}

// Value answers what is stored. See storage.Storage.Value.
func (m *Manager) Value(ctx context.Context, sel storage.Selector) (metric.Metric, error) {
	return m.storage.Value(ctx, sel)
}

// List returns all series, in no order.
func (m *Manager) List(ctx context.Context) ([]metric.Metric, error) {
	// There will be about as many as the last time: to grow into 100,000 takes eight
	// times their memory.
	last := m.listed.Load()
	list := make([]metric.Metric, 0, last+last/32)
	for mt, err := range m.storage.All(ctx) {
		if err != nil {
			return nil, err
		}
		list = append(list, mt)
	}
	m.listed.Store(int64(len(list)))
	return list, nil
}

// Ping answers nil when a write could be accepted now.
func (m *Manager) Ping(ctx context.Context) error {
	return m.storage.Ping(ctx)
}
