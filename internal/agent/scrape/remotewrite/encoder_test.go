package remotewrite_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/internal/agent/scrape/remotewrite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func decode(t testing.TB, p remotewrite.Payload) (writev2.Request, int) {
	t.Helper()
	plain, err := s2.Decode(nil, p.Body)
	require.NoError(t, err)
	var req writev2.Request
	require.NoError(t, req.Unmarshal(plain))
	return req, len(plain)
}

func TestEncoder(t *testing.T) {
	e := remotewrite.New()
	meta := &remotewrite.Metadata{Type: writev2.Metadata_METRIC_TYPE_HISTOGRAM, Help: "Help.", Unit: "s"}
	ls := labels.FromStrings("__name__", "a", "b", "c")
	h := &histogram.Histogram{Count: 1, Sum: 2, PositiveSpans: []histogram.Span{{Offset: 1, Length: 1}}, PositiveBuckets: []int64{1}}
	for range 2 { // the second time with the memory of the first
		require.NoError(t, e.Add(&remotewrite.Sample{Labels: labels.FromStrings("gone", "gone"), V: 9}))
		e.Reset()
		require.NoError(t, e.Add(&remotewrite.Sample{Labels: ls, T: 5, ST: 1, V: 1.5, Exemplars: []exemplar.Exemplar{
			{Labels: labels.FromStrings("id", "1"), Value: 1, Ts: 3}, {Labels: labels.FromStrings("id", "2"), Value: 2, Ts: 4},
		}}))
		require.NoError(t, e.Add(&remotewrite.Sample{Labels: ls, Meta: meta, T: 6, H: h}))
		require.NoError(t, e.Add(&remotewrite.Sample{Labels: ls, T: 7, FH: h.ToFloat(nil)}))
		payloads, err := e.Finish()
		require.NoError(t, err)
		require.Len(t, payloads, 1)
		require.Equal(t, 3, payloads[0].Samples)
		require.Equal(t, len(payloads[0].Body), cap(payloads[0].Body))
		req, _ := decode(t, payloads[0])
		require.Equal(t, strings.Fields("| __name__ a b c id 1 2 Help. s"), append([]string{"|"}, req.Symbols[1:]...))
		refs := []uint32{1, 2, 3, 4}
		require.Equal(t, []writev2.TimeSeries{
			{
				LabelsRefs: refs, Samples: []writev2.Sample{{Value: 1.5, Timestamp: 5, StartTimestamp: 1}},
				Exemplars: []writev2.Exemplar{{LabelsRefs: []uint32{5, 6}, Value: 1, Timestamp: 3}, {LabelsRefs: []uint32{5, 7}, Value: 2, Timestamp: 4}},
			},
			{
				LabelsRefs: refs, Histograms: []writev2.Histogram{writev2.FromIntHistogram(0, 6, h)},
				Metadata: writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_HISTOGRAM, HelpRef: 8, UnitRef: 9},
			},
			{LabelsRefs: refs, Histograms: []writev2.Histogram{writev2.FromFloatHistogram(0, 7, h.ToFloat(nil))}},
		}, req.Timeseries)
	}
	payloads, err := e.Finish()
	require.NoError(t, err)
	require.Empty(t, payloads)
}

// TestSizes: a request has at most 2,000 samples, and some MiB unpacked whatever
// they are like.
func TestSizes(t *testing.T) {
	big := &histogram.Histogram{PositiveBuckets: make([]int64, 10_000)}
	for i := range big.PositiveBuckets {
		big.PositiveBuckets[i] = int64(i) << 40 // many bytes each
	}
	for _, c := range []struct {
		name        string
		of          func(i int) *remotewrite.Sample
		n, payloads int
	}{
		{"small", func(i int) *remotewrite.Sample {
			return &remotewrite.Sample{Labels: labels.FromStrings("i", fmt.Sprint(i)), V: float64(i)}
		}, 4500, 3},
		{"long labels", func(i int) *remotewrite.Sample {
			return &remotewrite.Sample{Labels: labels.FromStrings("i", fmt.Sprint(i)+strings.Repeat("x", 10_000))}
		}, 4500, 11},
		{"large histograms", func(i int) *remotewrite.Sample {
			return &remotewrite.Sample{Labels: labels.FromStrings("i", fmt.Sprint(i)), H: big}
		}, 450, 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := remotewrite.New()
			for i := range c.n {
				require.NoError(t, e.Add(c.of(i)))
			}
			payloads, err := e.Finish()
			require.NoError(t, err)
			require.Len(t, payloads, c.payloads)
			n := 0
			b := labels.NewScratchBuilder(0)
			for _, p := range payloads {
				require.LessOrEqual(t, p.Samples, remotewrite.MaxSamples)
				req, plain := decode(t, p)
				require.Less(t, plain, 6<<20)
				require.Len(t, req.Timeseries, p.Samples)
				for _, ts := range req.Timeseries {
					ls, err := ts.ToLabels(&b, req.Symbols)
					require.NoError(t, err)
					require.Equal(t, c.of(n).Labels, ls)
					n++
				}
			}
			require.Equal(t, c.n, n)
		})
	}
}
