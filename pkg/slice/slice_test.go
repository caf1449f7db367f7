package slice_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/slice"
)

func self(n int) int { return n }

func TestChunkBy(t *testing.T) {
	for _, c := range []struct {
		name       string
		s          []int
		max, heavy int
		want       [][]int
	}{
		{"empty", nil, 3, 10, nil},
		{"one chunk", []int{1, 2, 3}, 3, 6, [][]int{{1, 2, 3}}},
		{"by count", []int{1, 1, 1, 1, 1}, 2, 100, [][]int{{1, 1}, {1, 1}, {1}}},
		{"by weight", []int{4, 4, 4, 4}, 100, 8, [][]int{{4, 4}, {4, 4}}},
		{"whichever is first", []int{5, 5, 1, 1, 1, 9}, 3, 10, [][]int{{5, 5}, {1, 1, 1}, {9}}},
		{"a heavy one stands alone", []int{1, 50, 1}, 9, 10, [][]int{{1}, {50}, {1}}},
		{"a heavy one first and last", []int{50, 1, 50}, 9, 10, [][]int{{50}, {1}, {50}}},
		{"two heavy ones", []int{50, 60}, 9, 10, [][]int{{50}, {60}}},
		{"even weightless ones don't join a heavy one", []int{50, 0, 0}, 9, 10, [][]int{{50}, {0, 0}}},
		{"weightless", []int{0, 0, 0}, 2, 1, [][]int{{0, 0}, {0}}},
		{"negative weights count as 0", []int{-9, 10, -9}, 9, 10, [][]int{{-9, 10, -9}}},
		{"no bound on count", []int{1, 1, 1, 1}, 0, 3, [][]int{{1, 1, 1}, {1}}},
		{"no bound on weight", []int{math.MaxInt, math.MaxInt, math.MaxInt}, 2, 0, [][]int{{math.MaxInt, math.MaxInt}, {math.MaxInt}}},
		{"no overflow", []int{math.MaxInt, math.MaxInt, 1}, 9, math.MaxInt, [][]int{{math.MaxInt}, {math.MaxInt}, {1}}},
		{"no bounds", []int{1, 2}, -1, -1, [][]int{{1, 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, slices.Collect(slice.ChunkBy(c.s, c.max, self, c.heavy)))
		})
	}
}

func TestChunkByKeepsItsPromises(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		s := make([]int, r.IntN(30))
		for i := range s {
			s[i] = r.IntN(12)
		}
		limit, maxWeight := 1+r.IntN(6), 1+r.IntN(15)
		var all []int
		var before []int
		for c := range slice.ChunkBy(s, limit, self, maxWeight) {
			require.NotEmpty(t, c)
			require.LessOrEqual(t, len(c), limit)
			require.True(t, len(c) == 1 || sum(c) <= maxWeight, "%v of %v", c, s)
			require.True(t, before == nil || len(before) == limit || sum(before)+c[0] > maxWeight, "%v could hold %d", before, c[0])
			all, before = append(all, c...), c
		}
		require.True(t, slices.Equal(s, all))
	}
}

func sum(s []int) (n int) {
	for _, v := range s {
		n += v
	}
	return n
}

func TestChunkBySharesTheArrayButNotItsEnd(t *testing.T) {
	s := []int{1, 2, 3}
	chunks := slices.Collect(slice.ChunkBy(s, 2, self, 0))
	require.Same(t, &s[0], &chunks[0][0])
	_ = append(chunks[0], 99)
	require.Equal(t, []int{1, 2, 3}, s)
}

func TestChunkByStopsWhenTold(t *testing.T) {
	weighed := 0
	for c := range slice.ChunkBy([]int{1, 2, 3, 4, 5}, 2, func(int) int { weighed++; return 1 }, 9) {
		require.Equal(t, []int{1, 2}, c)
		break
	}
	require.Equal(t, 3, weighed)
}

func TestPartition(t *testing.T) {
	even := func(n int) bool { return n%2 == 0 }
	for _, c := range []struct{ s, yes, no []int }{
		{[]int{1, 2, 3, 4, 5, 6}, []int{2, 4, 6}, []int{1, 3, 5}},
		{[]int{2, 4}, []int{2, 4}, []int{}},
		{[]int{1, 3, 5}, []int{}, []int{1, 3, 5}},
		{nil, []int{}, []int{}},
	} {
		before := slices.Clone(c.s)
		yes, no := slice.Partition(c.s, even)
		require.Equal(t, c.yes, yes)
		require.Equal(t, c.no, no)
		_ = append(yes, 99)
		require.Equal(t, c.no, no)
		require.Equal(t, before, c.s)
	}
}

func ExampleChunkBy() {
	lines := []string{"cpu 1", "memory 2048", "disk 7", "net 3"}
	for chunk := range slice.ChunkBy(lines, 3, func(s string) int { return len(s) }, 16) {
		fmt.Println(chunk)
	}
	// Output:
	// [cpu 1 memory 2048]
	// [disk 7 net 3]
}

func ExamplePartition() {
	ok, bad := slice.Partition([]string{"a", "", "b"}, func(s string) bool { return s != "" })
	fmt.Printf("%q %q\n", ok, bad)
	// Output: ["a" "b"] [""]
}

func BenchmarkChunkBy(b *testing.B) {
	s := make([]int, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		for c := range slice.ChunkBy(s, 200, self, 1<<20) {
			_ = c
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(s)), "ns/item")
}
