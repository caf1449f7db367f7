package scrape

import (
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
)

// cache holds the series of a target from one scrape to the next.
//
// A scrape begins with begin, finds its series with find and add, and ends with
// commit or abort, which give the series that went.
type cache struct {
	// gen numbers the scrapes, from 1.
	gen uint64
	// raw leads from a series as it stands in the exposition to what is known of
	// it. Different ones can mean the same series.
	raw map[string]*spelling
	// byHash holds all series, those of the same hash as a list; all has those that
	// can go.
	byHash map[uint64]*series
	all    []*series
	// spelled counts spellings found in this scrape, added those that are new.
	spelled, added int

	families families
}

// spelling is a way to write a series.
type spelling struct {
	of            *series
	created, seen uint64 // scrapes
}

// series is one of a target.
type series struct {
	labels labels.Labels
	hash   uint64
	next   *series // of the same hash
	family *family // that it was found under, or nil
	meta   *family // the same, if it is one of it

	created uint64 // scrape
	seen    uint64 // scrape that had it last
	// tracked is the last scrape that had it without a timestamp of its own: it
	// gets a marker when it goes. live is whether that was the last good scrape.
	tracked uint64
	live    bool
	kind    kind
	// lastT is the newest sample's time in the scrape seen.
	lastT int64
	// exemplarT and exemplarHash are of the newest exemplar that was sent.
	exemplarT    int64
	exemplarHash uint64
}

// kind is what the samples of a series are. The marker must be of the same.
type kind uint8

const (
	float kind = iota
	intHistogram
	floatHistogram
)

func newCache() *cache {
	return &cache{raw: map[string]*spelling{}, byHash: map[uint64]*series{}, families: families{known: map[string]*family{}}}
}

func (c *cache) begin() {
	c.gen++
	c.spelled, c.added = 0, 0
	c.families.begin()
}

// find returns the series that is written like this, or nil.
func (c *cache) find(raw []byte) *series {
	sp := c.raw[string(raw)]
	if sp == nil {
		return nil
	}
	if sp.seen != c.gen {
		sp.seen = c.gen
		c.spelled++
	}
	return sp.of
}

// add returns the series with these labels, which was not known to be written
// like this.
func (c *cache) add(raw []byte, ls labels.Labels) *series {
	s := c.series(ls)
	c.raw[string(raw)] = &spelling{of: s, created: c.gen, seen: c.gen}
	c.spelled++
	c.added++
	return s
}

func (c *cache) series(ls labels.Labels) *series {
	hash := ls.Hash()
	for s := c.byHash[hash]; s != nil; s = s.next {
		if labels.Equal(s.labels, ls) {
			return s
		}
	}
	s := &series{labels: ls, hash: hash, next: c.byHash[hash], created: c.gen}
	c.byHash[hash] = s
	c.all = append(c.all, s)
	return s
}

// pin takes in a series that no scrape forgets.
func (c *cache) pin(s *series) {
	s.hash = s.labels.Hash()
	s.next = c.byHash[s.hash]
	c.byHash[s.hash] = s
}

// commit ends a good scrape. gone is called for each series that had been live
// and isn't any more; those that were missing are forgotten.
func (c *cache) commit(gone func(*series)) {
	kept := c.all[:0]
	for _, s := range c.all {
		switch {
		case s.tracked == c.gen:
			s.live = true
		case s.live:
			s.live = false
			gone(s)
		}
		if s.seen == c.gen {
			kept = append(kept, s)
		} else {
			c.forget(s)
		}
	}
	clear(c.all[len(kept):])
	c.all = kept
	if c.spelled != len(c.raw) {
		for raw, sp := range c.raw {
			if sp.seen != c.gen {
				delete(c.raw, raw)
			}
		}
	}
	c.families.commit()
}

// abort ends a scrape that failed. gone is called for each series that had been
// live. What this scrape brought is forgotten: a target that is broken in ever
// new ways must not fill the memory.
func (c *cache) abort(gone func(*series)) {
	kept := c.all[:0]
	for _, s := range c.all {
		if s.live {
			s.live = false
			gone(s)
		}
		if s.created == c.gen {
			c.forget(s)
		} else {
			kept = append(kept, s)
		}
	}
	clear(c.all[len(kept):])
	c.all = kept
	if c.added > 0 {
		for raw, sp := range c.raw {
			if sp.created == c.gen {
				delete(c.raw, raw)
			}
		}
	}
	c.families.abort()
}

func (c *cache) forget(s *series) {
	at := c.byHash[s.hash]
	if at == s {
		if s.next == nil {
			delete(c.byHash, s.hash)
		} else {
			c.byHash[s.hash] = s.next
		}
		return
	}
	for ; at.next != s; at = at.next {
	}
	at.next = s.next
}

// fresh keeps of the exemplars those that were not sent yet. They are sorted by
// time.
func (s *series) fresh(list []exemplar.Exemplar) []exemplar.Exemplar {
	kept := list[:0]
	for _, e := range list {
		hash := e.Labels.Hash() ^ math.Float64bits(e.Value)
		if hash == s.exemplarHash && (!e.HasTs || e.Ts == s.exemplarT) || e.HasTs && e.Ts < s.exemplarT {
			continue
		}
		s.exemplarT, s.exemplarHash = e.Ts, hash
		kept = append(kept, e)
	}
	return kept
}
