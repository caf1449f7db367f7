package history

import "github.com/prometheus/prometheus/promql"

// Sweep looks for who is silent, as Run does by and by.
func (h *History) Sweep() { h.sweep() }

// Tracker is what queries take their places from.
func (h *History) Tracker() promql.QueryTracker { return h.gate }
