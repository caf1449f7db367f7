package hostfile

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	buf := make([]byte, 0, 8)
	for _, size := range []int{0, 7, 8, 9, 5000, maxSize + 5000} {
		content := bytes.Repeat([]byte("x"), size)
		path := filepath.Join(dir, "file")
		require.NoError(t, os.WriteFile(path, content, 0o600))
		got, err := Read(path, buf)
		require.NoError(t, err)
		assert.GreaterOrEqual(t, len(got), min(size, maxSize))
		assert.True(t, bytes.HasPrefix(content, got))
		buf = got
	}
	_, err := Read(filepath.Join(dir, "none"), buf)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Read(dir, buf)
	require.Error(t, err, "a folder can't be read")

	got, err := Read("/proc/self/stat", nil)
	if err == nil { // Linux
		assert.True(t, bytes.HasSuffix(got, []byte("\n")))
	}
}

func TestStat(t *testing.T) {
	dir := t.TempDir()
	a, b, other := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "other")
	require.NoError(t, os.WriteFile(a, []byte("123"), 0o600))
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	require.NoError(t, os.Link(a, b))
	idA, links, size, err := Stat(a)
	require.NoError(t, err)
	assert.EqualValues(t, 3, size)
	if links == 0 {
		t.Skip("identities are told on Linux only")
	}
	assert.EqualValues(t, 2, links)
	idB, _, _, err := Stat(b)
	require.NoError(t, err)
	assert.Equal(t, idA, idB)
	idOther, _, _, err := Stat(other)
	require.NoError(t, err)
	assert.NotEqual(t, idA, idOther)
	_, _, _, err = Stat(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain name":      "plain name",
		"":                "",
		"two\nlines\x1b[": "two\uFFFDlines\uFFFD[",
		"bad\xff\xfebyte": "bad\uFFFD\uFFFDbyte",
		"Grüße, мир":      "Grüße, мир",
		"c1\u0085control": "c1\uFFFDcontrol",
	} {
		assert.Equal(t, want, Clean(in, 100))
	}
	assert.Equal(t, strings.Repeat("x", 10), Clean(strings.Repeat("x", 11), 10))
	assert.Equal(t, "xxxxxxxxx", Clean("xxxxxxxxxü", 10), "no character is cut in two")
	assert.True(t, utf8.ValidString(Clean("\xff\xff\xff\xff", 10)))
}

func BenchmarkRead(b *testing.B) {
	b.Run("impl=hostfile", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		var err error
		for b.Loop() {
			if buf, err = Read("/proc/self/stat", buf); err != nil {
				b.Skip(err)
			}
		}
	})
	b.Run("impl=os", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := os.ReadFile("/proc/self/stat"); err != nil {
				b.Skip(err)
			}
		}
	})
}
