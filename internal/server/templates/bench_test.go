package templates

import (
	"fmt"
	"html/template"
	"io"
	"testing"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// BenchmarkRender writes 100,000 series. impl=plain is the same table
// by html/template alone, the yardstick.
func BenchmarkRender(b *testing.B) {
	ms := many(100_000)
	o := Overview{Layout: Layout{Host: "localhost:8080", Now: time.UnixMilli(1_795_454_731_960)}, Series: Page{Total: len(ms), Found: len(ms)}}
	plain := template.Must(template.New("").Parse(`<table>{{range .}}<tr><td class="{{.Kind}}"><span>{{.Kind}}</span></td>` +
		`<th scope="row">{{.Name}}</th><td>{{range .Labels}}<span><i>{{.Name}}=</i>{{.Value}}</span> {{end}}</td><td>{{.Value}}</td>` +
		`<td><time datetime="{{.Time.UTC.Format "2006-01-02T15:04:05.000Z"}}">{{.Time.UTC.Format "2006-01-02 15:04:05 UTC"}}</time></td></tr>{{end}}</table>`))

	run := func(name string, render func() error) {
		b.Run("impl="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := render(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ms)), "ns/metric")
		})
	}
	run("plain", func() error { return plain.Execute(io.Discard, Rows(ms)) })
	run("gometheus", func() error {
		o.Series.Rows = Rows(ms)
		return RenderOverview(io.Discard, o)
	})
}

// BenchmarkSelect finds the first page among 100,000 series.
func BenchmarkSelect(b *testing.B) {
	all := many(100_000)
	ms := make([]metric.Metric, len(all))
	for _, query := range []string{"", "cpu web-7"} {
		b.Run("query="+query, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				copy(ms, all)
				Select(ms, query, Sort{By: ByValue, Desc: true}, 1, SeriesPage)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ms)), "ns/metric")
		})
	}
}

// many makes n series as a fleet of agents would push them.
func many(n int) []metric.Metric {
	names := []string{"Alloc", "CPUutilization1", "FreeMemory", "HeapAlloc", "PollCount", "RandomValue", "TotalMemory"}
	ms := make([]metric.Metric, n)
	for i := range ms {
		ms[i] = metric.Metric{
			Kind:      metric.Gauge,
			Name:      names[i%len(names)],
			Labels:    metric.NewLabels("instance", fmt.Sprintf("web-%d", i/len(names)), "zone", "eu-1"),
			Value:     float64(i) * 1.25,
			Timestamp: 1_795_454_731_960 - int64(i),
		}
		if ms[i].Name == "PollCount" {
			ms[i].Kind, ms[i].Delta = metric.Counter, int64(i)
		}
	}
	return ms
}
