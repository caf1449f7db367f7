// Package mutex has locks with names: one for each key, made when it is wanted
// and gone when nobody holds it or waits for it.
//
// Those who wait for a key get it in the order in which they came; keys know
// nothing of each other. No goroutine is started. Compared with a map of
// sync.Mutex: the memory is that of the keys in use, not of all ever seen, and
// waiting can end with a context. Compared with a fixed number of striped
// mutexes: two keys never share a lock, so a holder of one can take another. For
// short critical sections stripes are faster.
package mutex

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// Keyed is a set of locks by key; the zero value is ready. It must not be copied
// after first use. A key has to equal itself: NaN is no key.
type Keyed[K comparable] struct {
	mu      sync.Mutex // guards entries and the refs and turn of each; never held while waiting
	entries map[K]*entry
	pool    sync.Pool // of *entry that nobody refers to
}

// entry is the lock of one key.
type entry struct {
	// lock is held by whose value is in it. A channel and not a sync.Mutex, so that
	// waiting can end with a context; the runtime serves its senders in order.
	lock chan struct{}
	refs int // who holds and who waits; at 0 the entry leaves the map
	// turn grows with each unlock and goes on when the entry is used for another
	// key. An unlock function acts only in its own turn, and so only once.
	turn uint64
}

// Lock waits for the lock of key and takes it. unlock gives it back; calling it
// again does nothing. As with sync.Mutex, locking a key again while holding it
// waits for ever.
func (m *Keyed[K]) Lock(key K) (unlock func()) {
	e := m.join(key)
	e.lock <- struct{}{}
	return m.held(key, e)
}

// LockContext is Lock that gives up when ctx ends; the error is ctx.Err(), and
// unlock does nothing then.
func (m *Keyed[K]) LockContext(ctx context.Context, key K) (unlock func(), err error) {
	if err := ctx.Err(); err != nil {
		return nothing, err
	}
	e := m.join(key)
	select {
	case e.lock <- struct{}{}:
		return m.held(key, e), nil
	case <-ctx.Done():
		m.mu.Lock()
		defer m.mu.Unlock()
		m.leaveLocked(key, e)
		return nothing, ctx.Err()
	}
}

// TryLock takes the lock of key if nobody holds it or waits for it, and reports
// whether it did. unlock does nothing if not.
func (m *Keyed[K]) TryLock(key K) (unlock func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.entries[key]; ok {
		return nothing, false
	}
	e := m.joinLocked(key)
	e.lock <- struct{}{} // nobody else knows e: never waits
	return m.held(key, e), true
}

// LockAll takes the locks of all keys, each once however often it stands there,
// in sorted order: callers whose sets overlap never wait for each other in a
// circle, unless one holds another key already. unlock gives them all back;
// calling it again does nothing.
func LockAll[K cmp.Ordered](m *Keyed[K], keys ...K) (unlock func()) {
	switch len(keys) {
	case 0:
		return nothing
	case 1:
		return m.Lock(keys[0])
	}
	keys = slices.Clone(keys) // the caller's own order stays
	slices.Sort(keys)
	keys = slices.Compact(keys)
	unlocks := make([]func(), len(keys))
	for i, k := range keys {
		unlocks[i] = m.Lock(k)
	}
	return func() {
		for _, u := range slices.Backward(unlocks) {
			u()
		}
	}
}

// Len is the number of keys that are held or waited for.
func (m *Keyed[K]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

func nothing() {}

// join returns the entry of key, which stays in the map until leaveLocked.
func (m *Keyed[K]) join(key K) *entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.joinLocked(key)
}

func (m *Keyed[K]) joinLocked(key K) *entry {
	e, ok := m.entries[key]
	if !ok {
		if e, ok = m.pool.Get().(*entry); !ok {
			e = &entry{lock: make(chan struct{}, 1)}
		}
		if m.entries == nil {
			m.entries = make(map[K]*entry)
		}
		m.entries[key] = e
	}
	e.refs++
	return e
}

func (m *Keyed[K]) leaveLocked(key K, e *entry) {
	e.refs--
	if e.refs == 0 {
		delete(m.entries, key)
		m.pool.Put(e)
	}
}

// held returns the unlock function of a lock just taken. turn can be read without
// m.mu: only the holder changes it.
func (m *Keyed[K]) held(key K, e *entry) (unlock func()) {
	turn := e.turn
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if e.turn != turn {
			return
		}
		e.turn++
		<-e.lock // there is a value in it, ours: never waits
		m.leaveLocked(key, e)
	}
}
