package promapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/stats"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/promapi"
)

// fixed is an engine whose every query has the same result.
type fixed struct {
	promql.Query
	result parser.Value
	closed *int
}

func (f fixed) NewInstantQuery(context.Context, storage.Queryable, promql.QueryOpts, string, time.Time) (promql.Query, error) {
	return f, nil
}

func (f fixed) NewRangeQuery(context.Context, storage.Queryable, promql.QueryOpts, string, time.Time, time.Time, time.Duration) (promql.Query, error) {
	return f, nil
}

func (f fixed) Exec(context.Context) *promql.Result {
	if f.result == nil {
		panic("no result")
	}
	return &promql.Result{Value: f.result}
}

func (fixed) Stats() *stats.Statistics { return nil }

func (f fixed) Close() { *f.closed++ }

// sink counts what is written to it, and fails when it has had enough.
type sink struct {
	header        http.Header
	bytes, writes int
	largest       int
	enough        int
	before        func() // called at each write
}

func (s *sink) Header() http.Header { return s.header }

func (*sink) WriteHeader(int) {}

func (s *sink) Write(b []byte) (int, error) {
	s.before()
	s.writes++
	s.bytes += len(b)
	s.largest = max(s.largest, len(b))
	if s.enough > 0 && s.bytes > s.enough {
		return 0, errors.New("gone")
	}
	return len(b), nil
}

func large(series, points int) (m promql.Matrix) {
	for range series {
		s := promql.Series{Metric: labels.FromStrings("__name__", "x")}
		for i := range points {
			s.Floats = append(s.Floats, promql.FPoint{T: int64(i) * 15_001, F: float64(i) / 7})
		}
		m = append(m, s)
	}
	return m
}

// TestStream: a large matrix is sent piece by piece, not held a second time; who
// is gone gets no more of it. The query is closed after, not before.
func TestStream(t *testing.T) {
	const series, points = 50, 20_000
	closed := 0
	o, _ := options(t, script)
	ask := func(s *sink, result promql.Matrix) uint64 {
		o.Engine = fixed{result: result, closed: &closed}
		h := promapi.New(o)
		closed = 0
		s.header = http.Header{}
		s.before = func() { require.Zero(t, closed, "the query was closed before its result was sent") }
		r := httptest.NewRequest(http.MethodGet, "/api/v1/query_range?query=x&start=0&end=1&step=1", nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		h.ServeHTTP(s, r)
		runtime.ReadMemStats(&after)
		require.Equal(t, 1, closed)
		return after.TotalAlloc - before.TotalAlloc
	}
	var whole sink
	used := ask(&whole, large(series, points))
	require.Greater(t, whole.bytes, 25*series*points)
	require.Less(t, whole.largest, 70<<10)
	require.Less(t, used, uint64(1<<20), "%d bytes were allocated for an answer of %d", used, whole.bytes)
	require.Empty(t, whole.header.Get("Content-Length"))

	gone := sink{enough: 200 << 10}
	// To encode a histogram that isn't there would panic.
	trap := promql.Series{Histograms: []promql.HPoint{{}}}
	require.NotPanics(t, func() { ask(&gone, append(large(1, points), trap)) })
	require.Less(t, gone.writes, 6)
	require.Panics(t, func() { ask(&sink{}, append(large(1, points), trap)) })
}

// TestShort: an answer that fits goes out at once, with its length.
func TestShort(t *testing.T) {
	closed := 0
	o, _ := options(t, script)
	o.Engine = fixed{result: large(1, 1000), closed: &closed}
	w := get(promapi.New(o), "/api/v1/query?query=x")
	require.Equal(t, w.Header().Get("Content-Length"), w.Result().Header.Get("Content-Length"))
	require.Equal(t, int64(w.Body.Len()), w.Result().ContentLength)
}

// TestPanic: a query is closed even if the engine panics.
func TestPanic(t *testing.T) {
	closed := 0
	o, _ := options(t, script)
	o.Engine = fixed{closed: &closed}
	h := promapi.New(o)
	require.Panics(t, func() { get(h, "/api/v1/query?query=x") })
	require.Equal(t, 1, closed)
}

// TestConcurrent: answers don't share memory.
func TestConcurrent(t *testing.T) {
	o, _ := options(t, script)
	h := handler(o)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				want := fmt.Sprintf(`{"status":"success","data":{"resultType":"scalar","result":[1,"%d"]}}`, i)
				assert.Equal(t, want, get(h, fmt.Sprintf("/api/v1/query?time=1&query=%d", i)).Body.String())
			}
		})
	}
	wg.Wait()
}
