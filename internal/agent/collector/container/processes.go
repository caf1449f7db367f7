package container

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/gometheus/gometheus/internal/agent/hostfile"
)

const (
	// ticksPerSecond is USER_HZ, 100 on every Linux that Go runs on.
	ticksPerSecond = 100
	// maxInner is how many cgroups inside of one container are looked at.
	maxInner = 1000
	// candidates is how many processes are asked for their age.
	candidates = 32
)

// processesLocked counts the processes of a container, those in cgroups inside of it
// (of its own systemd) too, and finds the one it began with.
func (c *Collector) processesLocked(s *stats) {
	s.processes = unknown
	if s.tree == "" { // in v1 it may be missing in some
		for _, controller := range []string{"pids", "memory", "cpuacct", "systemd"} {
			if root := c.groups.roots[controller]; root != "" {
				if _, err := os.Stat(root + s.path); err == nil {
					s.tree = root
					break
				}
			}
		}
	}
	dir := s.tree + s.path
	left := maxInner
	pids, err := c.pidsLocked(dir, nil, &left)
	if err != nil && len(pids) == 0 {
		return
	}
	s.processes = float64(len(pids))
	if s.pid != 0 && slices.Contains(pids, s.pid) {
		return
	}
	s.pid, s.start = 0, 0

	// nspawn's own process is in the cgroup too, beside the payload.
	left = maxInner
	if payload, _ := c.pidsLocked(dir+"/payload", nil, &left); len(payload) > 0 {
		pids = payload
	}
	if len(pids) > candidates {
		pids = pids[:candidates]
	}
	for _, pid := range pids {
		if at, ok := c.startLocked(pid); ok && (s.pid == 0 || at < s.start) {
			s.pid, s.start = pid, at
		}
	}
	if s.pid != 0 {
		return
	}
	if slices.Contains(pids, 0) {
		c.sayLocked("processes of containers are in another PID namespace: their network and start times are left out; " +
			"an agent in a container needs the PID namespace of the machine (--pid=host)")
	} else if _, ok := c.startLocked(1); !ok && len(pids) > 0 {
		c.sayLocked("processes of containers are hidden (/proc is mounted with hidepid): their network and start times are left out; " +
			"they need root or the group of the mount option gid=")
	}
	if fi, err := os.Stat(dir); err == nil {
		s.start = float64(fi.ModTime().Unix())
	}
}

// pidsLocked appends the processes in a cgroup and those below.
func (c *Collector) pidsLocked(dir string, pids []int, left *int) ([]int, error) {
	var err error
	if c.buf, err = hostfile.Read(dir+"/cgroup.procs", c.buf); err == nil {
		for line := range bytes.FieldsSeq(c.buf) {
			if pid, err := strconv.Atoi(string(line)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	for _, name := range folders(dir) {
		if *left--; *left <= 0 {
			break
		}
		pids, _ = c.pidsLocked(dir+"/"+name, pids, left) // it may have gone meanwhile
	}
	return pids, err
}

// startLocked returns when a process started, in Unix seconds.
func (c *Collector) startLocked(pid int) (at float64, ok bool) {
	if pid <= 0 || !c.bootLocked() {
		return 0, false
	}
	var err error
	c.buf, err = hostfile.Read(filepath.Join(c.root, "proc", strconv.Itoa(pid), "stat"), c.buf)
	if err != nil {
		return 0, false
	}
	// After the name, which may hold anything, the start is the 20th word.
	words := bytes.Fields(c.buf[bytes.LastIndexByte(c.buf, ')')+1:])
	if len(words) < 20 {
		return 0, false
	}
	ticks, err := strconv.ParseUint(string(words[19]), 10, 64)
	return c.boot + float64(ticks)/ticksPerSecond, err == nil
}

// bootLocked finds when the machine started.
func (c *Collector) bootLocked() bool {
	if c.boot == 0 {
		var err error
		if c.buf, err = hostfile.Read(filepath.Join(c.root, "proc/stat"), c.buf); err != nil {
			return false
		}
		if t := field(c.buf, "btime"); t > 0 {
			c.boot = t
		}
	}
	return c.boot != 0
}
