package scrape_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/agent/scrape"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is the server's end: its handler of remote write over a TSDB.
type receiver struct {
	t        testing.TB
	handler  *remotewrite.Handler
	db       *tsdb.DB
	families writetest.Families

	mu      sync.Mutex
	refused map[remotewrite.Reason]int
	samples []int // of each payload; guarded, as refused is, by mu
}

func newReceiver(t testing.TB, now func() time.Time) *receiver {
	t.Helper()
	r := &receiver{t: t, db: writetest.OpenDB(t), refused: map[remotewrite.Reason]int{}}
	r.handler = remotewrite.New(remotewrite.Options{
		Appendable: r.db, Metadata: &r.families, Now: now, Log: zap.NewNop(),
		Hooks: remotewrite.Hooks{Refused: func(reason remotewrite.Reason, n int) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.refused[reason] += n
		}},
	})
	return r
}

// deliver implements Options.Deliver.
func (r *receiver) deliver(p scrape.Payload) {
	w := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/api/v1/write", bytes.NewReader(p.Body))
	req.Header = writetest.Headers("2.0")
	r.handler.ServeHTTP(w, req)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.samples = append(r.samples, p.Samples)
	if w.Code != http.StatusNoContent {
		r.t.Errorf("the receiver answers %d %s", w.Code, w.Body)
	}
}

// delivered are the samples of each payload.
func (r *receiver) delivered() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.samples)
}

// points are the samples of each series; a marker is "stale".
func (r *receiver) points() map[string][]string {
	out := map[string][]string{}
	for key, points := range writetest.Contents(r.t, r.db).Series {
		for _, p := range points {
			switch {
			case p.Bits == value.StaleNaN:
				out[key] = append(out[key], "stale")
			case p.Hist != "":
				out[key] = append(out[key], "histogram")
			default:
				out[key] = append(out[key], fmt.Sprint(float(p.Bits)))
			}
		}
	}
	return out
}

// query asks with PromQL.
func (r *receiver) query(at time.Time, query string) []string {
	r.t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{}),
	})
	defer engine.Close()
	q, err := engine.NewInstantQuery(context.Background(), r.db, nil, query, at)
	require.NoError(r.t, err)
	defer q.Close()
	res := q.Exec(context.Background())
	require.NoError(r.t, res.Err)
	v, err := res.Vector()
	require.NoError(r.t, err)
	var out []string
	for _, s := range v {
		text := strconv.FormatFloat(s.F, 'g', -1, 64)
		if s.H != nil {
			text = s.H.String()
		}
		out = append(out, s.Metric.String()+" "+text)
	}
	return out
}

// page is a Source of expositions that are written down.
type page struct {
	mu          sync.Mutex
	contentType string
	body        string
	err         error
	panics      bool
}

const text = "text/plain; version=0.0.4"

func newPage(body string) *page { return &page{contentType: text, body: body} }

func (p *page) set(change func(*page)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *page) Fetch(_ context.Context, _ scrape.Request, b *bytes.Buffer) (scrape.Result, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.panics {
		panic("the page is torn")
	}
	b.WriteString(p.body)
	return scrape.Result{ContentType: p.contentType}, p.err
}

func (*page) Drain(context.Context) error { return nil }
func (*page) String() string              { return "page" }

func newLog() (*zap.Logger, *observer.ObservedLogs) {
	core, logs := observer.New(zapcore.DebugLevel)
	return zap.New(core), logs
}

func messages(logs *observer.ObservedLogs) []string {
	out := []string{}
	for _, e := range logs.All() {
		m := e.Message
		if err, ok := e.ContextMap()["error"]; ok {
			m += ": " + fmt.Sprint(err)
		}
		out = append(out, m)
	}
	return out
}
