package pgsql

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/gometheus/gometheus/internal/server/storage"
)

const (
	// maxLanes is how many statements that write this process has under way at
	// once. Writers of the same series wait for each other's commit in the
	// database, one after the other; fewer statements with more in each make that
	// cheaper, and one commit serves them all. One lane would leave the database
	// idle between two statements.
	maxLanes = 3
	// maxTogether is how many metrics a statement of several writes has at most.
	maxTogether = 5000
)

// lanes is where writes wait for their turn. Who finds a lane free takes it and
// leads: it applies its own write and those that wait. Then it gives the lane to
// the one that waits longest. It starts no goroutine, and who is alone switches
// to no other.
type lanes struct {
	mu      sync.Mutex
	taken   int
	most    int
	waiting []*pending
}

// pending is a write that waits.
type pending struct {
	w    *storage.Write
	told chan verdict // one, unless it leaves before
}

// verdict is how a write went, or that its turn has come.
type verdict struct {
	lead     bool
	single   bool  // it went alone
	replayed bool  // only a single one
	err      error // of the statement
}

// errAddUp: writes that were added up exceed the range of a counter. Nothing was
// sent.
var errAddUp = &acquireError{errors.New("a sum of increments exceeds its range")}

// enter waits for the verdict, at most for most if nobody has taken the write
// along by then.
func (l *lanes) enter(ctx context.Context, p *pending, most time.Duration) (verdict, error) {
	l.mu.Lock()
	if l.taken < l.most {
		l.taken++
		l.mu.Unlock()
		return verdict{lead: true}, nil
	}
	l.waiting = append(l.waiting, p)
	l.mu.Unlock()

	timer := time.NewTimer(most)
	defer timer.Stop()
	var err error
	select {
	case v := <-p.told:
		return v, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-timer.C:
		err = errBusy
	}
	if l.cancel(p) {
		return verdict{}, err
	}
	return <-p.told, nil // it is under way already
}

// cancel takes back a write that nobody has taken along.
func (l *lanes) cancel(p *pending) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, p)
	if i < 0 {
		return false
	}
	l.waiting = slices.Delete(l.waiting, i, i+1)
	return true
}

// take is the leader's write and those that can go with it: not two of one
// producer, whose row a statement can change only once.
func (l *lanes) take(leader *pending) []*pending {
	l.mu.Lock()
	defer l.mu.Unlock()
	group := []*pending{leader}
	if len(l.waiting) == 0 {
		return group
	}
	size := len(leader.w.Metrics)
	producers := map[string]bool{leader.w.Mark.Producer: !leader.w.Mark.IsZero()}
	rest := l.waiting[:0]
	for _, p := range l.waiting {
		n, producer := len(p.w.Metrics), p.w.Mark.Producer
		if size+n > maxTogether || producers[producer] || (p.w.Arrived == 0) != (leader.w.Arrived == 0) {
			rest = append(rest, p)
			continue
		}
		size += n
		producers[producer] = !p.w.Mark.IsZero()
		group = append(group, p)
	}
	clear(l.waiting[len(rest):])
	l.waiting = rest
	return group
}

// leave gives the lane to the next.
func (l *lanes) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.taken--
		return
	}
	next := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	next.told <- verdict{lead: true}
}
