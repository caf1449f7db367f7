package crashtest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/history"
	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/retry"
)

const (
	// pastGauges is how many gauges each batch of the test of the history has.
	pastGauges = 20
	// pastSpan is how far back the samples begin. It stays below the
	// out-of-order window.
	pastSpan = 6 * 24 * time.Hour
	// mayMiss is how old an acknowledged sample is at most that a killed server may
	// miss in its history.
	mayMiss = time.Second
)

// past is what the server acknowledged, as its history must have it.
type past struct {
	at     time.Time // the time of the next batch's samples
	step   time.Duration
	acked  []ackedSample
	judged int // how many of acked are of earlier lives
}

type ackedSample struct {
	t      int64 // the samples' time, and their value
	ackAt  time.Time
	settle bool // the server lived long enough after the acknowledgement
}

// TestHistoryKilled kills the server while it takes samples of six days in a few
// minutes, so that it compacts all the time, and looks each time whether its
// history opens and what is in it.
func TestHistoryKilled(t *testing.T) {
	ctx, rng := deadline(t), newRand(t)
	kills := count(3, 100)
	s := newServer(t, build(t, "server", ""), "300")
	folder := filepath.Join(s.dir, "history")
	s.args = []string{"--history=true", "--history-path", folder}
	p := &past{at: time.Now().Add(-pastSpan), step: pastSpan / time.Duration(kills*400)}
	blocks := 0
	for range kills {
		require.NoError(t, s.up(ctx))
		life, stop := context.WithTimeout(ctx, mayMiss+within(rng, 1500*time.Millisecond))
		err := p.push(life, s.target)
		stop()
		require.NoError(t, err)
		require.NoError(t, s.now.kill())
		s.now = nil
		p.settled(time.Now())
		found, err := os.ReadDir(folder)
		require.NoError(t, err)
		for _, entry := range found {
			if len(entry.Name()) == 26 { // a ULID
				blocks++
			}
		}
		p.check(t, folder)
	}
	require.Positive(t, blocks, "it never compacted")
	t.Logf("%d kills, %d batches acknowledged", kills, len(p.acked))
	require.NoError(t, os.RemoveAll(s.dir))
}

// push sends batches until ctx ends.
func (p *past) push(ctx context.Context, tg *target) error {
	tr := tg.transport()
	defer tr.CloseIdleConnections()
	c, err := client.New("server", client.WithTransport(tr), client.WithRetry(retry.Policy{Attempts: 1}))
	if err != nil {
		return err
	}
	defer c.Close()
	for ctx.Err() == nil && p.at.Before(time.Now()) {
		at := time.UnixMilli(p.at.UnixMilli())
		p.at = p.at.Add(p.step)
		ms := []request.Metric{request.Counter("past_total", 1).At(at)}
		for i := range pastGauges {
			ms = append(ms, request.Gauge("past", float64(at.UnixMilli())).With(map[string]string{"i": strconv.Itoa(i)}).At(at))
		}
		b, err := c.NewBatch(ms)
		if err != nil {
			return err
		}
		if _, err := c.Send(ctx, b); err == nil {
			p.acked = append(p.acked, ackedSample{t: at.UnixMilli(), ackAt: time.Now()})
		} else if ctx.Err() == nil {
			return fmt.Errorf("push: %w", err)
		}
		pause(ctx, 2*time.Millisecond)
	}
	<-ctx.Done()
	return nil
}

// settled notes what the server had the time to keep before it was killed.
func (p *past) settled(killed time.Time) {
	for i := p.judged; i < len(p.acked); i++ {
		p.acked[i].settle = killed.Sub(p.acked[i].ackAt) > mayMiss
	}
	p.judged = len(p.acked)
}

// check opens the history that a killed server left and looks for what it must
// have.
func (p *past) check(t *testing.T, folder string) {
	t.Helper()
	h, err := history.Open(history.Options{
		Path: folder, Retention: 15 * 24 * time.Hour, OutOfOrder: 7 * 24 * time.Hour,
		QueryTimeout: time.Minute, QueryConcurrency: 1, QueryMaxSamples: 1e6, Now: time.Now, Log: zap.NewNop(),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, h.Close()) }()
	q, err := h.Querier(math.MinInt64, math.MaxInt64)
	require.NoError(t, err)
	defer func() { require.NoError(t, q.Close()) }()

	series := 0
	set := q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "past"))
	for set.Next() {
		series++
		have := map[int64]bool{}
		it := set.At().Iterator(nil)
		for it.Next() == chunkenc.ValFloat {
			at, v := it.At()
			require.InDelta(t, float64(at), v, 0, "another sample's value")
			have[at] = true
		}
		require.NoError(t, it.Err())
		for i, a := range p.acked {
			require.True(t, !a.settle || have[a.t], "%v misses number %d of %d, acknowledged at %v", set.At().Labels(), i, len(p.acked), a.ackAt)
		}
	}
	require.NoError(t, errors.Join(set.Err()))
	require.Equal(t, pastGauges, series)

	set = q.Select(t.Context(), false, nil, labels.MustNewMatcher(labels.MatchEqual, "__name__", "past_total"))
	require.True(t, set.Next())
	last := -1.0
	it := set.At().Iterator(nil)
	for it.Next() == chunkenc.ValFloat {
		_, v := it.At()
		require.GreaterOrEqual(t, v, last, "a total went back")
		last = v
	}
	require.NoError(t, it.Err())
	require.GreaterOrEqual(t, last, float64(settledCount(p.acked)))
}

func settledCount(acked []ackedSample) (n int) {
	for _, a := range acked {
		if a.settle {
			n++
		}
	}
	return n
}
