package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/journal"
)

// TestKilledThenPowerCut: what a restart replays may have been in the page cache
// only. Once the log calls it valid it must be on disk.
func TestKilledThenPowerCut(t *testing.T) {
	for _, sync := range []bool{true, false} {
		fs := vfs.NewCrashableMem()
		o := options(fs, sync)
		l, _ := mustOpen(t, options(fs, false), 0) // as if killed before its fsync
		require.NoError(t, l.Append([]byte("written, not synced")))
		again, got := mustOpen(t, o, 0)
		require.Len(t, got, 1)
		require.NoError(t, again.Append([]byte("next")))
		cut := options(fs.CrashClone(vfs.CrashCloneCfg{}), sync)
		last, got := mustOpen(t, cut, 0)
		require.Equal(t, "written, not synced", string(got[0]))
		require.NoError(t, last.Close())
		require.NoError(t, again.Close())
		require.NoError(t, l.Close())
	}
}

// TestFullThenPowerCut: the same of a segment that was abandoned for lack of
// room.
func TestFullThenPowerCut(t *testing.T) {
	mem := vfs.NewCrashableMem()
	fs := &faulty{FS: mem, room: -1, write: syscall.ENOSPC, partial: true}
	l, _ := mustOpen(t, options(fs, false), 0)
	require.NoError(t, l.Append([]byte("good")))
	fs.room = 5
	require.ErrorIs(t, l.Append([]byte("too long for the room there is")), journal.ErrFull)
	fs.room = -1
	require.NoError(t, l.Append([]byte("room again")))
	cut, got, err := open(options(mem.CrashClone(vfs.CrashCloneCfg{}), false), 0)
	require.NoError(t, err)
	require.Equal(t, "good", string(got[0]))
	require.NoError(t, cut.Close())
	require.NoError(t, l.Close())
}

// TestHoleInALaterBlock: of a record of several blocks any page may be missing
// after a power cut.
func TestHoleInALaterBlock(t *testing.T) {
	mem := vfs.NewMem()
	l, _ := mustOpen(t, options(mem, false), 0)
	var recs [][]byte
	for i := range 5 {
		recs = append(recs, record(i, 60_000))
		require.NoError(t, l.Append(recs[i]))
	}
	require.NoError(t, l.Close())
	data := readFile(t, mem, dir+"/00000001.log")
	for page := 12 << 10; page+4<<10 < len(data); page += 36 << 10 {
		damaged := bytes.Clone(data)
		clear(damaged[page : page+4<<10])
		again, got, err := open(options(with(t, damaged), false), 0)
		require.NoError(t, err, "page at %d", page)
		requirePrefix(t, recs, got)
		require.NoError(t, again.Close())
	}
}

// TestNobodyCanPlantARecord: bytes that look like a record of the log, in a
// record that a crash tore, are not taken for one that follows the damage.
func TestNobodyCanPlantARecord(t *testing.T) {
	for typ := byte(1); typ <= 2; typ++ {
		for _, size := range []int{0, 5, 40} {
			body := append([]byte{typ}, bytes.Repeat([]byte("x"), size)...)
			sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
			planted := binary.LittleEndian.AppendUint32(nil, (sum>>15|sum<<17)+0xa282ead8)
			planted = binary.LittleEndian.AppendUint16(planted, uint16(size))
			planted = append(planted, body...)
			for _, sync := range []bool{true, false} {
				mem := vfs.NewMem()
				l, _ := mustOpen(t, options(mem, sync), 0)
				require.NoError(t, l.Append([]byte("good")))
				require.NoError(t, l.Append(fmt.Appendf(nil, "name%svalue%s", planted, planted)))
				require.NoError(t, l.Close())
				data := readFile(t, mem, dir+"/00000001.log")
				again, got, err := open(options(with(t, data[:len(data)-1]), sync), 0)
				require.NoError(t, err, "type %d, %d bytes", typ, size)
				require.Len(t, got, 1)
				require.NoError(t, again.Close())
			}
		}
	}
}

// TestNearlyFullCollectsNothing: where a segment's header fits and no record
// does, refused appends must not leave a file each.
func TestNearlyFullCollectsNothing(t *testing.T) {
	mem := vfs.NewMem()
	fs := &faulty{FS: mem, room: -1, write: syscall.ENOSPC}
	l, _ := mustOpen(t, options(fs, false), 0)
	require.NoError(t, l.Append([]byte("good")))
	for range 50 {
		fs.room = 60
		require.ErrorIs(t, l.Append(record(1, 500)), journal.ErrFull)
	}
	numbers, err := journal.Segments(mem, dir)
	require.NoError(t, err)
	require.LessOrEqual(t, len(numbers), 2)
	fs.room = -1
	require.NoError(t, l.Append([]byte("room again")))
	require.NoError(t, l.Close())
	l, got := mustOpen(t, options(mem, false), 0)
	require.Len(t, got, 2)
	require.NoError(t, l.Close())
}

func TestClosedIsClosed(t *testing.T) {
	fs := &faulty{FS: vfs.NewMem(), room: -1, write: syscall.ENOSPC}
	l, _ := mustOpen(t, options(fs, false), 0)
	fs.room = 3
	require.ErrorIs(t, l.Append([]byte("more than that")), journal.ErrFull)
	require.NoError(t, l.Close())
	fs.room = -1
	require.Error(t, l.Append([]byte("late")))
	_, err := l.Rotate()
	require.Error(t, err)
}

// TestFailedSyncOfAnAbandonedSegmentIsFinal: nobody knows what is on disk then.
func TestFailedSyncOfAnAbandonedSegmentIsFinal(t *testing.T) {
	fs := &faulty{FS: vfs.NewMem(), room: -1, write: syscall.ENOSPC}
	l, _ := mustOpen(t, options(fs, false), 0)
	require.NoError(t, l.Append([]byte("good")))
	fs.room = 3
	require.ErrorIs(t, l.Append([]byte("more than that")), journal.ErrFull)
	fs.room, fs.openSync = -1, syscall.EIO
	require.Error(t, l.Append([]byte("later")))
	fs.openSync = nil
	require.Error(t, l.Append([]byte("later")))
	require.NoError(t, errors.Join(l.Close()))
}
