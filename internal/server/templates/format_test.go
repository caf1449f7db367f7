package templates_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gometheus/gometheus/internal/server/templates"
)

func TestFormat(t *testing.T) {
	const gib = 1 << 30
	for got, want := range map[string]string{
		templates.FormatBytes(0):                 "0 B",
		templates.FormatBytes(1000):              "1000 B",
		templates.FormatBytes(1023.6):            "1 KiB",
		templates.FormatBytes(1536):              "1.5 KiB",
		templates.FormatBytes(16 * gib):          "16 GiB",
		templates.FormatBytes(1000 * gib):        "1000 GiB",
		templates.FormatBytes(-3 * gib):          "-3 GiB",
		templates.FormatNumber(0):                "0",
		templates.FormatNumber(0.0421):           "0.0421",
		templates.FormatNumber(0.00001):          "1.00e-05",
		templates.FormatNumber(999.4):            "999",
		templates.FormatNumber(12345):            "12.3 k",
		templates.FormatNumber(100):              "100",
		templates.FormatNumber(math.Inf(1)):      "+Inf",
		templates.FormatPercent(7.254):           "7.25 %",
		templates.FormatPercent(100):             "100 %",
		templates.FormatPercent(0.00004):         "0.00004 %",
		templates.FormatSpan(59 * time.Second):   "59 s",
		templates.FormatSpan(61 * time.Minute):   "1 h 1 min",
		templates.FormatSpan(100 * time.Hour):    "4 d 4 h",
		templates.FormatSpan(-time.Second):       "0 s",
		templates.BaseOf("/"):                    "",
		templates.BaseOf("/status"):              "",
		templates.BaseOf("/host/a%2Fb"):          "../",
		templates.BaseOf("/host/a/b"):            "../../",
		templates.Layout{}.HostURL("a/b c?"):     "host/a%2Fb%20c%3F",
		templates.Layout{Base: "x/"}.HostURL(""): "x/host/?name=",
		templates.Layout{}.MetricURL(".."):       "metric/?name=..",
		templates.Layout{}.Home():                "./",
		templates.Layout{Base: "../"}.Home():     "../",
	} {
		if plain := strings.ReplaceAll(got, "\u00a0", " "); plain != want {
			t.Errorf("%q, want %q", plain, want)
		}
	}
}
