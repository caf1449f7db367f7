package config_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/config"
)

func TestSpan(t *testing.T) {
	type settings struct {
		Keep config.Var[time.Duration] `group:"General" flag:"keep" env:"KEEP" help:"How long."`
	}
	parse := func(v string) (time.Duration, error) {
		s := &settings{config.SpanOrZero(15*24*time.Hour, time.Hour, 100*365*24*time.Hour)}
		err := config.Parse(config.Program{Name: "p", About: "a"}, s, []string{"--keep", v}, func(string) (string, bool) { return "", false }, io.Discard)
		return s.Keep.Value(), err
	}
	const h = time.Hour
	for in, want := range map[string]time.Duration{
		"15d": 360 * h, "2w": 336 * h, "1y": 8760 * h, "0.5d": 12 * h, "36h": 36 * h, "7200": 2 * h, "0": 0, "0d": 0, "1h30m": 90 * time.Minute,
	} {
		got, err := parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{"", "d", "-1d", "1e3d", "1m", "101y", "999999999999999y", "x", "1d2h", "NaN"} {
		_, err := parse(in)
		require.ErrorContains(t, err, "--keep", in)
	}
	require.Equal(t, "15d", config.Settings(&settings{config.Span(15*24*h, h, 30*h)})[0].Default)
}
