package app_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/app"
	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/agent/scrape"
)

// history takes remote write beside a server's pushes. It is a transport too.
type history struct {
	*server
	status int // of its answers; 0: 204, and the samples count; 400: all but one of the scrape's do
	// missed: a proxy answers, which misses its server.
	missed bool

	mu      sync.Mutex
	tries   int
	samples []string // name{labels} value @ seconds since the start
}

func (h *history) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	missed := h.missed
	h.mu.Unlock()
	if missed {
		return &http.Response{
			StatusCode: http.StatusNotFound, Header: http.Header{"Content-Type": {"text/plain"}},
			Body: io.NopCloser(strings.NewReader("404 page not found\n")), Request: r,
		}, nil
	}
	if r.URL.Path != "/api/v1/write" {
		return h.server.RoundTrip(r)
	}
	res := &http.Response{StatusCode: http.StatusNoContent, Header: http.Header{}, Body: http.NoBody, Request: r}
	body, err := io.ReadAll(r.Body)
	assert.NoError(h.t, err)
	assert.NotEmpty(h.t, r.Header.Get("Idempotency-Key"))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tries++
	switch h.status {
	case 0:
	case -1:
		return nil, errAway
	case http.StatusBadRequest:
		if plain, err := snappy.Decode(nil, body); err != nil || !bytes.Contains(plain, []byte("clock_seconds")) {
			return res, nil
		}
		res.StatusCode = http.StatusBadRequest
		res.Header.Set("Content-Type", "text/plain; charset=utf-8")
		res.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		res.Header.Set("X-Prometheus-Remote-Write-Samples-Written", "5")
		res.Body = io.NopCloser(strings.NewReader("series 1: too old sample\n"))
		return res, nil
	default:
		res.StatusCode = h.status
		res.Header.Set("Content-Type", "application/problem+json")
		res.Body = io.NopCloser(strings.NewReader(`{"code":"not_found"}`))
		if h.status == http.StatusGone { // stands for what HISTORY=false says
			res.StatusCode = http.StatusNotFound
			res.Body = io.NopCloser(strings.NewReader(`{"code":"no_history"}`))
		}
		return res, nil
	}
	plain, err := snappy.Decode(nil, body)
	assert.NoError(h.t, err)
	var req writev2.Request
	assert.NoError(h.t, req.Unmarshal(plain))
	for _, ts := range req.Timeseries {
		var b strings.Builder
		for i := 0; i < len(ts.LabelsRefs); i += 2 {
			fmt.Fprintf(&b, "%s=%s ", req.Symbols[ts.LabelsRefs[i]], req.Symbols[ts.LabelsRefs[i+1]])
		}
		for _, s := range ts.Samples {
			at := time.UnixMilli(s.Timestamp).Sub(h.start).Seconds()
			h.samples = append(h.samples, fmt.Sprintf("%s%v @%v", b.String(), s.Value, at))
		}
	}
	return res, nil
}

// of are the samples of a metric.
func (h *history) of(name string) (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.samples {
		if strings.Contains(s, "__name__="+name+" ") {
			out = append(out, s)
		}
	}
	return out
}

// clock is a target whose one gauge tells the time.
func clock(start time.Time) scrape.Target {
	r := prometheus.NewRegistry()
	r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "clock_seconds", Help: "Since the start."},
		func() float64 { return time.Since(start).Seconds() }))
	return scrape.Target{Job: "clock", Instance: "test", Source: scrape.Gatherer("clock", r)}
}

// TestScraped: what is scraped goes to the history beside the pushes, first with
// the first report, and then every interval.
func TestScraped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &history{server: newServer(t)}
		r := start(t, h.server, func(cfg *config.Config, o *app.Options) {
			o.Transport, o.Targets = h, []scrape.Target{clock(time.Now())}
			cfg.Labels["site"] = "here"
		}, &counting{n: 1})
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, []string{"__name__=clock_seconds instance=test job=clock site=here 0 @0"}, h.of("clock_seconds"))
		require.Equal(t, []string{"__name__=up instance=test job=clock site=here 1 @0"}, h.of("up"))
		time.Sleep(40 * time.Second)
		synctest.Wait()
		require.Len(t, h.of("clock_seconds"), 3)
		_, last := r.end()
		require.EqualValues(t, 0, last["given_up_metrics"])
	})
}

// TestScrapesWait: while the server is away scrapes wait with their times, in
// memory or in the spool, and all arrive.
func TestScrapesWait(t *testing.T) {
	for _, dir := range []string{"", "/spool"} {
		synctest.Test(t, func(t *testing.T) {
			h := &history{server: newServer(t), status: -1}
			h.answer = during(0, time.Hour, reply{err: errAway, drop: true})
			fs := vfs.NewMem()
			r := start(t, h.server, func(cfg *config.Config, o *app.Options) {
				o.Transport, o.Targets, o.FS = h, []scrape.Target{clock(time.Now())}, fs
				cfg.SpoolDir = dir
			}, &counting{n: 1})
			time.Sleep(time.Hour)
			h.mu.Lock()
			h.status = 0
			h.mu.Unlock()
			time.Sleep(2 * time.Minute)
			synctest.Wait()
			require.Len(t, h.of("clock_seconds"), 3600/15+2*60/15)
			_, last := r.end()
			require.EqualValues(t, 0, last["dropped_samples"])
			require.EqualValues(t, 0, last["given_up_metrics"])
		})
	}
}

// TestNoHistory: a server without a history loses what is for it alone, and
// nothing else; the log says so once.
func TestNoHistory(t *testing.T) {
	for _, status := range []int{http.StatusGone, http.StatusNotFound} {
		synctest.Test(t, func(t *testing.T) {
			h := &history{server: newServer(t), status: status}
			polls := &counting{n: 1}
			r := start(t, h.server, func(cfg *config.Config, o *app.Options) {
				o.Transport, o.Targets = h, []scrape.Target{clock(time.Now())}
				cfg.RateLimit = 1
			}, polls)
			time.Sleep(5 * time.Minute)
			synctest.Wait()
			require.InDelta(t, 5, h.tries, 1, "it is tried again, but not with each scrape")
			require.Equal(t, 1, strings.Count(strings.Join(r.said(), "\n"), "keeps no history"))
			h.mu.Lock()
			h.status = 0
			h.mu.Unlock()
			time.Sleep(2 * time.Minute)
			_, last := r.end()
			require.Contains(t, r.said(), "the server keeps a history again")
			require.Greater(t, len(h.of("clock_seconds")), 3)
			require.EqualValues(t, 0, last["given_up_metrics"])
			require.EqualValues(t, polls.polls, h.sums["PollCount"])
		})
	}
}

// TestProxyMissesServer: what a proxy says that misses its server is no word of the
// server, and costs nothing.
func TestProxyMissesServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &history{server: newServer(t)}
		r := start(t, h.server, func(cfg *config.Config, o *app.Options) {
			o.Transport, o.Targets = h, []scrape.Target{clock(time.Now())}
		}, &counting{n: 1})
		time.Sleep(time.Minute + time.Second) // fake time
		h.mu.Lock()
		h.missed = true
		h.mu.Unlock()
		time.Sleep(5 * time.Minute) // fake time
		h.mu.Lock()
		h.missed = false
		h.mu.Unlock()
		time.Sleep(2 * time.Minute) // fake time
		_, last := r.end()
		require.Len(t, h.of("clock_seconds"), 8*60/15+1)
		require.NotContains(t, strings.Join(r.said(), "\n"), "keeps no history")
		require.EqualValues(t, 0, last["refused_metrics"])
	})
}

// TestSamplesRefused: of a target whose samples are refused each time there is one
// line and one dead letter, though those of another target and the pushes are
// taken.
func TestSamplesRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, fs := &history{server: newServer(t), status: http.StatusBadRequest}, vfs.NewMem()
		other := prometheus.NewRegistry()
		r := start(t, h.server, func(cfg *config.Config, o *app.Options) {
			o.Transport, o.FS, cfg.SpoolDir = h, fs, "/spool"
			o.Targets = []scrape.Target{clock(time.Now()), {Job: "other", Source: scrape.Gatherer("other", other)}}
		}, &counting{n: 1})
		time.Sleep(time.Hour - time.Second) // fake time
		synctest.Wait()
		const refuses = "the server refuses samples for its history, which are lost"
		require.Equal(t, []string{refuses}, r.said())
		require.EqualValues(t, 1, r.field(refuses, "samples"))
		require.EqualValues(t, "/spool/dead", r.field(refuses, "folder"))
		names, err := fs.List("/spool/dead")
		require.NoError(t, err)
		require.Len(t, names, 2, "a body and a reason")
		h.mu.Lock()
		h.status = 0
		h.mu.Unlock()
		time.Sleep(6 * time.Minute) // fake time
		_, last := r.end()
		require.Equal(t, []string{refuses, "the server takes all samples again"}, r.said())
		require.EqualValues(t, 240, last["refused_metrics"], "one of each scrape")
		require.EqualValues(t, 0, last["expired_metrics"])
	})
}

// TestStopWhileGathering: a source that hangs keeps nobody else from the end.
func TestStopWhileGathering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &history{server: newServer(t)}
		hangs := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
			time.Sleep(time.Hour) // fake time
			return nil, nil
		})
		polls := &counting{n: 1}
		r := start(t, h.server, func(cfg *config.Config, o *app.Options) {
			o.Transport, o.Targets = h, []scrape.Target{{Job: "hangs", Source: scrape.Gatherer("hangs", hangs)}}
		}, polls)
		time.Sleep(17 * time.Second) // fake time
		took, last := r.end()
		require.Less(t, took, 2*time.Second)
		require.EqualValues(t, 0, last["given_up_metrics"])
		require.EqualValues(t, polls.polls, h.sums["PollCount"])
		time.Sleep(time.Hour) // until it hangs no more
	})
}

// TestStatsD: a program's increments count once, those that come last too.
func TestStatsD(t *testing.T) {
	type got struct {
		mu   sync.Mutex
		sums map[string]int64
	}
	g := got{sums: map[string]int64{}}
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/updates/" {
			s := &server{t: t}
			tr, _ := s.read(r)
			g.mu.Lock()
			for _, m := range tr.metrics {
				if m.Delta != nil {
					g.sums[m.ID+fmt.Sprint(m.Labels)] += *m.Delta
				}
			}
			g.mu.Unlock()
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer hs.Close()

	address := freeUDP(t)
	conn, err := net.Dial("udp", address)
	require.NoError(t, err)
	defer conn.Close()
	r := start(t, newServer(t), func(cfg *config.Config, o *app.Options) {
		o.Transport = nil
		cfg.Address, cfg.Collect.StatsD, cfg.Collect.Collectors = hs.URL, address, nil
		cfg.PollInterval, cfg.ReportInterval = 20*time.Millisecond, 20*time.Millisecond
	})
	sent := 0
	send := func() {
		if _, err := conn.Write([]byte("jobs:1|c|#kind:a\njobs:2|c|#kind:a")); err == nil {
			sent += 3
		}
	}
	const key = "jobsmap[instance:test kind:a]"
	require.Eventually(t, func() bool { // until it listens, nothing arrives
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.sums[key] == 0 {
			sent = 0
			send()
		}
		return g.sums[key] > 0
	}, 10*time.Second, 50*time.Millisecond)
	first := g.sums[key]
	for range 50 {
		send()
	}
	r.end()
	g.mu.Lock()
	defer g.mu.Unlock()
	require.GreaterOrEqual(t, g.sums[key], first+150, "what was in the socket when it was told to stop is sent too")
	require.Zero(t, g.sums[key]%3)
}

// freeUDP is an address where nobody listens.
func freeUDP(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	return conn.LocalAddr().String()
}

// TestStatsDAddress: an address that is taken ends the agent with a word of why.
func TestStatsDAddress(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	cfg := config.Default()
	cfg.Collect.StatsD, cfg.Collect.Collectors = conn.LocalAddr().String(), nil
	err = app.Run(t.Context(), cfg, zap.NewNop(), app.Options{})
	require.ErrorContains(t, err, "STATSD")
	require.ErrorContains(t, err, conn.LocalAddr().String())
}

// TestOnce: all that would be sent, labelled, and nothing is sent.
func TestOnce(t *testing.T) {
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/metrics", r.URL.Path)
		fmt.Fprint(w, "# TYPE near gauge\nnear{color=\"red\"} 4\n")
	}))
	defer hs.Close()
	cfg := config.Default()
	cfg.Address = "127.0.0.1:1"
	cfg.Labels = map[string]string{"instance": "web-1", "env": "test"}
	cfg.Collect.Collectors = []string{config.Runtime, config.Random, config.Gopsutil}
	cfg.Collect.Scrape = []string{"app=" + hs.URL, "gone=127.0.0.1:1"}
	var out bytes.Buffer
	err := app.Once(t.Context(), cfg, zap.NewNop(), &out)
	require.ErrorContains(t, err, "127.0.0.1:1")
	for _, line := range []string{
		`# TYPE PollCount counter`,
		`PollCount{env="test",instance="web-1"} 1`,
		`# HELP TotalMemory Memory of the machine, in bytes.`,
		`near{color="red",env="test",instance="web-1",job="app"} 4`,
		`up{env="test",instance="web-1",job="app"} 1`,
		`up{env="test",instance="web-1",job="gone"} 0`,
	} {
		assert.Contains(t, out.String(), line+"\n")
	}
	assert.NotContains(t, out.String(), "node_cpu")
}

// TestOnceStatsD: the receiver's own series have the labels of any other target.
func TestOnceStatsD(t *testing.T) {
	cfg := config.Default()
	cfg.Labels = map[string]string{"instance": "web-1", "env": "test", "job": "mine"}
	cfg.Collect.Collectors, cfg.Collect.StatsD = nil, freeUDP(t)
	var out bytes.Buffer
	require.NoError(t, app.Once(t.Context(), cfg, zap.NewNop(), &out))
	require.Contains(t, out.String(), `gometheus_agent_statsd_packets_total{env="test",instance="web-1",job="statsd"} 0`)
	require.NotContains(t, out.String(), "exported_")
}

// TestUnknownNodeCollector: it is found out at the start.
func TestUnknownNodeCollector(t *testing.T) {
	cfg := config.Default()
	cfg.Collect.Collectors, cfg.Collect.NodeEnable = []string{config.Node}, []string{"sytemd"}
	err := app.Run(t.Context(), cfg, zap.NewNop(), app.Options{})
	require.ErrorContains(t, err, "NODE_ENABLE")
	require.ErrorContains(t, err, "sytemd")
}
