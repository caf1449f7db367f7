package scrape

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// discard is an output that takes all.
type discard struct{}

func (discard) add(*sample) error { return nil }
func (discard) reset()            {}

// TestMemory: a target whose series change all the time takes the memory of one
// scrape, and one that is broken in ever new ways none.
func TestMemory(t *testing.T) {
	o := Options{}.orDefault()
	page, err := HTTP("localhost")
	require.NoError(t, err)
	tg := newTarget(Target{Job: "j", Source: page}, &o)
	scrape := func(body string) error {
		failed, err := tg.take([]byte(body), Result{ContentType: "text/plain"}, nil, time.Now(), time.Now(), discard{})
		require.NoError(t, err)
		return failed
	}
	held := func() []int {
		return []int{len(tg.cache.raw), len(tg.cache.all), len(tg.cache.byHash) - len(reports), len(tg.cache.families.known)}
	}
	body := func(i int) string {
		var b strings.Builder
		for k := range 10 {
			fmt.Fprintf(&b, "# HELP m%d_%d x\nm%d_%d{a=\"%d\"} 1\n", i, k, i, k, i)
		}
		return b.String()
	}
	for i := range 100 {
		require.NoError(t, scrape(body(i)))
		require.Equal(t, []int{10, 10, 10, 10}, held())
	}
	for i := range 100 {
		require.Error(t, scrape(body(1000+i)+"{"))
		require.Equal(t, []int{10, 10, 10}, held()[:3], "what the last good scrape had")
	}
	for i := range 1200 {
		require.Error(t, scrape(body(2000+i)+"{"))
	}
	require.LessOrEqual(t, held()[3], 10_000)
	require.NoError(t, scrape("a{x=\"1\",y=\"2\"} 1\n"))
	require.NoError(t, scrape("a{y=\"2\",x=\"1\"} 1\n"))
	require.Equal(t, []int{1, 1, 1, 0}, held())
	require.NoError(t, scrape(""))
	require.Equal(t, []int{0, 0, 0, 0}, held())
}
