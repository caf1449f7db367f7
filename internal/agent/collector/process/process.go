// Package process tells which processes use the machine: the biggest by CPU and
// the biggest by memory, added up by name, under the names of process-exporter
// (github.com/ncabatoff/process-exporter), so that its dashboards work.
//
// # Groups
//
// Processes of one name are one group. The name is the kernel's (comm), completed
// to the file name of the program where the kernel cut it at 15 characters and
// /proc/PID/exe or the first word of the command line tells the rest. Threads of
// the kernel go by what stands before the first slash of their name (kworker,
// ksoftirqd). With Options.CommandLine processes also have to have the same command
// line. Nothing of a command line is told without that: it may hold secrets.
//
// # Which groups are listed
//
// At each Collect those Options.Top groups that used the most CPU time since the
// Collect before (at the first: on average since their start), and those Top with
// the most resident memory. A group that was listed stays listed for Linger (5
// minutes) after it last was among them, so that series don't come and go, but
// never more than 3 × Top groups in all: then those go first that have been out of
// the top for longest. A group has at most 16 series; Top = 10 makes at most 480.
// A listed group without a process shows 0 processes.
//
// # Counters
//
// A group's counters are the sum of what each of its processes added while it was
// seen, so they don't go down when a process ends or renames itself. A process
// is known by its number and its start time. What a process uses between the last
// Collect and its end isn't seen, nor are processes that start and end between two.
// A group that isn't listed and has no process is forgotten, which bounds memory
// by the number of processes; should it come back, its counters start again: a
// reset as any other.
//
// Bytes read and written are known of listed groups only, so what a process that
// ends while its group isn't listed did, isn't in them. They need root, CAP_SYS_PTRACE
// or the same user; a group of which no process may be read doesn't have them, and of
// a group where some may, theirs are told. Resident memory counts pages that
// processes share in each of them.
package process

import (
	"cmp"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

const (
	// Linger is how long a group stays listed after it was among the biggest.
	Linger = 5 * time.Minute

	defaultTop = 10
	// capFactor times Top groups are listed at most.
	capFactor = 3
	// ticksPerSecond is the unit of /proc/PID/stat: USER_HZ, 100 on every Linux
	// that Go runs on.
	ticksPerSecond = 100
	// youngest is the least time by which the CPU time of a process is divided
	// at the first Collect, so that one that just started isn't the biggest.
	youngest = 15.0
)

// Options says what is told.
type Options struct {
	// Root is where the machine's /proc is found, for an agent in a container;
	// empty means "/".
	Root string
	// Top is how many groups are the biggest, by CPU and by memory each; 0 means 10.
	Top int
	// CommandLine also tells command lines, in the label cmdline, cut to 256 bytes.
	CommandLine bool
	// Log hears once of each thing that can't be read; nil means nobody does.
	Log *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Collector implements prometheus.Collector. It is safe for concurrent use, but
// the interval of "CPU time since the Collect before" is then shared by all callers.
type Collector struct {
	proc        string // the folder
	top         int
	commandLine bool
	log         *zap.Logger
	now         func() time.Time
	pageSize    uint64
	descs       descs

	mu         sync.Mutex
	said       map[string]bool
	procs      map[int]*proc
	groups     map[key]*group
	generation uint64 // of Collect
	buf        []byte
	boot       boot
}

// New returns a collector of this machine. It works on Linux; elsewhere it says so
// once and tells nothing.
func New(o Options) *Collector {
	c := &Collector{
		proc:        filepath.Join(cmp.Or(o.Root, "/"), "proc"),
		top:         cmp.Or(max(o.Top, 0), defaultTop),
		commandLine: o.CommandLine,
		log:         o.Log,
		now:         o.Now,
		pageSize:    pageSize(),
		descs:       newDescs(o.CommandLine),
		said:        make(map[string]bool),
		procs:       make(map[int]*proc),
		groups:      make(map[key]*group),
	}
	if c.log == nil {
		c.log = zap.NewNop()
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs.all() {
		ch <- d
	}
}

// Collect implements prometheus.Collector. What can't be read is left out and said
// once in the log; it never makes a gathering fail.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if runtime.GOOS != "linux" {
		c.sayLocked("system", "top processes are told on Linux only")
		return
	}
	now := c.now()
	c.generation++
	c.boot.refresh(c.proc, now)
	if !c.scanLocked(now) {
		return
	}
	listed := c.chooseLocked(now)
	swapping := c.swapUsedLocked()
	for _, g := range listed {
		c.sendLocked(ch, g, c.detailLocked(g, swapping))
	}
	c.forgetLocked()
}

// sayLocked logs once what can't be done.
func (c *Collector) sayLocked(what, message string, fields ...zap.Field) {
	if !c.said[what] {
		c.said[what] = true
		c.log.Warn(message, fields...)
	}
}

// chooseLocked returns the groups to be listed, ordered by name.
func (c *Collector) chooseLocked(now time.Time) []*group {
	byCPU := make([]*group, 0, len(c.groups))
	byMemory := make([]*group, 0, len(c.groups))
	for _, g := range c.groups {
		if g.load > 0 {
			byCPU = append(byCPU, g)
		}
		if g.rss > 0 {
			byMemory = append(byMemory, g)
		}
	}
	slices.SortFunc(byCPU, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.load, a.load), a.key.compare(b.key))
	})
	slices.SortFunc(byMemory, func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.rss, a.rss), a.key.compare(b.key))
	})
	for _, biggest := range [][]*group{byCPU, byMemory} {
		for _, g := range biggest[:min(c.top, len(biggest))] {
			g.listed, g.lastTop, g.topIn = true, now, c.generation
		}
	}

	var listed []*group
	for _, g := range c.groups {
		if g.listed = g.listed && now.Sub(g.lastTop) < Linger; g.listed {
			listed = append(listed, g)
		}
	}
	if most := capFactor * c.top; len(listed) > most {
		slices.SortFunc(listed, func(a, b *group) int { // who was in the top last comes first
			return cmp.Or(cmp.Compare(b.topIn, a.topIn), cmp.Compare(b.rss, a.rss), a.key.compare(b.key))
		})
		for _, g := range listed[most:] {
			g.listed = false
		}
		listed = listed[:most]
	}
	slices.SortFunc(listed, func(a, b *group) int { return a.key.compare(b.key) })
	return listed
}

// forgetLocked drops groups that nobody sees and that have no process.
func (c *Collector) forgetLocked() {
	for k, g := range c.groups {
		if !g.listed && g.num == 0 {
			delete(c.groups, k)
		}
	}
}
