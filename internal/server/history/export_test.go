package history

// Sweep looks for who is silent, as Run does by and by.
func (h *History) Sweep() { h.sweep() }
