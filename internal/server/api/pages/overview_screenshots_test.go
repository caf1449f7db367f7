package pages_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// TestOverviewScreenshots writes pictures of the overview, if GOMETHEUS_SCREENSHOTS
// names a folder.
func TestOverviewScreenshots(t *testing.T) {
	if os.Getenv("GOMETHEUS_SCREENSHOTS") == "" {
		t.Skip("GOMETHEUS_SCREENSHOTS names no folder")
	}
	b := browsertest.Browser(t)
	empty := programs.Server(t, t.TempDir()).URL()
	one := programs.Server(t, t.TempDir()).URL()
	push(t, one, `[{"id":"hello","type":"gauge","value":1}]`)
	ten := programs.Server(t, t.TempDir()).URL()
	now := time.Now()
	for i, m := range boxes(10) {
		until := now.Add(ahead)
		if i == 3 {
			until = now.Add(-2 * time.Minute)
		} else if i == 8 {
			until = now.Add(-2 * time.Hour)
		}
		send(t, ten, m.series(until.Add(-90*time.Minute), until))
	}
	push(t, ten, `[{"id":"jobs_done","type":"counter","delta":128,"labels":{"job":"backup","result":"ok"}},{"id":"queue_length","type":"gauge","value":1234567,"labels":{"instance":"queue-3"}}]`)
	many := programs.Server(t, t.TempDir()).URL()
	var series []writetest.Series
	for _, m := range boxes(500) {
		series = append(series, m.series(now.Add(-6*time.Minute), now.Add(ahead))...)
	}
	send(t, many, series)
	for _, shot := range []struct{ name, url string }{
		{"overview-empty", empty}, {"overview-one", one}, {"overview-10", ten}, {"overview-10-grouped", ten + "/?group=env&msort=cpu&morder=desc"}, {"overview-500", many},
	} {
		for _, look := range []string{"light", "dark", "phone"} {
			tb := browsertest.Open(t, b)
			tb.Theme(strings.Replace(look, "phone", "light", 1))
			if look == "phone" {
				tb.Phone()
			}
			tb.Go(shot.url)
			tb.FitsWidth()
			tb.Accessible()
			tb.Screenshot(shot.name + "-" + look)
		}
	}
}
