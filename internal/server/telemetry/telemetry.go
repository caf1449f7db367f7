// Package telemetry is what the server tells of itself, at GET /metrics: counts
// and times as Prometheus has them, under names that start with gometheus_,
// beside those of the Go runtime, the process, the TSDB and the query engine.
package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
)

// Telemetry counts. New makes one.
type Telemetry struct {
	registry *prometheus.Registry

	applied, replayed, failed prometheus.Counter // batches
	gauges, counters          prometheus.Counter // metrics
	apply                     prometheus.Observer
	rejected                  *prometheus.CounterVec
	requests                  *prometheus.HistogramVec
	written, refused          *prometheus.CounterVec // remote write
}

// New makes a Telemetry with a registry of its own.
func New() *Telemetry {
	t := &Telemetry{registry: prometheus.NewRegistry()}
	batches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gometheus_batches_total",
		Help: "Pushed batches by how they ended: applied, replayed (applied before, so nothing changed) or failed.",
	}, []string{"result"})
	metrics := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gometheus_metrics_total", Help: "Pushed metrics that were applied.",
	}, []string{"type"})
	apply := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "gometheus_storage_apply_duration_seconds",
		Help:    "How long the storage took to commit a batch.",
		Buckets: prometheus.ExponentialBuckets(16e-6, 4, 10),
	})
	t.rejected = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gometheus_rejected_total", Help: "Requests that were answered with a problem, by its code.",
	}, []string{"reason"})
	t.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "gometheus_http_request_duration_seconds",
		Help:    "How long requests took, by route and status.",
		Buckets: []float64{.0005, .002, .01, .05, .2, 1, 5, 30},
	}, []string{"route", "code"})
	t.written = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gometheus_remote_write_written_total", Help: "What remote write brought and the history took.",
	}, []string{"kind"})
	t.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "gometheus_remote_write_refused_total", Help: "What remote write brought and the history did not take, by reason.",
	}, []string{"reason"})
	t.registry.MustRegister(
		t.written, t.refused,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		batches, metrics, apply, t.rejected, t.requests,
	)
	t.applied, t.replayed, t.failed = batches.WithLabelValues("applied"), batches.WithLabelValues("replayed"), batches.WithLabelValues("failed")
	t.gauges, t.counters = metrics.WithLabelValues("gauge"), metrics.WithLabelValues("counter")
	t.apply = apply
	return t
}

// Registry is where others register what they tell.
func (t *Telemetry) Registry() *prometheus.Registry { return t.registry }

// Batch notes how a batch ended.
func (t *Telemetry) Batch(ms []metric.Metric, replayed bool, took time.Duration, err error) {
	t.apply.Observe(took.Seconds())
	switch {
	case err != nil:
		t.failed.Inc()
		return
	case replayed:
		t.replayed.Inc()
		return
	}
	t.applied.Inc()
	counters := 0
	for i := range ms {
		if ms[i].Kind == metric.Counter {
			counters++
		}
	}
	t.counters.Add(float64(counters))
	t.gauges.Add(float64(len(ms) - counters))
}

// Rejected notes a request that was answered with a problem.
func (t *Telemetry) Rejected(code string) { t.rejected.WithLabelValues(code).Inc() }

// RemoteWrite counts what remote write brings.
func (t *Telemetry) RemoteWrite() remotewrite.Hooks {
	samples, histograms, exemplars := t.written.WithLabelValues("sample"), t.written.WithLabelValues("histogram"), t.written.WithLabelValues("exemplar")
	return remotewrite.Hooks{
		Written: func(s, h, e int) {
			samples.Add(float64(s))
			histograms.Add(float64(h))
			exemplars.Add(float64(e))
		},
		Refused: func(reason remotewrite.Reason, n int) { t.refused.WithLabelValues(string(reason)).Add(float64(n)) },
	}
}

// Handler answers GET /metrics.
func (t *Telemetry) Handler(log *zap.Logger) http.Handler {
	return promhttp.HandlerFor(wellNamed{t.registry}, promhttp.HandlerOpts{
		ErrorLog: zap.NewStdLog(log), DisableCompression: true, EnableOpenMetrics: true, Registry: t.registry,
	})
}

// Request notes a request. There are few routes, whatever clients ask for; "" is
// none of them.
func (t *Telemetry) Request(route string, status int, took time.Duration) {
	if route == "" {
		route = "none"
	}
	t.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

// Func registers a number that is asked for when somebody looks.
func (t *Telemetry) Func(name, help string, f func() float64) {
	t.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
}

// CounterFunc is Func for a number that only grows.
func (t *Telemetry) CounterFunc(name, help string, labels map[string]string, f func() float64) {
	t.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, f))
}
