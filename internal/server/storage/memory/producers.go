package memory

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/pkg/mutex"
)

const (
	// producerIdle is how long a producer is remembered after its last batch. A
	// sender drops batches that are older.
	producerIdle = 7 * 24 * time.Hour
	// maxProducers bounds the memory that clients with ever new keys can take.
	// Forgetting one early could count a batch twice, so new ones are refused.
	maxProducers = 1_000_000
)

// producers remembers which batches were applied. Time is measured by the
// monotonic clock since the store was made: what the wall clock shows, and
// whether somebody sets it, must not make a producer forgotten.
type producers struct {
	start  time.Time
	inWork mutex.Keyed[storage.Mark] // marks between begin and the end of their write

	mu      sync.Mutex
	byName  map[string]*producer
	pruneAt int // prune when so many are known
}

type producer struct {
	// window is nil for a producer with only one batch, which is then applied.
	window *storage.Window
	seen   time.Duration // when its last batch came, since start
}

func (p *producers) init() {
	p.start = time.Now()
	p.byName = make(map[string]*producer)
	p.pruneAt = 1024
}

// begin locks the mark and tells whether it was applied.
func (p *producers) begin(ctx context.Context, mark storage.Mark) (unlock func(), applied bool, err error) {
	mark.Producer = strings.Clone(mark.Producer) // the lock may outlive the request's buffer
	unlock, err = p.inWork.LockContext(ctx, mark)
	if err != nil {
		return nil, false, fmt.Errorf("wait for the same batch in progress: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pr := p.byName[mark.Producer]
	if pr == nil {
		if len(p.byName) >= maxProducers && p.pruneLocked() >= maxProducers {
			unlock()
			return nil, false, fmt.Errorf("%w: %d producers are known", storage.ErrExhausted, maxProducers)
		}
		return unlock, false, nil
	}
	pr.seen = time.Since(p.start)
	return unlock, pr.window == nil || pr.window.Applied(mark.Sequence), nil
}

// apply remembers the mark.
func (p *producers) apply(mark storage.Mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pr := p.byName[mark.Producer]
	if pr == nil {
		if len(p.byName) >= p.pruneAt {
			p.pruneAt = max(1024, 2*p.pruneLocked())
		}
		pr = &producer{}
		if mark.Sequence != 0 {
			pr.window = new(storage.Window)
		}
		p.byName[strings.Clone(mark.Producer)] = pr
	}
	pr.seen = time.Since(p.start)
	if pr.window != nil {
		pr.window.Apply(mark.Sequence)
	}
}

// pruneLocked forgets idle producers and returns how many are left. p.mu is
// held. It costs a walk over all, so it runs each time their number doubles.
func (p *producers) pruneLocked() int {
	now := time.Since(p.start)
	for name, pr := range p.byName {
		if now-pr.seen > producerIdle {
			delete(p.byName, name)
		}
	}
	return len(p.byName)
}
