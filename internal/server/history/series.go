package history

import (
	"sync/atomic"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	promstorage "github.com/prometheus/prometheus/storage"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// series is what the history knows of a pushed series.
type series struct {
	key    string // canonical, of package metric
	family *family

	// Guarded by flushMu.
	ref     promstorage.SeriesRef // 0: not known
	kinded  bool                  // ref is that of the series with the label __kind__
	flushed int64                 // newest time that the TSDB has; 0: not known

	// Guarded by mu.
	last     int64   // newest time that was given out; 0: none yet
	value    float64 // at last
	total    int64   // of a counter: the highest that was recorded
	epoch    uint32  // while it is that of pending …
	at       uint32  // … the newest sample is there
	reporter uint32  // who sends it, if that one said how often; 0: none
	ahead    uint32  // of a gauge: by how much last was put off, see gaugeLocked
	single   bool    // last is the time of its only sample
	seen     int64   // when it was sent last, by clock
}

func (s *series) kind() metric.Kind { return metric.Kind(s.key[0]) }

// covers tells whether a gauge's sample of that time would come among those that
// were put off. mu is held.
func (s *series) covers(t int64) bool { return s.last-int64(s.ahead) <= t && t <= s.last }

// sample waits for the TSDB.
type sample struct {
	s    *series
	t    int64
	v    float64
	zero bool // a counter's first one
}

// kindLabel tells a gauge apart from a counter of the same name: in the state they
// are two series, and in the history they would be one. Nobody can push a label
// of this name. It is not Prometheus' __type__, which functions and operators drop
// together with the metric's name, so that the two would clash again.
const kindLabel = "__kind__"

// labelsOf makes the labels under which the TSDB knows a series.
func labelsOf(key string, kinded bool, b *labels.ScratchBuilder) labels.Labels {
	var m metric.Metric
	var scratch [32]metric.Label
	if err := m.ParseKey(key, scratch[:0]); err != nil {
		panic("history: key of our own making: " + err.Error())
	}
	b.Reset()
	b.Add(model.MetricNameLabel, m.Name)
	for _, l := range m.Labels {
		b.Add(l.Name, l.Value)
	}
	if kinded {
		b.Add(kindLabel, m.Kind.String())
	}
	b.Sort()
	return b.Labels()
}

// pageSize is how many records stand in a page.
const pageSize = 1024

// table finds the record of a series: by the storage's number for it, or by its
// key if the storage has no numbers, or hasn't told this one yet.
type table struct {
	pages []*[pageSize]*series // by number - 1
	byKey map[string]*series
	key   []byte // scratch
}

func (t *table) init() { t.byKey = make(map[string]*series) }

// findLocked finds the record of the series of m, or makes it.
func (h *History) findLocked(m *metric.Metric, st *metric.Step) *series {
	t := &h.table
	if st.Series == 0 {
		t.key = m.AppendKey(t.key[:0])
		if s, ok := t.byKey[string(t.key)]; ok {
			return s
		}
		s := &series{key: string(t.key), family: h.families.find(m)}
		t.byKey[s.key] = s
		return s
	}
	n := st.Series - 1
	for int(n/pageSize) >= len(t.pages) {
		t.pages = append(t.pages, nil)
	}
	page := &t.pages[n/pageSize]
	if *page == nil {
		*page = new([pageSize]*series)
	}
	s := (*page)[n%pageSize]
	if s == nil {
		// Perhaps Reconcile knows it.
		if s = t.byKey[st.Key]; s != nil {
			delete(t.byKey, st.Key)
			s.key = st.Key // which the storage holds anyway
		} else {
			s = &series{key: st.Key, family: h.families.find(m)}
		}
		(*page)[n%pageSize] = s
	}
	return s
}

// eachLocked calls f for every record.
func (t *table) eachLocked(f func(*series)) {
	for _, page := range t.pages {
		if page == nil {
			continue
		}
		for _, s := range page {
			if s != nil {
				f(s)
			}
		}
	}
	for _, s := range t.byKey {
		f(s)
	}
}

// family is what is known of a metric name. It is pointed to by its series.
type family struct {
	gauge, counter atomic.Bool // there are series of this kind
}

type families struct {
	byName map[string]*family
}

func (f *families) init() { f.byName = make(map[string]*family) }

// find finds the family of m and notes that it has m's kind.
func (f *families) find(m *metric.Metric) *family {
	fam, ok := f.byName[m.Name]
	if !ok {
		fam = new(family)
		f.byName[string([]byte(m.Name))] = fam
	}
	if m.Kind == metric.Counter {
		fam.counter.Store(true)
	} else {
		fam.gauge.Store(true)
	}
	return fam
}
