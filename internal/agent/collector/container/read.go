package container

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/hostfile"
)

// unknown marks what could not be read and is not told.
var unknown = math.NaN()

// unlimited is what v1 says, rounded to pages, where there is no limit.
const unlimited = 1 << 62

// stats is one container as of now. What is unknown is NaN.
type stats struct {
	*container
	cpu, cpuUser, cpuSystem              float64 // seconds
	periods, throttledPeriods, throttled float64 // and seconds
	memory, workingSet, rss, cache, swap float64 // bytes
	ooms                                 float64
	processes, threads                   float64
	lastSeen                             float64
	disks                                []disk
	interfaces                           []netInterface
}

// limits are what a container may use.
type limits struct {
	quota, period float64 // microseconds
	shares        float64
	memoryLimit   float64 // bytes; 0: none
	threadsMax    float64 // 0: none
}

// limitsFor is how long limits count as read.
const limitsFor = time.Minute

// disk is what a container read from and wrote to a block device.
type disk struct {
	device                               string
	readBytes, writeBytes, reads, writes float64
}

// readLocked reads everything but the network.
func (c *Collector) readLocked(ct *container, now time.Time) *stats {
	if age := now.Sub(ct.limitsAt); age >= limitsFor || age < 0 {
		ct.limitsAt, ct.hasLimits, ct.absent = now, false, nil
	}
	s := &stats{container: ct}
	if c.groups.unified {
		c.readV2Locked(s)
	} else {
		c.readV1Locked(s)
	}
	ct.hasLimits = true
	if math.IsNaN(s.limits.quota) { // as cAdvisor: what isn't limited isn't throttled
		s.periods, s.throttledPeriods, s.throttled = unknown, unknown, unknown
	}
	c.processesLocked(s)
	return s
}

func (c *Collector) readV2Locked(s *stats) {
	cpu := c.fileLocked(s, "cpu", "cpu.stat")
	s.cpu = field(cpu, "usage_usec") / 1e6
	s.cpuUser = field(cpu, "user_usec") / 1e6
	s.cpuSystem = field(cpu, "system_usec") / 1e6
	s.periods = field(cpu, "nr_periods")
	s.throttledPeriods = field(cpu, "nr_throttled")
	s.throttled = field(cpu, "throttled_usec") / 1e6

	s.memory = number(c.fileLocked(s, "memory", "memory.current"))
	memory := c.fileLocked(s, "memory", "memory.stat")
	s.rss = field(memory, "anon")
	s.cache = field(memory, "file")
	s.workingSet = max(0, s.memory-field(memory, "inactive_file"))
	s.swap = number(c.fileLocked(s, "memory", "memory.swap.current"))
	s.ooms = field(c.fileLocked(s, "memory", "memory.events"), "oom_kill")

	s.threads = number(c.fileLocked(s, "pids", "pids.current"))
	s.disks = c.disksV2Locked(c.fileLocked(s, "blkio", "io.stat"))

	if s.hasLimits {
		return
	}
	quota, period, _ := bytes.Cut(c.fileLocked(s, "cpu", "cpu.max"), []byte(" "))
	s.limits.quota, s.limits.period = number(quota), number(period)
	s.limits.shares = sharesOf(number(c.fileLocked(s, "cpu", "cpu.weight")))
	s.limits.memoryLimit = limit(c.fileLocked(s, "memory", "memory.max"))
	s.limits.threadsMax = limit(c.fileLocked(s, "pids", "pids.max"))
}

func (c *Collector) readV1Locked(s *stats) {
	s.cpu = number(c.fileLocked(s, "cpuacct", "cpuacct.usage")) / 1e9
	s.cpuUser = number(c.fileLocked(s, "cpuacct", "cpuacct.usage_user")) / 1e9
	s.cpuSystem = number(c.fileLocked(s, "cpuacct", "cpuacct.usage_sys")) / 1e9
	if math.IsNaN(s.cpuUser) { // before Linux 4.6
		ticks := c.fileLocked(s, "cpuacct", "cpuacct.stat")
		s.cpuUser, s.cpuSystem = field(ticks, "user")/ticksPerSecond, field(ticks, "system")/ticksPerSecond
	}
	cpu := c.fileLocked(s, "cpu", "cpu.stat")
	s.periods = field(cpu, "nr_periods")
	s.throttledPeriods = field(cpu, "nr_throttled")
	s.throttled = field(cpu, "throttled_time") / 1e9

	s.memory = number(c.fileLocked(s, "memory", "memory.usage_in_bytes"))
	memory := c.fileLocked(s, "memory", "memory.stat")
	s.rss = field(memory, "total_rss")
	s.cache = field(memory, "total_cache")
	s.swap = field(memory, "total_swap")
	s.workingSet = max(0, s.memory-field(memory, "total_inactive_file"))
	s.ooms = field(c.fileLocked(s, "memory", "memory.oom_control"), "oom_kill")

	s.threads = number(c.fileLocked(s, "pids", "pids.current"))
	// What containers below did is in the recursive ones only, which are newer. The
	// throttle counts whatever scheduler the disk has.
	sizes := c.fileLocked(s, "blkio", "blkio.throttle.io_service_bytes_recursive")
	var disks diskList
	if len(sizes) > 0 {
		c.disksV1Locked(&disks, sizes, true)
		c.disksV1Locked(&disks, c.fileLocked(s, "blkio", "blkio.throttle.io_serviced_recursive"), false)
	} else {
		c.disksV1Locked(&disks, c.fileLocked(s, "blkio", "blkio.throttle.io_service_bytes"), true)
		c.disksV1Locked(&disks, c.fileLocked(s, "blkio", "blkio.throttle.io_serviced"), false)
	}
	s.disks = disks

	if s.hasLimits {
		return
	}
	s.limits.quota = number(c.fileLocked(s, "cpu", "cpu.cfs_quota_us")) // -1, which is no number here: none
	s.limits.period = number(c.fileLocked(s, "cpu", "cpu.cfs_period_us"))
	s.limits.shares = number(c.fileLocked(s, "cpu", "cpu.shares"))
	s.limits.memoryLimit = limit(c.fileLocked(s, "memory", "memory.limit_in_bytes"))
	s.limits.threadsMax = limit(c.fileLocked(s, "pids", "pids.max"))
}

// fileLocked returns what a file of the cgroup holds, until the next call; nothing when it
// isn't there, as with a controller that is off or a container that has just ended.
func (c *Collector) fileLocked(s *stats, controller, name string) []byte {
	root := c.groups.roots[controller]
	if root == "" || s.absent[name] {
		return nil
	}
	var err error
	c.buf, err = hostfile.Read(root+s.path+"/"+name, c.buf)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			if s.absent == nil {
				s.absent = make(map[string]bool)
			}
			s.absent[name] = true
		}
		if errors.Is(err, fs.ErrPermission) {
			c.sayLocked("some values of containers are left out: they need root", zap.Error(err))
		}
		return nil
	}
	return c.buf
}

// field finds the number behind a word at the start of a line.
func field(b []byte, name string) float64 {
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		if len(line) > len(name) && line[len(name)] == ' ' && string(line[:len(name)]) == name {
			return number(line[len(name)+1:])
		}
		b = rest
	}
	return unknown
}

// number reads one that isn't negative, alone but for white space.
func number(b []byte) float64 {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return unknown
	}
	return float64(n)
}

// limit is a number, or 0 for none.
func limit(b []byte) float64 {
	if string(bytes.TrimSpace(b)) == "max" {
		return 0
	}
	n := number(b)
	if n >= unlimited {
		return 0
	}
	return n
}

// sharesOf turns a weight (v2, 1 to 10,000) into the shares (v1, 2 to 262,144) that it
// was made of, as cAdvisor does.
func sharesOf(weight float64) float64 {
	return math.Floor(2 + (weight-1)*262142/9999)
}

// diskList is sorted by nothing and has every device once.
type diskList []disk

func (d *diskList) of(device string) *disk {
	for i := range *d {
		if (*d)[i].device == device {
			return &(*d)[i]
		}
	}
	*d = append(*d, disk{device: device})
	return &(*d)[len(*d)-1]
}

// disksV2Locked reads lines "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …". Some kernels put the
// numbers of devices that have nothing to tell before the next one, on one line.
func (c *Collector) disksV2Locked(b []byte) []disk {
	var disks diskList
	for line := range bytes.Lines(b) {
		device := ""
		var d disk
		for word := range bytes.FieldsSeq(line) {
			name, value, ok := strings.Cut(string(word), "=")
			switch {
			case !ok:
				device = name
			case name == "rbytes":
				d.readBytes = number([]byte(value))
			case name == "wbytes":
				d.writeBytes = number([]byte(value))
			case name == "rios":
				d.reads = number([]byte(value))
			case name == "wios":
				d.writes = number([]byte(value))
			}
		}
		if device != "" && d != (disk{}) {
			d.device = c.deviceLocked(device)
			*disks.of(d.device) = d
		}
	}
	return disks
}

// disksV1Locked reads lines "8:0 Read 1".
func (c *Collector) disksV1Locked(disks *diskList, b []byte, sizes bool) {
	for line := range bytes.Lines(b) {
		words := strings.Fields(string(line))
		if len(words) != 3 || words[1] != "Read" && words[1] != "Write" {
			continue
		}
		n := number([]byte(words[2]))
		if math.IsNaN(n) {
			continue
		}
		d := disks.of(c.deviceLocked(words[0]))
		switch {
		case sizes && words[1] == "Read":
			d.readBytes = n
		case sizes:
			d.writeBytes = n
		case words[1] == "Read":
			d.reads = n
		default:
			d.writes = n
		}
	}
}

// deviceLocked returns /dev/sda for 8:0.
func (c *Collector) deviceLocked(numbers string) string {
	if name, ok := c.devices[numbers]; ok {
		return name
	}
	if strings.Trim(numbers, "0123456789:") != "" {
		return clean(numbers)
	}
	target, err := os.Readlink(filepath.Join(c.root, "sys/dev/block", numbers))
	if err != nil {
		return numbers
	}
	name := "/dev/" + clean(filepath.Base(target))
	if len(c.devices) > 10_000 { // disks that come and go
		clear(c.devices)
	}
	c.devices[numbers] = name
	return name
}

// sortedDisks is for steady output.
func sortedDisks(d []disk) []disk {
	slices.SortFunc(d, func(a, b disk) int { return strings.Compare(a.device, b.device) })
	return d
}
