package pgsql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func TestNamed(t *testing.T) {
	s := open(t, server.Database(t))
	storagetest.RunNamed(t, s)
	n, err := s.Count(t.Context())
	require.NoError(t, err)
	require.Equal(t, int64(6005), n)
}
