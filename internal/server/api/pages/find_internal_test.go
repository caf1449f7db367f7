package pages

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
)

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
