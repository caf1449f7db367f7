package remotewrite_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// null is a storage that knows the series it was told and nothing else.
type null struct{ last storage.SeriesRef }

func (n *null) AppenderV2(context.Context) storage.AppenderV2 { return n }

func (n *null) Append(ref storage.SeriesRef, ls labels.Labels, _, _ int64, _ float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	switch {
	case h != nil && h.Validate() != nil:
		return 0, h.Validate()
	case fh != nil && fh.Validate() != nil:
		return 0, fh.Validate()
	case ref != 0:
		return ref, nil
	case ls.IsEmpty():
		return 0, tsdb.ErrInvalidSample
	}
	n.last++
	return n.last, nil
}

func (n *null) AppendExemplars(ref storage.SeriesRef, _ labels.Labels, _ []exemplar.Exemplar) (storage.SeriesRef, error) {
	return ref, nil
}
func (n *null) Commit() error   { return nil }
func (n *null) Rollback() error { return nil }

// TestMemoryIsBounded sends bodies of 4 MiB that are made to become much more,
// and looks at all that is allocated on the way.
func TestMemoryIsBounded(t *testing.T) {
	const size = 4 << 20
	fill := func(unit []byte, n int) []byte { return bytes.Repeat(unit, n/len(unit)) }
	message := func(n byte, content []byte) []byte {
		out := append([]byte{n<<3 | 2}, binary.AppendUvarint(nil, uint64(len(content)))...)
		return append(out, content...)
	}
	name := message(1, join(field(1, []byte("__name__")), field(2, []byte("a"))))
	symbols := join(message(4, nil), message(4, []byte("__name__")), message(4, []byte("a")))
	for label, c := range map[string]struct {
		version string
		plain   []byte
	}{
		"series":               {"1.0", fill([]byte{0x0a, 0}, size)},
		"samples":              {"1.0", message(1, join(name, fill([]byte{0x12, 0}, size)))},
		"labels":               {"1.0", message(1, fill([]byte{0x0a, 0}, size))},
		"exemplars":            {"1.0", message(1, join(name, fill([]byte{0x1a, 0}, size)))},
		"labels of exemplars":  {"1.0", message(1, join(name, []byte{0x12, 0}, message(3, fill([]byte{0x0a, 0}, size))))},
		"histograms":           {"1.0", message(1, join(name, fill([]byte{0x22, 0}, size)))},
		"spans":                {"1.0", message(1, join(name, message(4, fill([]byte{0x5a, 0}, size))))},
		"deltas":               {"1.0", message(1, join(name, message(4, message(12, fill([]byte{0}, size)))))},
		"unpacked deltas":      {"1.0", message(1, join(name, message(4, fill([]byte{0x60, 0}, size))))},
		"metadata":             {"1.0", fill([]byte{0x1a, 3, 0x12, 1, 'a'}, size)},
		"symbols":              {"2.0", fill([]byte{0x22, 0}, size)},
		"series of 2.0":        {"2.0", join(symbols, fill([]byte{0x2a, 0}, size))},
		"references":           {"2.0", join(symbols, message(5, message(1, fill([]byte{1}, size))))},
		"unpacked references":  {"2.0", join(symbols, message(5, fill([]byte{0x08, 1}, size)))},
		"one large symbol":     {"2.0", join(symbols, message(4, fill([]byte{'x'}, size/2)), message(5, message(1, fill([]byte{1, 3}, size/2))))},
		"large in many series": {"2.0", join(symbols, message(4, fill([]byte{'x'}, size/2)), fill(message(5, []byte{0x0a, 4, 1, 2, 3, 3, 0x12, 0}), size/2))},
		"references of exemplars": {"2.0", join(symbols, message(5, join([]byte{0x0a, 2, 1, 2, 0x12, 0},
			message(4, message(1, fill([]byte{1}, size))))))},
		"large in exemplars": {"2.0", join(symbols, message(4, fill([]byte{'x'}, size/2)),
			message(5, join([]byte{0x0a, 2, 1, 2, 0x12, 0}, fill(message(4, []byte{0x0a, 2, 3, 3}), size/2))))},
	} {
		t.Run(label, func(t *testing.T) {
			h := remotewrite.New(remotewrite.Options{
				Appendable: &null{}, Metadata: &writetest.Families{}, Now: time.Now, Log: zap.NewNop(),
				Limits: remotewrite.Limits{Samples: 50_000, Buckets: 100_000},
			})
			body := s2.EncodeSnappy(nil, c.plain)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := writetest.Send(t, h, c.version, body)
			runtime.ReadMemStats(&after)
			require.Contains(t, []int{204, 400, 413}, w.Code)
			require.Less(t, w.Body.Len(), 20_000)
			took := after.TotalAlloc - before.TotalAlloc
			require.Less(t, took, uint64(12*size), "%d MiB", took>>20)
		})
	}
}

// TestLyingSize: a body that says it becomes large, and can't, gets no memory.
func TestLyingSize(t *testing.T) {
	h := remotewrite.New(remotewrite.Options{Appendable: &null{}, Now: time.Now, Log: zap.NewNop()})
	body := append(binary.AppendUvarint(nil, 16<<20), make([]byte, 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := writetest.Send(t, h, "1.0", body)
	runtime.ReadMemStats(&after)
	require.Equal(t, 400, w.Code)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20))
}

// TestAllocations: with known series a request takes a few allocations, however
// many samples it has.
func TestAllocations(t *testing.T) {
	for _, version := range versions {
		h := remotewrite.New(remotewrite.Options{
			Appendable: &null{}, Metadata: &writetest.Families{}, Now: time.Now, Log: zap.NewNop(),
		})
		list := make([]writetest.Series, 1000)
		for i := range list {
			list[i] = gauge("m", time.Now().UnixMilli(), 1)
			list[i].Labels = append(list[i].Labels, "path", string(rune('a'+i)))
			list[i].Meta = writetest.Meta{Type: 2, Help: "help"}
		}
		body := writetest.Encode(t, version, list)
		r, err := http.NewRequest(http.MethodPost, "/", nil)
		require.NoError(t, err)
		r.Header = writetest.Headers(version)
		reader := bytes.NewReader(nil)
		r.Body = io.NopCloser(reader)
		allocations := testing.AllocsPerRun(50, func() {
			reader.Reset(body)
			w := &discard{header: http.Header{}}
			h.ServeHTTP(w, r)
			if w.status != http.StatusNoContent {
				panic(w.status)
			}
		})
		require.Equal(t, 1000, h.Series())
		most := 25.0
		if version == "1.0" {
			most += 1000 * 3 // metadata is told each time: its strings
		}
		require.LessOrEqual(t, allocations, most, version)
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// FuzzBody: whatever is in a body, the answer is one of a few, and the same when
// the series in it are known.
func FuzzBody(f *testing.F) {
	f.Add(false, []byte{})
	f.Add(true, []byte{0x22, 0})
	for _, version := range versions {
		s := gauge("a", 1795454731960, 1)
		s.Meta = writetest.Meta{Type: 3, Help: "help", Unit: "s"}
		s.Exemplars = []writetest.Exemplar{{Labels: []string{"id", "x"}, T: 1795454731960, V: 1}}
		h := s
		h.Samples, h.Histograms = nil, []writetest.Hist{
			{T: 1795454731960, I: &histogram.Histogram{Count: 1, ZeroCount: 1, Schema: 9}},
			{T: 1795454731960, F: &histogram.FloatHistogram{Schema: -53, Count: 1, PositiveSpans: []histogram.Span{{Length: 1}}, PositiveBuckets: []float64{1}, CustomValues: []float64{1}}},
		}
		plain := writetest.Marshal(f, version, []writetest.Series{s, h})
		for n := len(plain); n > 0; n -= 11 {
			f.Add(version == "2.0", plain[:n])
		}
	}
	f.Fuzz(func(t *testing.T, two bool, plain []byte) {
		version := versions[0]
		if two {
			version = versions[1]
		}
		h := remotewrite.New(remotewrite.Options{
			Appendable: &null{}, Metadata: &writetest.Families{}, Log: zap.NewNop(),
			Now: func() time.Time { return time.UnixMilli(1795454731960) },
		})
		body := s2.EncodeSnappy(nil, plain)
		first := writetest.Send(t, h, version, body)
		require.Contains(t, []int{204, 400, 413}, first.Code, first.Body)
		second := writetest.Send(t, h, version, body)
		require.Equal(t, first.Code, second.Code)
		require.Equal(t, first.Body.String(), second.Body.String())
		require.Equal(t, written(first), written(second))
	})
}
