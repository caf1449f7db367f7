package pages

import (
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
)

const (
	// stateFresh is how old a pushed value may be and still count for the present one.
	stateFresh = 5 * time.Minute

	instanceLabel = "instance"
)

var unknown = math.NaN()

// pseudoType and pseudoMount match file systems that are on no disk of the machine,
// as realFS does.
var (
	pseudoType  = regexp.MustCompile(`^(?:` + pseudoTypes + `)$`)
	pseudoMount = regexp.MustCompile(`^(?:` + pseudoMounts + `)$`)
)

func realDisk(ls metric.Labels) bool {
	return !pseudoType.MatchString(ls.Get("fstype")) && !pseudoMount.MatchString(ls.Get("mountpoint"))
}

// stateValues are the latest pushed values of a machine, where the history has none,
// or there is no history.
type stateValues struct {
	seen             int64 // Unix ms: the newest of what tells of a machine
	cpuSum, cpuCount float64
	total, free      float64 // bytes of memory
	load, boot       float64
	version          string
	freeNode         bool // free comes from node_exporter
	disks            []disk
}

// disk is a file system.
type disk struct {
	mount       string
	size, avail float64
}

var noValues = stateValues{total: unknown, free: unknown, load: unknown, boot: unknown}

// disk is the file system mounted there; it is made.
func (v *stateValues) disk(mount string) *disk {
	for i := range v.disks {
		if v.disks[i].mount == mount {
			return &v.disks[i]
		}
	}
	v.disks = append(v.disks, disk{mount, unknown, unknown})
	return &v.disks[len(v.disks)-1]
}

// pushed takes what a pushed value says of the machine it is of.
func (s *survey) pushed(p *metric.Metric) {
	name := p.Labels.Get(instanceLabel)
	if name == "" {
		return
	}
	m := s.machine(name)
	m.votes.add(p.Labels)
	if !ofAgent(p.Name) {
		return
	}
	v := &m.state
	v.seen = max(v.seen, p.Timestamp)
	if s.now.UnixMilli()-p.Timestamp > stateFresh.Milliseconds() || p.Kind != metric.Gauge {
		return
	}
	switch p.Name {
	case "node_memory_MemTotal_bytes", "TotalMemory":
		v.total = p.Value
	case "node_memory_MemAvailable_bytes":
		v.free, v.freeNode = p.Value, true
	case "FreeMemory":
		if !v.freeNode {
			v.free = p.Value
		}
	case "node_load1":
		v.load = p.Value
	case "node_boot_time_seconds":
		v.boot = p.Value
	case "node_filesystem_size_bytes":
		if !s.f.p.history() && realDisk(p.Labels) {
			v.disk(p.Labels.Get("mountpoint")).size = p.Value
		}
	case "node_filesystem_avail_bytes":
		if !s.f.p.history() && realDisk(p.Labels) {
			v.disk(p.Labels.Get("mountpoint")).avail = p.Value
		}
	case agentInfo:
		v.version = p.Labels.Get("version")
	default:
		if strings.HasPrefix(p.Name, cpuPrefix) {
			v.cpuSum += p.Value
			v.cpuCount++
		}
	}
}

const (
	agentInfo = "gometheus_agent_info"
	cpuPrefix = "CPUutilization"
)

// ofAgent tells whether a name is of what an agent sends of its machine.
func ofAgent(name string) bool {
	return strings.HasPrefix(name, "node_") || strings.HasPrefix(name, cpuPrefix) ||
		name == "TotalMemory" || name == "FreeMemory" || name == agentInfo
}

// fromStateAlone finds the machines when there is no history: those for which
// something was pushed that an agent sends, by the age of that.
func (s *survey) fromStateAlone() {
	for _, m := range s.machines {
		if m.state.seen == 0 {
			continue
		}
		m.found, m.Seen, m.every = true, time.UnixMilli(m.state.seen), usualInterval
		m.State = stateOf(s.now.Sub(m.Seen), m.every)
	}
}

// complete puts in what was pushed where nothing else is known, and the labels.
func (m *machine) complete(now time.Time) {
	or := func(v *float64, other float64) {
		if math.IsNaN(*v) {
			*v = other
		}
	}
	v := &m.state
	if v.cpuCount > 0 {
		or(&m.CPU, v.cpuSum/v.cpuCount)
	}
	if v.total > 0 {
		or(&m.Memory, 100*(1-v.free/v.total))
	}
	for _, d := range v.disks {
		if used := 100 * (1 - d.avail/d.size); d.size > 0 && (math.IsNaN(m.Disk) || used > m.Disk) {
			m.Disk, m.Mount = used, d.mount
		}
	}
	or(&m.Load, v.load)
	if v.boot > 0 {
		or(&m.Uptime, float64(now.UnixMilli())/1000-v.boot)
	}
	if m.Version == "" {
		m.Version = v.version
	}
	if len(m.Labels) == 0 {
		m.Labels = m.votes.won()
	}
}

// votes counts the labels of a machine's series. Those that most have are its own:
// env=prod, which an agent adds to all it sends, and not cpu=3.
type votes struct {
	total  int
	labels []vote
}

type vote struct {
	metric.Label
	n int
}

// maxVotes bounds the labels counted: the machine's own come early.
const maxVotes = 24

func (v *votes) add(ls metric.Labels) {
	v.total++
next:
	for _, l := range ls {
		if l.Name == instanceLabel {
			continue
		}
		for i := range v.labels {
			if v.labels[i].Label == l {
				v.labels[i].n++
				continue next
			}
		}
		if len(v.labels) < maxVotes {
			v.labels = append(v.labels, vote{l, 1})
		}
	}
}

// won are the labels that more than half of all have, sorted by name.
func (v *votes) won() []templates.Label {
	var out []templates.Label
	for _, c := range v.labels {
		if 2*c.n > v.total {
			out = append(out, c.Label)
		}
	}
	slices.SortFunc(out, func(a, b templates.Label) int { return strings.Compare(a.Name, b.Name) })
	return out
}
