//go:build !linux

package node

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestElsewhere(t *testing.T) {
	require.False(t, Supported)
	require.Empty(t, Collectors())
	_, err := New(Options{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "for Linux")
}
