package pages

import (
	"context"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

const (
	hostPrefix = "/host/"
	// hostPatience is how long the page of a machine waits for its queries. Then it
	// shows what it has.
	hostPatience = 10 * time.Second
)

// Host answers GET /host/{instance}: the page of a machine.
func (p *Pages) Host(w http.ResponseWriter, r *http.Request) error {
	instance, err := nameIn(r.URL, hostPrefix)
	if err != nil {
		return err
	}
	page := templates.Host{Layout: p.layout(r), Instance: instance, Interval: usualInterval}
	pushed, near, err := p.pushed(r.Context(), instance)
	if err != nil {
		return err
	}
	for _, m := range pushed {
		if t := time.UnixMilli(m.Timestamp); t.After(page.Seen) {
			page.Seen = t
		}
	}
	known := len(pushed) > 0
	ctx, cancel := context.WithTimeout(r.Context(), hostPatience)
	defer cancel()
	h := &host{p: p, ctx: ctx, instance: instance, names: map[string]int{}}
	if p.history() {
		seen, inHistory, err := h.look(page.Now)
		if err != nil && !(inHistory && codes.CodeOf(err) == codes.Unavailable) {
			return err
		}
		known = known || inHistory
		if seen.After(page.Seen) {
			page.Seen = seen
		}
		page.Interval = h.interval
	}
	if !known {
		missing := templates.Missing{Layout: page.Layout, What: "machine", Name: instance}
		for _, name := range near {
			missing.Near = append(missing.Near, templates.Link{Text: name, URL: page.HostURL(name)})
		}
		return respond(w, http.StatusNotFound, func(w io.Writer) error { return templates.RenderMissing(w, missing) })
	}
	page.State = p.stateNow(instance, &page)
	if len(h.names) > 0 {
		h.facts(&page)
		h.sections(&page)
	}
	page.Sections = append(page.Sections, others(page.Layout, pushed, h)...)
	page.Slow = codes.CodeOf(h.err) == codes.Unavailable
	if h.err != nil && !page.Slow {
		return h.err
	}
	return respond(w, http.StatusOK, func(w io.Writer) error { return templates.RenderHost(w, page) })
}

// stateNow is the state of the machine, as the overview has it.
func (p *Pages) stateNow(instance string, page *templates.Host) templates.State {
	if p.o.Reporters != nil {
		for _, r := range p.o.Reporters() {
			if r.Name != instance {
				continue
			}
			if r.Up {
				return templates.Reporting
			}
			return stateOf(page.Now.Sub(r.Seen), r.Every)
		}
	}
	return stateOf(page.Now.Sub(page.Seen), max(page.Interval, usualInterval))
}

// pushed is the latest values of a machine, and the names of some machines.
func (p *Pages) pushed(ctx context.Context, instance string) (mine []metric.Metric, names []string, err error) {
	release, err := turn(ctx, p.copies)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	all, err := p.o.State.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	const most = 20
	seen := map[string]bool{}
	for _, m := range all {
		i := slices.IndexFunc(m.Labels, func(l metric.Label) bool { return l.Name == "instance" })
		if i < 0 {
			continue
		}
		switch name := m.Labels[i].Value; {
		case name == instance:
			mine = append(mine, m)
		case !seen[name] && len(names) < most:
			seen[name] = true
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return mine, names, nil
}

// facts are the machine's name tags and the numbers at the top.
func (h *host) facts(page *templates.Host) {
	fact := func(name, value string) {
		if value != "" {
			page.Facts = append(page.Facts, templates.Fact{Name: name, Value: value})
		}
	}
	info := map[string]map[string]string{}
	value := map[string]float64{}
	for _, s := range h.ask(`{__name__=~"node_uname_info|node_os_info|gometheus_agent_info|node_boot_time_seconds|node_load1|node_load5|node_load15|` +
		`node_memory_(MemTotal|MemAvailable|SwapTotal|SwapFree)_bytes|TotalMemory|FreeMemory|node_procs_running",SEL}`) {
		name := s.Metric.Get("__name__")
		info[name], value[name] = s.Metric.Map(), s.F
	}
	number := func(name string) float64 {
		if v, ok := value[name]; ok {
			return v
		}
		return math.NaN()
	}
	uname := info["node_uname_info"]
	fact("System", info["node_os_info"]["pretty_name"])
	fact("Kernel", strings.TrimSpace(uname["sysname"]+" "+uname["release"]+" "+uname["machine"]))
	if boot := number("node_boot_time_seconds"); boot > 0 {
		fact("Up", templates.FormatSpan(h.at.Sub(time.Unix(int64(boot), 0))))
	}
	cores := h.one(`count(count by (cpu) (node_cpu_seconds_total{SEL}))`)
	if cores > 0 {
		fact("Cores", templates.FormatNumber(cores))
	}
	total := number("node_memory_MemTotal_bytes")
	if math.IsNaN(total) {
		total = number("TotalMemory")
	}
	if total > 0 {
		fact("Memory", templates.FormatBytes(total))
	}
	fact("Agent", info["gometheus_agent_info"]["version"])

	tile := func(name, text, note string, share float64) {
		page.Tiles = append(page.Tiles, templates.Tile{Name: name, Value: text, Note: note, Share: share})
	}
	if h.has("node_cpu_seconds_total") {
		if busy := h.one(`100 * (1 - avg(rate(node_cpu_seconds_total{SEL,mode="idle"}[$window])))`); !math.IsNaN(busy) {
			tile("CPU", templates.FormatPercent(max(0, busy)), "", max(0, busy)/100)
		}
	}
	if load := number("node_load1"); !math.IsNaN(load) {
		tile("Load", templates.FormatNumber(load), templates.FormatNumber(number("node_load5"))+" · "+templates.FormatNumber(number("node_load15")), -1)
	}
	free := number("node_memory_MemAvailable_bytes")
	if math.IsNaN(free) {
		free = number("FreeMemory")
	}
	if total > 0 && !math.IsNaN(free) {
		tile("Memory", templates.FormatPercent(100*(1-free/total)), templates.FormatBytes(total-free), 1-free/total)
	}
	if swap := number("node_memory_SwapTotal_bytes"); swap > 0 {
		used := swap - number("node_memory_SwapFree_bytes")
		tile("Swap", templates.FormatPercent(100*used/swap), templates.FormatBytes(used), used/swap)
	}
	if full := h.ask(`topk(1, ` + fullness + `)`); len(full) > 0 {
		tile("Fullest disk", templates.FormatPercent(full[0].F), full[0].Metric.Get("mountpoint"), full[0].F/100)
	}
	if h.has("node_network_receive_bytes_total") {
		in := h.one(`sum(rate(node_network_receive_bytes_total{SEL,` + physicalNet + `}[$window]))`)
		out := h.one(`sum(rate(node_network_transmit_bytes_total{SEL,` + physicalNet + `}[$window]))`)
		if !math.IsNaN(in) && !math.IsNaN(out) {
			tile("Network in", templates.FormatBytes(in)+"/s", "", -1)
			tile("Network out", templates.FormatBytes(out)+"/s", "", -1)
		}
	}
	if h.has("node_disk_read_bytes_total") {
		if busy := h.one(`100 * max(rate(node_disk_io_time_seconds_total{SEL,` + physicalDisk + `}[$window]))`); !math.IsNaN(busy) {
			tile("Busiest disk", templates.FormatPercent(busy), "", min(1, busy/100))
		}
	}
}

// others are the series that no section above shows.
func others(l templates.Layout, pushed []metric.Metric, h *host) []templates.Section {
	const most, mostNames = 300, 2000
	t := templates.Table{Columns: []templates.TableColumn{{Title: "Name"}, {Title: "Labels"}, {Title: "Value", Number: true}}}
	slices.SortFunc(pushed, func(a, b metric.Metric) int { return templates.Sort{}.Compare(&a, &b) })
	listed := map[string]bool{}
	var value []byte
	for _, m := range pushed {
		listed[m.Name] = true
		if len(t.Rows) == most {
			t.More++
			continue
		}
		value = m.AppendValue(value[:0])
		t.Rows = append(t.Rows, []templates.Cell{
			{Text: m.Name, Link: l.MetricURL(m.Name)}, {Text: labelsText(m.Labels)}, {Text: string(value), Number: true},
		})
	}
	var out []templates.Section
	if len(t.Rows) > 0 {
		out = append(out, templates.Section{ID: "pushed", Title: "Pushed values", Tables: []templates.Table{t}})
	}
	names := make([]string, 0, len(h.names))
	for name := range h.names {
		if !listed[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var links []templates.Link
	for _, name := range names {
		link := templates.Link{Text: name, URL: l.MetricURL(name)}
		if n := h.names[name]; n > 1 {
			link.Note = templates.FormatNumber(float64(n)) + " series"
		}
		links = append(links, link)
	}
	if len(links) > 0 {
		s := templates.Section{ID: "names", Title: "All metrics of this machine", Names: links[:min(mostNames, len(links))]}
		if more := len(links) - len(s.Names); more > 0 {
			s.Note = "These are the first; " + templates.FormatNumber(float64(more)) + " more are left out."
		}
		out = append(out, s)
	}
	return out
}

// labelsText is a series' labels but the machine's name.
func labelsText(ls metric.Labels) string {
	var b strings.Builder
	for _, l := range ls {
		if l.Name == "instance" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(l.Name + "=" + l.Value)
	}
	return b.String()
}
