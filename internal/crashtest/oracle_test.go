package crashtest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
)

const (
	digits    = 20 // batches that one counter tells of
	digitBits = 3
	shared    = 3 // counters that all batches add to
)

// batch is one batch and what is known of it. The oracle's lock guards what
// changes.
type batch struct {
	n      int
	sender int
	adds   [shared]int64

	key   string
	sent  int // number of kills before it was first sent
	acked int // and before it was acknowledged; -1: it was not
	// gaveUp: its sender won't send it again.
	gaveUp bool
}

func (b *batch) String() string {
	s := fmt.Sprintf("batch %d (key %s, sender %d, adds %v, sent after kill %d", b.n, b.key, b.sender, b.adds, b.sent)
	switch {
	case b.acked >= 0:
		s += fmt.Sprintf(", acknowledged after kill %d)", b.acked)
	case b.gaveUp:
		s += ", given up unacknowledged)"
	default:
		s += ", unacknowledged)"
	}
	return s
}

// effect calls add for every counter that the batch adds to.
func (b *batch) effect(add func(name, label, value string, delta int64)) {
	add("batch", "w", strconv.Itoa(b.n/digits), 1<<(digitBits*(b.n%digits)))
	for i, d := range b.adds {
		if d > 0 {
			add("shared", "i", strconv.Itoa(i), d)
		}
	}
}

// The sender's gauge "last" is set to the number of the batch, at its number in
// milliseconds (from 1, since 0 means now).
func (b *batch) gauge() (label, value string, at int64) {
	return "sender", strconv.Itoa(b.sender), int64(b.n) + 1
}

// oracle knows what may and what must be stored.
type oracle struct {
	mu      sync.Mutex
	batches []*batch
	kills   int
	frozen  bool
	failed  error
}

// next makes a new batch of a sender.
func (o *oracle) next(sender int, rng *rand.Rand) *batch {
	b := &batch{sender: sender, acked: -1}
	for i := range b.adds {
		if rng.IntN(3) > 0 {
			b.adds[i] = rng.Int64N(1_000_000)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	b.n, b.sent = len(o.batches), o.kills
	o.batches = append(o.batches, b)
	return b
}

// ack notes that the batch was acknowledged. After freeze it notes nothing.
func (o *oracle) ack(b *batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if b.acked < 0 && !o.frozen {
		b.acked = o.kills
	}
}

func (o *oracle) giveUp(b *batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b.gaveUp = true
}

func (o *oracle) killed() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kills++
}

// freeze makes the acknowledgements up to now those that count.
func (o *oracle) freeze(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.frozen = on
}

func (o *oracle) isFrozen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.frozen
}

// fail notes the first thing that must not happen.
func (o *oracle) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failed == nil {
		o.failed = err
	}
}

func (o *oracle) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.failed
}

// view is what is stored. A counter that doesn't exist is 0, a gauge -1.
type view interface {
	counter(name, label, value string) (int64, error)
	gauge(name, label, value string) (float64, error)
}

// wrong is what a check found.
type wrong struct {
	lost, doubled []string // acknowledged and not applied; applied more than once
	other         []string
	kills         int
}

func (w *wrong) none() bool { return len(w.lost)+len(w.doubled)+len(w.other) == 0 }

func (w *wrong) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "after kill %d: %d acknowledged batches lost, %d applied more than once, %d other differences",
		w.kills, len(w.lost), len(w.doubled), len(w.other))
	for _, list := range [][]string{w.lost, w.doubled, w.other} {
		for i, line := range list {
			if i == 8 {
				fmt.Fprintf(&s, "\n  … and %d more", len(list)-i)
				break
			}
			s.WriteString("\n  " + line)
		}
	}
	return s.String()
}

// check compares what is stored with what was sent and acknowledged, and returns
// how often each batch was applied. No batch may be on its way. durable tells
// which batches must be there; nil: the acknowledged ones.
func (o *oracle) check(v view, durable func(*batch) bool) (applied []int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := &wrong{kills: o.kills}
	applied = make([]int, len(o.batches))
	var sums [shared]int64
	last := map[string]int64{} // by sender
	// One word more than was used: it must be empty.
	for word := range len(o.batches)/digits + 2 {
		value, err := v.counter("batch", "w", strconv.Itoa(word))
		if err != nil {
			return nil, err
		}
		for n := word * digits; n < (word+1)*digits; n++ {
			times := int(value & (1<<digitBits - 1))
			value >>= digitBits
			if n >= len(o.batches) {
				if times > 0 {
					w.other = append(w.other, fmt.Sprintf("batch %d was applied %d times, but never sent", n, times))
				}
				continue
			}
			b := o.batches[n]
			applied[n] = times
			must := b.acked >= 0
			if durable != nil {
				must = durable(b)
			}
			switch {
			case times > 1:
				w.doubled = append(w.doubled, fmt.Sprintf("%v was applied %d times", b, times))
			case times == 0 && must:
				w.lost = append(w.lost, fmt.Sprintf("%v was not applied", b))
			}
			if times == 0 {
				continue
			}
			for i, d := range b.adds {
				sums[i] += d * int64(times)
			}
			_, sender, _ := b.gauge()
			last[sender] = int64(n)
		}
	}
	for i, want := range sums {
		got, err := v.counter("shared", "i", strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		if got != want {
			w.other = append(w.other, fmt.Sprintf("shared{i=%d} is %d, but what was applied adds up to %d", i, got, want))
		}
	}
	for sender, want := range last {
		got, err := v.gauge("last", "sender", sender)
		if err != nil {
			return nil, err
		}
		if got != float64(want) {
			w.other = append(w.other, fmt.Sprintf("last{sender=%s} is %v, but its newest applied batch is %d", sender, got, want))
		}
	}
	if !w.none() {
		return applied, w
	}
	return applied, nil
}

// numbers counts the batches by what is known of them.
func (o *oracle) numbers() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var acked, gaveUp int
	for _, b := range o.batches {
		switch {
		case b.acked >= 0:
			acked++
		case b.gaveUp:
			gaveUp++
		}
	}
	return fmt.Sprintf("%d batches, %d acknowledged, %d given up", len(o.batches), acked, gaveUp)
}
