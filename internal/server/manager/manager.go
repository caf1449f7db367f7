// Package manager is the facade the API talks to: it knows what stands behind
// it, the API does not. Today that is the storage of the state; the history
// will be appended here, after the commit to state.
package manager

import (
	"context"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// Manager is safe for use by many goroutines.
type Manager struct {
	storage storage.Storage
}

// New makes the Manager of a storage, which stays the caller's to close.
func New(s storage.Storage) *Manager {
	return &Manager{storage: s}
}

// Update applies a batch. See storage.Storage.Apply.
func (m *Manager) Update(ctx context.Context, w *storage.Write) (replayed bool, err error) {
	return m.storage.Apply(ctx, w)
}

// Value answers what is stored. See storage.Storage.Value.
func (m *Manager) Value(ctx context.Context, sel storage.Selector) (metric.Metric, error) {
	return m.storage.Value(ctx, sel)
}

// List returns all series, in no order.
func (m *Manager) List(ctx context.Context) ([]metric.Metric, error) {
	var list []metric.Metric
	for mt, err := range m.storage.All(ctx) {
		if err != nil {
			return nil, err
		}
		list = append(list, mt)
	}
	return list, nil
}

// Ping answers nil when a write could be accepted now.
func (m *Manager) Ping(ctx context.Context) error {
	return m.storage.Ping(ctx)
}
