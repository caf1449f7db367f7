package node_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/collector/node"
)

// TestDocs: docs/agent.md lists the collectors that there are, by whether they are
// on.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../../../docs/agent.md")
	require.NoError(t, err)
	list := func(begin string) []string {
		_, rest, ok := strings.Cut(string(text), begin)
		require.True(t, ok, begin)
		rest, _, ok = strings.Cut(rest, ".\n")
		require.True(t, ok)
		var names []string
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(rest, -1) {
			names = append(names, m[1])
		}
		return names
	}
	var on, off []string
	for _, c := range node.Collectors() {
		if c.Default {
			on = append(on, c.Name)
		} else {
			off = append(off, c.Name)
		}
	}
	require.Equal(t, on, list("- On by default: "))
	require.Equal(t, off, list("- With `NODE_ENABLE`: "))
}
