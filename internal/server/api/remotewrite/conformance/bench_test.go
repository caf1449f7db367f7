package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// sink is a ResponseWriter that keeps nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkRemoteWrite is one request through the whole handler into a TSDB:
// upstream's handler (the yardstick) and ours, each with a TSDB of its own. All
// series are known, as they nearly always are, and each has one new sample.
func BenchmarkRemoteWrite(b *testing.B) {
	for _, version := range []string{"1.0", "2.0"} {
		for _, n := range []int{200, 2000} {
			for _, impl := range []string{"yardstick", "gometheus"} {
				b.Run(fmt.Sprintf("version=%s/samples=%d/impl=%s", version, n, impl), func(b *testing.B) {
					benchmark(b, version, n, impl)
				})
			}
		}
	}
}

func benchmark(b *testing.B, version string, n int, impl string) {
	db := writetest.OpenDB(b)
	h := yardstick(db)
	if impl == "gometheus" {
		h = ours(db)
	}
	// Some bodies at a time are made outside the measured time.
	refill, ring := bodies(b, version, n), make([][]byte, 50)
	refill(ring)
	w := &sink{header: http.Header{}}
	reader := bytes.NewReader(nil)
	post := func(body []byte) {
		reader.Reset(body)
		r, err := http.NewRequest(http.MethodPost, "/api/v1/write", io.NopCloser(reader))
		if err != nil {
			b.Fatal(err)
		}
		r.ContentLength = int64(len(body))
		r.Header = writetest.Headers(version)
		clear(w.header)
		h.ServeHTTP(w, r)
		if w.status != http.StatusNoContent {
			b.Fatal(w.status)
		}
	}
	post(ring[0]) // births
	b.ReportAllocs()
	var cpu time.Duration
	start, i := cpuTime(), 0
	for b.Loop() {
		if i++; i == len(ring) {
			b.StopTimer()
			cpu += cpuTime() - start
			refill(ring)
			start, i = cpuTime(), 0
			b.StartTimer()
		}
		post(ring[i])
	}
	cpu += cpuTime() - start
	samples := float64(b.N) * float64(n)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/samples, "ns/sample")
	b.ReportMetric(float64(cpu.Nanoseconds())/samples, "cpu-ns/sample")
}

// bodies makes requests, each with later times and other values than the one
// before. It allocates nothing: the garbage collector is to find the handlers'
// work only.
func bodies(t testing.TB, version string, n int) (refill func([][]byte)) {
	t.Helper()
	now := time.Now().Add(-30 * time.Minute).UnixMilli()
	list := benchSeries(n)
	for i := range list {
		list[i].Samples = []writetest.Sample{{T: now, V: 1.5}}
	}
	plain := writetest.Marshal(t, version, list)
	mark := append(binary.LittleEndian.AppendUint64(nil, math.Float64bits(1.5)), 0x10)
	mark = binary.AppendUvarint(mark, uint64(now))
	var at []int
	for pos := 0; ; {
		i := bytes.Index(plain[pos:], mark)
		if i < 0 {
			break
		}
		at = append(at, pos+i)
		pos += i + len(mark)
	}
	require.Len(t, at, n)
	return func(ring [][]byte) {
		for k := range ring {
			now += 10
			for i, pos := range at {
				binary.LittleEndian.PutUint64(plain[pos:], math.Float64bits(float64(now%1000)+float64(i)))
				binary.PutUvarint(plain[pos+9:], uint64(now))
			}
			if ring[k] == nil {
				ring[k] = make([]byte, s2.MaxEncodedLen(len(plain)))
			}
			ring[k] = s2.EncodeSnappy(ring[k][:cap(ring[k])], plain)
		}
	}
}

// benchSeries is n series with 8 labels besides the name, as a node exporter
// behind service discovery has them.
func benchSeries(n int) []writetest.Series {
	out := make([]writetest.Series, n)
	for i := range out {
		out[i].Labels = []string{
			"__name__", fmt.Sprintf("node_network_receive_packets_total_%d", i%50),
			"cluster", "eu-central-1-production",
			"device", fmt.Sprintf("eth%d", i%8),
			"env", "production",
			"instance", fmt.Sprintf("web-%d.example.org:9100", i/50),
			"job", "node-exporter",
			"namespace", "monitoring",
			"pod", fmt.Sprintf("node-exporter-%05d", i),
			"zone", "eu-central-1b",
		}
	}
	return out
}

func TestBenchmarkSeries(t *testing.T) {
	for _, version := range []string{"1.0", "2.0"} {
		db := writetest.OpenDB(t)
		list := benchSeries(300)
		for i := range list {
			list[i].Samples = []writetest.Sample{{T: time.Now().UnixMilli(), V: 1}}
		}
		w := writetest.Send(t, ours(db), version, writetest.Encode(t, version, list))
		require.Equal(t, http.StatusNoContent, w.Code, w.Body)
		require.Len(t, writetest.Contents(t, db).Series, 300)
	}
}
