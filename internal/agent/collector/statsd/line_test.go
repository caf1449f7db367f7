package statsd_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
)

func TestLines(t *testing.T) {
	long := strings.Repeat("n", 513)
	tags := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",t%d:%d", i, i)
		}
		return b.String()[1:]
	}
	const dropTag = `dropped_total{reason="tag"}`
	type test struct {
		line string
		want string             // metrics and histograms, separated by "; "
		own  map[string]float64 // besides one packet; nil: one sample
	}
	tests := []test{
		{"x:1|c", "counter x 1", nil},
		{"x:0|c", "counter x 0", nil},
		{"x:+12|c", "counter x 12", nil},
		{"x:1e3|c", "counter x 1000", nil},
		{"x:1|c|@0.1", "counter x 10", nil},
		{"x:3|c|@0.5|#a:b", `counter x{a="b"} 6`, nil},
		{"x:3|c|#a:b|@0.5", `counter x{a="b"} 6`, nil},
		{"x:1.75|c", "counter x 1", nil},
		{"x:1:2:3|c", "counter x 6", map[string]float64{"samples_total": 3}},
		{"x:9007199254740992|c", "counter x 9007199254740992", nil},
		{"x:1.5|g", "gauge x 1.5", nil},
		{"x:1.5|g|@0.1", "gauge x 1.5", nil},
		{"x:+4|g", "gauge x 4", nil},
		{"x:-4|g", "gauge x -4", nil},
		{"x:1:+4:-0.5|g", "gauge x 4.5", map[string]float64{"samples_total": 3}},
		{"x:100|ms", "x 1 0.1", nil},
		{"x:100|h", "x 1 100", nil},
		{"x:100|d", "x 1 100", nil},
		{"x:-1|d", "x 1 -1", nil},
		{"x:100:200:300|ms|@0.25", "x 12 2.4", map[string]float64{"samples_total": 3}},
		{"x:alice|s", "gauge x 1", nil},
		{"x:a:b|s", "gauge x 1", nil}, // a set's value may hold a colon
		{"x:1|c\r", "counter x 1", nil},
		{"x:1|c\ny:2|c\n\n", "counter x 1; counter y 2", map[string]float64{"samples_total": 2}},

		{"a.b-c/d é:1|c", "counter a_b_c_d__ 1", nil},
		{"2xx:1|c", "counter _2xx 1", nil},
		{"__x:1|c", "counter __x 1", nil},

		{"x:1|c|#b:2,a:1", `counter x{a="1",b="2"} 1`, nil},
		{"x:1|c|#a:1,a:2", `counter x{a="2"} 1`, nil},
		{"x:1|c|#a:1,#b:2", `counter x{a="1",b="2"} 1`, nil},
		{"x:1|c|#a:1|#b:2", `counter x{a="1",b="2"} 1`, nil},
		{"x:1|c|#url:http://a/b c", `counter x{url="http://a/b c"} 1`, nil},
		{"x:1|c|#a.b:1,a-b:2,1:3", `counter x{_1="3",a_b="2"} 1`, nil},
		{"x:1|c|#__name__:y,_z:1", `counter x{_z="1",tag__name__="y"} 1`, nil},
		{"x:1|h|#le:1", `x{tag_le="1"} 1 1`, nil},
		{"x:1|c|#le:1", `counter x{le="1"} 1`, nil},
		{"x:1|c|#a:é", `counter x{a="é"} 1`, nil},
		{"x:1|c|#", "counter x 1", nil},
		{"x:1|c|#bare", "counter x 1", map[string]float64{"samples_total": 1, dropTag: 1}},
		{"x:1|c|#a:,:b,,c:1,", `counter x{c="1"} 1`, map[string]float64{"samples_total": 1, dropTag: 3}},
		{"x:1|c|#" + long + ":1", "counter x 1", map[string]float64{"samples_total": 1, dropTag: 1}},
		{"x:1|c|#a:" + strings.Repeat("é", 600), `counter x{a="` + strings.Repeat("é", 512) + `"} 1`, nil},
		{"x:1|c|#a:b" + strings.Repeat("é", 600), `counter x{a="b` + strings.Repeat("é", 511) + `"} 1`, nil},

		{"x:1|c|T1800000000", "counter x 1", nil},
		{"x:1|g|#a:b|c:ci-123|T1800000000", `gauge x{a="b"} 1`, nil},
		{"x:1|c|c:in-1|e:it-false|card:low", "counter x 1", nil},

		{"_e{5,4}:title|text|#a:b", "", map[string]float64{`dropped_total{reason="event"}`: 1}},
		{"_sc|name|0|#a:b", "", map[string]float64{`dropped_total{reason="service_check"}`: 1}},
		{"_sc:1|c", "counter _sc 1", nil},
		{"gometheus_agent_statsd_packets_total:1|h", "", map[string]float64{`dropped_total{reason="conflict"}`: 1}},
		{"gometheus.agent.statsd.packets_total:1|c", "", map[string]float64{`dropped_total{reason="conflict"}`: 1}},

		{"x:1:a:2|c", "counter x 3", map[string]float64{"samples_total": 2, "invalid_total": 1}},
		{"x:1e308:1e308|g", "gauge x 1e+308", map[string]float64{"samples_total": 2}},
		{"x:1e308:+1e308|g", "gauge x 1e+308", map[string]float64{"samples_total": 1, "invalid_total": 1}},
		{"x:1e308:1e308|h", "x 1 1e+308", map[string]float64{"samples_total": 1, "invalid_total": 1}},
	}
	for _, line := range []string{
		"x", "x:", ":1|c", "x:1", "x|c", "x:|c", "x:1|", "x:1|q", "x:1|cc", "x:1|C", "x:1|c|", "x:1|c||#a:b", "x:1|c|0.5", "x:1|c|q",
		"x:1|c|@", "x:1|c|@0", "x:1|c|@-1", "x:1|c|@1.5", "x:1|c|@NaN", "x:1|c|@1e-300", "x:1|h|@1e-300",
		"x:1|c|T", "x:1|c|T1.5", "x:1|c|T-1",
		"x:-1|c", "x:NaN|c", "x:Inf|c", "x:+Inf|c", "x:1e300|c", "x:9007199254740994|c", "x:9007199254740992|c|@0.5",
		"x:a|c", "x:1 |c", "x: 1|c", "x:1_000|c", "x:0x10|c", "x:1,5|c", "x:--1|c", "x:.|c",
		"x:NaN|g", "x:Inf|g", "x:1e400|g", "x:|g", "x:nan|ms", "x:inf|h", "x:1e308|h|@0.1", "x:|s",
		"x:1|c|#a:\xff", "\xff:1|c", "x\x00:1|c", "x:1|c|#a:\x00", "x:\x00|s",
		long + ":1|c", "9" + long[1:] + ":1|c", "x:1|c|#" + tags(33), "[x]", "{", "|||", ":::|c", ":1:2|c",
	} {
		tests = append(tests, test{line, "", map[string]float64{"invalid_total": 1}})
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%.40q", tt.line), func(t *testing.T) {
			c := newClock()
			s := statsd.New(statsd.Options{Now: c.now})
			take(s, tt.line)
			c.pass(10 * time.Second) // the window of the sets
			histograms, own := gathered(t, s)
			assert.Equal(t, tt.want, strings.Join(append(collected(t, s), histograms...), "; "))
			if tt.own == nil {
				tt.own = map[string]float64{"samples_total": 1}
			}
			tt.own["packets_total"] = 1
			assert.Equal(t, tt.own, own)
		})
	}
	t.Run("32 tags", func(t *testing.T) {
		s := statsd.New(statsd.Options{})
		take(s, "x:1|c|#"+tags(32))
		assert.Len(t, collected(t, s), 1)
	})
}
