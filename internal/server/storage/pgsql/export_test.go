package pgsql

import (
	"context"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// PageSize is how many series All reads with one statement.
const PageSize = pageSize

// ForgetIdle is what Run does every hour.
func (s *Store) ForgetIdle(ctx context.Context) (int64, error) { return s.forgetIdle(ctx) }

// SetDelays replaces the waits between the attempts of a call.
func (s *Store) SetDelays(delays ...time.Duration) { s.delays = delays }

// AppendLabels is the form of labels in the database.
func AppendLabels(labels metric.Labels) string { return string(appendLabels(nil, labels)) }

// ParseLabels is its inverse.
func ParseLabels(s string) (metric.Labels, error) { return parseLabels(s) }

// Waiting is how many writes wait for their turn.
func (s *Store) Waiting() int {
	s.lanes.mu.Lock()
	defer s.lanes.mu.Unlock()
	return len(s.lanes.waiting)
}
