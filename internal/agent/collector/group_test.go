package collector_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/agent/collector"
	"github.com/gometheus/gometheus/internal/common/metric"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a collector whose behaviour a test sets.
type fake struct {
	name    string
	collect func(ctx context.Context) ([]metric.Metric, error)
	calls   atomic.Int32
}

func (f *fake) Name() string { return f.name }

func (f *fake) Collect(ctx context.Context) ([]metric.Metric, error) {
	f.calls.Add(1)
	return f.collect(ctx)
}

func gives(ms ...metric.Metric) func(context.Context) ([]metric.Metric, error) {
	return func(context.Context) ([]metric.Metric, error) { return ms, nil }
}

func gauge(name string) metric.Metric {
	return metric.Metric{Kind: metric.Gauge, Name: name, Value: 1, Timestamp: 1}
}

func newGroup(t *testing.T, collectors ...collector.Collector) (*collector.Group, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	return collector.NewGroup(collector.Options{Timeout: time.Second, Log: zap.New(core)}, collectors...), logs
}

func names(ms []metric.Metric) []string {
	out := []string{}
	for i := range ms {
		out = append(out, ms[i].Name)
	}
	return out
}

func messages(logs *observer.ObservedLogs) []string {
	out := []string{}
	for _, e := range logs.TakeAll() {
		out = append(out, e.Message+" "+e.ContextMap()["collector"].(string))
	}
	return out
}

func TestOneCollectorsTroubleIsItsOwn(t *testing.T) {
	boom := errors.New("boom")
	tests := []struct {
		name string
		bad  func(ctx context.Context) ([]metric.Metric, error)
		want []string
		log  string
	}{
		{"fails", func(context.Context) ([]metric.Metric, error) { return nil, boom }, []string{"a", "b"}, "boom"},
		{
			"fails in part", func(context.Context) ([]metric.Metric, error) { return []metric.Metric{gauge("x")}, boom },
			[]string{"a", "x", "b"},
			"boom",
		},
		{"panics", func(context.Context) ([]metric.Metric, error) { panic("ouch") }, []string{"a", "b"}, "panic: ouch"},
		{
			"gives what the server would refuse",
			gives(gauge("x"), metric.Metric{Kind: metric.Gauge, Name: "nan", Value: math.NaN()}),
			[]string{"a", "x", "b"},
			`metric "nan": value NaN: a gauge needs a finite number`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bad := &fake{name: "bad", collect: tt.bad}
			g, logs := newGroup(t, &fake{name: "a", collect: gives(gauge("a"))}, bad,
				&fake{name: "b", collect: gives(gauge("b"))})

			for range 3 {
				assert.Equal(t, tt.want, names(g.Collect(t.Context())))
			}
			require.Equal(t, 1, logs.Len(), "logged once, not at every poll")
			assert.Equal(t, tt.log, logs.All()[0].ContextMap()["error"])
			assert.Equal(t, []string{"collector fails bad"}, messages(logs))

			bad.collect = gives(gauge("x"))
			assert.Equal(t, []string{"a", "x", "b"}, names(g.Collect(t.Context())))
			assert.Equal(t, []string{"a", "x", "b"}, names(g.Collect(t.Context())))
			assert.Equal(t, []string{"collector recovered bad"}, messages(logs))
		})
	}
}

func TestHungCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hung := &fake{name: "hung", collect: func(context.Context) ([]metric.Metric, error) {
			<-release
			return []metric.Metric{gauge("late")}, nil
		}}
		g, logs := newGroup(t, hung, &fake{name: "good", collect: gives(gauge("a"))})

		start := time.Now()
		assert.Equal(t, []string{"a"}, names(g.Collect(t.Context())))
		assert.Equal(t, time.Second, time.Since(start), "the poll waits for the timeout and no longer")
		for range 3 {
			assert.Equal(t, []string{"a"}, names(g.Collect(t.Context())))
		}
		assert.Equal(t, time.Second, time.Since(start), "later polls don't wait for it at all")
		assert.EqualValues(t, 1, hung.calls.Load(), "it is not started again while it hangs")
		assert.Equal(t, []string{"collector fails hung"}, messages(logs))

		close(release)
		synctest.Wait()
		hung.collect = gives(gauge("new"))
		assert.Equal(t, []string{"late", "new", "a"}, names(g.Collect(t.Context())), "what came late isn't lost")
		assert.Equal(t, []string{"collector recovered hung"}, messages(logs))
	})
}

func TestCollectorsRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(context.Context) ([]metric.Metric, error) {
			time.Sleep(900 * time.Millisecond) // fake time
			return []metric.Metric{gauge("slow")}, nil
		}
		g, _ := newGroup(t, &fake{name: "1", collect: slow}, &fake{name: "2", collect: slow})
		start := time.Now()
		assert.Len(t, g.Collect(t.Context()), 2)
		assert.Equal(t, 900*time.Millisecond, time.Since(start))
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		slow := func(context.Context) ([]metric.Metric, error) {
			time.Sleep(2 * time.Second) // fake time
			return []metric.Metric{gauge("slow")}, nil
		}
		hung := func(context.Context) ([]metric.Metric, error) { <-release; return nil, nil }
		g, _ := newGroup(t, &fake{name: "slow", collect: slow}, &fake{name: "hung", collect: hung})
		assert.Empty(t, g.Collect(t.Context()))

		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		ms, err := g.Drain(ctx)
		assert.Equal(t, []string{"slow"}, names(ms))
		require.EqualError(t, err, "collector hung: no answer in time")

		close(release)
		ms, err = g.Drain(t.Context())
		assert.Empty(t, ms)
		require.NoError(t, err)
	})
}

func TestLabels(t *testing.T) {
	base := metric.NewLabels("instance", "host", "zone", "eu")
	tests := []struct{ own, want metric.Labels }{
		{nil, base},
		{metric.NewLabels("instance", "mine"), metric.NewLabels("instance", "mine", "zone", "eu")},
		{metric.NewLabels("disk", "sda"), metric.NewLabels("disk", "sda", "instance", "host", "zone", "eu")},
		{metric.NewLabels("z", "1"), metric.NewLabels("instance", "host", "z", "1", "zone", "eu")},
		{metric.NewLabels("zz", "1"), metric.NewLabels("instance", "host", "zone", "eu", "zz", "1")},
	}
	for _, tt := range tests {
		m := gauge("a")
		m.Labels = tt.own
		g := collector.NewGroup(collector.Options{Timeout: time.Second, Labels: base, Log: zap.NewNop()},
			&fake{name: "a", collect: gives(m)})
		got := g.Collect(t.Context())
		require.Len(t, got, 1)
		assert.Equal(t, tt.want, got[0].Labels)
	}
}
