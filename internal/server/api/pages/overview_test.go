package pages_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/history"
)

// values is a state.
type values []metric.Metric

func (v values) List(context.Context) ([]metric.Metric, error) {
	return append([]metric.Metric(nil), v...), nil
}

func gaugeAt(t time.Time, name string, v float64, pairs ...string) metric.Metric {
	return metric.Metric{Kind: metric.Gauge, Name: name, Value: v, Labels: metric.NewLabels(pairs...), Timestamp: t.UnixMilli()}
}

func openPast(t *testing.T, now time.Time) *history.History {
	t.Helper()
	h, err := history.Open(history.Options{
		Path: t.TempDir(), Retention: 15 * 24 * time.Hour, OutOfOrder: 24 * time.Hour, QueryTimeout: time.Minute,
		QueryConcurrency: 2, QueryMaxSamples: 1e6, Now: func() time.Time { return now }, Log: zap.NewNop(),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// write puts machines into a history, the oldest samples first.
func write(t *testing.T, h *history.History, from, to time.Time, bs ...box) {
	t.Helper()
	app := h.DB().Appender(t.Context())
	for _, b := range bs {
		for _, s := range b.series(from, to) {
			ls := labels.FromStrings(s.Labels...)
			for _, p := range s.Samples {
				_, err := app.Append(0, ls, p.T, p.V)
				require.NoError(t, err)
			}
		}
	}
	require.NoError(t, app.Commit())
}

// look is the page that a viewer gets.
func look(t *testing.T, p *pages.Pages, target string) string {
	t.Helper()
	w := httptest.NewRecorder()
	require.NoError(t, p.Overview(w, httptest.NewRequest(http.MethodGet, target, nil)))
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	require.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	return w.Body.String()
}

var (
	machineRow = regexp.MustCompile(`<tr(?: class="silent")?><th scope="row" class="name">.*</tr>`)
	anyTag     = regexp.MustCompile(`<[^>]*>`)
	cellEnd    = regexp.MustCompile(`</t[dh]>|</?svg[^>]*>`)
)

// rowsOf are the texts of the machines' rows, cell by cell.
func rowsOf(page string) (out []string) {
	for _, row := range machineRow.FindAllString(page, -1) {
		row = anyTag.ReplaceAllString(cellEnd.ReplaceAllString(row, "|"), "")
		out = append(out, strings.Trim(row, "|"))
	}
	return out
}

func TestOverviewOfHistory(t *testing.T) {
	now := time.Unix(1_795_000_200, 0)
	h := openPast(t, now)
	a, b, c := box{name: "a", labels: []string{"env", "prod"}, load: 0.5}, box{name: "bb", load: 0}, box{name: "c", labels: []string{"env", "test"}, load: 1}
	write(t, h, now.Add(-3*time.Hour), now.Add(-2*time.Hour), c)
	write(t, h, now.Add(-70*time.Minute), now.Add(-15*time.Second), a)
	write(t, h, now.Add(-70*time.Minute), now.Add(-2*time.Minute), b)
	p := pages.New(pages.Options{State: values{}, Engine: h.Engine(), Storage: h, Retention: time.Hour * 360, Now: func() time.Time { return now }})
	page := look(t, p, "/")
	require.Equal(t, []string{
		"a|reporting|21 %||||50 %|59 %/data|↓in 2.43 MiB/s ↑out 704 KiB/s|4.00|34 d 17 h|0.10.0|env=prod",
		"bb|late since 2026-11-18 11:08:00 UTC|–||||10 %|40 %/|–|0.00|57 d 20 h|0.9.1",
		"c|gone since 2026-11-18 09:10:00 UTC|–|–|–|–|–|–|–|–|env=test",
	}, rowsOf(page))
	require.Contains(t, page, `<span class="badge good">1 reporting</span> <span class="badge warn">1 late</span> <span class="badge bad">1 gone</span>`)
	require.Contains(t, page, `id="missing" hidden`)
	require.Regexp(t, `aria-label="[\d.]+ % to [\d.]+ %"><path d="M0 \d+(L\d+ \d+){29,30}"`, page)
	require.Equal(t, []string{"c", "bb", "a"}, firstCells(look(t, p, "/?msort=state&morder=desc")))
	require.Equal(t, []string{"a", "c", "bb"}, firstCells(look(t, p, "/?group=env")))
	require.Equal(t, []string{"c"}, firstCells(look(t, p, "/?m=env%3Dtest")))
}

func firstCells(page string) (out []string) {
	for _, row := range rowsOf(page) {
		name, _, _ := strings.Cut(row, "|")
		out = append(out, name)
	}
	return out
}

// A machine that reports by pushing is known by that, and by its gauges.
func TestOverviewOfReporters(t *testing.T) {
	now := time.Unix(1_795_000_200, 0)
	h := openPast(t, now)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	state := values{
		gaugeAt(ago(0), "TotalMemory", 100, "instance", "up", "env", "prod"), gaugeAt(ago(0), "FreeMemory", 25, "instance", "up", "env", "prod"),
		gaugeAt(ago(0), "CPUutilization1", 10, "instance", "up", "env", "prod"), gaugeAt(ago(0), "CPUutilization2", 30, "instance", "up", "env", "prod"),
		gaugeAt(ago(0), "by_hand", 1, "instance", "nobody"), gaugeAt(ago(0), "requests", 30, "instance", "up", "env", "prod", "path", "/x"),
		gaugeAt(ago(time.Hour), "TotalMemory", 100, "instance", "gone"),
	}
	p := pages.New(pages.Options{
		State: state, Engine: h.Engine(), Storage: h, Retention: time.Hour, Now: func() time.Time { return now },
		Reporters: func() []pages.Reporter {
			return []pages.Reporter{
				{Name: "up", Seen: ago(31 * time.Second), Every: 10 * time.Second, Up: true},
				{Name: "late", Seen: ago(33 * time.Second), Every: 10 * time.Second},
				{Name: "gone", Seen: ago(301 * time.Second), Every: 10 * time.Second},
			}
		},
	})
	require.Equal(t, []string{
		"gone|gone since 2026-11-18 11:04:59 UTC|–|–|–|–|–|–|–|–",
		"late|late since 2026-11-18 11:09:27 UTC|–|–|–|–|–|–|–|–",
		"up|reporting|20 %|–|75 %|–|–|–|–|–|env=prod",
	}, rowsOf(look(t, p, "/")))
}

// Without a history the machines are those that sent gauges, by the age of these.
func TestOverviewWithoutHistory(t *testing.T) {
	now := time.Unix(1_795_000_200, 0)
	of := func(instance string, age time.Duration) values {
		at := now.Add(-age)
		return values{
			gaugeAt(at, "node_memory_MemTotal_bytes", 200, "instance", instance), gaugeAt(at, "node_memory_MemAvailable_bytes", 150, "instance", instance),
			gaugeAt(at, "FreeMemory", 1, "instance", instance), gaugeAt(at, "node_load1", 1.5, "instance", instance),
			gaugeAt(at, "node_boot_time_seconds", float64(now.Unix()-7200), "instance", instance),
			gaugeAt(at, "node_filesystem_size_bytes", 10, "instance", instance, "mountpoint", "/", "fstype", "ext4"),
			gaugeAt(at, "node_filesystem_avail_bytes", 9, "instance", instance, "mountpoint", "/", "fstype", "ext4"),
			gaugeAt(at, "node_filesystem_avail_bytes", 2, "instance", instance, "mountpoint", "/var", "fstype", "ext4"),
			gaugeAt(at, "node_filesystem_size_bytes", 10, "instance", instance, "mountpoint", "/var", "fstype", "ext4"),
			gaugeAt(at, "node_filesystem_size_bytes", 10, "instance", instance, "mountpoint", "/run", "fstype", "tmpfs"),
			gaugeAt(at, "node_filesystem_avail_bytes", 0, "instance", instance, "mountpoint", "/run", "fstype", "tmpfs"),
			gaugeAt(at, "gometheus_agent_info", 1, "instance", instance, "version", "1.2.3"),
		}
	}
	state := append(append(of("now", 5*time.Second), of("late", time.Minute)...), of("gone", time.Hour)...)
	state = append(state, gaugeAt(now, "by_hand", 1, "instance", "nobody"))
	p := pages.New(pages.Options{State: state, Now: func() time.Time { return now }})
	require.Equal(t, []string{
		"gone|gone since 2026-11-18 10:10:00 UTC|–|–|–|–|–|–|–|–",
		"late|late since 2026-11-18 11:09:00 UTC|–|–|25 %|80 %/var|–|1.50|2 h 0 min|1.2.3",
		"now|reporting|–|–|25 %|80 %/var|–|1.50|2 h 0 min|1.2.3",
	}, rowsOf(look(t, p, "/")))

	p = pages.New(pages.Options{State: state[len(state)-1:], Now: func() time.Time { return now }})
	page := look(t, p, "/")
	require.NotContains(t, page, `id="fleet"`)
	require.Contains(t, page, "<code>agent --address=example.com</code>")
	require.Contains(t, page, "by_hand")
}

// counted counts what is asked of a history.
type counted struct {
	storage.Queryable
	n atomic.Int64
}

func (c *counted) Querier(mint, maxt int64) (storage.Querier, error) {
	c.n.Add(1)
	return c.Queryable.Querier(mint, maxt)
}

// However many look, the history is asked once in 5 s, and not at all when nobody
// does.
func TestOverviewIsSharedByAll(t *testing.T) {
	now := time.Unix(1_795_000_200, 0)
	h := openPast(t, now)
	write(t, h, now.Add(-5*time.Minute), now, box{name: "a", load: 0.5})
	var clock atomic.Int64
	clock.Store(now.UnixNano())
	past := &counted{Queryable: h}
	p := pages.New(pages.Options{
		State: values{}, Engine: h.Engine(), Storage: past, Retention: time.Hour, Now: func() time.Time { return time.Unix(0, clock.Load()) },
	})
	all := func() {
		var viewers sync.WaitGroup
		for range 20 {
			viewers.Go(func() {
				w := httptest.NewRecorder()
				if err := p.Overview(w, httptest.NewRequest(http.MethodGet, "/", nil)); err != nil || len(rowsOf(w.Body.String())) != 1 {
					t.Errorf("a viewer got %v: %s", err, w.Body)
				}
			})
		}
		viewers.Wait()
	}
	all()
	first := past.n.Load()
	require.Less(t, first, int64(20))
	clock.Add(int64(4900 * time.Millisecond))
	all()
	require.Equal(t, first, past.n.Load(), "it was asked again too soon")
	clock.Add(int64(200 * time.Millisecond))
	all()
	second := past.n.Load() - first
	require.Positive(t, second)
	require.Less(t, second, first, "the lines of the last hour are good for longer")
	clock.Add(int64(45 * time.Second))
	all()
	require.Equal(t, first, past.n.Load()-first-second)
}

// broken is a history that fails, or doesn't answer before it is given up.
type broken struct {
	fails, hangs atomic.Bool
	slow         atomic.Int64 // how long each question takes
	storage.Queryable
}

var errBroken = errors.New("disk on fire")

func (b *broken) Querier(mint, maxt int64) (storage.Querier, error) {
	if b.fails.Load() {
		return nil, errBroken
	}
	if b.hangs.Load() {
		return hanging{storage.NoopQuerier(), time.Hour}, nil
	}
	if d := time.Duration(b.slow.Load()); d > 0 {
		return hanging{storage.NoopQuerier(), d}, nil
	}
	return b.Queryable.Querier(mint, maxt)
}

type hanging struct {
	storage.Querier
	d time.Duration
}

func (h hanging) Select(ctx context.Context, _ bool, _ *storage.SelectHints, _ ...*labels.Matcher) storage.SeriesSet {
	select {
	case <-ctx.Done():
		return storage.ErrSeriesSet(ctx.Err())
	case <-time.After(h.d):
		return storage.EmptySeriesSet()
	}
}

// A history that fails leaves columns empty; the page comes.
func TestOverviewOfFailingHistory(t *testing.T) {
	now := time.Unix(1_795_000_200, 0)
	h := openPast(t, now)
	write(t, h, now.Add(-5*time.Minute), now, box{name: "a", load: 0.5})
	past := &broken{Queryable: h}
	past.fails.Store(true)
	core, logs := observer.New(zap.WarnLevel)
	clock := now
	p := pages.New(pages.Options{
		State:  values{gaugeAt(now, "TotalMemory", 100, "instance", "b"), gaugeAt(now, "FreeMemory", 25, "instance", "b")},
		Engine: h.Engine(), Storage: past, Retention: time.Hour, Now: func() time.Time { return clock }, Log: zap.New(core),
		Reporters: func() []pages.Reporter { return []pages.Reporter{{Name: "b", Seen: now, Every: time.Minute, Up: true}} },
	})
	page := look(t, p, "/")
	require.Equal(t, []string{"b|reporting|–|–|75 %|–|–|–|–|–"}, rowsOf(page))
	require.Contains(t, page, `<p class="card wrong" id="missing">The history did not give in time: Memory, Load, Up, Agent, State, CPU, Fullest disk, Network, Last hour.`)
	require.NotContains(t, page, "on fire")
	require.Equal(t, 1, logs.FilterMessage("the overview lacks columns").Len())
	require.Contains(t, logs.All()[0].ContextMap()["error"], "on fire")
	// It comes back by itself.
	past.fails.Store(false)
	clock = clock.Add(6 * time.Second)
	page = look(t, p, "/")
	require.Equal(t, []string{"a", "b"}, firstCells(page))
	require.Contains(t, page, `id="missing" hidden`)
}

// A history that hangs is waited for 2 s, once; others get what was known before.
func TestOverviewOfSlowHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		past := &broken{Queryable: storage.QueryableFunc(func(int64, int64) (storage.Querier, error) { return storage.NoopQuerier(), nil })}
		engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
		defer engine.Close()
		p := pages.New(pages.Options{
			State: values{}, Engine: engine, Storage: past, Retention: time.Hour, Now: time.Now,
			Reporters: func() []pages.Reporter {
				return []pages.Reporter{{Name: "b", Seen: time.Now(), Every: time.Minute, Up: true}}
			},
		})
		page := look(t, p, "/")
		require.Contains(t, page, `id="missing" hidden`)
		time.Sleep(time.Minute) // the bubble's
		past.hangs.Store(true)
		var viewers sync.WaitGroup
		for range 8 {
			viewers.Go(func() {
				start := time.Now()
				w := httptest.NewRecorder()
				if err := p.Overview(w, httptest.NewRequest(http.MethodGet, "/", nil)); err != nil {
					t.Error(err)
				}
				if took := time.Since(start); took > 2*time.Second || len(rowsOf(w.Body.String())) != 1 {
					t.Errorf("after %v a viewer got %s", took, w.Body)
				}
			})
		}
		viewers.Wait()
		start := time.Now()
		require.Contains(t, look(t, p, "/"), "did not give in time: Memory", "what was found out in vain is not tried again at once")
		require.Zero(t, time.Since(start))

		// Who leaves doesn't take from others what is being found out.
		time.Sleep(time.Minute)
		past.hangs.Store(false)
		past.slow.Store(int64(100 * time.Millisecond))
		viewers.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			defer cancel()
			if err := p.Overview(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		start = time.Now()
		require.Contains(t, look(t, p, "/"), `id="missing" hidden`)
		require.Greater(t, time.Since(start), 300*time.Millisecond, "it came from who left")
		viewers.Wait()
	})
}

// Not too many overviews and pages of machines are made at once: each copies all
// series.
func TestTurns(t *testing.T) {
	for _, last := range []string{"/", "/host/a"} {
		synctest.Test(t, func(t *testing.T) {
			block := make(chan struct{})
			p := pages.New(pages.Options{State: blocked(block), Now: time.Now})
			var viewers sync.WaitGroup
			for i := range 8 {
				page := p.Overview
				if i%2 == 0 {
					page = p.Host
				}
				viewers.Go(func() {
					if err := page(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/host/a", nil)); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			start := time.Now()
			page := p.Overview
			if last != "/" {
				page = p.Host
			}
			err := page(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, last, nil))
			require.ErrorContains(t, err, "too many pages at once")
			require.Equal(t, 5*time.Second, time.Since(start))
			close(block)
			viewers.Wait()
		})
	}
}

type blocked chan struct{}

func (b blocked) List(context.Context) ([]metric.Metric, error) {
	<-b
	return nil, nil
}
