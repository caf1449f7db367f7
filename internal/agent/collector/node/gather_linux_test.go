package node

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	upstream "github.com/prometheus/node_exporter/collector"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// fake is a collector that a test writes.
type fake func(ch chan<- prometheus.Metric) error

func (f fake) Update(ch chan<- prometheus.Metric) error { return f(ch) }

// give emits one gauge.
func give(name string) fake {
	desc := prometheus.NewDesc(name, "A test.", nil, nil)
	return func(ch chan<- prometheus.Metric) error {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 7)
		return nil
	}
}

// rig is a gatherer of fakes, and what it logs.
type rig struct {
	t    *testing.T
	g    *gatherer
	logs *observer.ObservedLogs
	log  *slog.Logger // what the collectors would get
}

func newRig(t *testing.T, level zapcore.Level, fakes map[string]fake) *rig {
	t.Helper()
	core, logs := observer.New(level)
	tr := newTroubles(zap.New(core))
	var sources []*source
	for name, f := range fakes {
		sources = append(sources, &source{name: name, collector: f})
	}
	g, err := newGatherer(sources, DefaultTimeout, tr)
	require.NoError(t, err)
	tr.made()
	return &rig{t, g, logs, slog.New(&handler{next: zapslog.NewHandler(core), troubles: tr})}
}

// gather returns the values by name and label.
func (r *rig) gather() map[string]float64 {
	r.t.Helper()
	families, err := r.g.Gather()
	require.NoError(r.t, err)
	return values(families)
}

func values(families []*dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += "/" + l.GetValue()
			}
			out[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()
		}
	}
	return out
}

// said is what was logged since the last call, in short.
func (r *rig) said() (out []string) {
	for _, e := range r.logs.TakeAll() {
		out = append(out, fmt.Sprint(e.Level, " ", e.Message, " ", e.ContextMap()["collector"]))
	}
	return out
}

const success = "node_scrape_collector_success/"

// TestHangs: who hangs costs only its own metrics, is started again, but not for
// ever, and comes back.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		release, well := make(chan struct{}), give("hung")
		r := newRig(t, zap.InfoLevel, map[string]fake{
			"good": give("good"),
			"hung": func(ch chan<- prometheus.Metric) error {
				runs.Add(1)
				<-release
				return well(ch)
			},
		})
		for i := 1; i <= maxRuns+2; i++ {
			begin := time.Now()
			got := r.gather()
			require.InDelta(t, 7, got["good"], 0)
			require.InDelta(t, 1, got[success+"good"], 0)
			require.InDelta(t, 0, got[success+"hung"], 0)
			require.Contains(t, got, success+"hung")
			require.NotContains(t, got, "hung")
			if i <= maxRuns {
				require.Equal(t, DefaultTimeout, time.Since(begin))
			} else {
				require.Zero(t, time.Since(begin), "there is nobody to wait for")
			}
			require.Equal(t, int64(min(i, maxRuns)), runs.Load())
		}
		require.Equal(t, []string{"warn node collector fails hung"}, r.said(), "said once")
		close(release)
		synctest.Wait()
		require.InDelta(t, 7, r.gather()["hung"], 0)
		require.Equal(t, []string{"info over: node collector fails hung"}, r.said())
		require.InDelta(t, 1, r.gather()[success+"hung"], 0)
		require.Empty(t, r.said())
	})
}

// TestFails: an error, a panic and missing rights are said once and cost nobody
// else; that there is nothing to find is not worth a word.
func TestFails(t *testing.T) {
	bad := true
	good := give("some")
	r := newRig(t, zap.InfoLevel, map[string]fake{
		"good":   give("good"),
		"none":   func(chan<- prometheus.Metric) error { return upstream.ErrNoData },
		"rights": func(chan<- prometheus.Metric) error { return fmt.Errorf("open it: %w", fs.ErrPermission) },
		"panics": func(chan<- prometheus.Metric) error {
			if bad {
				panic("oh")
			}
			return nil
		},
		"some": func(ch chan<- prometheus.Metric) error {
			_ = good(ch)
			if bad {
				return errors.New("half of it")
			}
			return nil
		},
	})
	for range 3 {
		got := r.gather()
		require.InDelta(t, 7, got["some"], 0, "what came before the error is kept")
		require.InDelta(t, 7, got["good"], 0)
		for name, want := range map[string]float64{"good": 1, "none": 0, "rights": 0, "panics": 0, "some": 0} {
			require.InDelta(t, want, got[success+name], 0, name)
		}
	}
	require.Contains(t, r.logs.FilterField(zap.String("collector", "panics")).All()[0].ContextMap()["stack"], "gather_linux_test.go")
	require.ElementsMatch(t, []string{
		"warn node collector fails panics", "warn node collector fails some",
		"warn node collector needs more rights than this process has; what it may not read is left out rights",
	}, r.said())
	bad = false
	r.gather()
	require.ElementsMatch(t, []string{"info over: node collector fails panics", "info over: node collector fails some"}, r.said())
	bad = true
	r.gather()
	require.Len(t, r.said(), 2, "it begins again")
}

// TestCollectorsLog: what collectors log themselves, at every gather.
func TestCollectorsLog(t *testing.T) {
	var log *slog.Logger
	n := 0
	r := newRig(t, zap.DebugLevel, map[string]fake{"files": func(chan<- prometheus.Metric) error {
		if n++; n < 4 {
			log.Error("can't read", "file", "a.prom", "err", fmt.Errorf("bad line %d", n))
			log.Warn("can't read", "file", "b.prom")
		}
		log.Info("parsed a flag", "flag", "x")
		log.Debug("may not look", "mountpoint", "/m", "err", fs.ErrPermission)
		return nil
	}})
	log = r.log.With("collector", "files")
	for range 3 {
		r.gather()
	}
	rights := "warn node collector needs more rights than this process has; what it may not read is left out files"
	detail := "debug parsed a flag files"
	require.Equal(t, []string{
		"warn node collector: can't read files", "warn node collector: can't read files", detail, rights, detail, detail,
	}, r.said())
	r.gather()
	require.Equal(t, []string{
		detail, "info over: node collector: can't read files", "info over: node collector: can't read files",
	}, r.said())
}

// TestConflict: one metric that doesn't fit costs none but itself.
func TestConflict(t *testing.T) {
	r := newRig(t, zap.InfoLevel, map[string]fake{"a": give("same"), "b": give("same"), "c": give("other")})
	for range 2 {
		got := r.gather()
		require.InDelta(t, 7, got["same"], 0)
		require.InDelta(t, 7, got["other"], 0)
	}
	require.Len(t, r.said(), 1)
}
