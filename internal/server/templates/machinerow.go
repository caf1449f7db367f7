package templates

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// full is from which percentage on a share stands out.
const full = 90

// writer appends HTML. Everything that comes from a machine goes through the
// standard library's escaper.
type writer struct {
	b []byte
	l Layout
}

func (w *writer) raw(s string)  { w.b = append(w.b, s...) }
func (w *writer) text(s string) { w.b = appendText(w.b, s) }
func (w *writer) int(n int)     { w.b = strconv.AppendInt(w.b, int64(n), 10) }

// machine writes the row of a machine. grouped is the label whose value the group
// says already.
func (w *writer) machine(m *Machine, grouped string) {
	w.raw(`<tr`)
	if m.State != Reporting {
		w.raw(` class="silent"`)
	}
	w.raw(`><th scope="row" class="name"><a href="`)
	w.text(w.l.HostURL(m.Name))
	w.raw(`">`)
	w.text(m.Name)
	w.raw(`</a></th><td class="health"><span class="badge `)
	w.raw(m.State.badge())
	w.raw(`">`)
	w.raw(m.State.String())
	w.raw(`</span>`)
	if m.State != Reporting && !m.Seen.IsZero() {
		w.raw(` <time data-time="ago" datetime="`)
		w.b = m.Seen.UTC().AppendFormat(w.b, "2006-01-02T15:04:05.000Z")
		w.raw(`">`)
		w.b = m.Seen.UTC().AppendFormat(w.b, "since 2006-01-02 15:04:05 UTC")
		w.raw(`</time>`)
	}
	w.raw(`</td>`)
	w.share("cpu", m.CPU, "")
	w.raw(`<td class="hour">`)
	w.spark(m.Spark)
	w.raw(`</td>`)
	w.share("memory", m.Memory, "")
	w.share("disk", m.Disk, m.Mount)
	w.raw(`<td class="net">`)
	if math.IsNaN(m.In) && math.IsNaN(m.Out) {
		w.unknown()
	} else {
		w.rate("↓", "in ", m.In)
		w.raw(` `)
		w.rate("↑", "out ", m.Out)
	}
	w.raw(`</td>`)
	w.plain("load", m.Load, loadText)
	w.plain("uptime", m.Uptime, func(s float64) string { return FormatSpan(time.Duration(s * float64(time.Second))) })
	w.raw(`<td class="version">`)
	if m.Version == "" {
		w.unknown()
	} else {
		w.text(m.Version)
	}
	w.raw(`</td><td class="labels">`)
	first := true
	for i := range m.Labels {
		if m.Labels[i].Name == grouped {
			continue
		}
		if !first {
			w.raw(` `)
		}
		first = false
		w.raw(`<span class="chip"><i>`)
		w.text(m.Labels[i].Name)
		w.raw(`=</i>`)
		w.text(m.Labels[i].Value)
		w.raw(`</span>`)
	}
	w.raw("</td></tr>\n")
}

// unknown is the value that is not known.
func (w *writer) unknown() { w.raw(`<span class="none" title="not known">–</span>`) }

// share writes a percentage, as a bar and as text.
func (w *writer) share(class string, percent float64, note string) {
	w.raw(`<td class="`)
	w.raw(class)
	if percent >= full {
		w.raw(` high`)
	}
	w.raw(`">`)
	if math.IsNaN(percent) {
		w.unknown()
	} else {
		w.raw(`<meter max="100" low="75" high="`)
		w.int(full)
		w.raw(`" optimum="0" value="`)
		w.b = strconv.AppendFloat(w.b, min(100, max(0, percent)), 'f', 0, 64)
		w.raw(`" aria-hidden="true"></meter><b>`)
		w.raw(percentText(percent))
		w.raw(`</b>`)
		if note != "" {
			w.raw(`<small title="`)
			w.text(note)
			w.raw(`">`)
			w.text(note)
			w.raw(`</small>`)
		}
	}
	w.raw(`</td>`)
}

func (w *writer) rate(arrow, name string, bytes float64) {
	w.raw(`<span><i aria-hidden="true">`)
	w.raw(arrow)
	w.raw(`</i><span class="hide">`)
	w.raw(name)
	w.raw(`</span>`)
	if math.IsNaN(bytes) {
		w.raw("–")
	} else {
		w.raw(rateText(bytes))
	}
	w.raw(`</span>`)
}

func (w *writer) plain(class string, v float64, format func(float64) string) {
	w.raw(`<td class="`)
	w.raw(class)
	w.raw(`">`)
	if math.IsNaN(v) {
		w.unknown()
	} else {
		w.raw(format(v))
	}
	w.raw(`</td>`)
}

// sparkHeight is that of the picture in its own units.
const sparkHeight = 40

// spark writes values from 0 to 100 as a line. It breaks where there are none.
func (w *writer) spark(values []float64) {
	least, most := math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) {
			least, most = min(least, v), max(most, v)
		}
	}
	if least > most {
		w.unknown()
		return
	}
	w.raw(`<svg class="spark" viewBox="0 0 `)
	w.int(2 * max(1, len(values)-1))
	w.raw(` `)
	w.int(sparkHeight)
	w.raw(`" preserveAspectRatio="none" role="img" aria-label="`)
	w.raw(percentText(least))
	w.raw(` to `)
	w.raw(percentText(most))
	w.raw(`"><path d="`)
	drawing := false
	for i, v := range values {
		if math.IsNaN(v) {
			drawing = false
			continue
		}
		if drawing {
			w.raw(`L`)
		} else {
			w.raw(`M`)
		}
		w.int(2 * i)
		w.raw(` `)
		w.int(sparkHeight - 1 - int(math.Round(min(100, max(0, v))/100*(sparkHeight-2))))
		if !drawing && (i+1 == len(values) || math.IsNaN(values[i+1])) {
			w.raw(`h1`) // a point alone would not be seen
		}
		drawing = true
	}
	w.raw(`"/></svg>`)
}

// percentText is a percentage as short as it says something.
func percentText(v float64) string {
	if math.Abs(v) < 9.95 {
		return strconv.FormatFloat(v, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " %"
}

// rateText is bytes per second in three digits.
func rateText(v float64) string {
	units := []string{"B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s"}
	i := 0
	for i < len(units)-1 && math.Abs(v) >= 999.5 {
		v /= 1024
		i++
	}
	decimals := 0
	if i > 0 { // zeros at the end stay, so that numbers in a column line up
		decimals = max(0, 3-len(strconv.FormatFloat(math.Trunc(math.Abs(v)), 'f', 0, 64)))
	}
	return strconv.FormatFloat(v, 'f', decimals, 64) + " " + units[i]
}

func loadText(v float64) string {
	if v >= 99.95 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// groupText is what stands above a group.
func groupText(g *Group, label string) string {
	what := label + "=" + g.Value
	if g.Value == "" {
		what = "without " + label
	}
	s := fmt.Sprintf("%s · %s", what, machinesText(g.Total))
	if g.Silent > 0 {
		s += fmt.Sprintf(", %s not reporting", groupDigits(g.Silent))
	}
	return s
}

func machinesText(n int) string {
	if n == 1 {
		return "1 machine"
	}
	return groupDigits(n) + " machines"
}

// fleetRows writes the rows of all groups, each a tbody.
func (w *writer) fleetRows(f *Fleet) {
	for i := range f.Groups {
		g := &f.Groups[i]
		w.raw("<tbody>\n")
		if f.Group != "" {
			w.raw(`<tr class="group"><th scope="rowgroup" colspan="`)
			w.int(len(machineColumns) - 1) // the last column is left out where there is no room
			w.raw(`">`)
			w.text(groupText(g, f.Group))
			w.raw("</th><td class=\"labels\"></td></tr>\n")
		}
		for _, m := range g.Machines {
			w.machine(m, f.Group)
		}
		w.raw("</tbody>\n")
	}
}
