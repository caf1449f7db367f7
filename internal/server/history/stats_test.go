package history_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
)

// TestReporters: an instance is late when it misses its reports.
func TestReporters(t *testing.T) {
	r := newRig(t)
	report := func(instance string) {
		r.push(storage.Mark{Producer: "#" + instance, Sequence: uint64(r.ms())}, 10*time.Second,
			metric.Metric{Kind: metric.Gauge, Name: "load", Value: 1, Labels: metric.NewLabels("instance", instance)})
	}
	want := func(up, late int) {
		t.Helper()
		gotUp, gotLate := r.h.Reporters()
		require.Equal(t, [2]int{up, late}, [2]int{gotUp, gotLate})
	}
	want(0, 0)
	report("web-1")
	report("web-2")
	want(2, 0)
	for range 5 {
		r.sleep(10 * time.Second)
		report("web-1")
		r.h.Sweep()
	}
	want(1, 1)
	report("web-2")
	want(2, 0)
}

// TestQueries: those that run and those that wait.
func TestQueries(t *testing.T) {
	r := newRig(t)
	running, waiting, most := r.h.Queries()
	require.Equal(t, [3]int{0, 0, 4}, [3]int{running, waiting, most})
	held := make(chan struct{})
	ended := make(chan error, 5)
	// A query holds its place until it is executed, so hold the places themselves.
	tracker := r.h.Tracker()
	for range 5 {
		go func() {
			n, err := tracker.Insert(t.Context(), "up")
			if err == nil {
				<-held
				tracker.Delete(n)
			}
			ended <- err
		}()
	}
	require.Eventually(t, func() bool {
		running, waiting, _ = r.h.Queries()
		return running == 4 && waiting == 1
	}, time.Minute, time.Millisecond)
	close(held)
	for range 5 {
		require.NoError(t, <-ended)
	}
	running, waiting, _ = r.h.Queries()
	require.Equal(t, [2]int{0, 0}, [2]int{running, waiting})
}

// TestFuture: a sample far ahead is told of, one that a clock may be wrong by is
// not.
func TestFuture(t *testing.T) {
	r := newRig(t)
	_, wrong := r.h.Future()
	require.False(t, wrong, "nothing is there")
	r.push(storage.Mark{}, 0, metric.Metric{Kind: metric.Gauge, Name: "a", Value: 1, Timestamp: r.ms() + metric.MaxAhead})
	r.h.Flush()
	_, wrong = r.h.Future()
	require.False(t, wrong)
	r.sleep(24 * time.Hour)
	r.push(storage.Mark{}, 0, metric.Metric{Kind: metric.Gauge, Name: "a", Value: 2})
	r.h.Flush()
	newest := r.clock()
	r.sleep(-24 * time.Hour)
	at, wrong := r.h.Future()
	require.True(t, wrong)
	require.Equal(t, newest.UnixMilli(), at.UnixMilli())
}
