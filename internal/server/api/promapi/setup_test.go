package promapi_test

import (
	"context"
	"iter"
	"net/http"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/features"
	"github.com/prometheus/prometheus/util/teststorage"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/promapi"
)

const script = `
load 30s
  gauge{job="a", instance="1"} 0+1.5x60
  gauge{job="a", instance="2"} 100-3.25x60
  gauge{job="b", instance="1"} 5x60
  total{job="a"} 0+10x60
  native{job="a"} {{schema:1 count:12 sum:30.5 z_bucket:2 z_bucket_w:0.001 buckets:[1 2 3] n_buckets:[2 2]}}x60
`

// now is a little after the last sample.
var now = time.Unix(1810, 0).UTC()

// families is what is known of metrics.
type families []struct {
	name string
	m    metadata.Metadata
}

func (f families) Metadata(_ context.Context, metric string) iter.Seq2[string, metadata.Metadata] {
	return func(yield func(string, metadata.Metadata) bool) {
		for _, one := range f {
			if (metric == "" || metric == one.name) && !yield(one.name, one.m) {
				return
			}
		}
	}
}

func newEngine(tb testing.TB, ps parser.Parser, change ...func(*promql.EngineOpts)) *promql.Engine {
	tb.Helper()
	opts := promql.EngineOpts{
		MaxSamples:               50_000_000,
		Timeout:                  2 * time.Minute,
		LookbackDelta:            5 * time.Minute,
		NoStepSubqueryIntervalFn: func(int64) int64 { return time.Minute.Milliseconds() },
		EnableAtModifier:         true,
		EnableNegativeOffset:     true,
		Parser:                   ps,
	}
	for _, c := range change {
		c(&opts)
	}
	return promqltest.NewTestEngineWithOpts(tb, opts)
}

// options are those of an API over a TSDB with the samples of load.
func options(tb testing.TB, load string) (promapi.Options, *teststorage.TestStorage) {
	tb.Helper()
	st := promqltest.LoadedStorage(tb, load, func(o *tsdb.Options) { o.EnableExemplarStorage = true })
	ps := parser.NewParser(parser.Options{})
	reg := prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "prometheus_tsdb_head_chunks"}, func() float64 { return 42 }))
	return promapi.Options{
		Storage:   st,
		Exemplars: st,
		Engine:    newEngine(tb, ps),
		Parser:    ps,
		Metadata: families{
			{"total", metadata.Metadata{Type: model.MetricTypeCounter, Help: "How <many>.", Unit: "bytes"}},
			{"gauge", metadata.Metadata{Type: model.MetricTypeGauge, Help: "First."}},
			{"gauge", metadata.Metadata{Type: model.MetricTypeGauge, Help: "Second."}},
			{"gauge", metadata.Metadata{Type: model.MetricTypeGauge, Help: "First."}},
		},
		TSDB:     promapi.DB{DB: st.DB, Gatherer: reg},
		Features: features.NewRegistry(),
		Flags:    map[string]string{"address": "localhost:8080", "key": "***"},
		Config:   "address: localhost:8080\n",
		Build:    promapi.BuildInfo{Revision: "abc", GoVersion: "go1.26", Server: "1.2.3"},
		Runtime: func() (promapi.RuntimeInfo, error) {
			return promapi.RuntimeInfo{
				StartTime: time.Unix(1000, 0).UTC(), CWD: "/", Hostname: "web-1", ServerTime: now, ReloadConfigSuccess: true,
				LastConfigTime: time.Unix(1000, 0).UTC(), GoroutineCount: 7, GOMAXPROCS: 2, GOMEMLIMIT: 1 << 40, StorageRetention: "15d",
			}, nil
		},
		Ready:         func() error { return nil },
		EnableAdmin:   true,
		Dir:           st.Dir(),
		LookbackDelta: 5 * time.Minute,
		Now:           func() time.Time { return now },
		Log:           zap.NewNop(),
	}, st
}

func handler(o promapi.Options) http.Handler {
	r := chi.NewRouter()
	promapi.New(o).Routes(r)
	return r
}
