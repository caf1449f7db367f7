package statsd_test

import (
	"bytes"
	"io"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/collector/statsd"
	"github.com/gometheus/gometheus/internal/common/metric"
)

// FuzzPacket holds that no packet does harm: what is made of it the server takes,
// and whoever gathers can write in every format.
func FuzzPacket(f *testing.F) {
	for _, seed := range []string{
		"x:1|c", "x:1.5|g|@0.1|#a:b,c", "a.b:1:2:3|ms|#__name__:x,le:1|T1800000000|c:ci-1", "x:é|s|#1:2", "x:-1|g\nx:+1|g\r\nx:a|s",
		"_e{1,1}:a|b", "_sc|a|0", "x:1|h\nx_count:1|h\nx:2|c", "x:1|c|@0.3\nx:1|c|@0.3", "x:1e308:1e308|h|@1e-9", "\xff\x00:|",
	} {
		f.Add([]byte(seed))
	}
	limits := metric.DefaultLimits()
	f.Fuzz(func(t *testing.T, p []byte) {
		c := newClock()
		s := statsd.New(statsd.Options{Now: c.now, MaxSeries: 100, Labels: metric.NewLabels("instance", "web-1")})
		kept := bytes.Clone(p)
		s.Take(p)
		s.Take(p)
		require.Equal(t, kept, p, "the buffer of the packet is not written to")

		mfs, err := prometheus.Gatherers{s}.Gather()
		require.NoError(t, err)
		for _, f := range mfs {
			require.True(t, model.LegacyValidation.IsValidMetricName(f.GetName()), "%q", f.GetName())
			for _, format := range []expfmt.FormatType{expfmt.TypeTextPlain, expfmt.TypeProtoDelim, expfmt.TypeOpenMetrics} {
				require.NoError(t, expfmt.NewEncoder(io.Discard, expfmt.NewFormat(format)).Encode(f))
			}
		}
		c.pass(10 * time.Second)
		for range 2 {
			ms, err := s.Collect(t.Context())
			require.NoError(t, err)
			seen := make(map[string]bool)
			for _, m := range ms {
				require.NoError(t, m.Validate(&limits, c.now().UnixMilli()))
				key := string(m.AppendKey(nil))
				require.False(t, seen[key], "twice")
				seen[key] = true
				for _, l := range m.Labels {
					require.NotEmpty(t, l.Value)
					require.True(t, utf8.ValidString(l.Value))
				}
				require.NoError(t, m.Labels.Sort())
				require.True(t, model.LegacyValidation.IsValidMetricName(m.Name), "%q", m.Name)
			}
			c.pass(time.Hour)
		}
		rest, err := s.Collect(t.Context())
		require.NoError(t, err)
		assert.Empty(t, rest, "all is told and forgotten")
	})
}
