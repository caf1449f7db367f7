package securitytest

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
)

// remoteWrite is a request of remote write 1.0: a sample, now, of each name.
func remoteWrite(v float64, names ...string) []byte {
	field := func(dst []byte, number byte, p []byte) []byte { // of a length and bytes
		return append(binary.AppendUvarint(append(dst, number<<3|2), uint64(len(p))), p...)
	}
	sample := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(v))
	sample = binary.AppendUvarint(append(sample, 2<<3), uint64(time.Now().UnixMilli()))
	var all []byte
	for _, name := range names {
		label := field(field(nil, 1, []byte("__name__")), 2, []byte(name))
		all = field(all, 1, field(field(nil, 1, label), 2, sample))
	}
	return s2.EncodeSnappy(nil, all)
}

var remoteWriteHeaders = []string{"Content-Type", "application/x-protobuf", "Content-Encoding", "snappy"}

// distinct makes pushes of n names, size at a time.
func distinct(n, size int, push func(names []string)) {
	names := make([]string, 0, size)
	for i := range n {
		names = append(names, fmt.Sprintf("name_%08d", i))
		if len(names) == size || i == n-1 {
			push(names)
			names = names[:0]
		}
	}
}

// TestDistinctNames: a client that makes up names without end fills LIMIT_SERIES
// and no more; the series that are there go on, for push and remote write, and
// memory stays what that many series take.
func TestDistinctNames(t *testing.T) {
	limit, n, size := count(2000, 1_000_000), count(20_000, 10_000_000), count(500, 5000)
	for _, how := range []string{"push", "remote write"} {
		t.Run(how, func(t *testing.T) {
			s := start(t, fmt.Sprintf("LIMIT_SERIES=%d", limit))
			s.warmUp()
			require.Equal(t, 204, s.do("POST", "/api/v1/write", remoteWrite(1, "from_remote"), remoteWriteHeaders...).status)
			push := func(names []string) answer {
				var b bytes.Buffer
				for i, name := range names {
					b.WriteByte("[,"[min(i, 1)])
					fmt.Fprintf(&b, `{"id":%q,"type":"gauge","value":1}`, name)
				}
				b.WriteByte(']')
				return s.do("POST", "/updates", b.Bytes(), "Prefer", "return=minimal")
			}
			var atLimit, refused int64
			var took times
			var everyone atomic.Int64
			start := time.Now()
			distinct(n, size, func(names []string) {
				var got answer
				if how == "push" {
					got = push(names)
					require.Contains(t, []int{204, 429}, got.status, got.body)
					require.Equal(t, got.status == 429, got.header.Get("Retry-After") != "")
				} else {
					got = s.do("POST", "/api/v1/write", remoteWrite(1, names...), remoteWriteHeaders...)
					require.Contains(t, []int{204, 400}, got.status, got.body)
				}
				if got.status == 204 {
					return
				}
				require.Contains(t, got.body, "LIMIT_SERIES")
				if refused++; refused == 1 {
					atLimit = s.resident()
				}
				if refused%10 != 1 {
					return
				}
				// What exists goes on.
				got = s.do("POST", "/updates", []byte(`[{"id":"warm1","type":"counter","delta":1}]`))
				require.Equal(t, 200, got.status, got.body)
				took.add(got.took)
				got = s.do("POST", "/api/v1/write", remoteWrite(float64(everyone.Add(1)), "from_remote"), remoteWriteHeaders...)
				require.Equal(t, 204, got.status, got.body)
				took.add(got.took)
			})
			grown := s.peak() - atLimit
			require.NotZero(t, refused)
			t.Logf("%d names in %v, %d of %d requests refused, %.1f MiB with %d series, +%.1f MiB after; what exists: %v", n,
				time.Since(start).Round(time.Millisecond), refused, n/size, float64(atLimit)/mib, limit, float64(grown)/mib, &took)
			// Garbage may be as much as what lives.
			require.LessOrEqual(t, grown, atLimit+32*mib)
			// A query has what was pushed written to the history first.
			require.Equal(t, 200, s.do("GET", "/api/v1/query?query=warm1", nil).status)
			got := s.do("GET", "/api/v1/status/tsdb", nil)
			require.Equal(t, 200, got.status, got.body)
			var status struct {
				Data struct {
					HeadStats struct{ NumSeries int }
				}
			}
			require.NoError(t, json.Unmarshal([]byte(got.body), &status))
			// What was pushed comes to the history without another look.
			require.LessOrEqual(t, status.Data.HeadStats.NumSeries, limit+20)
			require.Greater(t, status.Data.HeadStats.NumSeries, limit/2)
			got = s.do("GET", "/api/v1/query?query=from_remote", nil)
			require.Contains(t, got.body, fmt.Sprintf("%q]", fmt.Sprint(everyone.Load())))
			if how == "remote write" {
				// A request with some of both: what exists is written, the rest is named.
				got = s.do("POST", "/api/v1/write", remoteWrite(-1, "new_one", "from_remote", "new_two"), remoteWriteHeaders...)
				require.Equal(t, 400, got.status)
				require.Contains(t, got.body, `new_one`)
				require.NotContains(t, got.body, `from_remote`)
				require.Contains(t, s.do("GET", "/api/v1/query?query=from_remote", nil).body, `"-1"]`)
			}
		})
	}
}
