package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/spool"
)

// faulty is a file system with little room, whose syncs and reads may fail.
type faulty struct {
	vfs.FS
	mu   sync.Mutex
	room int   // bytes until writes fail; negative: no limit
	sync error // what syncs fail with
	read error // what reads of segments fail with
}

func (f *faulty) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *faulty) take(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room < 0 {
		return n
	}
	n = min(n, f.room)
	f.room -= n
	return n
}

func (f *faulty) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	if f.take(1) == 0 {
		return nil, syscall.ENOSPC
	}
	file, err := f.FS.Create(name, cat)
	return &faultyFile{file, f}, err
}

func (f *faulty) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.Open(name, o...)
	if err != nil {
		return nil, err
	}
	return &faultyFile{file, f}, nil
}

type faultyFile struct {
	vfs.File
	f *faulty
}

func (f *faultyFile) Write(p []byte) (int, error) {
	n := f.f.take(len(p))
	if n == len(p) {
		return f.File.Write(p)
	}
	n, _ = f.File.Write(bytes.Clone(p[:n]))
	return n, syscall.ENOSPC
}

func (f *faultyFile) ReadAt(p []byte, at int64) (int, error) {
	f.f.mu.Lock()
	err := f.f.read
	f.f.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, at)
}

func (f *faultyFile) failing() error {
	f.f.mu.Lock()
	defer f.f.mu.Unlock()
	return f.f.sync
}

func (f *faultyFile) Sync() error     { return errors.Join(f.failing(), f.File.Sync()) }
func (f *faultyFile) SyncData() error { return errors.Join(f.failing(), f.File.SyncData()) }

// fill appends until the spool refuses.
func (r *rig) fill(rng *rand.Rand) {
	r.t.Helper()
	for {
		bs := r.batches(1+rng.IntN(3), rng.IntN(2_000))
		if err := r.Append(bs); err != nil {
			require.ErrorIs(r.t, err, spool.ErrFull)
			for _, b := range bs {
				require.Empty(r.t, b.Key)
			}
			return
		}
		r.keep(bs)
	}
}

// TestDiskFull: wherever the disk gets full, what was promised stays, sending
// goes on, a restart works, and so does the spool once there is room.
func TestDiskFull(t *testing.T) {
	for room := 0; room < 40_000; room += many(997, 101) {
		rng := rand.New(rand.NewPCG(uint64(room), 5))
		fs := &faulty{FS: vfs.NewMem(), room: -1}
		r := newRig(t, fs, func(o *spool.Options) { o.MaxSize = 1 << 20 })
		r.append(2, 100)
		fs.set(func() { fs.room = room })
		r.fill(rng)
		r.lease().Ack()
		for range 20 {
			r.fill(rng)
		}
		names, _ := r.segments()
		require.LessOrEqual(t, len(names), 6, "a full disk doesn't collect segments: %v", names)
		if room%2 == 0 {
			require.NoError(t, r.Close())
			r.open()
			r.fill(rng)
		}
		r.lease().Ack()
		fs.set(func() { fs.room = -1 })
		r.append(3, 100)
		r.drain()
		r.complete()
		require.NoError(t, r.Close())
		r.open()
		r.append(1, 1)
		r.drain()
		r.complete()
		require.NoError(t, r.Close())
	}
}

// TestStartsOnFullDisk: a new spool and one in use.
func TestStartsOnFullDisk(t *testing.T) {
	fs := &faulty{FS: vfs.NewMem(), room: 0}
	r := newRig(t, fs, nil)
	require.ErrorIs(t, r.Append(r.batches(1, 1)), spool.ErrFull)
	fs.set(func() { fs.room = -1 })
	r.append(2, 10)
	require.NoError(t, r.Close())

	fs.set(func() { fs.room = 0 })
	r.open()
	r.lease().Ack()
	require.ErrorIs(t, r.Append(r.batches(1, 1)), spool.ErrFull)
	r.drain()
	r.complete()
	require.NoError(t, r.Close())
}

// TestFsyncFails: nothing that an Append with a failed fsync wrote is promised
// or sent, and the spool goes on by itself.
func TestFsyncFails(t *testing.T) {
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC} {
		fs := &faulty{FS: vfs.NewMem(), room: -1}
		r := newRig(t, fs, nil)
		r.append(3, 10)
		fs.set(func() { fs.sync = fault })
		for range 5 {
			require.ErrorIs(t, r.Append(r.batches(2, 10)), fault)
		}
		for range 3 {
			r.lease().Ack()
		}
		r.none()
		fs.set(func() { fs.sync = nil })
		r.append(3, 10)
		require.NoError(t, r.Close())
		r.open()
		r.append(1, 10)
		r.drain()
		r.complete()
		require.Len(t, r.applied, 7)
		require.NoError(t, r.Close())
	}
}

// TestReadFails: a disk that recovers costs nothing; what it never gives back is
// damage, and is told and counted.
func TestReadFails(t *testing.T) {
	for _, recovers := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			fs := &faulty{FS: vfs.NewMem(), room: -1}
			r := newRig(t, fs, nil)
			r.append(3, 10)
			fs.set(func() { fs.read = syscall.EIO })
			if recovers {
				time.AfterFunc(1500*time.Millisecond, func() { fs.set(func() { fs.read = nil }) })
				r.drain()
				require.Equal(t, 2, r.said("the spool can't be read; it tries again"))
				r.complete()
				require.NoError(t, r.Close())
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err := r.Lease(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 1, r.said("the spool is damaged; it goes on with what is readable"))
			require.EqualValues(t, 3, r.Stats().LostBatches)
			require.Zero(t, r.Stats().WaitingBatches)
			fs.set(func() { fs.read = nil })
			r.append(3, 10)
			for range 3 {
				r.lease().Ack()
			}
			r.none()
			require.NoError(t, r.Close())
		})
	}
}

// TestDeadLetters: the exact body and the reason, and not too many of them.
func TestDeadLetters(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.append(2, 10)
	for range 2 {
		require.NoError(t, r.lease().Refuse(400, problem))
	}
	require.EqualValues(t, 2, r.Stats().RefusedBatches)
	r.none()
	producer, _ := split(t, r.order[0])
	base := fmt.Sprintf("%s/dead/%020d-%s", dir, 1, producer)
	require.Equal(t, r.kept[r.order[0]], string(read(t, r.fs, base+".json")))
	require.Equal(t, r.kept[r.order[1]], string(read(t, r.fs, fmt.Sprintf("%s/dead/%020d-%s.json.gz", dir, 2, producer))))
	reason := string(read(t, r.fs, base+".reason.json"))
	require.Contains(t, reason, `"status": 400`)
	require.Contains(t, reason, `"detail": "bad label"`)
	require.Contains(t, reason, producer+`/1\"`)
	require.NoError(t, r.Close())

	r.open()
	require.Zero(t, r.Stats().WaitingBatches, "they aren't sent again")
	for range 11 {
		r.append(100, 1)
	}
	for range 1100 {
		require.NoError(t, r.lease().Refuse(422, problem))
	}
	names, err := r.fs.List(dir + "/dead")
	require.NoError(t, err)
	require.Len(t, names, 2*1000)
	require.NotContains(t, names, fmt.Sprintf("%020d-%s.json", 1, producer), "the oldest go")
	require.Equal(t, 1, r.said("there are many dead letters; from now on the oldest go"))
	require.NoError(t, r.Close())
}

func TestDeadLettersAreBoundedInSize(t *testing.T) {
	fs := &faulty{FS: vfs.NewMem(), room: -1}
	r := newRig(t, fs, func(o *spool.Options) { o.MaxSize = 1 << 20 })
	r.append(40, 10_000)
	for range 40 {
		require.NoError(t, r.lease().Refuse(400, problem))
	}
	names, err := r.fs.List(dir + "/dead")
	require.NoError(t, err)
	var total int64
	for _, name := range names {
		info, err := fs.Stat(dir + "/dead/" + name)
		require.NoError(t, err)
		total += info.Size()
	}
	require.LessOrEqual(t, total, int64(1<<20/8))
	require.Greater(t, total, int64(1<<20/8*3/4))

	r.append(1, 10)
	fs.set(func() { fs.room = 0 })
	require.Error(t, r.lease().Refuse(400, problem), "no room for the letter")
	require.Zero(t, r.Stats().WaitingBatches)
	require.NoError(t, r.Close())
}
