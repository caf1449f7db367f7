package wire_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/wire"
)

// inputs are whole messages, and bytes that decoders stumble over.
func inputs(t testing.TB) (out [][]byte) {
	t.Helper()
	add := func(m interface{ Marshal() ([]byte, error) }) {
		b, err := m.Marshal()
		require.NoError(t, err)
		out = append(out, b)
		for _, cut := range []int{1, 2, 7, len(b) / 2} {
			if cut < len(b) {
				out = append(out, b[:len(b)-cut])
			}
		}
	}
	i, f, c := tsdbutil.GenerateTestHistogram(3), tsdbutil.GenerateTestFloatHistogram(3), tsdbutil.GenerateTestCustomBucketsHistogram(3)
	for _, h := range []prompb.Histogram{prompb.FromIntHistogram(1, i), prompb.FromFloatHistogram(1, f), prompb.FromIntHistogram(1, c)} {
		add(&h)
	}
	for _, h := range []writev2.Histogram{writev2.FromIntHistogram(1, 2, i), writev2.FromFloatHistogram(1, 2, f)} {
		add(&h)
	}
	add(&prompb.Sample{Value: 1.5, Timestamp: 1795454731960})
	add(&writev2.Sample{Value: 1.5, Timestamp: 1795454731960, StartTimestamp: 1})
	add(&prompb.Exemplar{Labels: []prompb.Label{{Name: "a", Value: "b"}}, Value: 1, Timestamp: 2})
	add(&writev2.Exemplar{LabelsRefs: []uint32{1, 2, 300}, Value: 1, Timestamp: 2})
	add(&prompb.MetricMetadata{Type: 1, MetricFamilyName: "a", Help: "b", Unit: "c"})
	add(&writev2.Metadata{Type: 1, HelpRef: 2, UnitRef: 300})
	add(&prompb.TimeSeries{Labels: []prompb.Label{{Name: "__name__", Value: "a"}}, Samples: []prompb.Sample{{Value: 1, Timestamp: 2}}})
	return append(out,
		nil, []byte{0}, []byte{0x80}, bytes.Repeat([]byte{0xff}, 9), bytes.Repeat([]byte{0xff}, 20),
		[]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f},                                     // a length of 4 GiB
		[]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},       // of -1
		[]byte{0x62, 0x80, 0x80, 0x80, 0x80, 0x10, 1},                                  // packed deltas of 4 GiB
		[]byte{0x62, 3, 0x80, 0x80, 0x80},                                              // an open varint in a packed list
		[]byte{0x6a, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9},                                     // a packed double and a half
		bytes.Repeat([]byte{0x0b}, 10_000),                                             // nested groups
		append(bytes.Repeat([]byte{0x0b}, 5), bytes.Repeat([]byte{0x0c}, 5)...),        // closed again
		[]byte{0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 1},          // a field number beyond 32 bits
		[]byte{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},       // a varint beyond 64 bits
		[]byte{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, // beyond 10 bytes
		bytes.Repeat([]byte{0x5a, 0}, 5000),                                            // many empty spans
		bytes.Repeat([]byte{0x0a, 0}, 5000),
	)
}

// FuzzDecode: no decoder panics, reads outside of its input, or takes more than
// its budget; and upstream's takes what they take.
func FuzzDecode(f *testing.F) {
	for _, b := range inputs(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := slices.Clip(b) // a read beyond the end would panic
		var exemplar wire.Exemplar
		for _, v2 := range []bool{false, true} {
			const most = 1000
			budget := most
			h, err := wire.DecodeHistogram(in, v2, &budget)
			if err == nil {
				require.GreaterOrEqual(t, budget, 0)
				require.NotEqual(t, h.Int == nil, h.Float == nil)
				if v2 {
					require.NoError(t, new(writev2.Histogram).Unmarshal(b))
				} else {
					require.NoError(t, new(prompb.Histogram).Unmarshal(b))
				}
			}
			refs, err := wire.DecodeExemplar(in, v2, 3, nil, &exemplar)
			if err == nil {
				require.LessOrEqual(t, len(refs), 7)
				require.LessOrEqual(t, len(exemplar.Labels), 4)
				if v2 {
					require.NoError(t, new(writev2.Exemplar).Unmarshal(b))
				}
			}
			s, err := wire.DecodeSample(in, v2)
			if err == nil && v2 {
				var want writev2.Sample
				require.NoError(t, want.Unmarshal(b))
				require.Equal(t, want.Timestamp, s.Time)
				require.Equal(t, want.StartTimestamp, s.Start)
			}
		}
		_, _ = wire.DecodeLabel(in)
		_, _ = wire.DecodeMetadata1(in)
		_ = new(wire.Metadata2).Merge(in)
		walk(t, in, 0)
	})
}

// walk goes through all that could be messages within messages.
func walk(t *testing.T, b []byte, depth int) {
	m := wire.Walk(b)
	end := 0
	for m.Next() {
		start, stop := m.Span()
		require.GreaterOrEqual(t, start, end)
		require.Greater(t, stop, start)
		end = stop
		switch m.Tag & 7 {
		case wire.Bytes:
			require.Equal(t, len(m.Bytes), cap(m.Bytes))
			if depth < 4 {
				walk(t, m.Bytes, depth+1)
			}
			run := m.Run()
			require.GreaterOrEqual(t, len(run), stop-start)
			_, end = m.Span()
		case wire.Varint:
			v, next := wire.Uvarint(m.Value(), 0)
			require.Equal(t, m.Int, v)
			require.Equal(t, len(m.Value()), next)
		}
	}
	if m.Err() == nil {
		require.Equal(t, len(b), end)
	}
}

// TestSampleFastPath: a sample is read the same, in whatever form it is written.
func TestSampleFastPath(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want wire.Sample
	}{
		{[]byte{0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 5}, wire.Sample{Value: 1.5, Time: 5}},
		{[]byte{0x10, 5, 0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, wire.Sample{Value: 1.5, Time: 5}},
		{[]byte{0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 5, 0x10, 6}, wire.Sample{Value: 1.5, Time: 6}},
		{[]byte{0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, wire.Sample{Value: 1.5}},
		{[]byte{0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, wire.Sample{Time: -1}},
		{nil, wire.Sample{}},
	} {
		got, err := wire.DecodeSample(c.b, false)
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
	_, err := wire.DecodeSample([]byte{0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x10, 0x80}, false)
	require.ErrorIs(t, err, wire.ErrMalformed)
}
