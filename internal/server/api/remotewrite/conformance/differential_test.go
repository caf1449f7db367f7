package conformance

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// seeds are what a test runs with: SEED, or some new ones.
func seeds(t *testing.T, n int) (out []uint64) {
	t.Helper()
	if s := os.Getenv("SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		return []uint64{seed}
	}
	if os.Getenv("GOMETHEUS_LONG") != "" {
		n *= 50
	}
	for range n {
		out = append(out, rand.Uint64())
	}
	return out
}

func newRandom(seed uint64) *random {
	return &random{Rand: rand.New(rand.NewPCG(seed, 1)), start: time.Now().Add(-40 * time.Minute).UnixMilli()}
}

var writtenHeaders = []string{
	"X-Prometheus-Remote-Write-Samples-Written",
	"X-Prometheus-Remote-Write-Histograms-Written",
	"X-Prometheus-Remote-Write-Exemplars-Written",
}

// TestSameAsUpstream sends random requests to both receivers, each with a TSDB of
// its own, and compares answers and contents.
//
// What we do otherwise on purpose, and so isn't compared here but tested in
// package remotewrite:
//
//   - 1.0 writes the valid part of a request that has invalid samples too, as 2.0
//     does; upstream rolls it back as a whole. Such requests of 1.0 are compared
//     with what upstream makes of the same as a 2.0 request.
//   - 1.0 answers invalid labels with 400, as its specification asks for;
//     upstream with 204.
//   - Exemplars without samples are taken in 2.0 if their series exists; the
//     labels of exemplars must be valid UTF-8 and unique.
//   - 2.0: the first symbol must be empty; fields of 1.0 are refused.
//   - There are limits of labels and counts.
//   - A Content-Type may have spaces; a body that would unpack to too much is 413.
//   - Metadata is kept.
func TestSameAsUpstream(t *testing.T) {
	for _, seed := range seeds(t, 6) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := newRandom(seed)
			option := func(o *tsdb.Options) {
				o.EnableSTAsZeroSample = seed%2 == 0
				if seed%3 == 0 {
					o.OutOfOrderTimeWindow = 0
				}
			}
			theirDB, ourDB := writetest.OpenDB(t, option), writetest.OpenDB(t, option)
			their, our := yardstick(theirDB), ours(ourDB)
			statuses := map[int]int{}
			for range 60 {
				theirs, got := r.round(t, their, our)
				require.Equal(t, theirs.Code, got.Code, "theirs: %s\nours: %s", theirs.Body, got.Body)
				statuses[got.Code]++
			}
			require.Equal(t, writetest.Contents(t, theirDB), writetest.Contents(t, ourDB))
			require.NotEmpty(t, writetest.Contents(t, ourDB).Exemplars)
			require.Positive(t, statuses[http.StatusNoContent])
			require.Positive(t, statuses[http.StatusBadRequest])
			require.Len(t, statuses, 2)
		})
	}
}

// round sends one random request to both.
func (r *random) round(t *testing.T, their, our http.Handler) (theirs, got *httptest.ResponseRecorder) {
	bad := r.one(2)
	if r.one(2) { // 1.0
		list := r.request(bad, !bad)
		version := "1.0"
		if bad {
			version = "2.0"
			for i := range list {
				for j := range list[i].Samples {
					list[i].Samples[j].ST = 0
				}
				for j := range list[i].Histograms {
					list[i].Histograms[j].ST = 0
				}
			}
		}
		return writetest.Send(t, their, version, writetest.Encode(t, version, list)), writetest.Send(t, our, "1.0", writetest.Encode(t, "1.0", list))
	}
	m := writetest.V2(r.request(bad, true))
	if bad {
		r.spoilRefs(m)
	}
	plain, err := m.Marshal()
	require.NoError(t, err)
	body := s2.EncodeSnappy(nil, plain)
	theirs, got = writetest.Send(t, their, "2.0", body), writetest.Send(t, our, "2.0", body)
	for _, h := range writtenHeaders {
		require.Equal(t, theirs.Header().Get(h), got.Header().Get(h), "%s\ntheirs: %s\nours: %s", h, theirs.Body, got.Body)
		require.NotEmpty(t, got.Header().Get(h))
	}
	return theirs, got
}

func (r *random) spoilRefs(m *writev2.Request) {
	if !r.one(4) {
		return
	}
	ts := &m.Timeseries[r.IntN(len(m.Timeseries))]
	switch r.IntN(5) {
	case 0:
		ts.LabelsRefs = append(ts.LabelsRefs, 1)
	case 1:
		ts.LabelsRefs = append(ts.LabelsRefs, 1, uint32(len(m.Symbols)))
	case 2:
		ts.Metadata.HelpRef = uint32(len(m.Symbols)) + 7
	case 3:
		ts.Metadata.UnitRef = 1 << 31
	case 4:
		if len(ts.Exemplars) > 0 {
			ts.Exemplars[0].LabelsRefs = append(ts.Exemplars[0].LabelsRefs, 1)
		}
	}
}
