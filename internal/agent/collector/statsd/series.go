package statsd

import (
	"bytes"
	"hash/maphash"
	"math"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

const (
	// maxIncrement is the largest increment of one sample: up to it a float64 has
	// every whole number. The server refuses a batch that overflows a counter, so
	// one line must not come near to that.
	maxIncrement = 1 << 53

	// maxKeys is how many bytes the names and labels of all series have at most. Each
	// stands there twice.
	maxKeys = 16 << 20

	maxSetValues    = 8192
	maxAllSetValues = 1 << 18

	// ownPrefix is of the names that the receiver has for itself.
	ownPrefix = "gometheus_agent_statsd_"
)

// series is one name with labels of one kind.
type series struct {
	name   string
	labels metric.Labels
	key    string
	form   form
	seen   time.Duration // when the last sample came, since the start
	// told: a Collect had it before.
	told bool

	// Of a counter: what the next Collect gives, and what isn't whole yet.
	pending  int64
	fraction fraction

	// Of a gauge: the value, the one told last, and when.
	value, last float64
	toldAt      time.Duration

	values    map[uint64]struct{} // of a set, hashed
	histogram *histogram
}

// table is all series.
type table struct {
	byKey map[string]*series
	all   []*series // in the order in which they came
	// histograms is how many series the name of a histogram has.
	histograms map[string]int
	setValues  int // of all sets
	keys       int // bytes of those in byKey
	seed       maphash.Seed
	scratch    []byte
	// full: a series was refused, and there is no room since.
	full bool
}

func newTable() table {
	return table{byKey: make(map[string]*series), histograms: make(map[string]int)}
}

// check reads a value and says what is wrong with it whatever the series holds.
func (m *sample) check(value []byte) (float64, fault) {
	if m.form == set {
		if len(value) == 0 {
			return 0, faultNoValue
		}
		return 0, ""
	}
	x, ok := number(value)
	switch {
	case !ok:
		return 0, faultNumber
	case m.form == counter && x < 0:
		return 0, faultNegative
	case m.form == counter && x*m.weight > maxIncrement:
		return 0, faultLarge
	case m.form.kind() == kindHistogram && math.IsInf(x*m.weight, 0):
		return 0, faultLarge
	case m.form == timer:
		x /= 1000
	}
	return x, ""
}

// addLocked adds a value that check had nothing against.
func (s *Server) addLocked(sr *series, m *sample, value []byte, x float64, now time.Duration) fault {
	switch m.form {
	case counter:
		n, rest := sr.fraction.add(x * m.weight)
		if sr.pending > math.MaxInt64-n {
			return faultLarge
		}
		sr.pending, sr.fraction = sr.pending+n, rest
	case gauge:
		if value[0] == '+' || value[0] == '-' {
			x += sr.value
		}
		if math.IsInf(x, 0) {
			return faultLarge
		}
		sr.value = x
	case set:
		s.addToSetLocked(sr, value, now)
	default:
		if !sr.histogram.observe(x, m.weight) {
			return faultLarge
		}
	}
	return ""
}

func (s *Server) addToSetLocked(sr *series, value []byte, now time.Duration) {
	h := maphash.Bytes(s.table.seed, value)
	if _, known := sr.values[h]; known {
		return
	}
	if len(sr.values) >= maxSetValues || s.table.setValues >= maxAllSetValues {
		s.tally.dropped[dropValue]++
		s.note.setFull(sr.name, now)
		return
	}
	if sr.values == nil {
		sr.values = make(map[uint64]struct{})
	}
	sr.values[h] = struct{}{}
	s.table.setValues++
}

// seriesLocked is the series of the sample, a new one if need be, or why there
// can't be one.
func (s *Server) seriesLocked(m *sample) (*series, drop) {
	t := &s.table
	if sr, ok := t.byKey[string(m.key)]; ok {
		if (sr.form == set) != (m.form == set) {
			return nil, dropConflict
		}
		return sr, kept
	}
	if t.conflicts(m) {
		return nil, dropConflict
	}
	if len(t.byKey) >= s.maxSeries || t.keys+len(m.key) > maxKeys {
		if !t.full {
			t.full, s.note.full = true, len(t.byKey)
		}
		return nil, dropSeries
	}
	sr := t.create(m)
	if m.form.kind() == kindHistogram {
		h := newHistogram(s.now())
		sr.histogram = &h
	}
	return sr, kept
}

// conflicts reports whether a new series would be one with a series of another
// kind, or in the text format.
func (t *table) conflicts(m *sample) bool {
	if bytes.HasPrefix(m.name, []byte(ownPrefix)) {
		return true
	}
	if m.form.kind() != kindHistogram {
		return t.has(kindHistogram, m)
	}
	if t.has(byte(metric.Counter), m) || t.has(byte(metric.Gauge), m) {
		return true
	}
	// A histogram x is x_count, x_sum and x_bucket there.
	for _, suffix := range []string{"_count", "_sum", "_bucket"} {
		if base, ok := bytes.CutSuffix(m.name, []byte(suffix)); ok && t.histograms[string(base)] > 0 {
			return true
		}
		t.scratch = append(append(t.scratch[:0], m.name...), suffix...)
		if t.histograms[string(t.scratch)] > 0 {
			return true
		}
	}
	return false
}

// has reports whether there is a series of the sample's name and labels and of
// this kind.
func (t *table) has(kind byte, m *sample) bool {
	own := m.key[0]
	m.key[0] = kind
	_, ok := t.byKey[string(m.key)]
	m.key[0] = own
	return ok
}

func (t *table) create(m *sample) *series {
	sr := &series{key: string(m.key), form: m.form}
	// ParseKey knows no histograms, and no name depends on the kind.
	var id metric.Metric
	if err := id.ParseKey("\x01"+sr.key[1:], make(metric.Labels, 0, metric.DefaultLimits().Labels)); err != nil {
		panic("statsd: " + err.Error())
	}
	sr.name, sr.labels = id.Name, append(metric.Labels(nil), id.Labels...)
	if m.form.kind() == kindHistogram {
		t.histograms[sr.name]++
	}
	t.byKey[sr.key] = sr
	t.keys += len(sr.key)
	t.all = append(t.all, sr)
	return sr
}

// sweepLocked forgets the series for which nothing came for long, but never an
// increment that is not yet collected.
func (s *Server) sweepLocked(now time.Duration) {
	t := &s.table
	stay := t.all[:0]
	for _, sr := range t.all {
		if now-sr.seen < s.forget || sr.owes() {
			stay = append(stay, sr)
			continue
		}
		delete(t.byKey, sr.key)
		t.keys -= len(sr.key)
		t.setValues -= len(sr.values)
		if sr.histogram != nil {
			if t.histograms[sr.name]--; t.histograms[sr.name] == 0 {
				delete(t.histograms, sr.name)
			}
		}
	}
	clear(t.all[len(stay):])
	t.all = stay
	// Some room, or it would be full again at once, and the log with it.
	if t.full && len(t.byKey) <= s.maxSeries-max(s.maxSeries/10, 1) && t.keys <= maxKeys-maxKeys/10 {
		t.full, s.note.room = false, true
	}
}

// owes reports whether Collect has still to give an increment. What isn't whole
// when a counter is forgotten is rounded.
func (sr *series) owes() bool {
	if sr.form != counter {
		return false
	}
	if sr.pending == 0 && sr.fraction >= 0.5 {
		sr.pending, sr.fraction = 1, 0
	}
	return sr.pending > 0 || !sr.told
}
