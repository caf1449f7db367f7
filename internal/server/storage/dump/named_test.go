package dump_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/storage/storagetest"
)

func TestNamed(t *testing.T) {
	s := open(t, options(filepath.Join(t.TempDir(), "db.json")))
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	storagetest.RunNamed(t, s)
}
