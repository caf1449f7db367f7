package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/pkg/mutex"
)

// How long a producer is remembered after its last batch: one that numbers its
// batches for as long as a sender may try to send one; a key that names one
// batch for a day, since clients that make up a key for each request fill the
// table with them.
const (
	numberedIdle = 7 * 24 * time.Hour
	singleIdle   = 24 * time.Hour
)

// How many producers are remembered at most. Forgetting one early could count a
// batch twice, so new ones are refused then.
const (
	maxNumbered = 200_000
	maxSingle   = 1_000_000
)

// pruneEvery keeps a full table from being searched at each refusal.
const pruneEvery = time.Minute

// producers remembers which batches were applied. Time is measured by the
// monotonic clock since the store was made: what the wall clock shows, and
// whether somebody sets it, must not make a producer forgotten.
type producers struct {
	start  time.Time
	inWork mutex.Keyed[storage.Mark] // marks between begin and the end of their write

	mu       sync.Mutex
	numbered table // with windows
	single   table // keys that name one batch
}

// table is the producers of one sort, dense so that copying it is quick.
type table struct {
	idle     time.Duration
	most     int
	numbered bool // its producers have windows

	index   map[string]uint32
	names   []string
	seen    []time.Duration  // when its last batch came, since start
	windows []storage.Window // only of numbered ones
	pruned  time.Duration    // when, since start
	pruneAt int              // prune when so many are known
}

func (p *producers) init() {
	p.start = time.Now()
	p.numbered = table{idle: numberedIdle, most: maxNumbered, numbered: true, index: make(map[string]uint32), pruneAt: 1024}
	p.single = table{idle: singleIdle, most: maxSingle, index: make(map[string]uint32), pruneAt: 1024}
}

// of is the table that a mark belongs in.
func (p *producers) of(sequence uint64) *table {
	if sequence == 0 {
		return &p.single
	}
	return &p.numbered
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
	now := time.Since(p.start)
	t := p.of(mark.Sequence)
	i, known := t.index[mark.Producer]
	if !known {
		if len(t.names) >= t.most {
			if now-t.pruned > pruneEvery {
				t.prune(now)
			}
			if len(t.names) >= t.most {
				unlock()
				return nil, false, fmt.Errorf("%w: %d idempotency keys or producers are remembered", storage.ErrExhausted, t.most)
			}
		}
		return unlock, false, nil
	}
	t.seen[i] = now
	return unlock, mark.Sequence == 0 || t.windows[i].Applied(mark.Sequence), nil
}

// apply remembers the mark.
func (p *producers) apply(mark storage.Mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.start)
	t := p.of(mark.Sequence)
	i := t.add(mark.Producer, now)
	t.seen[i] = now
	if mark.Sequence != 0 {
		t.windows[i].Apply(mark.Sequence)
	}
}

func (p *producers) restore(pr Producer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.start)
	t := &p.single
	if pr.Window != nil {
		t = &p.numbered
	}
	i := t.add(pr.Name, now)
	t.seen[i] = now - pr.Idle
	if pr.Window != nil {
		t.windows[i] = *pr.Window
	}
}

// add finds or makes the place of a producer.
func (t *table) add(name string, now time.Duration) uint32 {
	if i, ok := t.index[name]; ok {
		return i
	}
	if len(t.names) >= t.pruneAt {
		t.prune(now)
		t.pruneAt = max(1024, 2*len(t.names))
	}
	i := uint32(len(t.names))
	name = strings.Clone(name)
	t.index[name] = i
	t.names = append(t.names, name)
	t.seen = append(t.seen, now)
	if t.numbered {
		t.windows = append(t.windows, storage.Window{})
	}
	return i
}

// prune forgets the idle ones; the last takes the place of one that goes.
func (t *table) prune(now time.Duration) {
	t.pruned = now
	for i := 0; i < len(t.names); {
		if now-t.seen[i] <= t.idle {
			i++
			continue
		}
		last := len(t.names) - 1
		delete(t.index, t.names[i])
		if i != last {
			t.names[i], t.seen[i] = t.names[last], t.seen[last]
			t.index[t.names[i]] = uint32(i)
		}
		if t.numbered {
			t.windows[i] = t.windows[last]
			t.windows = t.windows[:last]
		}
		t.names[last] = ""
		t.names, t.seen = t.names[:last], t.seen[:last]
	}
}

// frozenProducers is a copy of producers.
type frozenProducers struct {
	at               time.Duration
	numbered, single table // without index
}

func (p *producers) snapshot() frozenProducers {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Since(p.start)
	out := frozenProducers{at: now}
	for from, to := range map[*table]*table{&p.numbered: &out.numbered, &p.single: &out.single} {
		from.prune(now)
		to.names, to.seen, to.windows = slices.Clone(from.names), slices.Clone(from.seen), slices.Clone(from.windows)
	}
	return out
}
