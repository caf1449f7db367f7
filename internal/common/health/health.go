// Package health knows whether the loops of a program go on, and leaves a sign of
// it in a file for those who ask from outside: the health check of a container
// whose program listens on nothing.
package health

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Monitor knows loops. The zero value knows none and is ready.
//
// A loop says by when it will say so again, or that it waits for something
// outside (the server, a disk, work), for which any time is right. So a loop that
// hangs, or died, is found, and one whose server is away is not taken for it.
type Monitor struct {
	mu    sync.Mutex
	loops map[*Loop]struct{}
}

// Loop is one loop of a Monitor.
type Loop struct {
	m    *Monitor
	name string
	due  time.Time // zero: it waits. With its monotonic reading, so jumps of the clock don't matter. m.mu guards it.
}

// Loop begins to know a loop, which waits for now.
func (m *Monitor) Loop(name string) *Loop {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.loops == nil {
		m.loops = make(map[*Loop]struct{})
	}
	l := &Loop{m: m, name: name}
	m.loops[l] = struct{}{}
	return l
}

// Within says that the loop goes on, and that it will say something again before
// the duration is over.
func (l *Loop) Within(d time.Duration) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.due = time.Now().Add(d)
}

// Waits says that the loop goes on and waits for something outside.
func (l *Loop) Waits() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	l.due = time.Time{}
}

// End says that the loop has ended as it should.
func (l *Loop) End() {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	delete(l.m.loops, l)
}

// Check names the loops that should have said something by now; nil means that
// all go on.
func (m *Monitor) Check() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for l := range m.loops {
		if late := time.Since(l.due); !l.due.IsZero() && late > 0 {
			errs = append(errs, fmt.Errorf("%s hangs: overdue for %v", l.name, late.Round(time.Millisecond)))
		}
	}
	return errors.Join(errs...)
}
