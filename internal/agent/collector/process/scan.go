package process

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/hostfile"
)

// key is what the processes of a group have in common.
type key struct{ name, cmdline string }

func (k key) compare(o key) int {
	return cmp.Or(strings.Compare(k.name, o.name), strings.Compare(k.cmdline, o.cmdline))
}

// group is what is known of the processes of one name.
type group struct {
	key key

	// The counters: what its processes added while they were seen.
	user, system uint64 // ticks
	read, write  uint64 // bytes
	// io says that read and write were ever readable.
	io bool

	listed  bool
	lastTop time.Time
	topIn   uint64 // generation

	// As of this Collect.
	members []*proc
	num     int
	load    float64 // ticks since the last Collect, or a second at the first
	threads uint64
	vsize   uint64
	rss     uint64  // pages
	oldest  uint64  // ticks since the machine started
	states  [5]uint // see stateNames
}

// proc is one process, from when it is first seen until it is gone.
type proc struct {
	pid        int
	dir        string // ends with a slash
	statPath   string
	start      uint64
	comm       string // as the kernel has it
	kernel     bool
	group      *group
	user       uint64
	system     uint64
	read       uint64
	write      uint64
	seen       uint64 // generation
	again      bool   // seen more than once
	unreadable bool   // its io may not be read
}

var stateNames = [...]string{"Running", "Sleeping", "Waiting", "Zombie", "Other"}

func stateIndex(letter byte) int {
	switch letter {
	case 'R':
		return 0
	case 'S':
		return 1
	case 'D':
		return 2
	case 'Z':
		return 3
	}
	return 4
}

// scanLocked reads the stat of every process and adds what is new to the groups. It
// reports whether processes could be listed at all.
func (c *Collector) scanLocked(now time.Time) bool {
	pids, err := c.pids()
	if err != nil {
		c.sayLocked("proc", "processes can't be listed: top processes are left out", zap.Error(err))
		return false
	}
	for _, g := range c.groups {
		g.members, g.num, g.load, g.threads, g.vsize, g.rss, g.oldest = g.members[:0], 0, 0, 0, 0, 0, 0
		g.states = [5]uint{}
	}
	first, init := c.generation == 1, false
	for _, pid := range pids {
		init = init || pid == 1
		c.scanOneLocked(pid, now, first)
	}
	if !init {
		c.sayLocked("hidepid", "/proc shows the processes of the agent's own user only (hidepid): "+
			"top processes are among these; to see all it needs root or the group of the mount option gid=")
	}
	for pid, p := range c.procs {
		if p.seen != c.generation {
			delete(c.procs, pid)
		}
	}
	return true
}

func (c *Collector) scanOneLocked(pid int, now time.Time, first bool) {
	p := c.procs[pid]
	var path string
	if p != nil {
		path = p.statPath
	} else {
		path = c.proc + "/" + strconv.Itoa(pid) + "/stat"
	}
	var err error
	if c.buf, err = hostfile.Read(path, c.buf); err != nil {
		return // it has ended meanwhile
	}
	s, err := parseStat(c.buf)
	if err != nil {
		c.sayLocked("stat", "a process is left out", zap.String("file", path), zap.Error(err))
		return
	}
	if p == nil || p.start != s.start { // another one that got the number
		p = &proc{pid: pid, statPath: path, dir: strings.TrimSuffix(path, "stat"), start: s.start}
		c.procs[pid] = p
	}
	if p.group == nil || p.comm != string(s.comm) || c.commandLine && !p.again {
		// A command line is read twice: a child that was caught before its exec has
		// its parent's.
		p.again = p.group != nil
		p.comm, p.kernel, p.unreadable = string(s.comm), s.flags&kernelThread != 0, false
		p.group = c.groupLocked(c.keyOf(p))
	}
	g := p.group
	// Times of a process never go down; should they, they would count twice later.
	user, system := s.user-min(p.user, s.user), s.system-min(p.system, s.system)
	g.user += user
	g.system += system
	p.user, p.system = max(p.user, s.user), max(p.system, s.system)
	p.seen = c.generation

	load := float64(user + system)
	if first {
		age := float64(now.Unix()-c.boot.time) - float64(s.start)/ticksPerSecond
		load /= max(age, youngest)
	}
	g.load += load
	g.threads += s.threads
	g.vsize += s.vsize
	g.rss += s.rss
	if g.num == 0 || s.start < g.oldest {
		g.oldest = s.start
	}
	g.states[stateIndex(s.state)]++
	g.members = append(g.members, p)
	g.num++
}

func (c *Collector) groupLocked(k key) *group {
	g := c.groups[k]
	if g == nil {
		g = &group{key: k}
		c.groups[k] = g
	}
	return g
}

// pids lists the processes.
func (c *Collector) pids() (pids []int, err error) {
	dir, err := os.Open(c.proc)
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	err = errors.Join(err, dir.Close())
	for _, name := range names {
		if name[0] < '1' || name[0] > '9' {
			continue
		}
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 && err == nil {
		err = &fs.PathError{Op: "list processes in", Path: c.proc, Err: errors.New("there are none")}
	}
	return pids, err
}

// boot is when the machine started, which makes start times of ticks.
type boot struct {
	time  int64 // Unix seconds; 0 when it isn't known
	asked time.Time
}

// refresh reads it again every few minutes, since it moves when the clock is set. A
// second more or less is the kernel's rounding and must not look like a restart.
func (b *boot) refresh(proc string, now time.Time) {
	if age := now.Sub(b.asked); b.time != 0 && age >= 0 && age < Linger {
		return
	}
	content, err := hostfile.Read(proc+"/stat", nil)
	if err != nil {
		return
	}
	if t, ok := valueOf(content, "btime "); ok {
		if moved := int64(t) - b.time; moved < -1 || moved > 1 {
			b.time = int64(t)
		}
		b.asked = now
	}
}

func pageSize() uint64 { return uint64(os.Getpagesize()) }
