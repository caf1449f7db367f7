// Package container tells what each container of the machine uses, under the names
// and labels of cAdvisor (github.com/google/cadvisor), so that its dashboards and
// rules work. It reads cgroups (v1, hybrid and v2) and /proc, and needs neither a
// container engine nor its socket nor special rights.
//
// # What a container is
//
// A cgroup whose path is of one of these shapes is a container, with all below it:
//
//	…/<64 hex digits>                     docker, containerd, kubepods (cgroupfs)
//	…/docker-<id>.scope                   docker (systemd)
//	…/cri-containerd-<id>.scope, …:cri-containerd:<id>, …/crio-<id>.scope
//	…/libpod-<id>.scope, …/libpod-<id>, …/libpod-payload-<id>     podman
//	…/<32 hex digits>-<digits>            ECS
//	…/lxc.payload.<name>, …/lxc.payload/<name>, …/lxc/<name>
//	machine.slice/systemd-nspawn@<name>.service, machine.slice/machine-<name>.scope
//
// All else is none: services of systemd (system.slice/*.service), sessions, virtual
// machines (machine-qemu…), the monitors of engines (conmon, lxc.monitor). Containers
// inside of a container count as part of it and are not told by themselves. At most
// 500 are told.
//
// # Labels
//
// id is the path of the cgroup. name and image are what the Docker socket says (or
// podman's, which speaks the same), when it may be read; else name is the first 12
// digits of the id, image is empty. LXC and nspawn have their names in the path.
//
// # Differences from cAdvisor
//
// container_cpu_usage_seconds_total always has cpu="total". container_oom_events_total
// is the cgroup's own count of killed processes; cAdvisor reads the kernel's log.
// container_start_time_seconds is when the first process started, so a restart shows.
// Network is told of one container of each network namespace, the oldest: a pod's
// traffic is not counted once for each of its containers; and of none that uses the
// machine's. Labels of containers (container_label_…) are not told.
//
// Some of cAdvisor's names are not as client libraries would have them (gauges of
// bytes without a unit at the end: container_memory_rss, …_cache, …_swap). They are
// kept, since dashboards ask for them.
package container

import (
	"cmp"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/hostfile"
)

// maxContainers is how many are told.
const maxContainers = 500

// Options says where to look.
type Options struct {
	// Root is where the machine's /proc, /sys and /run are found, for an agent in a
	// container; empty means "/".
	Root string
	// DockerHost is the engine that knows names and images: unix:///path or
	// tcp://host:port. Empty means the sockets that Docker and podman have by default,
	// if they are there.
	DockerHost string
	// Log hears once of each thing that can't be read; nil means nobody does.
	Log *zap.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Collector implements prometheus.Collector. It is safe for concurrent use.
type Collector struct {
	root    string
	log     *zap.Logger
	now     func() time.Time
	metrics []metric

	mu         sync.Mutex
	said       map[string]bool
	groups     *hierarchy // nil until it is found
	engines    []*engine
	containers map[string]*container // by path
	devices    map[string]string     // names by numbers
	boot       float64               // Unix seconds; 0 until it is known
	buf        []byte
}

// container is what is known of one between two Collects.
type container struct {
	identity
	path  string // of the cgroup
	cgid  string // the label id
	name  string
	image string
	pid   int     // the process that it began with, as far as it lives; else 0
	start float64 // Unix seconds
	tree  string  // where its processes are listed
	seen  bool

	// What seldom changes is read once a minute.
	limits    limits
	limitsAt  time.Time
	hasLimits bool
	absent    map[string]bool // files that weren't there, looked for again then
}

// New returns a collector of this machine. It works on Linux; elsewhere it says so
// once and tells nothing.
func New(o Options) *Collector {
	c := &Collector{
		root:       cmp.Or(o.Root, "/"),
		log:        o.Log,
		now:        o.Now,
		metrics:    newMetrics(),
		said:       make(map[string]bool),
		containers: make(map[string]*container),
		devices:    make(map[string]string),
	}
	if c.log == nil {
		c.log = zap.NewNop()
	}
	if c.now == nil {
		c.now = time.Now
	}
	var err error
	if c.engines, err = newEngines(o.DockerHost, c.root); err != nil {
		c.log.Warn("containers are named by the first digits of their ids", zap.Error(err))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for i := range c.metrics {
		ch <- c.metrics[i].desc
	}
}

// Collect implements prometheus.Collector. What can't be read is left out and said
// once in the log; it never makes a gathering fail. An engine that hangs delays it by
// a second, and is left alone for a while then.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if runtime.GOOS != "linux" {
		c.sayLocked("containers are told on Linux only")
		return
	}
	if c.groups == nil {
		if c.groups = findHierarchy(filepath.Join(c.root, "sys/fs/cgroup")); c.groups == nil {
			c.sayLocked("no cgroups are found: containers are left out", zap.String("folder", c.root))
			return
		}
	}
	now := c.now()
	found := c.findLocked()
	c.nameLocked(found, now)

	all := make([]*stats, 0, len(found))
	for _, ct := range found {
		s := c.readLocked(ct, now)
		s.lastSeen = float64(now.Unix())
		all = append(all, s)
	}
	c.networkLocked(all)
	for _, s := range all {
		c.sendLocked(ch, s)
	}
}

// sayLocked logs once what can't be done.
func (c *Collector) sayLocked(message string, fields ...zap.Field) {
	if !c.said[message] {
		c.said[message] = true
		c.log.Warn(message, fields...)
	}
}

// findLocked returns the containers there are, ordered by path, and forgets those that
// are gone.
func (c *Collector) findLocked() []*container {
	ids, complete := c.groups.find()
	if !complete {
		c.sayLocked("there are too many cgroups: containers may be left out", zap.Int("looked at", maxFolders))
	}
	for _, ct := range c.containers {
		ct.seen = false
	}
	paths := make([]string, 0, len(ids))
	for path := range ids {
		if ct := c.containers[path]; ct != nil {
			ct.seen = true
		} else {
			paths = append(paths, path)
		}
	}
	for path, ct := range c.containers {
		if !ct.seen {
			delete(c.containers, path)
		}
	}
	slices.Sort(paths)
	// Who is known stays: which are left out must not change from time to time.
	if room := maxContainers - len(c.containers); len(paths) > room {
		c.sayLocked("there are too many containers: some are left out", zap.Int("limit", maxContainers))
		paths = paths[:room]
	}
	for _, path := range paths {
		id := ids[path]
		c.containers[path] = &container{identity: id, path: path, cgid: idLabel(path), name: id.defaultName()}
	}
	found := make([]*container, 0, len(c.containers))
	for _, ct := range c.containers {
		found = append(found, ct)
	}
	slices.SortFunc(found, func(a, b *container) int { return strings.Compare(a.path, b.path) })
	return found
}

// clean makes a label value of what others chose.
func clean(s string) string { return hostfile.Clean(s, 512) }

// idLabel is the label id: the path as it is, or quoted where it is no text, so that
// two that differ stay different.
func idLabel(path string) string {
	if hostfile.Clean(path, len(path)) == path {
		return path
	}
	return strconv.QuoteToASCII(path)
}
