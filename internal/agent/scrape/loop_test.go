package scrape_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

func float(bits uint64) float64 { return math.Float64frombits(bits) }

// scraper is what New returns for Options that are right.
func scraper(t testing.TB, o scrape.Options) *scrape.Scraper {
	t.Helper()
	s, err := scrape.New(o)
	require.NoError(t, err)
	return s
}

// run runs a Scraper in fake time until stop, which returns its error.
func run(t *testing.T, o scrape.Options) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := scraper(t, o)
	go func() { done <- s.Run(ctx) }()
	synctest.Wait()
	return func() error {
		cancel()
		return <-done
	}
}

const interval = 15 * time.Second

func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, time.Now)
		p := newPage("# TYPE a gauge\na{x=\"1\"} 1\na{x=\"2\",empty=\"\"} 2\nold 3 " + fmt.Sprint(time.Now().UnixMilli()-1000) + "\n")
		start := time.Now()
		stop := run(t, scrape.Options{
			Targets:  []scrape.Target{{Job: "j", Instance: "i", Source: p}},
			Interval: interval, Deliver: r.deliver,
			External: metric.NewLabels("dc", "eu", "job", "not this"),
		})
		require.Len(t, r.delivered(), 1, "the first scrape is at once")
		for range 4 {
			time.Sleep(interval)
			synctest.Wait()
		}
		require.Len(t, r.delivered(), 5)

		// A series goes: a marker at that scrape, but not for the one with its own time.
		p.set(func(p *page) { p.body = "a{x=\"1\"} 1\n" })
		time.Sleep(interval)
		synctest.Wait()
		// It comes again, and its labels stand in another order, which means nothing.
		p.set(func(p *page) { p.body = "a{empty=\"\",x=\"2\"} 7\na{x=\"1\"} 1\n" })
		time.Sleep(interval)
		synctest.Wait()
		p.set(func(p *page) { p.body = "a{x=\"2\",empty=\"\"} 8\na{x=\"1\"} 1\n" })
		time.Sleep(interval)
		synctest.Wait()
		// The target goes: markers once.
		p.set(func(p *page) { p.err = errors.New("gone") })
		time.Sleep(3 * interval)
		synctest.Wait()
		p.set(func(p *page) { p.err = nil })
		time.Sleep(interval)
		synctest.Wait()
		require.NoError(t, stop())

		got := r.points()
		require.Equal(t, []string{"1", "1", "1", "1", "1", "1", "1", "1", "stale", "1"},
			got[`{__name__="a", dc="eu", instance="i", job="j", x="1"}`])
		require.Equal(t, []string{"2", "2", "2", "2", "2", "stale", "7", "8", "stale", "8"},
			got[`{__name__="a", dc="eu", instance="i", job="j", x="2"}`])
		require.Equal(t, []string{"3"}, got[`{__name__="old", dc="eu", instance="i", job="j"}`])
		report := func(name string) []string { return got[`{__name__="`+name+`", dc="eu", instance="i", job="j"}`] }
		require.Equal(t, strings.Fields("1 1 1 1 1 1 1 1 0 0 0 1"), report("up"))
		require.Equal(t, strings.Fields("3 3 3 3 3 1 2 2 0 0 0 2"), report("scrape_samples_scraped"))
		require.Equal(t, strings.Fields("3 3 3 3 3 1 2 2 0 0 0 2"), report("scrape_samples_post_metric_relabeling"))
		require.Equal(t, strings.Fields("3 0 0 0 0 0 1 0 0 0 0 0"), report("scrape_series_added"))
		require.Len(t, report("scrape_duration_seconds"), 12)

		// The end wrote nothing more, and all stands at multiples of the interval.
		for _, points := range writetest.Contents(t, r.db).Series {
			for _, p := range points {
				if p.T != start.UnixMilli()-1000 {
					require.Zero(t, (p.T-start.UnixMilli())%interval.Milliseconds())
				}
			}
		}
		require.Equal(t, [3]string{"gauge", "Whether the last scrape of the target succeeded.", ""}, r.families.All()["up"])
	})
}

// slow takes its time.
type slow struct {
	page

	mu    sync.Mutex
	takes time.Duration
	began []time.Duration
	start time.Time
}

func (s *slow) Fetch(ctx context.Context, r scrape.Request, b *bytes.Buffer) (scrape.Result, error) {
	s.mu.Lock()
	takes := s.takes
	s.began = append(s.began, time.Since(s.start))
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return scrape.Result{}, ctx.Err()
	case <-time.After(takes):
	}
	return s.page.Fetch(ctx, r, b)
}

func TestTimeoutAndTicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, time.Now)
		s := &slow{page: page{contentType: text, body: "a 1\n"}, takes: time.Hour, start: time.Now()}
		stop := run(t, scrape.Options{
			Targets:  []scrape.Target{{Job: "j", Instance: "i", Source: s}},
			Interval: interval, Deliver: r.deliver,
		})
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		require.Equal(t, []string{"0"}, r.points()[`{__name__="up", instance="i", job="j"}`])
		s.mu.Lock()
		s.takes = 9 * time.Second
		s.mu.Unlock()
		time.Sleep(3 * interval)
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, []string{"0", "1", "1", "1"}, r.points()[`{__name__="up", instance="i", job="j"}`])
		require.Equal(t, []time.Duration{0, interval, 2 * interval, 3 * interval}, s.began)
	})
}

// stubborn gathers for as long as it likes.
type stubborn struct {
	takes time.Duration
	runs  int
}

func (s *stubborn) Gather() ([]*dto.MetricFamily, error) {
	s.runs++
	if s.runs == 1 {
		time.Sleep(s.takes)
	}
	return prometheus.NewRegistry().Gather()
}

func TestGatherThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, time.Now)
		log, logs := newLog()
		g := &stubborn{takes: 50 * time.Second}
		other := newPage("a 1\n")
		stop := run(t, scrape.Options{
			Targets: []scrape.Target{
				{Job: "g", Instance: "i", Source: scrape.Gatherer("registry", g)},
				{Job: "p", Instance: "i", Source: other},
			},
			Interval: interval, Deliver: r.deliver, Log: log,
		})
		time.Sleep(5*interval + time.Second)
		synctest.Wait()
		require.NoError(t, stop())
		// At 0, 15 and 30 it hangs; the one at 45 waits for it, and it ends at 50.
		require.Equal(t, strings.Fields("0 0 0 1 1 1"), r.points()[`{__name__="up", instance="i", job="g"}`])
		require.Equal(t, strings.Fields("1 1 1 1 1 1"), r.points()[`{__name__="up", instance="i", job="p"}`])
		require.Equal(t, 4, g.runs)
		require.Equal(t, []string{"scrape fails: gathering takes longer than the timeout", "scrape fails no more"}, messages(logs))
	})
}

// TestGatherLeftBehind: Run says whom it left, and doesn't wait for ever.
func TestGatherLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &stubborn{takes: time.Hour}
		stop := run(t, scrape.Options{
			Targets:  []scrape.Target{{Job: "g", Source: scrape.Gatherer("registry", g)}},
			Interval: interval,
		})
		time.Sleep(time.Second)
		require.ErrorContains(t, stop(), "scrape of registry: gathering")
		time.Sleep(time.Hour) // it ends, too
	})
}

func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, time.Now)
		log, logs := newLog()
		p := newPage("a 1\n")
		stop := run(t, scrape.Options{
			Targets: []scrape.Target{
				{Job: "p", Instance: "i", Source: p},
				{Job: "g", Instance: "i", Source: scrape.Gatherer("registry", prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
					panic("out of order")
				}))},
			},
			Interval: interval, Deliver: r.deliver, Log: log,
		})
		p.set(func(p *page) { p.panics = true })
		time.Sleep(2 * interval)
		synctest.Wait()
		p.set(func(p *page) { p.panics = false })
		time.Sleep(interval)
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, strings.Fields("1 0 0 1"), r.points()[`{__name__="up", instance="i", job="p"}`])
		require.Equal(t, strings.Fields("0 0 0 0"), r.points()[`{__name__="up", instance="i", job="g"}`])
		require.Equal(t, []string{
			"scrape fails: gather: panic: out of order", "scrape fails: panic: the page is torn", "scrape fails no more",
		}, messages(logs))
		for _, e := range logs.All()[:2] {
			require.Contains(t, e.ContextMap()["stack"], "_test.go")
		}
	})
}

// TestCutShort: a scrape that the end cuts short says nothing, least of all that
// the target is down.
func TestCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, time.Now)
		log, logs := newLog()
		s := &slow{page: page{contentType: text, body: "a 1\n"}, takes: time.Second, start: time.Now()}
		stop := run(t, scrape.Options{
			Targets:  []scrape.Target{{Job: "j", Instance: "i", Source: s}},
			Interval: interval, Deliver: r.deliver, Log: log,
		})
		time.Sleep(interval + time.Second/2) // in the second
		require.NoError(t, stop())
		require.Len(t, r.delivered(), 1)
		require.Equal(t, []string{"1"}, r.points()[`{__name__="up", instance="i", job="j"}`])
		require.Empty(t, messages(logs))
	})
}
