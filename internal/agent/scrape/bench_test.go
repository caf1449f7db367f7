package scrape

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
)

// node is a registry with about a thousand series as a machine has them.
func node() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	cpu := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "node_cpu_seconds_total", Help: "Seconds the CPUs spent in each mode."}, []string{"cpu", "mode"})
	reg.MustRegister(cpu)
	for i := range 32 {
		for mode := range strings.FieldsSeq("idle iowait irq nice softirq steal system user") {
			cpu.WithLabelValues(fmt.Sprint(i), mode).Add(float64(i) * 1234.5)
		}
	}
	for i := range 40 {
		disk := prometheus.NewCounterVec(prometheus.CounterOpts{Name: fmt.Sprintf("node_disk_thing_%d_total", i), Help: "The total number of things of the disk."}, []string{"device"})
		reg.MustRegister(disk)
		for d := range 10 {
			disk.WithLabelValues(fmt.Sprintf("nvme%dn1", d)).Add(float64(i*d) * 7)
		}
	}
	for i := range 350 {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: fmt.Sprintf("node_memory_Thing%d_bytes", i), Help: fmt.Sprintf("Memory information field Thing%d_bytes.", i)})
		g.Set(float64(i) * 4096)
		reg.MustRegister(g)
	}
	return reg
}

// written is a transport that answers with an exposition.
type written struct{ body string }

func (w written) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain; version=0.0.4"}},
		Body: io.NopCloser(strings.NewReader(w.body)),
	}, nil
}

// BenchmarkScrape is a scrape of about a thousand series, from the source to the
// payloads.
func BenchmarkScrape(b *testing.B) {
	reg := node()
	families, err := reg.Gather()
	require.NoError(b, err)
	var text strings.Builder
	for _, f := range families {
		_, err := expfmt.MetricFamilyToText(&text, f)
		require.NoError(b, err)
	}
	page, err := HTTP("http://localhost:9100/metrics")
	require.NoError(b, err)
	gathered := prometheus.GathererFunc(func() (_ []*dto.MetricFamily, _ error) { return families, nil })
	for _, c := range []struct {
		name   string
		source Source
	}{
		{"from=gatherer", Gatherer("node", gathered)},
		{"from=registry", Gatherer("node", reg)},
		{"from=text", page},
	} {
		b.Run(c.name, func(b *testing.B) {
			samples, bytes := 0, 0
			s, err := New(Options{
				Interval: time.Second, Transport: written{text.String()},
				Deliver: func(p Payload) { samples, bytes = p.Samples, len(p.Body) },
			})
			require.NoError(b, err)
			t := newTarget(Target{Job: "node", Instance: "web-1.example.com", Source: c.source}, &s.o)
			b.ReportAllocs()
			for b.Loop() {
				s.scrape(context.Background(), t)
			}
			if samples < 1000 {
				b.Fatal(samples)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(samples), "ns/sample")
			b.ReportMetric(float64(bytes)/float64(samples), "B/sample")
		})
	}
}
