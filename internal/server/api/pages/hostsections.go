package pages

import (
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/promql"

	"github.com/gometheus/gometheus/internal/server/templates"
)

// What stands for devices of the machine itself, and not for what containers and
// the kernel make of them.
const (
	physicalNet  = `device!~"lo|(veth|br-|docker|virbr|cali|flannel|cni|cilium|lxc|tap|tun|vnet|ifb|dummy).*"`
	physicalDisk = `device!~"(loop|ram|zram|dm-|md|sr|fd|nbd).*"`
	realFS       = `fstype!~"` + pseudoTypes + `",mountpoint!~"` + pseudoMounts + `"`
	pseudoTypes  = `tmpfs|devtmpfs|ramfs|squashfs|overlay|rootfs|proc|sysfs|autofs|nsfs|fuse.lxcfs|tracefs|cgroup.*|iso9660|erofs|efivarfs`
	pseudoMounts = `/(run|var/lib/(docker|containers|kubelet))/.+`
	fullness     = `100 * (1 - max by (mountpoint) (node_filesystem_avail_bytes{SEL,` + realFS + `}) / max by (mountpoint) (node_filesystem_size_bytes{SEL,` + realFS + `} > 0))`

	listed = 15 // rows of a table of processes or containers
	drawn  = 8  // lines of their charts
)

// sections are the parts of the page that the machine has data for.
func (h *host) sections(page *templates.Host) {
	for _, section := range []func() templates.Section{
		h.cpu, h.filesystems, h.disks, h.network, h.processes, h.containers, h.services, h.own,
	} {
		s := section()
		if len(s.Charts) == 0 && len(s.Tables) == 0 {
			continue
		}
		for i := range s.Charts {
			s.Charts[i].Query = h.expand(s.Charts[i].Query, "$window")
		}
		page.Sections = append(page.Sections, s)
	}
}

func (h *host) cpu() templates.Section {
	s := templates.Section{ID: "cpu", Title: "CPU and memory"}
	if h.has("node_cpu_seconds_total") {
		s.Charts = append(s.Charts, templates.Chart{
			ID: "cpu", Title: "CPU by mode", Unit: "percent", Stack: true, Max: "100",
			Query: `100 * avg by (mode) (rate(node_cpu_seconds_total{SEL,mode!~"guest.*"}[$window]))`,
		})
	}
	if h.has("node_load1") {
		s.Charts = append(s.Charts, templates.Chart{
			ID: "load", Title: "Load",
			Query: `{__name__=~"node_load1|node_load5|node_load15",SEL} or count(count by (cpu) (node_cpu_seconds_total{SEL}))`,
		})
	}
	if h.has("node_memory_MemTotal_bytes") {
		s.Charts = append(s.Charts, templates.Chart{
			ID: "memory", Title: "Memory", Unit: "bytes", Stack: true,
			Query: `{__name__=~"node_memory_(MemTotal|MemFree|Buffers|Cached|SReclaimable)_bytes",SEL}`,
		})
	}
	if h.has("node_pressure_cpu_waiting_seconds_total", "node_pressure_memory_waiting_seconds_total", "node_pressure_io_waiting_seconds_total") {
		what := func(name, shown string) string {
			return `label_replace(rate(node_pressure_` + name + `_waiting_seconds_total{SEL}[$window]), "what", "` + shown + `", "", "")`
		}
		s.Charts = append(s.Charts, templates.Chart{
			ID: "pressure", Title: "Pressure: time that something waits", Unit: "percent",
			Query: `100 * (` + what("cpu", "CPU") + ` or ` + what("memory", "memory") + ` or ` + what("io", "disks") + `)`,
		})
	}
	if h.has("node_memory_SwapTotal_bytes") && h.one(`node_memory_SwapTotal_bytes{SEL}`) > 0 {
		s.Charts = append(s.Charts, templates.Chart{
			ID: "swap", Title: "Swap", Unit: "bytes", Query: `{__name__=~"node_memory_Swap(Total|Free)_bytes",SEL}`,
		})
	}
	return s
}

func (h *host) filesystems() templates.Section {
	s := templates.Section{ID: "filesystems", Title: "Filesystems"}
	if !h.has("node_filesystem_size_bytes") {
		return s
	}
	sizes := h.ask(`node_filesystem_size_bytes{SEL,` + realFS + `} > 0`)
	free := by(h.ask(`node_filesystem_avail_bytes{SEL,`+realFS+`}`), "mountpoint")
	slices.SortFunc(sizes, func(a, b promql.Sample) int {
		return strings.Compare(a.Metric.Get("mountpoint"), b.Metric.Get("mountpoint"))
	})
	t := templates.Table{Columns: []templates.TableColumn{
		{Title: "Mounted on"}, {Title: "Device"}, {Title: "Type"}, {Title: "Size", Number: true}, {Title: "Free", Number: true}, {Title: "Used", Number: true}, {Title: ""},
	}}
	for _, fs := range sizes {
		mount := fs.Metric.Get("mountpoint")
		left, ok := free[mount]
		if !ok {
			continue
		}
		share := 1 - left/fs.F
		t.Rows = append(t.Rows, []templates.Cell{
			{Text: mount},
			{Text: fs.Metric.Get("device")},
			{Text: fs.Metric.Get("fstype")},
			{Text: templates.FormatBytes(fs.F), Number: true},
			{Text: templates.FormatBytes(left), Number: true},
			{Text: templates.FormatPercent(100 * share), Number: true},
			{Share: &share},
		})
	}
	if len(t.Rows) > 0 {
		s.Charts = []templates.Chart{{ID: "full", Title: "How full", Unit: "percent", Max: "100", Query: fullness}}
		s.Tables = []templates.Table{t}
	}
	return s
}

func (h *host) disks() templates.Section {
	s := templates.Section{ID: "disks", Title: "Disks"}
	if !h.has("node_disk_read_bytes_total", "node_disk_io_time_seconds_total") {
		return s
	}
	rate := func(name string) string {
		return `sum by (device) (rate(node_disk_` + name + `{SEL,` + physicalDisk + `}[$window]))`
	}
	both := func(read, written string) string {
		return `label_replace(` + rate(read) + `, "way", "read", "", "") or label_replace(` + rate(written) + `, "way", "write", "", "")`
	}
	readBytes, writtenBytes := by(h.ask(rate("read_bytes_total")), "device"), by(h.ask(rate("written_bytes_total")), "device")
	reads, writes := by(h.ask(rate("reads_completed_total")), "device"), by(h.ask(rate("writes_completed_total")), "device")
	busy := by(h.ask(rate("io_time_seconds_total")), "device")
	t := templates.Table{Columns: []templates.TableColumn{
		{Title: "Disk"},
		{Title: "Reads", Number: true},
		{Title: "Writes", Number: true},
		{Title: "Read", Number: true},
		{Title: "Written", Number: true},
		{Title: "Busy", Number: true},
		{Title: ""},
	}}
	for _, device := range sortedKeys(busy) {
		share := min(1, busy[device])
		t.Rows = append(t.Rows, []templates.Cell{
			{Text: device},
			perSecond(reads[device]), perSecond(writes[device]), bytesPerSecond(readBytes[device]), bytesPerSecond(writtenBytes[device]),
			{Text: templates.FormatPercent(100 * share), Number: true},
			{Share: &share},
		})
	}
	if len(t.Rows) > 0 {
		s.Charts = []templates.Chart{
			{ID: "disk-bytes", Title: "Throughput", Unit: "bytes/s", Query: both("read_bytes_total", "written_bytes_total")},
			{ID: "disk-ops", Title: "Operations", Unit: "ops/s", Query: both("reads_completed_total", "writes_completed_total")},
			{ID: "disk-busy", Title: "Busy", Unit: "percent", Query: `100 * ` + rate("io_time_seconds_total")},
		}
		s.Tables = []templates.Table{t}
	}
	return s
}

func (h *host) network() templates.Section {
	s := templates.Section{ID: "network", Title: "Network"}
	if !h.has("node_network_receive_bytes_total") {
		return s
	}
	rate := func(name string) string {
		return `sum by (device) (rate(node_network_` + name + `_total{SEL,` + physicalNet + `}[$window]))`
	}
	in, out := by(h.ask(rate("receive_bytes")), "device"), by(h.ask(rate("transmit_bytes")), "device")
	inErrors, outErrors := by(h.ask(rate("receive_errs")), "device"), by(h.ask(rate("transmit_errs")), "device")
	inDrops, outDrops := by(h.ask(rate("receive_drop")), "device"), by(h.ask(rate("transmit_drop")), "device")
	t := templates.Table{Columns: []templates.TableColumn{
		{Title: "Device"}, {Title: "Received", Number: true}, {Title: "Transmitted", Number: true}, {Title: "Errors", Number: true}, {Title: "Dropped", Number: true},
	}}
	for _, device := range sortedKeys(in) {
		t.Rows = append(t.Rows, []templates.Cell{
			{Text: device},
			bytesPerSecond(in[device]), bytesPerSecond(out[device]),
			perSecond(inErrors[device] + outErrors[device]), perSecond(inDrops[device] + outDrops[device]),
		})
	}
	if len(t.Rows) > 0 {
		s.Charts = []templates.Chart{
			{ID: "net-in", Title: "Received", Unit: "bytes/s", Query: rate("receive_bytes")},
			{ID: "net-out", Title: "Transmitted", Unit: "bytes/s", Query: rate("transmit_bytes")},
		}
		s.Tables = []templates.Table{t}
	}
	return s
}

func (h *host) processes() templates.Section {
	s := templates.Section{ID: "processes", Title: "Processes", Note: "By name; CPU is in percent of one core."}
	const (
		cpu    = `namedprocess_namegroup_cpu_seconds_total`
		memory = `namedprocess_namegroup_memory_bytes`
	)
	if !h.has(cpu, memory) {
		return s
	}
	return h.users(s, "process", "groupname",
		`sum by (groupname) (rate(`+cpu+`{SEL%s}[$window]))`, `sum by (groupname) (`+memory+`{SEL,memtype="resident"%s})`,
		by(h.ask(`sum by (groupname) (namedprocess_namegroup_num_procs{SEL})`), "groupname"))
}

func (h *host) containers() templates.Section {
	s := templates.Section{ID: "containers", Title: "Containers", Note: "CPU is in percent of one core."}
	const (
		cpu    = `container_cpu_usage_seconds_total`
		memory = `container_memory_working_set_bytes`
	)
	if !h.has(cpu, memory) {
		return s
	}
	return h.users(s, "container", "name",
		`sum by (name) (rate(`+cpu+`{SEL,name!=""%s}[$window]))`, `sum by (name) (`+memory+`{SEL,name!=""%s})`, nil)
}

// users is a section of those who use CPU and memory, by a label. The queries have
// a %s where a matcher may stand. counts is how many each of them is; nil: it isn't
// told.
func (h *host) users(s templates.Section, id, label, cpuQuery, memoryQuery string, counts map[string]float64) templates.Section {
	cpu := by(h.ask(strings.Replace(cpuQuery, "%s", "", 1)), label)
	memory := by(h.ask(strings.Replace(memoryQuery, "%s", "", 1)), label)
	byCPU, byMemory := top(cpu, listed), top(memory, listed)
	names := slices.Clone(byCPU)
	for _, name := range byMemory {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return s
	}
	t := templates.Table{Columns: []templates.TableColumn{{Title: "Name"}, {Title: "CPU", Number: true}, {Title: "Memory", Number: true}}}
	if counts != nil {
		t.Columns = append(t.Columns, templates.TableColumn{Title: "Count", Number: true})
	}
	t.More = max(len(cpu), len(memory)) - len(names)
	for _, name := range names {
		row := []templates.Cell{
			{Text: name}, {Text: templates.FormatPercent(100 * cpu[name]), Number: true}, {Text: templates.FormatBytes(memory[name]), Number: true},
		}
		if counts != nil {
			row = append(row, templates.Cell{Text: templates.FormatNumber(counts[name]), Number: true})
		}
		t.Rows = append(t.Rows, row)
	}
	only := func(names []string) string { return `,` + label + `=~` + anyOf(names[:min(drawn, len(names))]) }
	if len(byCPU) > 0 {
		s.Charts = append(s.Charts, templates.Chart{
			ID: id + "-cpu", Title: "Most CPU", Unit: "percent", Query: `100 * ` + strings.Replace(cpuQuery, "%s", only(byCPU), 1),
		})
	}
	if len(byMemory) > 0 {
		s.Charts = append(s.Charts, templates.Chart{
			ID: id + "-memory", Title: "Most memory", Unit: "bytes", Query: strings.Replace(memoryQuery, "%s", only(byMemory), 1),
		})
	}
	s.Tables = []templates.Table{t}
	return s
}

func (h *host) services() templates.Section {
	s := templates.Section{ID: "services", Title: "Services"}
	if !h.has("node_systemd_unit_state") {
		return s
	}
	badges := map[string]string{"active": "good", "failed": "bad", "activating": "warn", "deactivating": "warn"}
	order := []string{"failed", "activating", "deactivating", "active", "inactive"}
	units := h.ask(`node_systemd_unit_state{SEL,name=~".+\\.(service|timer|mount)"} == 1`)
	slices.SortFunc(units, func(a, b promql.Sample) int {
		if d := slices.Index(order, a.Metric.Get("state")) - slices.Index(order, b.Metric.Get("state")); d != 0 {
			return d
		}
		return strings.Compare(a.Metric.Get("name"), b.Metric.Get("name"))
	})
	t := templates.Table{Columns: []templates.TableColumn{{Title: "Unit"}, {Title: "State"}}}
	const most = 60
	for _, u := range units {
		switch at := u.Metric.Get("state"); {
		case at == "inactive":
		case len(t.Rows) == most:
			t.More++
		default:
			t.Rows = append(t.Rows, []templates.Cell{{Text: u.Metric.Get("name")}, {Text: at, Badge: badges[at]}})
		}
	}
	if len(t.Rows) > 0 {
		s.Tables = []templates.Table{t}
	}
	return s
}

// own are the agent's own gauges, where it doesn't tell more.
func (h *host) own() templates.Section {
	s := templates.Section{ID: "own", Title: "What the agent sees"}
	if h.has("node_cpu_seconds_total", "node_memory_MemTotal_bytes") {
		return s
	}
	if h.has("CPUutilization1") {
		s.Charts = append(s.Charts, templates.Chart{
			ID: "own-cpu", Title: "CPU by core", Unit: "percent", Max: "100", Query: `{__name__=~"CPUutilization[0-9]+",SEL}`,
		})
	}
	if h.has("TotalMemory") {
		s.Charts = append(s.Charts, templates.Chart{
			ID: "own-memory", Title: "Memory", Unit: "bytes", Stack: true, Query: `{__name__=~"TotalMemory|FreeMemory",SEL}`,
		})
	}
	return s
}

func perSecond(v float64) templates.Cell {
	return templates.Cell{Text: templates.FormatNumber(round(v)) + "/s", Number: true}
}

func bytesPerSecond(v float64) templates.Cell {
	return templates.Cell{Text: templates.FormatBytes(v) + "/s", Number: true}
}

// round leaves out what is less than a hundredth.
func round(v float64) float64 { return math.Round(100*v) / 100 }

func sortedKeys(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
