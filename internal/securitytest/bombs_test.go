package securitytest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
)

// blanks are n bytes of white space, which JSON doesn't mind.
type blanks struct{ left int64 }

func (b *blanks) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), b.left))
	for i := range p[:n] {
		p[i] = ' '
	}
	b.left -= int64(n)
	return n, nil
}

func zip(t testing.TB, r io.Reader) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	require.NoError(t, err)
	_, err = io.CopyBuffer(w, r, make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

// zstdBlanks is a zstd frame of n bytes of white space, in blocks that each say
// in four bytes: 128 KiB of blanks. window is the frame's window descriptor.
func zstdBlanks(n int64, window byte) []byte {
	const block = 128 << 10
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window}
	for ; n > 0; n -= block {
		head := uint32(min(n, block))<<3 | 1<<1 // run length
		if n <= block {
			head |= 1 // the last one
		}
		out = append(out, byte(head), byte(head>>8), byte(head>>16), ' ')
	}
	return out
}

// zstdSingle claims n bytes in a single segment: its window is all of it.
func zstdSingle(n uint64, blocks []byte) []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 3<<6 | 1<<5}
	out = binary.LittleEndian.AppendUint64(out, n)
	return append(out, blocks[6:]...)
}

type bomb struct {
	name    string
	path    string
	body    []byte
	headers []string
	status  []int // any of
}

const window8M = 13 << 3 // 2^(10+13) bytes

func bombs(t testing.TB) []bomb {
	const giga = 1 << 30
	gz := zip(t, &blanks{left: count[int64](1, 16) * giga / 16}) // gzip can't do more than 1:1032
	tens := zip(t, &blanks{left: count[int64](1, 160) * giga / 16})
	member := zip(t, &blanks{left: mib})
	json := []string{"Content-Type", "application/json"}
	as := func(encodings ...string) []string {
		out := json
		for _, e := range encodings {
			out = append(slices.Clip(out), "Content-Encoding", e)
		}
		return out
	}
	too, not := []int{413}, []int{415}
	snappy := []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "snappy"}
	claim := func(n uint64, rest []byte) []byte { return append(binary.AppendUvarint(nil, n), rest...) }
	zeros := s2.EncodeSnappy(nil, make([]byte, 33<<20))
	series := s2.EncodeSnappy(nil, bytes.Repeat([]byte{0x0a, 0}, 13<<20)) // 26 MiB: within the limit
	out := []bomb{
		{"gzip, 1 MB (short: 64 KB) of 1 GiB", "/updates", gz, as("gzip"), too},
		{"gzip, of 1,024 members", "/updates", bytes.Repeat(member, 1024), as("gzip"), too},
		{"gzip, one metric", "/update", gz, as("gzip"), too},
		{"gzip, a question", "/value", gz, as("gzip"), too},
		{"gzip, of 300,000 members of nothing", "/updates", bytes.Repeat(zip(t, &blanks{}), 300_000), as("gzip"), []int{400}},
		{"gzip in gzip", "/updates", zip(t, bytes.NewReader(tens)), as("gzip, gzip"), not},
		{"gzip in gzip, two headers", "/updates", zip(t, bytes.NewReader(tens)), as("gzip", "gzip"), not},
		{"gzip in gzip, said once", "/updates", zip(t, bytes.NewReader(tens)), as("gzip"), []int{400}},
		{"gzip in zstd", "/updates", zstdBlanks(giga, window8M), as("gzip, zstd"), not},
		{"zstd, 1 MB of 32 GiB", "/updates", zstdBlanks(32*giga, window8M), as("zstd"), too},
		{"zstd, 320 KB of 10 GiB, small window", "/updates", zstdBlanks(10*giga, 7<<3), as("zstd"), too},
		{"zstd, of 1,024 frames", "/updates", bytes.Repeat(zstdBlanks(10<<20, window8M), 1024), as("zstd"), too},
		{"zstd, a window of 16 MiB", "/updates", zstdBlanks(giga, window8M+8), as("zstd"), []int{400, 413}},
		{"zstd, a window of 3.75 TiB", "/updates", zstdBlanks(giga, 0xff), as("zstd"), []int{400, 413}},
		{"zstd, one segment of 10 GiB", "/updates", zstdSingle(10*giga, zstdBlanks(10*giga, 0)), as("zstd"), []int{400, 413}},
		{"zstd, one segment of 2^63", "/updates", zstdSingle(1<<63, zstdBlanks(giga, 0)), as("zstd"), []int{400, 413}},
		{"zstd, of 500,000 frames of nothing", "/updates", bytes.Repeat([]byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 0, 1, 0, 0}, 500_000), as("zstd"), []int{400}},
		{"snappy, 1.6 MB of 33 MiB", "/api/v1/write", zeros, snappy, too},
		{"snappy that claims 4 GiB", "/api/v1/write", claim(1<<32-1, zeros), snappy, []int{400, 413}},
		{"snappy that claims 10 GiB", "/api/v1/write", claim(10*giga, zeros), snappy, []int{400, 413}},
		{"snappy that claims 2^63", "/api/v1/write", claim(1<<63, zeros), snappy, []int{400, 413}},
		{"snappy that claims 32 MiB and is small", "/api/v1/write", claim(32*mib, []byte("x")), snappy, []int{400}},
		{"snappy in snappy", "/api/v1/write", s2.EncodeSnappy(nil, zeros), snappy, []int{400}},
		{"gzip to remote write", "/api/v1/write", gz, []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "gzip"}, not},
		{"13 million series of nothing, 1.0", "/api/v1/write", series, snappy, []int{400, 413}},
		{
			"13 million series of nothing, 2.0", "/api/v1/write", series,
			[]string{"Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request", "Content-Encoding", "snappy"},
			[]int{400, 413},
		},
	}
	return out
}

// TestBombs: each bomb is refused in under a second, and costs at most 32 MiB.
func TestBombs(t *testing.T) {
	all := bombs(t)
	for _, signed := range []string{"", "correct horse"} {
		s := start(t, "KEY="+signed)
		if signed == "" {
			s.warmUp()
		}
		for _, b := range all {
			headers := b.headers
			if signed != "" {
				headers = append(slices.Clip(headers), "HashSHA256", hash(signed, b.body))
			}
			before := s.resident()
			got := s.do("POST", b.path, b.body, headers...)
			grown := s.peak() - before
			t.Logf("%-45s %8d bytes: %d in %5.1f ms, +%4.1f MiB (of %.1f)", b.name, len(b.body), got.status,
				float64(got.took)/1e6, float64(grown)/mib, float64(before)/mib)
			require.Contains(t, b.status, got.status, "%s: %s", b.name, got.body)
			require.Less(t, got.took, count(3*time.Second, time.Second), b.name) // the short form runs beside other tests
			require.LessOrEqual(t, grown, int64(32*mib), b.name)
		}
		if signed == "" {
			require.Equal(t, 200, s.do("GET", "/value/counter/warm1", nil).status)
		}
	}
}

// TestBombsAtOnce: what many bombs cost together is bounded by LIMIT_MEMORY;
// those that find no room are told to come again.
func TestBombsAtOnce(t *testing.T) {
	const memory = 96
	s := start(t, fmt.Sprintf("LIMIT_MEMORY=%dMiB", memory))
	s.warmUp()
	all := bombs(t)
	require.Contains(t, all[9].name, "zstd")
	before := s.resident()
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[int]int{}
	for range count(2, 20) {
		for i := range 16 {
			wg.Go(func() {
				b := all[i%len(all)]
				if i%2 == 0 {
					b = all[9] // zstd
				}
				got, err := s.send("POST", b.path, b.body, b.headers...)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					seen[0]++ // refused before the body was sent: a reset may overtake the answer
					return
				}
				seen[got.status]++
				if got.status == 503 && got.header.Get("Retry-After") == "" {
					t.Error("503 without Retry-After")
				}
			})
		}
		wg.Wait()
	}
	grown := s.peak() - before
	t.Logf("16 at once: %v, +%.1f MiB with LIMIT_MEMORY=%d MiB", seen, float64(grown)/mib, memory)
	for status := range seen {
		require.Contains(t, []int{0, 400, 413, 415, 503}, status)
	}
	// The collector lets garbage be as much as what lives.
	require.LessOrEqual(t, grown, 2*(memory*mib+before))
	require.Equal(t, 200, s.do("GET", "/value/counter/warm1", nil).status)
}
