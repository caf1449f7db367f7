package pages

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/templates"
)

// TestSortFirst: the first are those of a sort of all.
func TestSortFirst(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, 49, 50, 399, 400, 401, 5000} {
		for _, n := range []int{50, 100, 600} {
			ms := make([]metric.Metric, size)
			for i := range ms {
				ms[i] = metric.Metric{Kind: metric.Gauge, Name: "a", Value: float64(i), Labels: metric.NewLabels("n", fmt.Sprint(r.IntN(1<<40)))}
			}
			want := slices.Clone(ms)
			inOrder := func(a, b metric.Metric) int { return templates.Sort{}.Compare(&a, &b) }
			slices.SortFunc(want, inOrder)
			sortFirst(ms, n)
			require.Equal(t, want[:min(n, size)], ms[:min(n, size)], "%d of %d", n, size)
			slices.SortFunc(ms, inOrder)
			require.Equal(t, want, ms, "none is lost")
		}
	}
}

func TestSelector(t *testing.T) {
	for _, tt := range []struct {
		name string
		ls   []string
		want string
	}{
		{"up", nil, `up`},
		{"up", []string{"instance", "web-1"}, `up{instance="web-1"}`},
		{"cpu.load", nil, `{"cpu.load"}`},
		{`a"b`, []string{"x.y", "1\n"}, `{"a\"b", "x.y"="1\n"}`},
		{"a:b", []string{"a", "1", "b", "2"}, `a:b{a="1", b="2"}`},
	} {
		require.Equal(t, tt.want, selector(tt.name, metric.NewLabels(tt.ls...)))
	}
	require.Equal(t, `a{__kind__!="gauge"}`, kinded("a", nil, "!="))
}

func TestNearest(t *testing.T) {
	names := map[string]bool{}
	for n := range strings.FieldsSeq("cpu_seconds_total cpu_load HeapAlloc HeapSys memory_bytes up a") {
		names[n] = true
	}
	for name, want := range map[string][]string{
		"cpu_second_total": {"cpu_seconds_total"},
		"heapalloc":        {"HeapAlloc"},
		"Heap":             {"HeapSys", "HeapAlloc"},
		"cpu":              {"up", "cpu_load", "cpu_seconds_total"},
		"nothing-like-it":  {},
	} {
		require.Equal(t, want, nearest(name, names, 10), name)
	}
	require.Len(t, nearest("cpu", names, 1), 1)
}
