package remotewrite

import (
	"sync"
	"sync/atomic"
)

// series is one label set that the TSDB has: it is found by the bytes a request
// names it with, and leads to the TSDB's reference. The same labels in another
// order, or in another version of the protocol, are another series here with
// the same reference.
//
// Only a series whose birth is committed stands in the cache (see births).
type series struct {
	key  string
	hash uint64
	next *series // with the same hash

	ref  atomic.Uint64 // storage.SeriesRef; the TSDB gives none twice while it is open
	used atomic.Int64  // minute of the last use
	meta atomic.Uint64 // hash of the metadata that was handed on last; 0: none

	after atomic.Pointer[series] // the one that came next in a request; nil: not known
	gone  atomic.Bool            // no longer in the cache
}

// successor is the series that came after s the last time, if it has that key.
func (s *series) successor(key []byte, minute int64) *series {
	if s == nil {
		return nil
	}
	next := s.after.Load()
	if next == nil || next.key != string(key) || next.gone.Load() {
		return nil
	}
	next.touch(minute)
	return next
}

// follow notes that next came after s.
func (s *series) follow(next *series) {
	if s != nil && !s.gone.Load() {
		s.after.Store(next)
	}
}

func (s *series) touch(minute int64) {
	if s.used.Load() != minute {
		s.used.Store(minute)
	}
}

// leave marks s as no longer in the cache, and lets go of what came after it, lest
// a chain of series that are gone stays in memory.
func (s *series) leave() {
	s.gone.Store(true)
	s.after.Store(nil)
}

const (
	shards = 64
	// idle is after how many minutes without a sample a series is forgotten. The
	// TSDB's head forgets it after three hours.
	idle = 4 * 60
)

// cache finds series by key. Bounded: when a shard is full, one of its series
// that was not used lately goes.
type cache struct {
	perShard int
	shards   [shards]shard

	minute atomic.Int64  // of the last sweep
	sweeps atomic.Uint64 // how many there were
}

type shard struct {
	mu sync.RWMutex
	m  map[uint64]*series // by hash; guarded by mu, as are the next pointers
	n  int                // series, guarded by mu
	_  [24]byte           // the next shard's lock is on another cache line
}

func newCache(most int) *cache {
	c := &cache{perShard: max(1, most/shards)}
	for i := range c.shards {
		c.shards[i].m = map[uint64]*series{}
	}
	return c
}

func (c *cache) shard(hash uint64) *shard { return &c.shards[hash>>58] }

// find returns the series of key, nil if there is none. The key's bytes are
// compared, so that two series whose hash is the same don't mix.
func (c *cache) find(hash uint64, key []byte, minute int64) *series {
	sh := c.shard(hash)
	sh.mu.RLock()
	s := sh.m[hash]
	for s != nil && s.key != string(key) {
		s = s.next
	}
	sh.mu.RUnlock()
	if s != nil {
		s.touch(minute)
	}
	return s
}

// put adds s. If its key is there already, that series gets its reference.
func (c *cache) put(s *series) {
	sh := c.shard(s.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for old := sh.m[s.hash]; old != nil; old = old.next {
		if old.key == s.key {
			old.ref.Store(s.ref.Load())
			old.meta.Store(s.meta.Load())
			return
		}
	}
	if sh.n >= c.perShard {
		sh.evictLocked()
	}
	s.next = sh.m[s.hash]
	sh.m[s.hash] = s
	sh.n++
}

// evictLocked removes the least recently used of a few.
func (sh *shard) evictLocked() {
	const few = 8
	var oldest *series
	seen := 0
	for _, s := range sh.m {
		if oldest == nil || s.used.Load() < oldest.used.Load() {
			oldest = s
		}
		if seen++; seen == few {
			break
		}
	}
	sh.removeLocked(oldest.hash)
}

func (sh *shard) removeLocked(hash uint64) {
	for s := sh.m[hash]; s != nil; s = s.next {
		s.leave()
		sh.n--
	}
	delete(sh.m, hash)
}

// sweep removes what is idle from the next shard, once a minute: a round takes
// about an hour. Requests call it, so it needs no goroutine of its own.
func (c *cache) sweep(minute int64) {
	last := c.minute.Load()
	if last == minute || !c.minute.CompareAndSwap(last, minute) {
		return
	}
	sh := &c.shards[(c.sweeps.Add(1)-1)%shards]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for hash, s := range sh.m {
		newest := s.used.Load()
		for o := s.next; o != nil; o = o.next {
			newest = max(newest, o.used.Load())
		}
		if minute-newest >= idle {
			sh.removeLocked(hash)
		}
	}
}

// len counts the series.
func (c *cache) len() (n int) {
	for i := range c.shards {
		sh := &c.shards[i]
		sh.mu.RLock()
		n += sh.n
		sh.mu.RUnlock()
	}
	return n
}
