package pages_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// The overview and the page of a machine say the same of it: whether it reports, where
// nobody said how often, and which of its disks is the fullest.
func TestOverviewAndHostAgree(t *testing.T) {
	series := func(v float64, pairs ...string) writetest.Series {
		s := writetest.Series{Labels: append([]string{"instance", "web-1"}, pairs...)}
		for at := now.Add(-4 * time.Minute); !at.After(now.Add(-20 * time.Second)); at = at.Add(time.Second) {
			s.Samples = append(s.Samples, writetest.Sample{T: at.UnixMilli(), V: v})
		}
		return s
	}
	list := []writetest.Series{series(1, "__name__", "node_load1")}
	for _, fs := range []struct {
		mount, kind string
		avail       float64
	}{
		{"/", "ext4", 50}, {"/data", "fuse.sshfs", 30}, {"/run/x", "ext4", 5}, {"/tmp", "tmpfs", 1}, {"/host", "fuse.lxcfs", 2},
	} {
		list = append(list,
			series(100, "__name__", "node_filesystem_size_bytes", "mountpoint", fs.mount, "fstype", fs.kind),
			series(fs.avail, "__name__", "node_filesystem_avail_bytes", "mountpoint", fs.mount, "fstype", fs.kind))
	}
	past := pages.Options{Now: func() time.Time { return now }, State: state{}}
	withHistory(&past, openDB(t, list))
	for _, o := range []pages.Options{past, {Now: past.Now, State: pushedState(list)}} {
		overview := strings.ReplaceAll(look(t, pages.New(o), "/"), "\u00a0", " ")
		require.Contains(t, overview, `<span class="badge good">reporting</span>`)
		require.Contains(t, overview, `<b>70 %</b><small title="/data">`)
	}
	w, err := get(past, "/host/web-1")
	require.NoError(t, err)
	contains(t, w.Body.String(), `<span class="badge good">reporting</span>`, "<span>Fullest disk</span><b>70 %</b> <small>/data</small>")
}

// pushedState is what a state has if the last samples are pushed.
func pushedState(list []writetest.Series) (out state) {
	for _, s := range list {
		last := s.Samples[len(s.Samples)-1]
		m := metric.Metric{Kind: metric.Gauge, Value: last.V, Timestamp: last.T}
		var pairs []string
		for i := 0; i < len(s.Labels); i += 2 {
			if s.Labels[i] == "__name__" {
				m.Name = s.Labels[i+1]
			} else {
				pairs = append(pairs, s.Labels[i], s.Labels[i+1])
			}
		}
		m.Labels = metric.NewLabels(pairs...)
		out = append(out, m)
	}
	return out
}

// An agent sends of itself more often than its collectors run. Rates are taken over as
// long as these need.
func TestRatesOfCollectors(t *testing.T) {
	for _, collected := range []time.Duration{15 * time.Second, time.Minute} {
		var list []writetest.Series
		for name, every := range map[string]time.Duration{
			"node_load1": collected, "node_cpu_seconds_total": collected, "PollCount": 2 * time.Second, "gometheus_agent_info": 2 * time.Second,
		} {
			s := writetest.Series{Labels: []string{"__name__", name, "instance", "web-1"}}
			if name == "node_cpu_seconds_total" {
				s.Labels = append(s.Labels, "cpu", "0", "mode", "idle")
			}
			for at := now.Add(-20 * time.Minute); !at.After(now); at = at.Add(every) {
				s.Samples = append(s.Samples, writetest.Sample{T: at.UnixMilli(), V: at.Sub(now.Add(-time.Hour)).Seconds() / 4})
			}
			list = append(list, s)
		}
		o := pages.Options{Now: func() time.Time { return now }, State: state{}}
		withHistory(&o, openDB(t, list))
		w, err := get(o, "/host/web-1")
		require.NoError(t, err)
		contains(t, w.Body.String(), fmt.Sprintf(`data-interval="%g"`, collected.Seconds()), "<span>CPU</span><b>75 %</b>")
		contains(t, look(t, pages.New(o), "/"), "<b>75 %</b>")
	}
}
