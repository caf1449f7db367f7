package pages

import (
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
	"github.com/gometheus/gometheus/internal/server/templates"
)

// Results are the caller's: a later query must not write over them.
func TestQueries(t *testing.T) {
	db := writetest.OpenDB(t)
	app := db.Appender(t.Context())
	start := time.Unix(1_795_454_700, 0)
	for i := range 10 {
		_, err := app.Append(0, labels.FromStrings("__name__", "x", "instance", `a"b\`), start.Add(time.Duration(i)*time.Minute).UnixMilli(), float64(i))
		require.NoError(t, err)
	}
	require.NoError(t, app.Commit())
	p := New(Options{
		Storage: db, Now: time.Now,
		Engine: promql.NewEngine(promql.EngineOpts{MaxSamples: 1000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{})}),
	})
	matcher := `{instance=` + quote(`a"b\`) + `}`

	v, err := p.instant(t.Context(), "x"+matcher, start.Add(3*time.Minute))
	require.NoError(t, err)
	m, err := p.span(t.Context(), "x"+matcher, start, start.Add(9*time.Minute), time.Minute)
	require.NoError(t, err)
	for range 3 {
		_, err = p.instant(t.Context(), "x * 100", start)
		require.NoError(t, err)
		_, err = p.span(t.Context(), "x * 100", start, start.Add(9*time.Minute), time.Minute)
		require.NoError(t, err)
	}
	require.Len(t, v, 1)
	require.InDelta(t, 3, v[0].F, 0)
	require.Len(t, m, 1)
	require.Len(t, m[0].Floats, 10)
	for i, f := range m[0].Floats {
		require.InDelta(t, i, f.F, 0)
	}

	v, err = p.instant(t.Context(), "scalar(x)", start.Add(3*time.Minute))
	require.NoError(t, err)
	require.InDelta(t, 3, v[0].F, 0)
	for _, bad := range []string{"x{", `"text"`} {
		_, err = p.instant(t.Context(), bad, start)
		require.ErrorContains(t, err, bad)
	}
	_, err = p.span(t.Context(), "sum(", start, start.Add(time.Minute), time.Second)
	require.ErrorContains(t, err, "sum(")
}

func TestExpand(t *testing.T) {
	h := &host{instance: `SEL "$window" \`}
	require.Equal(t, `rate(a{instance="SEL \"$window\" \\",b="SEL",c=~"$window|\""}[60s]) + SELF`,
		h.expand(`rate(a{SEL,b="SEL",c=~"$window|\""}[$window]) + SELF`, "60s"))
}

func TestState(t *testing.T) {
	for _, tt := range []struct {
		age, interval time.Duration
		want          templates.State
	}{
		{0, 15 * time.Second, templates.Reporting},
		{47 * time.Second, 15 * time.Second, templates.Reporting},
		{48 * time.Second, 15 * time.Second, templates.Late},
		{48 * time.Second, time.Minute, templates.Reporting},
		{450 * time.Second, 15 * time.Second, templates.Late},
		{451 * time.Second, 15 * time.Second, templates.Gone},
		{-time.Second, 15 * time.Second, templates.Reporting}, // its clock is ahead
	} {
		require.Equal(t, tt.want, stateOf(tt.age, tt.interval), "%v", tt)
	}
}
