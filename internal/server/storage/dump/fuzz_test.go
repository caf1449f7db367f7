package dump_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
)

func writeFile(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, journal.DiskCategory)
	require.NoError(t, err)
	_, err = f.Write(append([]byte(nil), data...)) // vfs may change what it is given
	require.NoError(t, err)
	require.NoError(t, f.Sync())
	require.NoError(t, f.Close())
}

func readFile(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	require.NoError(t, err)
	data, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return data
}

// FuzzLoad opens whatever stands in the snapshot and the journal: it is refused
// with file and offset, or it loads and survives a restart unchanged.
func FuzzLoad(f *testing.F) {
	fs := vfs.NewMem()
	o := options("/data/db.json")
	o.FS = fs
	s := open(f, o)
	fill(f, s, 0)
	require.NoError(f, s.Snapshot())
	fill(f, s, 1)
	snapshot := readFile(f, fs, o.Path)
	segment := readFile(f, fs, o.Path+".journal/00000002.log")
	require.NoError(f, s.Close())
	f.Add(snapshot, segment)
	f.Add(snapshot, []byte{})
	f.Add([]byte(`{"format":"gometheus-snapshot","version":1,"metrics":1,"producers":0,"journal":2}`+"\n"+
		`{"id":"c","type":"counter","delta":1,"timestamp":1}`+"\n"), segment)
	f.Fuzz(func(t *testing.T, snapshot, segment []byte) {
		o := options("/data/db.json")
		fs := vfs.NewMem()
		o.FS, o.Interval = fs, time.Hour
		require.NoError(t, fs.MkdirAll("/data/db.json.journal", 0o755))
		writeFile(t, fs, o.Path, snapshot)
		writeFile(t, fs, o.Path+".journal/00000002.log", segment)
		s, err := dump.Open(o)
		if err != nil {
			if _, ok := errors.AsType[*journal.CorruptError](err); !ok {
				t.Fatalf("refused without saying where: %v", err)
			}
			return
		}
		want := state(t, s)
		require.NoError(t, s.Close())
		again := open(t, o)
		require.Equal(t, want, state(t, again))
		require.NoError(t, again.Close())
	})
}
