package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/config"
)

func TestPrefixes(t *testing.T) {
	for in, want := range map[string]string{
		"":                            "",
		"10.0.0.0/8":                  "10.0.0.0/8",
		"10.1.2.3/8":                  "10.0.0.0/8",
		"192.0.2.7":                   "192.0.2.7/32",
		"2001:db8::1":                 "2001:db8::1/128",
		" 10.0.0.0/8 , fd00::/8":      "10.0.0.0/8,fd00::/8",
		"::ffff:10.0.0.0/104":         "10.0.0.0/8",
		"::ffff:192.0.2.7":            "192.0.2.7/32",
		"0.0.0.0/0,::/0":              "0.0.0.0/0,::/0",
		"fe80::/10,127.0.0.1/32,::1":  "fe80::/10,127.0.0.1/32,::1/128",
		"2001:DB8::/32,2001:db8:0::/": "", // refused
	} {
		v := config.Prefixes()
		err := v.Set(in)
		if want == "" && in != "" {
			require.Error(t, err, in)
			continue
		}
		require.NoError(t, err, in)
		require.Equal(t, want, v.String(), in)
		again := config.Prefixes()
		require.NoError(t, again.Set(v.String()))
		require.Equal(t, v.Value(), again.Value())
	}
	for _, bad := range []string{
		"localhost", "10.0.0.0/33", "10.0.0", "10.0.0.0/8,", ",", "10.0.0.0/8;10.0.0.0/9", "fe80::1%eth0", "fe80::%eth0/64",
		"010.0.0.1", "::ffff:10.0.0.0/95", "10.0.0.0/-1", "10.0.0.0/08", "*", "10.0.0.0/8 fd00::/8", "[::1]", "1.2.3.4:80",
	} {
		v := config.Prefixes()
		require.Error(t, v.Set(bad), bad)
		require.Empty(t, v.Value())
	}
}
