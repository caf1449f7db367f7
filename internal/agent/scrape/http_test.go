package scrape_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/scrape"
)

// endpoint is what HTTP returns for a URL that must be right.
func endpoint(t testing.TB, url string) scrape.Source {
	t.Helper()
	s, err := scrape.HTTP(url)
	require.NoError(t, err)
	return s
}

// once scrapes with Once and returns what is printed.
func once(t testing.TB, o scrape.Options) (string, error) {
	t.Helper()
	var x scrape.Exposition
	failed := scraper(t, o).Once(t.Context(), &x)
	var b strings.Builder
	_, err := x.WriteTo(&b)
	require.NoError(t, err)
	return b.String(), failed
}

func TestHTTPRequest(t *testing.T) {
	var got *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		fmt.Fprintln(z, "a 1")
		_ = z.Close()
	}))
	defer srv.Close()
	url := strings.Replace(srv.URL, "://", "://me:se%40cret@", 1) + "/probe?target=x#part"
	out, err := once(t, scrape.Options{
		Targets: []scrape.Target{{Job: "j", Instance: "i", Source: endpoint(t, url)}}, UserAgent: "agent/1", Timeout: 2500 * time.Millisecond,
	})
	require.NoError(t, err)
	require.Contains(t, out, "\na{instance=\"i\",job=\"j\"} 1\n")
	user, password, _ := got.BasicAuth()
	require.Equal(t, []string{"me", "se@cret"}, []string{user, password})
	require.Equal(t, "/probe?target=x", got.RequestURI)
	require.Equal(t, "agent/1", got.UserAgent())
	require.Equal(t, "2.5", got.Header.Get("X-Prometheus-Scrape-Timeout-Seconds"))
	require.Equal(t, "gzip", got.Header.Get("Accept-Encoding"))
	require.Equal(t, "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,"+
		"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"+
		"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1", got.Header.Get("Accept"))
}

// TestSecrets: whatever goes wrong, nobody reads the password.
func TestSecrets(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/redirect":
			http.Redirect(w, r, "http://me:s3cret@127.0.0.1:1/?token=s3cret", http.StatusFound)
		case "/status":
			http.Error(w, "s3cret", http.StatusTeapot)
		case "/gzip":
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprintln(w, "not packed")
		case "/br":
			w.Header().Set("Content-Encoding", "br")
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprintln(w, "a 1")
		}
	}))
	defer srv.Close()
	with := strings.Replace(srv.URL, "://", "://me:s3cret@", 1)
	log, logs := newLog()
	for url, want := range map[string]string{
		with + "/redirect":                      "connection refused",
		with + "/status?token=s3cret":           "the target answers 418 I'm a teapot",
		with + "/gzip":                          "read the exposition: gzip: invalid header",
		with + "/br":                            `read the exposition: Content-Encoding "br" was not asked for`,
		with + "/cut":                           "read the exposition: unexpected EOF",
		"http://me:s3cret@127.0.0.1:1/":         "connection refused",
		"https://me:s3cret@" + with[17:] + "/x": "",
	} {
		s, err := scrape.HTTP(url)
		if err == nil {
			_, err = once(t, scrape.Options{Targets: []scrape.Target{{Job: "j", Source: s}}, Log: log})
		}
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "s3cret")
	}
	for _, e := range logs.All() {
		fields, err := json.Marshal(e.ContextMap())
		require.NoError(t, err)
		require.NotContains(t, e.Message+string(fields), "s3cret")
		require.NotContains(t, e.Message+string(fields), "me:")
	}
	require.NotEmpty(t, logs.All())
}

// TestRedirect: what is for the target alone goes nowhere else.
func TestRedirect(t *testing.T) {
	type seen struct {
		auth    bool
		referer string
	}
	got := make(map[string]seen)
	serve := func(redirects map[string]string) *httptest.Server {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _, auth := r.BasicAuth()
			got[r.URL.Path] = seen{auth, r.Referer()}
			if to := redirects[r.URL.Path]; to != "" {
				http.Redirect(w, r, to, http.StatusFound)
				return
			}
			fmt.Fprintln(w, "a 1")
		}))
		t.Cleanup(srv.Close)
		return srv
	}
	other := serve(nil) // the same host, and another port
	srv := serve(map[string]string{"/here": "/there", "/away": other.URL + "/other", "/round": "/round"})
	for path, fails := range map[string]bool{"/here": false, "/away": false, "/round": true} {
		s, err := scrape.HTTP(strings.Replace(srv.URL, "://", "://me:s3cret@", 1) + path + "?token=s3cret")
		require.NoError(t, err)
		_, err = once(t, scrape.Options{Targets: []scrape.Target{{Job: "j", Source: s}}})
		if !fails {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "redirects")
		require.NotContains(t, err.Error(), "s3cret")
	}
	require.Equal(t, seen{auth: true}, got["/there"])
	require.Equal(t, seen{}, got["/other"])
}

// TestKeepAlive: one connection serves many scrapes, and is closed with Run.
func TestKeepAlive(t *testing.T) {
	var conns, closed, scrapes atomic.Int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		scrapes.Add(1)
		fmt.Fprint(w, strings.Repeat("# some comment\n", 10_000))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			conns.Add(1)
		case http.StateClosed:
			closed.Add(1)
		default:
		}
	}
	srv.Start()
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	s := scraper(t, scrape.Options{Targets: []scrape.Target{{Job: "j", Source: endpoint(t, srv.URL)}}, Interval: 20 * time.Millisecond})
	go func() { done <- s.Run(ctx) }()
	require.Eventually(t, func() bool { return scrapes.Load() > 5 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, int64(1), conns.Load())
	cancel()
	require.NoError(t, <-done)
	require.Eventually(t, func() bool { return closed.Load() == 1 }, 10*time.Second, 5*time.Millisecond)
}

// bomb unpacks to far more than it is.
type bomb struct{ read int64 }

func (b *bomb) RoundTrip(*http.Request) (*http.Response, error) {
	in, out := io.Pipe()
	go func() {
		z := gzip.NewWriter(out)
		line := []byte(strings.Repeat("a", 1<<20))
		for {
			n, err := z.Write(line)
			if b.read += int64(n); err != nil {
				return
			}
		}
	}()
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Encoding": {"gzip"}}, Body: in}, nil
}

// TestLimits: what exceeds one fails the scrape, and is logged once.
func TestLimits(t *testing.T) {
	registry := prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		reg := prometheus.NewRegistry()
		g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "a", Help: strings.Repeat("x", 2000)})
		reg.MustRegister(g)
		return reg.Gather()
	})
	for _, c := range []struct {
		name   string
		limits scrape.Limits
		source scrape.Source
		want   string
	}{
		{"body", scrape.Limits{Body: 1 << 20}, endpoint(t, "http://localhost/"), "the exposition has too many bytes; at most 1048576 may be (SCRAPE_LIMIT_BODY)"},
		{"body of a registry", scrape.Limits{Body: 1 << 10}, scrape.Gatherer("registry", registry), "the exposition has too many bytes; at most 1024 may be (SCRAPE_LIMIT_BODY)"},
		{"samples", scrape.Limits{Samples: 2}, newPage("a 1\nb 1\na 1\nc 1\nd 1\n"), "the exposition has 4 samples; at most 2 may be (SCRAPE_LIMIT_SAMPLES)"},
		{"labels", scrape.Limits{Labels: 4}, newPage("a 1\na{a=\"1\",b=\"2\"} 1\n"), `a series of "a" has 5 labels; at most 4 may be`},
		{"label name", scrape.Limits{LabelName: 8}, newPage("a{ninechars=\"1\"} 1\n"), `the name of label "ninechars" of a series of "a" has 9 bytes; at most 8 may be`},
		{"label value", scrape.Limits{LabelValue: 3}, newPage("a{b=\"four\"} 1\n"), `the value of label "b" of a series of "a" has 4 bytes; at most 3 may be`},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newReceiver(t, time.Now)
				log, logs := newLog()
				b := &bomb{}
				source := c.source
				if g := c.name == "body of a registry"; g {
					source = scrape.Gatherer("registry", registry) // its channel belongs to this bubble
				}
				stop := run(t, scrape.Options{
					Targets: []scrape.Target{{Job: "j", Instance: "i", Source: source}}, Interval: interval,
					Limits: c.limits, Transport: b, Log: log, Deliver: r.deliver,
				})
				time.Sleep(2 * interval)
				synctest.Wait()
				require.NoError(t, stop())
				require.Equal(t, []string{"0", "0", "0"}, r.points()[`{__name__="up", instance="i", job="j"}`])
				require.Len(t, r.points(), 5, "only what says how the scrape was")
				require.Equal(t, []string{"scrape fails: " + c.want}, messages(logs))
				require.Less(t, b.read, int64(64<<20))
			})
		})
	}
	// At the limits all is well.
	out, err := once(t, scrape.Options{
		Targets: []scrape.Target{{Job: "j", Instance: "i", Source: newPage("a{b=\"four\"} 1\nc 1\nc 1\n")}},
		Limits:  scrape.Limits{Body: 22, Samples: 2, Labels: 4, LabelName: 8, LabelValue: 4},
	})
	require.NoError(t, err)
	require.Contains(t, out, `up{instance="i",job="j"} 1`)
}

// TestTroubleChanges: another trouble than before is news.
func TestTroubleChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, logs := newLog()
		p := newPage("a 1\nb 1\nc 1\n")
		stop := run(t, scrape.Options{
			Targets: []scrape.Target{{Job: "j", Source: p}}, Interval: interval, Limits: scrape.Limits{Samples: 2}, Log: log,
		})
		for _, change := range []func(*page){
			func(p *page) { p.err = errors.New("port 1 is closed") },
			func(p *page) { p.err = errors.New("port 2 is closed") },
			func(p *page) { p.err, p.body = nil, "a\n" },
			func(p *page) { p.body = "b\n" },
			func(p *page) { p.err = context.DeadlineExceeded },
			func(p *page) { p.err, p.body = nil, "a 1\na 2\n" },
			func(*page) {},
			func(p *page) { p.body = "a 1\n" },
		} {
			p.set(change)
			time.Sleep(interval)
			synctest.Wait()
		}
		require.NoError(t, stop())
		require.Equal(t, []string{
			"scrape fails: the exposition has 3 samples; at most 2 may be (SCRAPE_LIMIT_SAMPLES)",
			"scrape fails: port 1 is closed",
			`scrape fails: parse the exposition: text/plain; version=0.0.4: expected value after metric, got "\n" ("INVALID") while parsing: "a\n"`,
			"scrape fails: context deadline exceeded",
			"the target exposes series twice; the first counts: samples left out: 1, the first of them of {__name__=\"a\", job=\"j\"}",
			"scrape fails no more",
			"the target exposes series twice; the first counts no more",
		}, messages(logs))
		require.Equal(t, 90*time.Second, logs.All()[5].ContextMap()["after"])
	})
}

// TestGatherInPart: what was gathered beside an error counts.
func TestGatherInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, time.Now)
		log, logs := newLog()
		reg := prometheus.NewRegistry()
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "a"}, func() float64 { return 7 }))
		var broken atomic.Bool
		broken.Store(true)
		stop := run(t, scrape.Options{
			Targets: []scrape.Target{{Job: "j", Instance: "i", Source: scrape.Gatherer("registry", prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
				f, err := reg.Gather()
				if broken.Load() {
					err = errors.New("the disk is away")
				}
				return f, err
			}))}},
			Interval: interval, Deliver: r.deliver, Log: log,
		})
		time.Sleep(interval)
		synctest.Wait()
		broken.Store(false)
		time.Sleep(interval)
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, []string{"7", "7", "7"}, r.points()[`{__name__="a", instance="i", job="j"}`])
		require.Equal(t, []string{"1", "1", "1"}, r.points()[`{__name__="up", instance="i", job="j"}`])
		require.Equal(t, []string{"gathering fails in part: the disk is away", "gathering fails in part no more"}, messages(logs))
	})
}
