package pages

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
)

const (
	// fleetFresh is how long what is known of the machines is shown to all who ask.
	fleetFresh = 5 * time.Second
	// fleetPatience is how long it may take to find out, and how long others wait for
	// that before they get what was known before.
	fleetPatience = 2 * time.Second
	// sparkFresh is how long the lines of the last hour are good, and sparkLength and
	// sparkStep what they are of.
	sparkFresh  = 45 * time.Second
	sparkLength = time.Hour
	sparkStep   = 2 * time.Minute
)

// Reporter is an instance for which a producer reports that said how often.
type Reporter struct {
	Name  string
	Seen  time.Time     // its last report
	Every time.Duration // how often it reports
	Up    bool          // it hasn't missed its reports
}

// fleet finds out how the machines are: on demand alone, at most every fleetFresh,
// for one who asks on behalf of all. It has no goroutine: who comes first works, the
// others wait.
type fleet struct {
	p *Pages

	mu     sync.Mutex // guards what follows, which is changed as a whole
	known  *knowledge
	flight chan struct{} // closed when who works is done; nil: nobody does
}

// knowledge is how the machines were at a time. It doesn't change.
type knowledge struct {
	at       time.Time
	machines []templates.Machine
	missing  []string // titles of columns that could not be found out

	sparks   map[string][]float64
	sparksAt time.Time
	silent   map[string]silence // machines that don't say how often they report, and say nothing now
}

// get is how the machines are, as of fleetFresh ago at most, or, if that takes too
// long, what was known before. all is the state, which is read while it lasts.
func (f *fleet) get(ctx context.Context, all []metric.Metric) *knowledge {
	now := f.p.o.Now()
	f.mu.Lock()
	if k := f.known; k != nil && now.Sub(k.at).Abs() < fleetFresh {
		f.mu.Unlock()
		return k
	}
	if flight := f.flight; flight != nil {
		f.mu.Unlock()
		return f.wait(ctx, flight)
	}
	flight, before := make(chan struct{}), f.known
	f.flight = flight
	f.mu.Unlock()
	var k *knowledge
	defer func() { // after a panic too: the next one tries again
		f.mu.Lock()
		defer f.mu.Unlock()
		f.flight = nil
		if k != nil {
			f.known = k
		}
		close(flight)
	}()
	// What it finds out is for the others too, if who asked is gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fleetPatience)
	defer cancel()
	k = f.learn(ctx, now, all, before)
	return k
}

// wait waits for who works.
func (f *fleet) wait(ctx context.Context, flight <-chan struct{}) *knowledge {
	timer := time.NewTimer(fleetPatience)
	defer timer.Stop()
	select {
	case <-flight:
	case <-timer.C:
	case <-ctx.Done():
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known == nil {
		return &knowledge{}
	}
	return f.known
}

// survey is the work of finding out.
type survey struct {
	f        *fleet
	ctx      context.Context
	now      time.Time
	machines map[string]*machine
	missing  []string
	err      error // the first
}

// machine is what is known of one so far.
type machine struct {
	templates.Machine
	every time.Duration
	found bool // it is a machine, not just an instance that something was pushed for
	votes votes
	state stateValues
}

func (f *fleet) learn(ctx context.Context, now time.Time, all []metric.Metric, before *knowledge) *knowledge {
	s := &survey{f: f, ctx: ctx, now: now, machines: map[string]*machine{}}
	k := &knowledge{at: now, silent: map[string]silence{}}
	if before != nil {
		k.sparks, k.sparksAt = before.sparks, before.sparksAt
	}
	for i := range all {
		s.pushed(&all[i])
	}
	if f.p.o.Reporters != nil {
		for _, r := range f.p.o.Reporters() {
			m := s.machine(r.Name)
			m.found, m.Seen, m.every = true, r.Seen, r.Every
			m.State = stateOf(now.Sub(r.Seen), r.Every)
			if r.Up {
				m.State = templates.Reporting
			}
		}
	}
	if f.p.history() {
		s.fromHistory(k, before)
	} else {
		s.fromStateAlone()
	}
	for _, m := range s.machines {
		if !m.found {
			continue
		}
		m.complete(now)
		m.Spark = k.sparks[m.Name]
		k.machines = append(k.machines, m.Machine)
	}
	slices.SortFunc(k.machines, func(a, b templates.Machine) int { return strings.Compare(a.Name, b.Name) })
	if k.missing = s.missing; s.err != nil && f.p.o.Log != nil {
		f.p.o.Log.Warn("the overview lacks columns", zap.Strings("columns", s.missing), zap.Error(s.err))
	}
	return k
}

// machine is the one of this name; it is made.
func (s *survey) machine(name string) *machine {
	m, ok := s.machines[name]
	if !ok {
		m = &machine{Machine: templates.Machine{
			Name: name, CPU: unknown, Memory: unknown, Disk: unknown, In: unknown, Out: unknown, Load: unknown, Uptime: unknown,
		}}
		m.state = noValues
		s.machines[name] = m
	}
	return m
}

// fail notes that a column stays empty.
func (s *survey) fail(title string, err error) {
	if !slices.Contains(s.missing, title) {
		s.missing = append(s.missing, title)
	}
	if s.err == nil {
		s.err = err
	}
}

// stateOf is the state of a machine that was heard of so long ago and reports so
// often: late when three reports are missed, as up is 0 then, and gone after thirty.
func stateOf(silent, every time.Duration) templates.State {
	switch {
	case silent <= 3*every+min(every/2, 2*time.Second):
		return templates.Reporting
	case silent <= 30*every:
		return templates.Late
	default:
		return templates.Gone
	}
}
