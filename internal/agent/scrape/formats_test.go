package scrape_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/s2"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/scrape"
)

// decode reads a payload with Prometheus' own decoder: a line for each series. now
// is written for the time of the scrape.
func decode(t testing.TB, p scrape.Payload, now time.Time) (lines []string) {
	t.Helper()
	plain, err := s2.Decode(nil, p.Body)
	require.NoError(t, err)
	var req writev2.Request
	require.NoError(t, req.Unmarshal(plain))
	require.Empty(t, req.Symbols[0])
	at := func(ms int64) string {
		if ms == now.UnixMilli() {
			return "now"
		}
		return fmt.Sprint(ms)
	}
	b := labels.NewScratchBuilder(0)
	samples := 0
	for _, ts := range req.Timeseries {
		ls, err := ts.ToLabels(&b, req.Symbols)
		require.NoError(t, err)
		line := ls.String()
		samples += len(ts.Samples) + len(ts.Histograms)
		st := int64(0)
		for _, s := range ts.Samples {
			line += fmt.Sprintf(" %v @%s", s.Value, at(s.Timestamp))
			st = s.StartTimestamp
		}
		for _, h := range ts.Histograms {
			st = h.StartTimestamp
			if h.IsFloatHistogram() {
				line += fmt.Sprintf(" float %s @%s", h.ToFloatHistogram(), at(h.Timestamp))
			} else {
				line += fmt.Sprintf(" int %s @%s", h.ToIntHistogram(), at(h.Timestamp))
			}
		}
		if st != 0 {
			line += fmt.Sprintf(" since %d", st)
		}
		for _, e := range ts.Exemplars {
			x, err := e.ToExemplar(&b, req.Symbols)
			require.NoError(t, err)
			line += fmt.Sprintf(" # %s %v @%s", x.Labels, x.Value, at(x.Ts))
		}
		m, err := ts.ToMetadata(req.Symbols)
		require.NoError(t, err)
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s | %s %s %s", line, m.Type, m.Help, m.Unit)))
	}
	require.Equal(t, samples, p.Samples)
	return lines
}

func delimited(t testing.TB, families ...string) string {
	t.Helper()
	var out bytes.Buffer
	to := expfmt.NewEncoder(&out, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for _, text := range families {
		var f dto.MetricFamily
		require.NoError(t, json.Unmarshal([]byte(text), &f))
		require.NoError(t, to.Encode(&f))
	}
	return out.String()
}

const (
	openMetrics = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	protobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

func TestFormats(t *testing.T) {
	for _, c := range []struct{ name, contentType, body, want, failed string }{
		{
			name: "text", contentType: text, body: `
# HELP requests_total Requests, \"all\"\nof them.
# TYPE requests_total counter
requests_total{code="200",path="/a\"b\\"} 12 946684801000
requests_total{code="500"} NaN
# HELP next The next.
alone 1
# TYPE temp gauge
temp{sensor=""} -Inf
# TYPE lat histogram
lat_bucket{le="1"} 1
lat_bucket{le="+Inf"} 2
lat_sum 3
lat_count 2
# TYPE q summary
q{quantile="0.5"} 7
q_sum 9
q_count 1
`, want: `
{__name__="requests_total", code="200", instance="i", job="j", path="/a\"b\\"} 12 @946684801000 | counter Requests, \"all\"` + "\n" + `of them.
{__name__="requests_total", code="500", instance="i", job="j"} NaN @now | counter Requests, \"all\"` + "\n" + `of them.
{__name__="alone", instance="i", job="j"} 1 @now | unknown
{__name__="temp", instance="i", job="j"} -Inf @now | gauge
{__name__="lat_bucket", instance="i", job="j", le="1.0"} 1 @now | histogram
{__name__="lat_bucket", instance="i", job="j", le="+Inf"} 2 @now | histogram
{__name__="lat_sum", instance="i", job="j"} 3 @now | histogram
{__name__="lat_count", instance="i", job="j"} 2 @now | histogram
{__name__="q", instance="i", job="j", quantile="0.5"} 7 @now | summary
{__name__="q_sum", instance="i", job="j"} 9 @now | summary
{__name__="q_count", instance="i", job="j"} 1 @now | summary`,
		},
		{
			name: "unknown content type", contentType: "application/something", body: "a 1\n",
			want: `{__name__="a", instance="i", job="j"} 1 @now | unknown`,
		},
		{
			name: "no content type", body: "a 1\n",
			want: `{__name__="a", instance="i", job="j"} 1 @now | unknown`,
		},
		{
			name: "text 1.0.0 and UTF-8", contentType: "text/plain; version=1.0.0; escaping=allow-utf-8", body: "{\"cpu.load\",\"größe\"=\"1\"} 1\n",
			want: `{__name__="cpu.load", "größe"="1", instance="i", job="j"} 1 @now | unknown`,
		},
		{
			name: "OpenMetrics", contentType: openMetrics, body: `# TYPE foo_seconds counter
# UNIT foo_seconds seconds
# HELP foo_seconds Some.
foo_seconds_total{a="b"} 17 # {trace_id="x"} 0.5 946684799.5
foo_seconds_created{a="b"} 946684790
# TYPE lat histogram
lat_bucket{le="1"} 1 # {trace_id="y"} 0.25
lat_bucket{le="+Inf"} 2
lat_count 2
lat_sum 3
# TYPE build info
build_info{version="1"} 1
# EOF
`, want: `
{__name__="foo_seconds_total", a="b", instance="i", job="j"} 17 @now since 946684790000 # {trace_id="x"} 0.5 @946684799500 | counter Some. seconds
{__name__="lat_bucket", instance="i", job="j", le="1.0"} 1 @now # {trace_id="y"} 0.25 @now | histogram
{__name__="lat_bucket", instance="i", job="j", le="+Inf"} 2 @now | histogram
{__name__="lat_count", instance="i", job="j"} 2 @now | histogram
{__name__="lat_sum", instance="i", job="j"} 3 @now | histogram
{__name__="build_info", instance="i", job="j", version="1"} 1 @now | info`,
		},
		{
			name: "protobuf", contentType: protobuf, body: delimited(t, `
{"name": "c_total", "help": "A counter.", "type": "COUNTER", "unit": "things", "metric": [{"label": [{"name": "a", "value": "b"}], "counter": {
  "value": 5, "created_timestamp": {"seconds": 946684700}, "exemplar": {"label": [{"name": "id", "value": "1"}], "value": 2, "timestamp": {"seconds": 946684790}}}}]}
`, `
{"name": "int", "help": "Ints.", "type": "HISTOGRAM", "metric": [{"histogram": {
  "sample_count": 3, "sample_sum": 4.5, "schema": 0, "zero_threshold": 0.001, "zero_count": 1, "positive_span": [{"offset": 0, "length": 2}], "positive_delta": [1, 0],
  "exemplars": [{"label": [{"name": "id", "value": "2"}], "value": 3, "timestamp": {"seconds": 946684791}}]}}]}
`, `
{"name": "both", "type": "HISTOGRAM", "metric": [{"histogram": {
  "sample_count": 2, "sample_sum": 3, "schema": 0, "zero_threshold": 0.001, "positive_span": [{"offset": 0, "length": 1}], "positive_delta": [2],
  "bucket": [{"cumulative_count": 2, "upper_bound": 1}]}}]}
`, `
{"name": "flt", "type": "GAUGE_HISTOGRAM", "metric": [{"histogram": {
  "sample_count_float": 2.5, "sample_sum": 3, "schema": 1, "zero_threshold": 0.001, "zero_count_float": 0.5, "positive_span": [{"offset": 0, "length": 1}], "positive_count": [2]}}]}
`), want: `
{__name__="c_total", a="b", instance="i", job="j"} 5 @now since 946684700000 # {id="1"} 2 @946684790000 | counter A counter. things
{__name__="int", instance="i", job="j"} int {count:3, sum:4.5, [-0.001,0.001]:1, (0.5,1]:1, (1,2]:1} @now # {id="2"} 3 @946684791000 | histogram Ints.
{__name__="both", instance="i", job="j"} int {count:2, sum:3, (0.5,1]:2} @now | histogram
{__name__="both_count", instance="i", job="j"} 2 @now | histogram
{__name__="both_sum", instance="i", job="j"} 3 @now | histogram
{__name__="both_bucket", instance="i", job="j", le="1.0"} 2 @now | histogram
{__name__="both_bucket", instance="i", job="j", le="+Inf"} 2 @now | histogram
{__name__="flt", instance="i", job="j"} float {count:2.5, sum:3, [-0.001,0.001]:0.5, (0.7071067811865475,1]:2} @now | gaugehistogram`,
		},
		{
			name: "the target's labels win", contentType: text, body: `a{job="x",instance="y"} 1
a{job="x",exported_job="z"} 2
up 5
`, want: `
{__name__="a", exported_instance="y", exported_job="x", instance="i", job="j"} 1 @now | unknown
{__name__="a", exported_exported_job="x", exported_job="z", instance="i", job="j"} 2 @now | unknown`,
		},
		{
			name: "twice", contentType: text, body: "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\na{x=\"1\",y=\"2\"} 3\nb 1 946684801000\nb 2 946684802000\nb 3 946684802000\n",
			want: `
{__name__="a", instance="i", job="j", x="1", y="2"} 1 @now | unknown
{__name__="b", instance="i", job="j"} 1 @946684801000 | unknown
{__name__="b", instance="i", job="j"} 2 @946684802000 | unknown`,
		},
		{
			name: "too far ahead", contentType: text, body: "a 1 946685400000\nb 1 946685400001\n",
			want: `{__name__="a", instance="i", job="j"} 1 @946685400000 | unknown`,
		},
		{name: "empty", contentType: openMetrics},
		{name: "no name", contentType: text, body: "ok 1\n{a=\"b\"} 1\n", failed: "scrape fails: parse the exposition"},
		{name: "torn OpenMetrics", contentType: openMetrics, body: "a 1\n", failed: "scrape fails: parse the exposition: application/openmetrics-text; version=1.0.0; charset=utf-8: data does not end with # EOF"},
		{name: "torn protobuf", contentType: protobuf, body: "\x70abc", failed: "scrape fails: parse the exposition"},
		{name: "HTML", contentType: "text/html", body: "<html>Hello</html>", failed: "scrape fails: parse the exposition: text/html: "},
		{name: "binary", body: "\xff\xfe", failed: "scrape fails: parse the exposition: no Content-Type: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lines []string
				now := time.Now()
				log, logs := newLog()
				stop := run(t, scrape.Options{
					Targets: []scrape.Target{{Job: "j", Instance: "i", Source: &page{contentType: c.contentType, body: c.body}}},
					Log:     log, Deliver: func(p scrape.Payload) { lines = append(lines, decode(t, p, now)...) },
				})
				require.NoError(t, stop())
				want := []string{}
				if c.want != "" {
					want = strings.Split(strings.ReplaceAll(strings.TrimSpace(c.want), "\\\"\nof", "\\\"\vof"), "\n")
				}
				require.Greater(t, len(lines), 4)
				n := len(lines) - 5
				for i, l := range lines {
					lines[i] = strings.ReplaceAll(l, "\nof", "\vof")
				}
				require.Equal(t, want, append([]string{}, lines[:n]...))
				up := `{__name__="up", instance="i", job="j"} 1 @now | gauge Whether the last scrape of the target succeeded.`
				if c.failed != "" {
					up = strings.Replace(up, " 1 @", " 0 @", 1)
					require.Contains(t, messages(logs)[0], c.failed)
				}
				require.Equal(t, up, lines[n])
			})
		})
	}
}

// TestManySamples: requests hold at most 2,000 samples, and a scrape that fails at
// its end none of its samples.
func TestManySamples(t *testing.T) {
	var b strings.Builder
	for i := range 4500 {
		fmt.Fprintf(&b, "a{i=\"%d\"} %d\n", i, i)
	}
	p := newPage(b.String())
	synctest.Test(t, func(t *testing.T) {
		r := newReceiver(t, time.Now)
		stop := run(t, scrape.Options{
			Targets: []scrape.Target{{Job: "j", Instance: "i", Source: p}}, Interval: interval, Deliver: r.deliver,
		})
		require.Equal(t, []int{2000, 2000, 505}, r.delivered())
		p.set(func(p *page) { p.body += "not a sample\n" })
		time.Sleep(interval)
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, []int{2000, 2000, 505, 2000, 2000, 505}, r.delivered())
		got := r.points()
		require.Equal(t, []string{"4499", "stale"}, got[`{__name__="a", i="4499", instance="i", job="j"}`])
		require.Equal(t, []string{"4500", "4500"}, got[`{__name__="scrape_samples_scraped", instance="i", job="j"}`])
	})
}

// TestExemplarsOnce: an exemplar is sent with the first scrape that shows it.
func TestExemplarsOnce(t *testing.T) {
	body := func(a, b string) string {
		return "# TYPE a counter\na_total 1 # {id=\"" + a + "\"} 1\n# TYPE b counter\nb_total 1 # {id=\"" + b + "\"} 1 946684799\n# EOF\n"
	}
	synctest.Test(t, func(t *testing.T) {
		p := &page{contentType: openMetrics, body: body("1", "1")}
		var got []string
		stop := run(t, scrape.Options{
			Targets: []scrape.Target{{Job: "j", Source: p}}, Interval: interval,
			Deliver: func(p scrape.Payload) {
				for _, l := range decode(t, p, time.Now()) {
					if _, after, ok := strings.Cut(l, " # "); ok {
						got = append(got, after)
					}
				}
			},
		})
		for _, next := range []string{body("1", "1"), body("2", "1"), body("2", "2")} {
			p.set(func(p *page) { p.body = next })
			time.Sleep(interval)
			synctest.Wait()
		}
		require.NoError(t, stop())
		require.Equal(t, []string{
			`{id="1"} 1 @now | counter`, `{id="1"} 1 @946684799000 | counter`,
			`{id="2"} 1 @now | counter`,
			`{id="2"} 1 @946684799000 | counter`,
		}, got)
	})
}

func FuzzExposition(f *testing.F) {
	types := []string{text, openMetrics, protobuf, "", "text/plain; version=1.0.0", "application/openmetrics-text; version=0.0.1"}
	f.Add(uint8(0), []byte("# HELP a b\n# TYPE a counter\na{b=\"c\"} 1 2\na 1\n"))
	f.Add(uint8(1), []byte("# TYPE a counter\n# UNIT a s\na_total 1 # {x=\"y\"} 1 2\na_created 3\n# EOF\n"))
	f.Add(uint8(2), []byte(delimited(f, `{"name": "h", "type": "HISTOGRAM", "metric": [{"histogram": {
		"sample_count": 3, "sample_sum": 4.5, "schema": 0, "zero_threshold": 0.001, "positive_span": [{"offset": 0, "length": 2}],
		"positive_delta": [1, 0], "bucket": [{"cumulative_count": 2, "upper_bound": 1}]}}]}`)))
	f.Add(uint8(4), []byte("{\"a.b\",c=\"d\"} NaN\n"))
	f.Fuzz(func(t *testing.T, format uint8, body []byte) {
		log, logs := newLog()
		p := &page{contentType: types[int(format)%len(types)], body: string(body)}
		o := scrape.Options{
			Targets: []scrape.Target{{Job: "j", Instance: "i", Source: p}}, Log: log,
			Limits:  scrape.Limits{Labels: 20, LabelValue: 200, Samples: 1000},
			Deliver: func(p scrape.Payload) { decode(t, p, time.Time{}) },
		}
		ctx, cancel := context.WithCancel(t.Context())
		delivered := o.Deliver
		o.Deliver = func(p scrape.Payload) {
			delivered(p)
			cancel()
		}
		require.NoError(t, scraper(t, o).Run(ctx))
		var x scrape.Exposition
		_ = scraper(t, o).Once(t.Context(), &x) // the body is what it is
		var out bytes.Buffer
		_, err := x.WriteTo(&out)
		require.NoError(t, err)
		require.Contains(t, out.String(), "up{")
		for _, m := range messages(logs) {
			require.NotContains(t, m, "panic")
		}
	})
}
