package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLimitsFitEachOther(t *testing.T) {
	_, err := parse(map[string]string{"LIMIT_BODY_UNPACKED": "122MiB"})
	require.NoError(t, err)
	_, err = parse(map[string]string{"LIMIT_BODY_UNPACKED": "123MiB"})
	requireLine(t, err)
	require.EqualError(t, err, `LIMIT_MEMORY "256MiB": want 12 MiB more than twice LIMIT_BODY_UNPACKED, which is 123MiB`)
	_, err = parse(map[string]string{"LIMIT_REQUEST_TIME": "4"})
	requireLine(t, err)
	require.EqualError(t, err, `LIMIT_HEADER_TIME "5": want at most LIMIT_REQUEST_TIME, which is 4`)
}
