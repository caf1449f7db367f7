package templates_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/templates"
)

// TestSortPart: a part is that of a sort of all, wherever it is and whatever the order
// was before.
func TestSortPart(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	compare := func(a, b *int) int { return cmp.Compare(*a, *b) }
	for _, size := range []int{0, 1, 49, 50, 64, 65, 400, 5000} {
		for what, value := range map[string]func(int) int{
			"random": func(int) int { return r.IntN(1 << 40) }, "few": func(int) int { return r.IntN(3) },
			"rising": func(i int) int { return i }, "falling": func(i int) int { return -i }, "same": func(int) int { return 7 },
		} {
			all := make([]int, size)
			for i := range all {
				all[i] = value(i)
			}
			sorted := slices.Clone(all)
			slices.Sort(sorted)
			for from := 0; from <= size; from += max(1, size/7) {
				to := min(from+50, size)
				s := slices.Clone(all)
				templates.SortPart(s, from, to, compare)
				require.Equal(t, sorted[from:to], s[from:to], "%s: %d to %d of %d", what, from, to, size)
				slices.Sort(s)
				require.Equal(t, sorted, s, "none is lost")
			}
		}
	}
}
