package statsd

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

const (
	// rarely is how often the same trouble is logged at most.
	rarely = time.Minute
	// shown is how many bytes of a line are.
	shown = 80
)

// seldom holds a message back that was given a short time ago.
type seldom struct {
	next time.Duration
	ever bool
}

func (s *seldom) due(now time.Duration) bool {
	if s.ever && now < s.next && s.next-now <= rarely { // else the clock was set back
		return false
	}
	s.ever, s.next = true, now+rarely
	return true
}

// note is what is to be logged when the lock is free.
type note struct {
	messages

	invalidly, set seldom
	unsaid         uint64 // invalid lines since the last message
}

type messages struct {
	line     string // escaped
	why      fault
	invalids uint64
	setName  string
	full     int // how many series there are
	room     bool
}

// invalid notes a line, an example of those that come within a minute.
func (n *note) invalid(line []byte, why fault, now time.Duration) {
	n.unsaid++
	if !n.invalidly.due(now) {
		return
	}
	n.line, n.why, n.invalids = fmt.Sprintf("%+q", line[:min(len(line), shown)]), why, n.unsaid
	if len(line) > shown {
		n.line += "…"
	}
	n.unsaid = 0
}

func (n *note) setFull(name string, now time.Duration) {
	if n.set.due(now) {
		n.setName = name
	}
}

// take is what there is to tell, once.
func (n *note) take() messages {
	m := n.messages
	n.messages = messages{}
	return m
}

func (m *messages) tell(log *zap.Logger) {
	if m.why != "" {
		log.Warn("invalid StatsD", zap.String("reason", string(m.why)), zap.String("line", m.line),
			zap.Uint64("invalid_since_last_message", m.invalids))
	}
	if m.setName != "" {
		log.Warn("a StatsD set is full: it doesn't rise beyond", zap.String("set", m.setName),
			zap.Int("values", maxSetValues), zap.Int("values_of_all_sets", maxAllSetValues))
	}
	if m.full > 0 {
		log.Warn("no room for more StatsD series: samples of new ones are dropped", zap.Int("series", m.full))
	}
	if m.room {
		log.Info("there is room for StatsD series again")
	}
}
