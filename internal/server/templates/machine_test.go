package templates_test

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
)

// racks are some machines, in no order.
func racks() []templates.Machine {
	nan := math.NaN()
	return []templates.Machine{
		{
			Name: "web-10", Seen: now, CPU: 12.345, Memory: 50, Disk: 91.2, Mount: "/srv", In: 2048, Out: 100, Load: 0.5, Uptime: 90_000, Version: "0.10.0",
			Labels: []templates.Label{{Name: "env", Value: "prod"}, {Name: "zone", Value: "eu"}}, Spark: []float64{nan, 0, 50, nan, 100, nan, 7, 8},
		},
		{
			Name: "web-9", Seen: now, CPU: 3, Memory: 75, Disk: 20, Mount: "/", In: nan, Out: 9, Load: 120, Uptime: 59, Version: "0.9.0",
			Labels: []templates.Label{{Name: "env", Value: "prod"}},
		},
		{
			Name: "db", State: templates.Gone, Seen: now.Add(-2 * time.Hour), CPU: nan, Memory: nan, Disk: nan, In: nan, Out: nan, Load: nan, Uptime: nan,
			Labels: []templates.Label{{Name: "env", Value: "staging"}},
		},
		{
			Name: "<b>&", State: templates.Late, Seen: now.Add(-time.Minute), CPU: 0.04, Memory: 99.99, Disk: nan, In: 1, Out: 1, Load: 1, Uptime: 1e6,
		},
	}
}

func names(f templates.Fleet) (out []string) {
	for _, g := range f.Groups {
		if f.Group != "" {
			out = append(out, fmt.Sprintf("[%s %d/%d]", g.Value, g.Silent, g.Total))
		}
		for _, m := range g.Machines {
			out = append(out, m.Name)
		}
	}
	return out
}

func TestFleet(t *testing.T) {
	for _, tt := range []struct{ query, sort, order, group, want string }{
		{want: "<b>& db web-9 web-10"},
		{sort: "name", order: "desc", want: "web-10 web-9 db <b>&"},
		{sort: "nonsense", order: "desc", want: "<b>& db web-9 web-10"},
		{sort: "state", order: "desc", want: "db <b>& web-9 web-10"},
		{sort: "state", want: "web-9 web-10 <b>& db"},
		{sort: "cpu", order: "desc", want: "web-10 web-9 <b>& db"},
		{sort: "cpu", want: "<b>& web-9 web-10 db"},
		{sort: "memory", order: "desc", want: "<b>& web-9 web-10 db"},
		{sort: "disk", order: "desc", want: "web-10 web-9 <b>& db"},
		{sort: "net", order: "desc", want: "web-10 <b>& db web-9"},
		{sort: "load", order: "desc", want: "web-9 <b>& web-10 db"},
		{sort: "uptime", want: "web-9 web-10 <b>& db"},
		{sort: "version", order: "desc", want: "web-10 web-9 <b>& db"},
		{sort: "version", want: "web-9 web-10 <b>& db"},
		{query: " WEB ", want: "web-9 web-10"},
		{query: "env=prod zone=eu", want: "web-10"},
		{query: "gone", want: "db"},
		{query: "0.10", want: "web-10"},
		{query: "nothing", want: ""},
		{group: "env", want: "[prod 0/2] web-9 web-10 [staging 1/1] db [ 1/1] <b>&"},
		{group: "env", sort: "cpu", order: "desc", query: "web", want: "[prod 0/2] web-10 web-9"},
		{group: "nonsense", want: "<b>& db web-9 web-10"},
	} {
		f := templates.NewFleet(racks(), tt.query, templates.ParseMachineSort(tt.sort, tt.order), tt.group, 1)
		if got := strings.Join(names(f), " "); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
		if f.Total != 4 || f.Reporting != 2 || f.Late != 1 || f.Gone != 1 {
			t.Errorf("counts are of all machines, not %+v", f)
		}
	}
}

func TestFleetPages(t *testing.T) {
	all := make([]templates.Machine, 2*templates.FleetPage+1)
	for i := range all {
		all[i] = templates.Machine{Name: fmt.Sprintf("m%d", i), Labels: []templates.Label{{Name: "half", Value: fmt.Sprint(i % 2)}}}
	}
	for _, tt := range []struct{ asked, number, machines int }{{-3, 1, 500}, {1, 1, 500}, {2, 2, 500}, {3, 3, 1}, {99, 3, 1}} {
		f := templates.NewFleet(all, "", templates.MachineSort{}, "half", tt.asked)
		n := 0
		for _, g := range f.Groups {
			n += len(g.Machines)
			if want := map[string]int{"0": 501, "1": 500}[g.Value]; g.Total != want {
				t.Errorf("group %s counts %d, of all pages there are %d", g.Value, g.Total, want)
			}
		}
		if f.Number != tt.number || f.Pages != 3 || n != tt.machines {
			t.Errorf("page %d is %d of %d with %d machines", tt.asked, f.Number, f.Pages, n)
		}
	}
}

func TestRenderMachine(t *testing.T) {
	got := render(t, templates.Overview{Layout: at("h"), Fleet: templates.NewFleet(racks(), "", templates.MachineSort{}, "", 1)})
	for _, want := range []string{
		`<tr><th scope="row" class="name"><a href="host/web-10">web-10</a></th><td class="health"><span class="badge good">reporting</span></td>` +
			`<td class="cpu"><meter max="100" low="75" high="90" optimum="0" value="12" aria-hidden="true"></meter><b>12 %</b></td>` +
			`<td class="hour"><svg class="spark" viewBox="0 0 14 40" preserveAspectRatio="none" role="img" aria-label="0.0 % to 100 %"><path d="M2 39L4 20M8 1h1M12 36L14 36"/></svg></td>` +
			`<td class="memory"><meter max="100" low="75" high="90" optimum="0" value="50" aria-hidden="true"></meter><b>50 %</b></td>` +
			`<td class="disk high"><meter max="100" low="75" high="90" optimum="0" value="91" aria-hidden="true"></meter><b>91 %</b><small title="/srv">/srv</small></td>` +
			`<td class="net"><span><i aria-hidden="true">↓</i><span class="hide">in </span>2.00 KiB/s</span> <span><i aria-hidden="true">↑</i><span class="hide">out </span>100 B/s</span></td>` +
			`<td class="load">0.50</td><td class="uptime">1 d 1 h</td><td class="version">0.10.0</td>` +
			`<td class="labels"><span class="chip"><i>env=</i>prod</span> <span class="chip"><i>zone=</i>eu</span></td></tr>`,
		`<tr class="silent"><th scope="row" class="name"><a href="host/db">db</a></th><td class="health"><span class="badge bad">gone</span> ` +
			`<time data-time="ago" datetime="2026-11-23T15:25:31.960Z">since 2026-11-23 15:25:31 UTC</time></td><td class="cpu"><span class="none" title="not known">–</span></td>`,
		`<a href="host/%3Cb%3E&amp;">&lt;b&gt;&amp;</a>`,
		`<b>4</b> machines`, `2 reporting`, `1 late`, `1 gone`,
		`<th scope="col" class="name" aria-sort="ascending"><a href="?morder=desc&amp;msort=name">Machine</a>`,
		`<th scope="col" class="cpu"><a href="?morder=desc&amp;msort=cpu">CPU</a>`,
		`<option>env</option><option>zone</option>`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// Whatever a machine says of itself is text.
func TestMachinesEscape(t *testing.T) {
	const evil = `</td><script>alert("x")</script>' onload='`
	of := func(s string) string {
		m := templates.Machine{Name: s, State: templates.Late, Seen: now, Disk: 5, Mount: s, Version: s, Labels: []templates.Label{{Name: s, Value: s}, {Name: s + "z", Value: s}}}
		f := templates.NewFleet([]templates.Machine{m}, s, templates.MachineSort{By: templates.MachineBy(s)}, s, 1)
		f.Missing = []string{s}
		return render(t, templates.Overview{Layout: at("h"), Fleet: f})
	}
	tags := regexp.MustCompile(`<[a-z/][^\s>]*`)
	wantEqual(t, "elements", tags.FindAllString(of(evil), -1), tags.FindAllString(of("tame"), -1))
	if strings.Contains(of(evil), `alert("x")`) {
		t.Error("quotes are not escaped")
	}
}

// Each link and form keeps what belongs to the other table.
func TestLinksKeepTheOtherTable(t *testing.T) {
	all := make([]templates.Machine, 3*templates.FleetPage)
	for i := range all {
		all[i] = templates.Machine{Name: fmt.Sprint("m", i), Labels: []templates.Label{{Name: "env", Value: "x"}}}
	}
	got := render(t, templates.Overview{
		Layout: at("h"),
		Fleet:  templates.NewFleet(all, "m", templates.MachineSort{By: "load", Desc: true}, "env", 2),
		Series: templates.Page{Query: "a b", Sort: templates.ParseSort("value", "asc"), Total: 900, Found: 300, Number: 2, Pages: 3},
	})
	for _, want := range []string{
		// Another order begins at the first page of its table.
		`href="?group=env&amp;m=m&amp;morder=asc&amp;msort=load&amp;order=asc&amp;page=2&amp;q=a&#43;b&amp;sort=value">Load`,
		`href="?group=env&amp;m=m&amp;morder=desc&amp;mpage=2&amp;msort=load&amp;order=desc&amp;q=a&#43;b&amp;sort=value">Value`,
		`rel="prev" href="?group=env&amp;m=m&amp;morder=desc&amp;msort=load&amp;order=asc&amp;page=2&amp;q=a&#43;b&amp;sort=value"`,
		`rel="next" href="?group=env&amp;m=m&amp;morder=desc&amp;mpage=2&amp;msort=load&amp;order=asc&amp;page=3&amp;q=a&#43;b&amp;sort=value#metrics"`,
		`<input type="hidden" name="msort" value="load"><input type="hidden" name="morder" value="desc"><input type="hidden" name="q" value="a b"><input type="hidden" name="sort" value="value"><input type="hidden" name="order" value="asc"><input type="hidden" name="page" value="2">`,
		`<input type="hidden" name="m" value="m"><input type="hidden" name="msort" value="load"><input type="hidden" name="morder" value="desc"><input type="hidden" name="group" value="env"><input type="hidden" name="mpage" value="2"><input type="hidden" name="sort" value="value"><input type="hidden" name="order" value="asc">`,
		`env=x · 1,500 machines`, `<option selected>env</option>`, `Page 2 of 3`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Log(regexp.MustCompile(`(?s)<tbody>.*?</tbody>`).ReplaceAllString(got, ""))
	}
}

// A page of any order is what sorting all and cutting would give.
func TestSelectPages(t *testing.T) {
	all := make([]metric.Metric, 0, 1000)
	for i := range 1000 {
		all = append(all, gauge(fmt.Sprintf("m%03d", i*7919%1000), float64(i*31%97), time.Duration(i*13%50)*time.Second))
	}
	for _, by := range []string{"name", "value", "updated"} {
		for _, order := range []string{"asc", "desc"} {
			s := templates.ParseSort(by, order)
			var whole []string
			for r := range templates.Select(append([]metric.Metric(nil), all...), "", s, 1, len(all)).Rows {
				whole = append(whole, r.Name)
			}
			for _, size := range []int{1, 37, 100, 999} {
				for page := 1; (page-1)*size < len(all); page += 1 + 10/size*20 {
					p := templates.Select(append([]metric.Metric(nil), all...), "", s, page, size)
					var got []string
					for r := range p.Rows {
						got = append(got, r.Name)
					}
					wantEqual(t, fmt.Sprintf("%s %s page %d of %d", by, order, page, size), got, whole[(page-1)*size:min(len(all), page*size)])
				}
			}
		}
	}
	if p := templates.Select(append([]metric.Metric(nil), all...), "m00", templates.Sort{}, 99, 4); p.Number != 3 || p.Pages != 3 || p.Found != 10 || p.Total != 1000 {
		t.Errorf("beyond the last page is %d of %d, %d of %d", p.Number, p.Pages, p.Found, p.Total)
	}
}
