package templates

import (
	"cmp"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

// State is whether a machine reports.
type State uint8

// The states of a machine, the best first.
const (
	Reporting State = iota
	Late            // missed some reports
	Gone            // has not been heard of for long
)

// String is the state as the page says it.
func (s State) String() string { return [...]string{"reporting", "late", "gone"}[min(s, Gone)] }

// badge is the state's class in app.css.
func (s State) badge() string { return [...]string{"good", "warn", "bad"}[min(s, Gone)] }

// Machine is one row of the table of machines. What is not known of it is NaN, or
// empty. It is text: what in it looks like HTML is shown as such.
type Machine struct {
	Name  string
	State State
	Seen  time.Time // when it was heard of last
	// Labels are those that all it sends carries, sorted by name, without instance.
	Labels []Label

	CPU    float64 // percent
	Memory float64 // percent used
	Disk   float64 // percent used of the fullest file system, which is Mount
	Mount  string
	In     float64 // bytes per second
	Out    float64
	Load   float64 // of the last minute
	Uptime float64 // seconds

	Version string    // of its agent
	Spark   []float64 // percent of CPU over the last hour, evenly; NaN is a gap
}

// Label is the value of one of its labels, "" if it has none of this name.
func (m *Machine) Label(name string) string {
	for i := range m.Labels {
		if m.Labels[i].Name == name {
			return m.Labels[i].Value
		}
	}
	return ""
}

// MachineBy names a column that machines are sorted by. It is the value of the
// parameter msort.
type MachineBy string

// MachineSort is an order of machines: by one column, then by name.
type MachineSort struct {
	By   MachineBy
	Desc bool
}

// machineColumn is a column of the table of machines.
type machineColumn struct {
	by    MachineBy // "": the machines can't be sorted by it
	title string
	class string
	desc  bool                     // the largest first, unless asked otherwise
	value func(m *Machine) float64 // of what is sorted as a number
}

var machineColumns = [...]machineColumn{
	{by: "name", title: "Machine", class: "name"},
	{by: "state", title: "State", class: "health", desc: true},
	{by: "cpu", title: "CPU", class: "cpu", desc: true, value: func(m *Machine) float64 { return m.CPU }},
	{title: "Last hour", class: "hour"},
	{by: "memory", title: "Memory", class: "memory", desc: true, value: func(m *Machine) float64 { return m.Memory }},
	{by: "disk", title: "Fullest disk", class: "disk", desc: true, value: func(m *Machine) float64 { return m.Disk }},
	{by: "net", title: "Network in, out", class: "net", desc: true, value: func(m *Machine) float64 { return m.In + m.Out }},
	{by: "load", title: "Load", class: "load", desc: true, value: func(m *Machine) float64 { return m.Load }},
	{by: "uptime", title: "Up", class: "uptime", desc: true, value: func(m *Machine) float64 { return m.Uptime }},
	{by: "version", title: "Agent", class: "version"},
	{title: "Labels", class: "labels"},
}

// ParseMachineSort makes an order of the parameters msort and morder. What it does
// not know it leaves at the default, by name.
func ParseMachineSort(sort, order string) MachineSort {
	for _, c := range machineColumns {
		if c.by != "" && string(c.by) == sort {
			return MachineSort{By: c.by, Desc: order == "desc"}
		}
	}
	return MachineSort{By: "name"}
}

func (s MachineSort) column() *machineColumn {
	for i := range machineColumns {
		if machineColumns[i].by == s.By {
			return &machineColumns[i]
		}
	}
	return &machineColumns[0]
}

// compare orders two machines. What is not known comes last in either order.
func (s MachineSort) compare(a, b *Machine) int {
	c := 0
	switch col := s.column(); {
	case col.value != nil:
		av, bv := col.value(a), col.value(b)
		switch an, bn := math.IsNaN(av), math.IsNaN(bv); {
		case an != bn:
			if an {
				return 1
			}
			return -1
		case !an:
			c = cmp.Compare(av, bv)
		}
	case col.by == "state":
		// Of those in the same state, that which has been silent for longer is worse.
		c = cmp.Compare(a.State, b.State)
		if c == 0 && a.State != Reporting {
			c = b.Seen.Compare(a.Seen)
		}
	case col.by == "version":
		if (a.Version == "") != (b.Version == "") {
			if a.Version == "" {
				return 1
			}
			return -1
		}
		c = natural(a.Version, b.Version)
	default:
		c = natural(a.Name, b.Name)
	}
	if s.Desc {
		c = -c
	}
	return cmp.Or(c, natural(a.Name, b.Name))
}

// natural compares names as people count: web-9 comes before web-10. Two different
// names are never equal.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		dx, dy := digits(x), digits(y)
		if dx > 0 && dy > 0 {
			nx, ny := strings.TrimLeft(x[:dx], "0"), strings.TrimLeft(y[:dy], "0")
			if c := cmp.Or(cmp.Compare(len(nx), len(ny)), strings.Compare(nx, ny)); c != 0 {
				return c
			}
			x, y = x[dx:], y[dy:]
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// digits is how many digits s starts with.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}

// Fleet is the machines that a page shows.
type Fleet struct {
	// Total is how many there are; the counts are of all those.
	Total                 int
	Reporting, Late, Gone int
	// Query is what was searched for, Sort the order, Group the label by which they
	// are grouped, "" for none, and Labels the names there are to group by.
	Query  string
	Sort   MachineSort
	Group  string
	Labels []string
	// Found is how many match; Number of Pages pages is shown, from 1.
	Found         int
	Number, Pages int
	// Groups are the machines of this page, in order. Not grouped, they are one.
	Groups []Group
	// Missing are the titles of columns whose values could not be found out.
	Missing []string
}

// Group is the machines with the same value of a label.
type Group struct {
	Value    string // "": those without the label
	Total    int    // of all pages
	Silent   int    // of which are late or gone
	Machines []*Machine
}

// FleetPage is how many machines are shown at most.
const FleetPage = 500

// NewFleet chooses what of all machines a page shows. They are not changed.
func NewFleet(all []Machine, query string, sort MachineSort, group string, page int) Fleet {
	f := Fleet{Total: len(all), Query: query, Sort: sort, Group: group}
	names := map[string]bool{}
	words := strings.Fields(strings.ToLower(query))
	var shown []*Machine
	for i := range all {
		m := &all[i]
		switch m.State {
		case Reporting:
			f.Reporting++
		case Late:
			f.Late++
		default:
			f.Gone++
		}
		for _, l := range m.Labels {
			names[l.Name] = true
		}
		if m.matches(words) {
			shown = append(shown, m)
		}
	}
	for name := range names {
		f.Labels = append(f.Labels, name)
	}
	slices.Sort(f.Labels)
	if !names[group] {
		f.Group = ""
	}
	slices.SortFunc(shown, func(a, b *Machine) int {
		if f.Group != "" {
			x, y := a.Label(f.Group), b.Label(f.Group)
			if (x == "") != (y == "") { // those without it come last
				return -cmp.Compare(x, y)
			}
			if c := natural(x, y); c != 0 {
				return c
			}
		}
		return sort.compare(a, b)
	})
	f.Found = len(shown)
	f.Number, f.Pages = pageOf(page, f.Found, FleetPage)
	f.group(shown)
	return f
}

// group puts the page's machines into groups.
func (f *Fleet) group(shown []*Machine) {
	first, last := (f.Number-1)*FleetPage, min(f.Number*FleetPage, len(shown))
	var g *Group
	for i, m := range shown {
		value := ""
		if f.Group != "" {
			value = m.Label(f.Group)
		}
		if g == nil || g.Value != value {
			f.Groups = append(f.Groups, Group{Value: value})
			g = &f.Groups[len(f.Groups)-1]
		}
		g.Total++
		if m.State != Reporting {
			g.Silent++
		}
		if first <= i && i < last {
			g.Machines = append(g.Machines, m)
		}
	}
	f.Groups = slices.DeleteFunc(f.Groups, func(g Group) bool { return len(g.Machines) == 0 })
}

// matches tells whether each word stands in the name, the state, the version or a
// label as name=value, whatever the case. The script filters by the same rule.
func (m *Machine) matches(words []string) bool {
	if len(words) == 0 {
		return true
	}
	name, version := strings.ToLower(m.Name), strings.ToLower(m.Version)
	for _, w := range words {
		if !strings.Contains(name, w) && !strings.Contains(m.State.String(), w) && !strings.Contains(version, w) && !labelsMatch(m.Labels, w) {
			return false
		}
	}
	return true
}

// pageOf is the page to show of n things, size a page, and how many pages there are.
func pageOf(page, n, size int) (number, pages int) {
	pages = max(1, (n+size-1)/size)
	return min(max(1, page), pages), pages
}

// address makes a link's parameters: those of the page, changed, without what is
// empty.
func address(of url.Values, change ...string) string {
	q := url.Values{}
	maps.Copy(q, of)
	for i := 0; i+1 < len(change); i += 2 {
		q.Set(change[i], change[i+1])
	}
	for name := range q {
		if q.Get(name) == "" {
			q.Del(name)
		}
	}
	if len(q) == 0 {
		return "./"
	}
	return "?" + q.Encode()
}
