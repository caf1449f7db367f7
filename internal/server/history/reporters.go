package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/model/value"

	"github.com/gometheus/gometheus/internal/common/metric"
)

const (
	// missedReports is after how many reports that didn't come a producer, or a
	// gauge that it sent before, counts as gone.
	missedReports = 3
	// maxReporters bounds the producers that are watched; those beyond are not.
	maxReporters = 100_000
	// upEvery is, in milliseconds, how often up is written at least. It stays below
	// the lookback, so that no instant query misses it.
	upEvery = 60_000
	// holdEvery is, in milliseconds, how often the total of a counter is written
	// that isn't incremented while its producer reports. See upEvery.
	holdEvery = 60_000
	// forgetAfter is, in milliseconds, after how long a silent instance is no longer
	// reported as down.
	forgetAfter = 7 * 24 * 3_600_000
	// saveInterval is, in milliseconds, how often the reporters are saved.
	saveInterval = 60_000

	instanceLabel = "instance"
)

// reporters are the producers that said how often they report, each once for
// every instance that it reports for. mu of History guards them. Times are by
// History.clock, in milliseconds.
type reporters struct {
	byName     map[reporterName]uint32 // number, from 1
	byInstance map[string]uint32       // one that reports for it
	list       []reporter              // by number - 1
	free       []uint32
	instances  map[string]*instance
	shortest   int64 // the shortest interval of all, 0 if there is none
}

type reporterName struct{ producer, instance string }

type reporter struct {
	reporterName // zero: free
	every        int64
	seen         int64
	behind       int64 // how old the newest sample of its last report was
	late         bool  // missed its reports
}

// instance is what the series up{instance=…} is about. Several producers may
// share one: it is up while one of them reports.
type instance struct {
	up      series
	alive   int   // reporters that are not late
	written int64 // when up was written last
	silent  int64 // since when none is alive
}

func (r *reporters) init() {
	r.byName = make(map[reporterName]uint32)
	r.byInstance = make(map[string]uint32)
	r.instances = make(map[string]*instance)
}

// sender tells which reporter the metrics of a push are of.
type sender struct {
	h        *History
	p        *Push
	now      int64
	producer string
	instance string // of metrics that name none
	newest   int64  // time of all samples

	last string // the instance of the metric before …
	n    uint32 // … and its reporter
}

// senderLocked looks who sent p; if they don't say how often they report, all
// metrics are nobody's.
func (h *History) senderLocked(p *Push, now int64) sender {
	s := sender{h: h, p: p, now: now, producer: p.Producer}
	if p.Every <= 0 {
		return s
	}
	for i := range p.Metrics {
		if s.instance == "" {
			s.instance = p.Metrics[i].Labels.Get(instanceLabel)
		}
		s.newest = max(s.newest, p.Steps[i].Time)
	}
	if s.instance == "" {
		s.instance = p.Producer
	}
	if s.producer == "" {
		s.producer = s.instance
	}
	return s
}

// of is the number of the reporter that m is of; 0: none.
func (s *sender) of(m *metric.Metric) uint32 {
	if s.p.Every <= 0 {
		return 0
	}
	inst := m.Labels.Get(instanceLabel)
	if inst == "" {
		inst = s.instance
	}
	if inst == "" {
		return 0
	}
	if inst != s.last {
		s.last, s.n = inst, s.h.reportLocked(s, inst)
	}
	return s.n
}

// reportLocked notes that a producer reported for an instance and writes up. It
// returns the reporter's number, 0 if there are too many.
func (h *History) reportLocked(s *sender, inst string) uint32 {
	r := &h.reporters
	n, ok := r.byName[reporterName{s.producer, inst}]
	if !ok {
		if n = r.add(s.producer, inst); n == 0 {
			return 0
		}
	}
	rep := &r.list[n-1]
	up := r.instances[inst]
	if rep.late {
		rep.late = false
		up.alive++
	}
	r.byInstance[rep.instance] = n
	rep.every, rep.seen, rep.behind = s.p.Every.Milliseconds(), h.clock(), s.now-s.newest
	if r.shortest == 0 || rep.every < r.shortest {
		r.shortest = rep.every
	}
	if up.written == 0 || up.up.value != 1 || rep.seen-up.written >= min(rep.every/2, upEvery) {
		h.upLocked(up, 1, s.now)
	}
	return n
}

// add makes a reporter, alive. It returns 0 if there are too many.
func (r *reporters) add(producer, inst string) uint32 {
	var n uint32
	switch {
	case len(r.free) > 0:
		n = r.free[len(r.free)-1]
		r.free = r.free[:len(r.free)-1]
	case len(r.list) < maxReporters:
		r.list = append(r.list, reporter{})
		n = uint32(len(r.list))
	default:
		return 0
	}
	name := reporterName{string([]byte(producer)), string([]byte(inst))}
	r.list[n-1] = reporter{reporterName: name}
	r.byName[name] = n
	of, ok := r.instances[name.instance]
	if !ok {
		up := metric.Metric{Kind: metric.Gauge, Name: "up", Labels: metric.NewLabels(instanceLabel, name.instance)}
		of = &instance{up: series{key: string(up.AppendKey(nil)), family: new(family)}}
		r.instances[name.instance] = of
	}
	of.alive++
	r.byInstance[name.instance] = n
	return n
}

// miss notes that a reporter is late.
func (r *reporters) miss(rep *reporter, now int64) {
	rep.late = true
	if inst := r.instances[rep.instance]; inst != nil {
		if inst.alive--; inst.alive == 0 {
			inst.silent = now
		}
	}
}

// drop forgets a reporter, to whom no series points any more.
func (r *reporters) drop(n uint32) {
	rep := &r.list[n-1]
	delete(r.byName, rep.reporterName)
	if r.byInstance[rep.instance] == n {
		delete(r.byInstance, rep.instance)
	}
	*rep = reporter{}
	r.free = append(r.free, n)
}

func (h *History) upLocked(inst *instance, v float64, now int64) {
	inst.written = h.clock()
	h.gaugeLocked(&inst.up, max(now, inst.up.last), v)
}

// sweepInterval is, in milliseconds, how long to wait between two sweeps: short
// enough that nothing is noticed late, long enough that looking costs nothing.
func (h *History) sweepInterval() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reporters.shortest == 0 {
		return 1000
	}
	return min(max(h.reporters.shortest/2, flushInterval.Milliseconds()), 10_000)
}

// missed tells whether what comes each every was missed too often. A report that
// is a little late is not missed.
func missed(since, every int64) bool {
	return since > missedReports*every+min(every/2, 2000)
}

// sweep looks who has gone silent, marks what is stale, and goes on with what is
// to be held.
func (h *History) sweep() {
	now, clock := h.o.Now().UnixMilli(), h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &h.reporters
	if len(r.byName) == 0 {
		return
	}
	r.shortest = 0
	for i := range r.list {
		rep := &r.list[i]
		if rep.producer == "" {
			continue
		}
		if !rep.late && missed(clock-rep.seen, rep.every) {
			r.miss(rep, clock)
		}
		if !rep.late && (r.shortest == 0 || rep.every < r.shortest) {
			r.shortest = rep.every
		}
	}
	h.table.eachLocked(func(s *series) {
		if s.reporter == 0 {
			return
		}
		rep := &r.list[s.reporter-1]
		switch {
		case rep.late, s.kind() == metric.Gauge && missed(clock-s.seen, rep.every):
			// At the time that its samples would have now: if the sender's clock is
			// behind, a marker of our time would hide those that come later.
			h.addLocked(s, max(min(now, s.last+clock-s.seen), s.last+1), staleNaN)
			s.reporter = 0
		case s.kind() == metric.Counter && now-s.last >= holdEvery && rep.behind < holdEvery/2:
			h.addLocked(s, now, float64(s.total))
		}
	})
	for name, inst := range r.instances {
		switch {
		case inst.alive > 0:
			if clock-inst.written >= upEvery {
				h.upLocked(inst, 1, now)
			}
		case clock-inst.silent > forgetAfter:
			h.addLocked(&inst.up, max(now, inst.up.last+1), staleNaN)
			delete(r.instances, name)
		case inst.up.last == 0 || inst.up.value != 0 || clock-inst.written >= upEvery:
			h.upLocked(inst, 0, now)
		}
	}
	for i := range r.list {
		// By now none of a late one's series points to it: they are stale.
		if rep := &r.list[i]; rep.late && (clock-rep.seen > forgetAfter || r.instances[rep.instance] == nil) {
			r.drop(uint32(i + 1))
		}
	}
}

// staleNaN is the value of a staleness marker.
var staleNaN = math.Float64frombits(value.StaleNaN)

// reportersFile keeps the reporters over a restart, so that a machine that died
// while the server was away is reported as down.
const reportersFile = "reporters.json"

type savedReporter struct {
	Producer string `json:"producer"`
	Instance string `json:"instance"`
	Every    int64  `json:"interval_ms"`
	Silent   int64  `json:"silent_ms"` // since when, while the server ran
}

func (h *History) saveReporters() error {
	h.mu.Lock()
	clock := h.clock()
	saved := make([]savedReporter, 0, len(h.reporters.byName))
	for _, rep := range h.reporters.list {
		if rep.producer != "" {
			saved = append(saved, savedReporter{rep.producer, rep.instance, rep.every, clock - rep.seen})
		}
	}
	h.mu.Unlock()
	var out bytes.Buffer
	if err := json.NewEncoder(&out).Encode(saved); err != nil {
		return err
	}
	path := filepath.Join(h.o.Path, reportersFile)
	if err := os.WriteFile(path+".tmp", out.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

func (h *History) loadReporters() error {
	raw, err := os.ReadFile(filepath.Join(h.o.Path, reportersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var saved []savedReporter
	if err := json.Unmarshal(raw, &saved); err != nil {
		return fmt.Errorf("%s: %w", reportersFile, err)
	}
	r := &h.reporters
	for _, sr := range saved {
		if sr.Producer == "" || sr.Instance == "" || sr.Every <= 0 || r.byName[reporterName{sr.Producer, sr.Instance}] != 0 {
			continue
		}
		n := r.add(sr.Producer, sr.Instance)
		if n == 0 {
			break
		}
		rep := &r.list[n-1]
		rep.every = sr.Every
		// Whoever was late stays so; the others have their time to report.
		if missed(sr.Silent, sr.Every) {
			rep.seen = -sr.Silent
			r.miss(rep, rep.seen)
		}
	}
	return nil
}
