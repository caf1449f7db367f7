package templates_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
)

func render(t *testing.T, p templates.Overview) string {
	t.Helper()
	var b bytes.Buffer
	if err := templates.RenderOverview(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// at is the layout of a page at the tests' time.
func at(host string) templates.Layout { return templates.Layout{Host: host, Now: now} }

func pageOf(ms []metric.Metric) templates.Overview {
	return templates.Overview{Layout: at("metrics.example:8080"), Series: templates.Select(ms, "", templates.Sort{}, 1, 1_000_000)}
}

func TestRenderRows(t *testing.T) {
	got := render(t, pageOf([]metric.Metric{
		counter("PollCount", 42, 0, "instance", "web-1", "zone", "eu"),
		gauge("Alloc", 1.5, 1500*time.Millisecond),
	}))
	want := `<tbody>
<tr><td class="gauge"><span>gauge</span></td><th scope="row"><a href="metric/Alloc">Alloc</a></th><td></td><td>1.5</td>` +
		`<td><time datetime="2026-11-23T17:25:30.460Z">2026-11-23 17:25:30 UTC</time></td></tr>
<tr><td class="counter"><span>counter</span></td><th scope="row"><a href="metric/PollCount">PollCount</a></th>` +
		`<td><span><i>instance=</i>web-1</span> <span><i>zone=</i>eu</span></td><td>42</td>` +
		`<td><time datetime="2026-11-23T17:25:31.960Z">2026-11-23 17:25:31 UTC</time></td></tr>
</tbody>
`
	if !strings.Contains(got, want) {
		t.Errorf("the page has not the rows\n%s\nbut is\n%s", want, got)
	}
	if strings.Contains(got, `id="empty"`) {
		t.Error("a page with rows says there are none")
	}
}

// Whatever a metric or a request holds is text on the page.
func TestRenderEscapes(t *testing.T) {
	const evil = `</td><script>alert("x")</script>' onload='`
	row := templates.Row{Kind: evil, Name: evil, Labels: []templates.Label{{Name: evil, Value: evil}}, Value: evil, Time: now}
	tame := templates.Row{Name: "a", Labels: []templates.Label{{Name: "a", Value: "b"}}, Time: now}
	plain := render(t, templates.Overview{Layout: at("h:1"), Series: templates.Page{Total: 2, Found: 1, Rows: seq(tame)}})
	got := render(t, templates.Overview{Layout: at(evil), Series: templates.Page{
		Query: evil, Sort: templates.Sort{By: templates.By(evil)}, Total: 2, Found: 1, Rows: seq(row),
	}})
	tags := regexp.MustCompile(`<[a-z/][^\s>]*`)
	wantEqual(t, "elements", tags.FindAllString(got, -1), tags.FindAllString(plain, -1))
	if strings.Contains(got, `alert("x")`) {
		t.Error("quotes are not escaped")
	}

	empty := render(t, templates.Overview{Layout: at(`x'; rm -rf /; '`)})
	if strings.Contains(empty, "rm -rf") || !strings.Contains(empty, "agent --address=localhost:8080") {
		t.Error("a command to be copied has what a Host header says")
	}
}

func seq[T any](vs ...T) iter.Seq[T] { return slices.Values(vs) }

func TestRenderChunks(t *testing.T) {
	for _, tt := range []struct{ rows, chunks int }{{1, 1}, {100, 1}, {101, 2}, {250, 3}} {
		ms := make([]metric.Metric, tt.rows)
		for i := range ms {
			ms[i] = gauge("a", float64(i), 0)
		}
		got := render(t, pageOf(ms))
		if n := strings.Count(got, "<tr><td"); n != tt.rows {
			t.Errorf("%d rows show as %d", tt.rows, n)
		}
		if n, m := strings.Count(got, "<tbody>"), strings.Count(got, "</tbody>"); n != tt.chunks || m != tt.chunks {
			t.Errorf("%d rows are in %d chunks with %d ends, want %d", tt.rows, n, m, tt.chunks)
		}
	}
}

func TestRenderState(t *testing.T) {
	for _, tt := range []struct {
		name string
		page templates.Overview
		has  []string
		not  []string
	}{
		{
			name: "empty",
			page: templates.Overview{Layout: templates.Layout{Host: "metrics.example", TLS: true}},
			has:  []string{`id="empty"`, "agent --address=metrics.example<", "curl -X POST 'https://metrics.example/update"},
			not:  []string{"<table", `id="none"`},
		},
		{
			name: "nothing found",
			page: templates.Overview{Series: templates.Page{Query: "x & y", Total: 4711, Rows: seq[templates.Row]()}},
			has: []string{
				`<section class="notice" id="none">`, "Show all 4,711 series", `value="x &amp; y"`, `<b id="shown">0</b>`, `<span id="of"> of 4,711`,
				`href="?order=desc&amp;q=x&#43;%26&#43;y&amp;sort=name"`,
			},
			not: []string{`id="empty"`, "<tbody"},
		},
		{
			name: "all shown",
			page: templates.Overview{Series: templates.Page{Total: 1234567, Found: 1234567}},
			has:  []string{`<section class="notice" id="none" hidden>`, `<b id="shown">1,234,567</b><span id="of" hidden>`},
			not:  []string{`name="sort"`},
		},
		{
			name: "sorted by value, largest first",
			page: templates.Overview{Series: templates.Page{Total: 1, Found: 1, Sort: templates.ParseSort("value", "desc")}},
			has: []string{
				`<th scope="col" aria-sort="descending"><a href="?order=asc&amp;sort=value">Value</a>`,
				`<th scope="col"><a href="?order=asc&amp;sort=name">Name</a>`,
				`<th scope="col"><a href="?order=desc&amp;sort=updated">Updated</a>`,
				`<th scope="col">Labels</th>`,
				`<input type="hidden" name="sort" value="value"><input type="hidden" name="order" value="desc">`,
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.page.Now = now
			got := render(t, tt.page)
			for _, s := range tt.has {
				if !strings.Contains(got, s) {
					t.Errorf("missing: %s", s)
				}
			}
			for _, s := range tt.not {
				if strings.Contains(got, s) {
					t.Errorf("not to be there: %s", s)
				}
			}
			if t.Failed() {
				t.Log(got)
			}
		})
	}
}

// The policy forbids inline scripts and styles, so there must be none.
func TestRenderKeepsThePolicy(t *testing.T) {
	for _, p := range []templates.Overview{{Layout: at("h")}, pageOf(fleet()), {Layout: at("h"), Fleet: templates.NewFleet(racks(), "", templates.MachineSort{}, "env", 1)}} {
		if s := regexp.MustCompile(`(?i)<style|<script[^>]*>[^<]|\s(style|on[a-z]+)\s*=\s*["']`).FindString(render(t, p)); s != "" {
			t.Errorf("inline: %q", s)
		}
	}
}

type failing struct{ left int }

var errGone = errors.New("gone")

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, errGone
	}
	return len(p), nil
}

func TestRenderStopsWhenTheReaderIsGone(t *testing.T) {
	yielded := 0
	p := templates.Overview{Layout: at("h"), Series: templates.Page{Total: 1e9, Found: 1e9, Rows: func(yield func(templates.Row) bool) {
		for range 1_000_000 {
			yielded++
			if !yield(templates.Row{Name: "a", Time: now}) {
				return
			}
		}
	}}}
	if err := templates.RenderOverview(&failing{left: 100_000}, p); !errors.Is(err, errGone) {
		t.Errorf("error is %v", err)
	}
	if yielded > 10_000 {
		t.Errorf("%d rows were made for a reader who left", yielded)
	}
	if err := templates.RenderOverview(&failing{}, p); !errors.Is(err, errGone) {
		t.Errorf("error is %v", err)
	}
}

func TestSelect(t *testing.T) {
	ms := []metric.Metric{
		gauge("b", 2, 3*time.Second, "zone", "EU-1"),
		counter("b", 9007199254740993, time.Second),
		gauge("a", 9007199254740992, 2*time.Second, "instance", "web-1", "zone", "us"),
		gauge("Öl", -1, 5*time.Second, "instance", "web-2"),
		gauge("b", 2, 3*time.Second),
	}
	for _, tt := range []struct {
		query, sort, order string
		want               []string
	}{
		{"", "", "", []string{"gauge a", "counter b", "gauge b", "gauge b EU-1", "gauge Öl"}},
		{"", "name", "desc", []string{"gauge Öl", "counter b", "gauge b", "gauge b EU-1", "gauge a"}},
		{"", "nonsense", "desc", []string{"gauge a", "counter b", "gauge b", "gauge b EU-1", "gauge Öl"}},
		{"", "kind", "asc", []string{"counter b", "gauge a", "gauge b", "gauge b EU-1", "gauge Öl"}},
		{"", "value", "desc", []string{"counter b", "gauge a", "gauge b", "gauge b EU-1", "gauge Öl"}},
		{"", "value", "", []string{"gauge Öl", "gauge b", "gauge b EU-1", "gauge a", "counter b"}},
		{"", "updated", "desc", []string{"counter b", "gauge a", "gauge b", "gauge b EU-1", "gauge Öl"}},
		{" ÖL ", "", "", []string{"gauge Öl"}},
		{"zone=eu gauge", "", "", []string{"gauge b EU-1"}},
		{"instance=web", "", "", []string{"gauge a", "gauge Öl"}},
		{"web-1 web-2", "", "", nil},
		{"counter", "", "", []string{"counter b"}},
	} {
		var got []string
		for r := range templates.Select(slices.Clone(ms), tt.query, templates.ParseSort(tt.sort, tt.order), 1, 10).Rows {
			s := r.Kind + " " + r.Name
			if r.Name == "b" && len(r.Labels) > 0 {
				s += " " + r.Labels[0].Value
			}
			got = append(got, s)
		}
		wantEqual(t, tt.query+"/"+tt.sort+"/"+tt.order, got, tt.want)
	}
}

// Any two orders must agree with each other, or sorting has no meaning.
func TestCompareIsAnOrder(t *testing.T) {
	ms := append(fleet(), gauge("big", 1e300, 0), gauge("small", -1e300, 0), counter("max", 1<<63-1, 0),
		counter("big", 1<<62, 0), gauge("huge", 1<<63, 0), gauge("third", 1.0/3, 0))
	for _, by := range []templates.By{"", templates.ByName, templates.ByKind, templates.ByValue, templates.ByUpdated} {
		for _, desc := range []bool{false, true} {
			s := templates.Sort{By: by, Desc: desc}
			for i := range ms {
				for j := range ms {
					ab, ba := s.Compare(&ms[i], &ms[j]), s.Compare(&ms[j], &ms[i])
					if ab != -ba || (ab == 0) != (i == j) {
						t.Fatalf("%+v: %v and %v compare as %d and %d", s, ms[i], ms[j], ab, ba)
					}
					for k := range ms {
						if ab < 0 && s.Compare(&ms[j], &ms[k]) < 0 && s.Compare(&ms[i], &ms[k]) >= 0 {
							t.Fatalf("%+v: not transitive: %v, %v, %v", s, ms[i], ms[j], ms[k])
						}
					}
				}
			}
		}
	}
}

// What a page loads comes with the version of all files in its path, and modules
// import each other by relative addresses, so that these have it too.
func TestStatic(t *testing.T) {
	links := regexp.MustCompile(`(?:src|href)="(static/(v-[^/]+/)[^"]+)"`).FindAllStringSubmatch(render(t, templates.Overview{Layout: at("h")}), -1)
	if len(links) < 7 {
		t.Fatalf("the page loads %q", links)
	}
	types := map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
	get := func(method, url, match string) *http.Response {
		r := httptest.NewRequestWithContext(t.Context(), method, url, nil)
		if match != "" {
			r.Header.Set("If-None-Match", match)
		}
		w := httptest.NewRecorder()
		templates.Static(http.NotFoundHandler()).ServeHTTP(w, r)
		return w.Result()
	}
	for _, l := range links {
		path := strings.Replace(l[1], l[2], "", 1)
		_, ext, _ := strings.Cut(path, ".")
		versioned, plain := get("GET", "/"+l[1], ""), get("GET", "/"+path, "")
		body, err := io.ReadAll(versioned.Body)
		if err != nil || len(body) == 0 || versioned.StatusCode != http.StatusOK {
			t.Errorf("%s: %s, %d bytes, %v", l[1], versioned.Status, len(body), err)
		}
		for what, got := range map[string][2]string{
			"type":            {versioned.Header.Get("Content-Type"), types[ext]},
			"cache":           {versioned.Header.Get("Cache-Control"), "public, max-age=31536000, immutable"},
			"cache, plain":    {plain.Header.Get("Cache-Control"), "no-cache"},
			"cache, old":      {get("GET", "/"+strings.Replace(l[1], l[2], "v-old/", 1), "").Header.Get("Cache-Control"), "no-cache"},
			"sniffing":        {plain.Header.Get("X-Content-Type-Options"), "nosniff"},
			"status with tag": {get("GET", "/"+path, plain.Header.Get("ETag")).Status, "304 Not Modified"},
			"status of HEAD":  {get("HEAD", "/"+path, "").Status, "200 OK"},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: %s is %q, want %q", path, what, got[0], got[1])
			}
		}
	}
	for _, path := range []string{"/static/", "/static", "/static/nothing.js", "/static/../metrics.html", "/metrics.html", "/static/v-old", "/static/v-old/", "/static/lib", "/static/lib/"} {
		if got := get("GET", path, "").StatusCode; got != http.StatusNotFound {
			t.Errorf("%s: %d", path, got)
		}
	}
}

// All that a viewer may ever load, as it goes over the wire.
func TestAssetsAreSmall(t *testing.T) {
	const most = 120_000
	total := 0
	err := filepath.WalkDir("static", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Base(path) == "LICENSE" {
			return err
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		t.Logf("%-40s %7d %7d", path, len(body), b.Len())
		total += b.Len()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("all together: %d of %d bytes compressed", total, most)
	if total > most {
		t.Errorf("all files together are %d bytes compressed, more than %d", total, most)
	}
}
