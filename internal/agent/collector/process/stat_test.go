package process

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseStat(t *testing.T) {
	line := "7 (a) b) R 1 2 3 4 -1 2097216 9 9 9 9 11 12 9 9 20 -5 13 0 14 15 16 18446744073709551615 0\n"
	s, err := parseStat([]byte(line))
	require.NoError(t, err)
	assert.Equal(t, stat{comm: []byte("a) b"), state: 'R', flags: 2097216, user: 11, system: 12, threads: 13, start: 14, vsize: 15, rss: 16}, s)

	short := "7 (a) R 1 2 3 4 -1 5 9 9 9 9 11 12 9 9 20 -5 13 0 14 15 16"
	for _, end := range []string{"", "\n", " ", " 17"} {
		s, err = parseStat([]byte(short + end))
		require.NoError(t, err, "%q", end)
		assert.EqualValues(t, 16, s.rss)
	}
	for n := range len(short) - 2 { // with its last digit it is another number
		_, err = parseStat([]byte(short[:n]))
		require.Error(t, err, "%q", short[:n])
	}
	for _, bad := range []string{")(", "1 (a)", "1 (a) R", "1 a R 1 2", "7 (a) R 1 2 3 4 -1 5 9 9 9 9 x 12 9 9 20 -5 13 0 14 15 16 9"} {
		_, err = parseStat([]byte(bad))
		require.Error(t, err, bad)
	}
}

func TestParseUint(t *testing.T) {
	for in, want := range map[string]uint64{"0": 0, "18446744073709551615": math.MaxUint64, "-7": 0, "007": 7} {
		n, ok := parseUint([]byte(in))
		assert.True(t, ok, in)
		assert.Equal(t, want, n, in)
	}
	for _, in := range []string{"", "-", "1x", "18446744073709551616", "99999999999999999999", "184467440737095516150", "+1", " 1"} {
		_, ok := parseUint([]byte(in))
		assert.False(t, ok, in)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("7 (a) b) R 1 2 3 4 -1 2097216 9 9 9 9 11 12 9 9 20 -5 13 0 14 15 16 18446744073709551615 0\n"), []byte("x"), uint64(3))
	f.Add([]byte("7 (a) "), []byte(") R 1 ("), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, line, comm []byte, n uint64) {
		if s, err := parseStat(line); err == nil && !bytes.Contains(line, s.comm) {
			t.Errorf("%q has no name %q", line, s.comm)
		}
		// Whatever the name, the numbers behind it are found.
		own := fmt.Sprintf("1 (%s) S 1 1 1 1 1 %d 1 1 1 1 %d %d 1 1 1 1 %d 1 %d %d %d 1\n", comm, n, n, n, n, n, n, n)
		s, err := parseStat([]byte(own))
		if err != nil {
			t.Fatalf("%q: %v", own, err)
		}
		want := stat{comm: s.comm, state: 'S', flags: n, user: n, system: n, threads: n, start: n, vsize: n, rss: n}
		if !bytes.Equal(s.comm, comm) || fmt.Sprint(s) != fmt.Sprint(want) {
			t.Errorf("%q: %+v", own, s)
		}
	})
}
