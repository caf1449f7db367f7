package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLimitsFitEachOther(t *testing.T) {
	_, err := parse(map[string]string{"LIMIT_BODY_UNPACKED": "114MiB"})
	require.NoError(t, err)
	_, err = parse(map[string]string{"LIMIT_BODY_UNPACKED": "115MiB"})
	requireLine(t, err)
	require.EqualError(t, err, `LIMIT_MEMORY "256MiB": want 20 MiB more than LIMIT_BODY (8MiB) and twice LIMIT_BODY_UNPACKED (115MiB)`)
	_, err = parse(map[string]string{"LIMIT_REQUEST_TIME": "4"})
	requireLine(t, err)
	require.EqualError(t, err, `LIMIT_HEADER_TIME "5": want at most LIMIT_REQUEST_TIME, which is 4`)
}
