package historytest

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPushIsSeenAtOnce: what was acknowledged is in the next answer, or, if somebody
// asked in the same millisecond before, in one of the next millisecond.
func TestPushIsSeenAtOnce(t *testing.T) {
	s := startServer(t)
	for i := range 20 {
		s.push(fmt.Sprintf(`[{"id":"sales_total","type":"counter","delta":3,"labels":{"till":"7"}},{"id":"cpu.load","type":"gauge","value":%d}]`, i))
		s.seen(float64(i), `{"cpu.load"}`)
		s.seen(float64(3*(i+1)), `sales_total{till="7"}`)
	}
	a := s.do(http.MethodPost, "/update/counter/sales_total/5?till=7", "")
	require.Equal(t, http.StatusOK, a.status, a.body)
	s.seen(65, `sales_total`)
	// The first increment is seen too, since the counter begins with a zero.
	first := s.raw("sales_total", 5*time.Minute)[0].Values[0]
	require.Equal(t, "0", first.v)
	require.InDelta(t, 0, s.value("resets(sales_total[5m])"), 0)
}

// TestReplayDoesNotDouble: neither in the state nor in the history.
func TestReplayDoesNotDouble(t *testing.T) {
	s := startServer(t)
	const body = `[{"id":"sales_total","type":"counter","delta":5},{"id":"temperature","type":"gauge","value":21.5,"timestamp":%d}]`
	at := time.Now().UnixMilli()
	for i := range 5 {
		a := s.push(fmt.Sprintf(body, at), "Idempotency-Key", `"till-7/1"`)
		require.Equal(t, i > 0, a.header.Get("Idempotency-Replayed") == "true")
		s.seen(5, "sales_total")
		require.InDelta(t, 1, s.value("count_over_time(temperature[5m])"), 0)
	}
	require.InDelta(t, 1, s.value("changes(sales_total[5m])"), 0, "from the zero to the total, once")
	require.InDelta(t, 5, s.value("max_over_time(sales_total[5m])"), 0)
	require.InDelta(t, 0, s.value("resets(sales_total[5m])"), 0)
}

// TestReporterComesAndGoes: with Report-Interval a producer is up, its series end
// after three reports that don't come, and go on when it is back.
func TestReporterComesAndGoes(t *testing.T) {
	s := startServer(t)
	n := 0
	report := func() {
		n++
		s.push(fmt.Sprintf(`[{"id":"load","type":"gauge","value":%d,"labels":{"instance":"web-1"}},{"id":"hits_total","type":"counter","delta":1,"labels":{"instance":"web-1"}}]`, n),
			"Idempotency-Key", fmt.Sprintf(`"agent-1/%d"`, n), "Report-Interval", "0.3")
	}
	s.push(`[{"id":"forever","type":"gauge","value":1}]`)
	for life := range 3 {
		report()
		s.seen(1, "up")
		s.seen(float64(n), "load")
		s.seen(float64(n), "hits_total")
		silent := time.Now()
		s.eventually(func() bool { return s.value("up") == 0 }, 10*time.Second, "up stays 1")
		require.Greater(t, time.Since(silent), 900*time.Millisecond, "life %d: three reports were not missed yet", life)
		require.Empty(t, s.instant("load"), "no marker after the gauge")
		require.Empty(t, s.instant("hits_total"), "no marker after the counter")
	}
	require.InDelta(t, 1, s.value("forever"), 0, "who says nothing has the lookback")
	require.InDelta(t, 0, s.value("resets(hits_total[5m])"), 0)
	require.InDelta(t, 0, s.value("up"), 0)
	// A gauge that is no longer sent ends, though its producer goes on.
	report()
	s.eventually(func() bool {
		n++
		s.push(`[{"id":"other","type":"gauge","value":1,"labels":{"instance":"web-1"}}]`, "Idempotency-Key", fmt.Sprintf(`"agent-1/%d"`, n), "Report-Interval", "0.3")
		return len(s.instant("load")) == 0
	}, 10*time.Second, "the gauge that is no longer sent stays")
	require.InDelta(t, 1, s.value("up"), 0)
}

// TestBusyCounter: a counter that is hit all the time writes a few samples a
// second, and loses nothing.
func TestBusyCounter(t *testing.T) {
	s := startServer(t)
	const perRequest, goal = 100, 20_000
	body := "[" + strings.Repeat(`,{"id":"hits_total","type":"counter","delta":1}`, perRequest)[1:] + "]"
	var hits atomic.Int64
	var senders sync.WaitGroup
	start := time.Now()
	for range 4 {
		senders.Go(func() {
			for time.Since(start) < 2*time.Second || hits.Load() < goal {
				a := s.do(http.MethodPost, "/updates", body, "Prefer", "return=minimal")
				assert.Equal(t, http.StatusNoContent, a.status)
				hits.Add(perRequest)
			}
		})
	}
	senders.Wait()
	took := time.Since(start)
	s.seen(float64(hits.Load()), "hits_total")
	n := s.value("count_over_time(hits_total[5m])")
	t.Logf("%.0f increments/s, %.1f samples/s", float64(hits.Load())/took.Seconds(), n/took.Seconds())
	require.LessOrEqual(t, n, 10*took.Seconds()+5) // each quarter of a second, and each flush
	require.InDelta(t, 0, s.value("resets(hits_total[5m])"), 0)
}

// TestRestart: history goes on where it was, however the server ended.
func TestRestart(t *testing.T) {
	s := startServer(t)
	total := 0
	for life := range 6 {
		for i := range 10 {
			total++
			s.push(fmt.Sprintf(`[{"id":"sales_total","type":"counter","delta":1},{"id":"life","type":"gauge","value":%d.%d}]`, life, i))
		}
		if life%2 == 0 {
			s.p.Stop()
		} else {
			s.p.Kill() // at once: the last samples may not have been flushed
		}
		s.start()
		s.seen(float64(total), "sales_total")
		s.seen(float64(life)+0.9, "life")
		require.InDelta(t, 0, s.value("resets(sales_total[5m])"), 0)
		seen := map[string]bool{}
		for _, p := range s.raw("life", 5*time.Minute)[0].Values {
			seen[p.v[:1]] = true
		}
		require.Len(t, seen, life+1, "an earlier life is missing")
	}
}
