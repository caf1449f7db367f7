package remotewrite

import (
	"strings"
	"sync"
)

// symbolTable gives the strings that labels of 2.0 are made of a number, the
// same in all requests, so that a series is known by a few numbers whatever the
// symbols of a request are called in it. No number is given twice: what was
// forgotten comes back under another one, and the series that were known by the
// old one are just not found.
//
// It forgets in two generations. What is asked for goes into the young one; when
// that is full or old enough it becomes the old one, and what the old one held
// and nobody asked for since is gone.
type symbolTable struct {
	most int // strings of one generation

	mu         sync.RWMutex
	young, old map[string]uint64 // guarded by mu
	last       uint64            // number given; guarded by mu
	turned     int64             // minute young was made; guarded by mu
}

func newSymbolTable(most int) *symbolTable {
	return &symbolTable{most: most, young: map[string]uint64{}}
}

// resolve fills ids, one for each symbol of the request: its number, or 0 if it
// has none.
func (t *symbolTable) resolve(b *batch) {
	if t.resolveYoung(b) {
		t.promote(b)
	}
}

// resolveYoung is true if some symbols are in the old generation only.
func (t *symbolTable) resolveYoung(b *batch) (old bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i, at := range b.symbols {
		s := b.plain[at.start:at.end]
		id, ok := t.young[string(s)]
		if !ok && len(t.old) > 0 {
			if id, ok = t.old[string(s)]; ok {
				old = true
			}
		}
		b.ids[i] = id
	}
	return old || b.minute-t.turned >= idle
}

// promote takes what was asked for over from the old generation.
func (t *symbolTable) promote(b *batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.minute-t.turned >= idle {
		t.turnLocked(b.minute)
	}
	for i, at := range b.symbols {
		id := b.ids[i]
		if id == 0 {
			continue
		}
		s := b.plain[at.start:at.end]
		if _, ok := t.young[string(s)]; !ok {
			t.addLocked(string(s), id, b.minute)
		}
	}
}

// intern gives s a number if it has none.
func (t *symbolTable) intern(s string, minute int64) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	id, ok := t.young[s]
	if ok {
		return id
	}
	if id, ok = t.old[s]; !ok {
		t.last++
		id = t.last
	}
	t.addLocked(strings.Clone(s), id, minute)
	return id
}

func (t *symbolTable) addLocked(s string, id uint64, minute int64) {
	if len(t.young) >= t.most {
		t.turnLocked(minute)
	}
	t.young[s] = id
}

func (t *symbolTable) turnLocked(minute int64) {
	t.old, t.young, t.turned = t.young, map[string]uint64{}, minute
}

// len counts the strings.
func (t *symbolTable) len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.young) + len(t.old)
}
