package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/response"
)

// server is a push API in memory and without a network, so that it lives in
// fake time: a batch counts once by its key, increments add up, and every sample
// is remembered. It is a transport: what the client would send arrives here.
type server struct {
	t *testing.T
	// answer decides on a try; nil applies every batch and answers 204.
	answer func(try) reply

	start time.Time

	mu      sync.Mutex
	tries   []try
	applied map[string]bool     // by key
	bodies  map[string][]byte   // by key: what the first try held
	sums    map[string]int64    // of counters
	samples map[string]int      // of gauges: how often name@time came
	labels  map[string]struct{} // every label set seen
	flying  int
	most    int // tries at once
}

// try is one request.
type try struct {
	at      time.Duration // since the server's start
	key     string
	metrics []request.Metric
}

// reply is what becomes of a try: whether the batch is applied and what the
// client hears. An err is a network error.
type reply struct {
	after  time.Duration
	drop   bool // don't apply
	status int  // 0: 204
	header http.Header
	err    error
}

var errAway = fmt.Errorf("connection refused")

func newServer(t *testing.T) *server {
	t.Helper()
	return &server{
		t: t, start: time.Now(), applied: map[string]bool{}, bodies: map[string][]byte{},
		sums: map[string]int64{}, samples: map[string]int{}, labels: map[string]struct{}{},
	}
}

// during answers with r between from and to and normally otherwise.
func during(from, to time.Duration, r reply) func(try) reply {
	return func(tr try) reply {
		if tr.at >= from && tr.at < to {
			return r
		}
		return reply{}
	}
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/ping" { // the agent looks at the Date alone
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
	}
	tr, body := s.read(r)
	s.mu.Lock()
	s.tries = append(s.tries, tr)
	if first, known := s.bodies[tr.key]; known {
		assert.Equal(s.t, first, body, "a batch keeps its bytes")
	}
	s.bodies[tr.key] = body
	s.flying++
	s.most = max(s.most, s.flying)
	rep := reply{}
	if s.answer != nil {
		rep = s.answer(tr)
	}
	s.mu.Unlock()

	if err := wait(r.Context(), rep.after); err != nil {
		rep.err, rep.drop = err, true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	res := &http.Response{StatusCode: rep.status, Header: http.Header{}, Body: http.NoBody, Request: r}
	if rep.header != nil {
		res.Header = rep.header.Clone()
	}
	if res.StatusCode == 0 {
		res.StatusCode = http.StatusNoContent
	}
	if res.StatusCode == http.StatusBadRequest { // the server's own
		res.Header.Set("Content-Type", response.ContentTypeProblem)
		res.Body = io.NopCloser(strings.NewReader(`{"status":400,"code":"invalid","detail":"no good"}`))
	}
	if !rep.drop && s.apply(tr) {
		res.Header.Set(response.HeaderReplayed, "true")
	}
	if rep.err != nil {
		return nil, rep.err
	}
	return res, nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *server) read(r *http.Request) (try, []byte) {
	assert.Equal(s.t, "/updates/", r.URL.Path)
	assert.Equal(s.t, "gzip", r.Header.Get("Content-Encoding"))
	assert.Equal(s.t, request.PreferMinimal, r.Header.Get(request.HeaderPrefer))
	body, err := io.ReadAll(r.Body)
	assert.NoError(s.t, err)
	z, err := gzip.NewReader(bytes.NewReader(body))
	assert.NoError(s.t, err)
	tr := try{at: time.Since(s.start), key: r.Header.Get(request.HeaderIdempotencyKey)}
	assert.NoError(s.t, json.NewDecoder(z).Decode(&tr.metrics))
	return tr, body
}

// apply reports whether the batch had been applied before.
func (s *server) apply(tr try) (replayed bool) {
	if s.applied[tr.key] {
		return true
	}
	s.applied[tr.key] = true
	for _, m := range tr.metrics {
		s.labels[fmt.Sprint(m.Labels)] = struct{}{}
		if m.Delta != nil {
			s.sums[m.ID] += *m.Delta
			continue
		}
		s.samples[m.ID+"@"+strconv.FormatInt(m.Timestamp-s.start.UnixMilli(), 10)]++
	}
	return false
}

// sequences are the sequence numbers of the tries, in their order. All keys
// must have one producer.
func (s *server) sequences() []int {
	producer := ""
	var out []int
	for _, tr := range s.tries {
		p, seq, ok := strings.Cut(strings.Trim(tr.key, `"`), "/")
		require.True(s.t, ok, tr.key)
		if producer == "" {
			producer = p
		}
		require.Equal(s.t, producer, p)
		n, err := strconv.Atoi(seq)
		require.NoError(s.t, err)
		out = append(out, n)
	}
	return out
}

// at are the times of the tries.
func (s *server) at() []time.Duration {
	var out []time.Duration
	for _, tr := range s.tries {
		out = append(out, tr.at)
	}
	return out
}

// counting is a collector of n gauges and the counter PollCount.
type counting struct {
	n     int
	polls int
}

func (c *counting) Name() string { return "counting" }

func (c *counting) Collect(context.Context) ([]metric.Metric, error) {
	c.polls++
	now := time.Now().UnixMilli()
	ms := []metric.Metric{{Kind: metric.Counter, Name: "PollCount", Delta: 1, Timestamp: now}}
	for i := range c.n {
		ms = append(ms, metric.Metric{Kind: metric.Gauge, Name: fmt.Sprintf("g%d", i), Value: float64(c.polls), Timestamp: now})
	}
	return ms, nil
}

// hanging is a collector that doesn't heed its context.
type hanging struct{ release chan struct{} }

func (h *hanging) Name() string { return "hanging" }

func (h *hanging) Collect(context.Context) ([]metric.Metric, error) {
	<-h.release
	return []metric.Metric{{Kind: metric.Counter, Name: "Late", Delta: 1, Timestamp: time.Now().UnixMilli()}}, nil
}
