package pages_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

// A page that isn't there is the last one, whatever its number.
func TestMetricPageNumbers(t *testing.T) {
	var k kept
	for i := range 120 {
		k = append(k, metric.Metric{Kind: metric.Gauge, Name: "a", Labels: metric.NewLabels("n", fmt.Sprint(i))})
	}
	for _, page := range []int{math.MaxInt, math.MaxInt/50 + 2, math.MaxInt32 + 1, 3} {
		status, text, err := ask(t, pages.Options{State: k}, fmt.Sprintf("/metric/a?page=%d", page))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status)
		require.Contains(t, text, "101–120 of 120")
	}
	for _, page := range []string{"0", fmt.Sprint(math.MinInt), "9223372036854775808", "x"} {
		_, text, err := ask(t, pages.Options{State: k}, "/metric/a?page="+page)
		require.NoError(t, err)
		require.Contains(t, text, "1–50 of 120")
	}
}

// Parameters stand in the links of a page many times over, so there is a bound.
func TestParametersOfPagesAreBounded(t *testing.T) {
	o := pages.Options{State: kept{{Kind: metric.Gauge, Name: "a"}}, Status: status{}}
	filters := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "l.n%d=&", i)
		}
		return b.String()
	}
	_, page, err := ask(t, o, "/metric/a?"+filters(20))
	require.NoError(t, err)
	require.Less(t, len(page), 64<<10)
	_, _, err = ask(t, o, "/metric/a?"+filters(21))
	require.Equal(t, codes.Invalid, codes.CodeOf(err))

	long := strings.Repeat("x", 9<<10)
	for _, target := range []string{"/?q=", "/metric/a?l.a=", "/host/a?x=", "/status?x=", "/?group="} {
		_, _, err := ask(t, o, target+long)
		require.Equal(t, codes.TooLarge, codes.CodeOf(err), target)
	}
	_, _, err = ask(t, o, "/explore?query="+long)
	require.NoError(t, err, "queries may be long")
}

// The chart of those that report doesn't count what their agents scrape.
func TestReportersAreNoJobs(t *testing.T) {
	at := time.UnixMilli(1_795_454_731_960).Add(-time.Minute).UnixMilli()
	up := func(pairs ...string) writetest.Series {
		return writetest.Series{Labels: append([]string{"__name__", "up", "instance", "web-1"}, pairs...), Samples: []writetest.Sample{{T: at, V: 1}}}
	}
	o := pages.Options{State: kept(nil), Status: status{}}
	withHistory(&o, openDB(t, []writetest.Series{up(), up("job", "node")}))
	_, page, err := ask(t, o, "/status")
	require.NoError(t, err)
	require.Contains(t, page, `data-query="sum(up{job=&#34;&#34;})"`)

	withHistory(&o, openDB(t, []writetest.Series{up("job", "node")}))
	_, page, err = ask(t, o, "/status")
	require.NoError(t, err)
	require.NotContains(t, page, "Reporters that are up", "there are none")
}
