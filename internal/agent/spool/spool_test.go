package spool_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/gometheus/gometheus/internal/agent/spool"
	"github.com/gometheus/gometheus/pkg/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dir = "/spool"

// long asks for the whole of what else is sampled; make crash sets it.
var long = os.Getenv("GOMETHEUS_LONG") != ""

// many is n, or more in the long form.
func many(n, longN int) int {
	if long {
		return longN
	}
	return n
}

// rig is a spool, what was put into it and a server that counts each key once.
type rig struct {
	t    testing.TB
	fs   vfs.FS
	o    spool.Options
	logs *observer.ObservedLogs
	*spool.Spool

	made    int               // batches made so far
	kept    map[string]string // bodies that Append promised to keep, by key
	order   []string          // their keys
	applied map[string]string // bodies by key at the server
	sent    []string          // keys in the order of their first leases
}

func newRig(t testing.TB, fs vfs.FS, change func(*spool.Options)) *rig {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	r := &rig{t: t, fs: fs, logs: logs, kept: map[string]string{}, applied: map[string]string{}}
	r.o = spool.Options{FS: fs, Dir: dir, MaxSize: 64 << 20, MaxAge: 7 * 24 * time.Hour, Log: zap.New(core)}
	if change != nil {
		change(&r.o)
	}
	r.open()
	return r
}

func (r *rig) open() {
	r.t.Helper()
	var err error
	r.Spool, err = spool.Open(r.o)
	require.NoError(r.t, err)
}

// reopen goes on with another file system, as after a crash.
func (r *rig) reopen(fs vfs.FS) {
	r.t.Helper()
	r.fs, r.o.FS = fs, fs
	r.open()
}

// batches makes n batches that differ, of about size bytes each.
func (r *rig) batches(n, size int) []client.Batch {
	out := make([]client.Batch, n)
	for i := range out {
		r.made++
		body := fmt.Sprintf("batch %d of the test %s", r.made, strings.Repeat("x", size))
		out[i] = client.Batch{Body: []byte(body), ContentEncoding: []string{"gzip", ""}[r.made%2], ContentType: []string{client.RemoteWrite, "", "", "", "", "", ""}[r.made%7], Count: r.made % 300}
	}
	return out
}

// append puts n batches in, which must succeed.
func (r *rig) append(n, size int) []client.Batch {
	r.t.Helper()
	bs := r.batches(n, size)
	require.NoError(r.t, r.Append(bs))
	r.keep(bs)
	return bs
}

func (r *rig) keep(bs []client.Batch) {
	for _, b := range bs {
		require.False(r.t, has(r.kept, b.Key), "a key stands for one batch")
		r.kept[b.Key] = string(b.Body)
		r.order = append(r.order, b.Key)
	}
}

// lease takes a batch that must be there.
func (r *rig) lease() *spool.Lease {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	l, err := r.Lease(ctx)
	require.NoError(r.t, err)
	r.arrive(l)
	return l
}

// arrive is a batch's arrival at the server, whose answer may still get lost.
func (r *rig) arrive(l *spool.Lease) {
	r.t.Helper()
	b := l.Batch()
	if kept, ok := r.kept[b.Key]; ok {
		require.Equal(r.t, kept, string(b.Body), "a key keeps its bytes")
	}
	if body, ok := r.applied[b.Key]; ok {
		require.Equal(r.t, body, string(b.Body), "a key keeps its bytes")
		return
	}
	r.applied[b.Key] = string(b.Body)
	r.sent = append(r.sent, b.Key)
}

// none checks that there is nothing to lease.
func (r *rig) none() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err := r.Lease(ctx)
	require.Error(r.t, err)
}

// drain sends everything until nothing waits.
func (r *rig) drain() {
	r.t.Helper()
	for r.Stats().WaitingBatches > 0 {
		r.lease().Ack()
	}
	r.none()
}

// complete checks that all that was promised has arrived exactly once.
func (r *rig) complete() {
	r.t.Helper()
	bodies := map[string]string{}
	for key, body := range r.applied {
		require.False(r.t, has(bodies, body), "no batch arrives under two keys (%s)", key)
		bodies[body] = key
	}
	for _, key := range r.order {
		require.True(r.t, has(r.applied, key), "%s never arrives: %.20s", key, r.kept[key])
	}
	r.contiguous()
}

// contiguous checks that every producer's sequences are 1, 2, 3 …
func (r *rig) contiguous() {
	r.t.Helper()
	seqs := map[string][]int{}
	for key := range r.applied {
		producer, seq := split(r.t, key)
		seqs[producer] = append(seqs[producer], seq)
	}
	for producer, list := range seqs {
		slices.Sort(list)
		for i, n := range list {
			require.Equal(r.t, i+1, n, "producer %s", producer)
		}
	}
}

func has(m map[string]string, key string) bool { _, ok := m[key]; return ok }

func split(t testing.TB, key string) (producer string, seq int) {
	t.Helper()
	producer, s, ok := strings.Cut(strings.Trim(key, `"`), "/")
	require.True(t, ok, key)
	seq, err := strconv.Atoi(s)
	require.NoError(t, err)
	return producer, seq
}

func (r *rig) files() map[string]int64 {
	r.t.Helper()
	names, err := r.fs.List(r.o.Dir)
	require.NoError(r.t, err)
	out := map[string]int64{}
	for _, name := range names {
		info, err := r.fs.Stat(r.fs.PathJoin(r.o.Dir, name))
		require.NoError(r.t, err)
		out[name] = info.Size()
	}
	return out
}

// segments are the sizes of the journal's files.
func (r *rig) segments() (names []string, total int64) {
	for name, size := range r.files() {
		if strings.HasSuffix(name, ".log") {
			names = append(names, name)
			total += size
		}
	}
	slices.Sort(names)
	return names, total
}

func (r *rig) said(message string) int { return r.logs.FilterMessage(message).Len() }

func read(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	require.NoError(t, err)
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return data
}

func write(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	_, err = f.Write(bytes.Clone(data))
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

// clone is a copy of the folder, which is what kill -9 leaves.
func clone(t testing.TB, from vfs.FS) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	require.NoError(t, to.MkdirAll(dir, 0o755))
	names, err := from.List(dir)
	require.NoError(t, err)
	for _, name := range names {
		if info, err := from.Stat(dir + "/" + name); err != nil || info.IsDir() || name == "lock" {
			continue
		}
		write(t, to, dir+"/"+name, read(t, from, dir+"/"+name))
	}
	return to
}

func TestGoesOnAfterRestart(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.append(3, 10)
	r.lease().Ack()
	second := r.lease() // never settled
	require.NotNil(t, second)
	require.NoError(t, r.Close())

	r.open()
	require.EqualValues(t, 2, r.Stats().WaitingBatches)
	l := r.lease()
	require.Equal(t, r.order[1], l.Batch().Key)
	r.append(2, 10)
	l.Ack()
	r.drain()
	r.complete()
	require.Equal(t, r.order, r.sent)
	for i, key := range r.order {
		_, seq := split(t, key)
		require.Equal(t, i+1, seq, "sequences go on")
	}
	require.NoError(t, r.Close())

	r.open()
	require.Zero(t, r.Stats().WaitingBatches)
	r.append(1, 10)
	_, seq := split(t, r.order[5])
	require.Equal(t, 6, seq, "also after everything was settled")
	r.drain()
	require.NoError(t, r.Close())
	require.Zero(t, r.logs.FilterLevelExact(zap.WarnLevel).Len()+r.logs.FilterLevelExact(zap.ErrorLevel).Len(), "%v", r.logs.All())
}

func TestSettledSegmentsAreRemoved(t *testing.T) {
	r := newRig(t, vfs.NewMem(), func(o *spool.Options) { o.MaxSize = 1 << 20 })
	for range 100 {
		r.append(1, 8_000)
	}
	names, total := r.segments()
	require.Greater(t, len(names), 10)
	require.Greater(t, total, int64(800_000))
	r.drain()
	r.append(1, 10)
	r.append(1, 10)
	names, _ = r.segments()
	require.LessOrEqual(t, len(names), 2)
	r.drain()
	require.NoError(t, r.Close())
	r.open()
	r.append(1, 10)
	r.drain()
	r.complete()
	require.NoError(t, r.Close())
	names, _ = r.segments()
	require.Len(t, names, 1)
}

// TestMaxSize: the files never exceed the size, and there is room again as soon
// as batches are settled.
func TestMaxSize(t *testing.T) {
	const maxSize = 1 << 20
	r := newRig(t, vfs.NewMem(), func(o *spool.Options) { o.MaxSize = maxSize })
	for round := range 5 {
		full := false
		for !full {
			bs := r.batches(1+r.made%3, 5_000)
			switch err := r.Append(bs); {
			case err == nil:
				r.keep(bs)
			default:
				require.ErrorIs(t, err, spool.ErrFull)
				require.Empty(t, bs[0].Key)
				full = true
			}
			_, total := r.segments()
			require.LessOrEqual(t, total, int64(maxSize))
		}
		require.Greater(t, r.Stats().WaitingBatches, int64(maxSize/5_000*8/10), "round %d", round)
		for range 60 {
			r.lease().Ack()
		}
	}
	r.drain()
	r.complete()
	r.append(1, 900_000) // most of the room for one, and for another once it's gone
	r.drain()
	r.append(1, 900_000)
	r.append(1, 10)
	r.drain()
	r.complete()
	require.NoError(t, r.Close())
}

func TestNeverTooFarAhead(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	for range 20 {
		r.append(100, 10)
	}
	var leases []*spool.Lease
	for range client.MaxAhead {
		leases = append(leases, r.lease())
	}
	r.none()
	for _, l := range leases[1:] {
		l.Ack()
	}
	r.none()
	require.NoError(t, r.Close()) // the oldest is never settled

	r.open()
	first := r.lease()
	require.Equal(t, r.order[0], first.Batch().Key)
	r.none() // the others are settled, and 1,024 ahead is too far
	first.Ack()
	require.Equal(t, r.order[client.MaxAhead], r.lease().Batch().Key)
	require.NoError(t, r.Close())
}

func TestNackGivesBackInOrder(t *testing.T) {
	r := newRig(t, vfs.NewMem(), nil)
	r.append(5, 10)
	var leases []*spool.Lease
	for range 4 {
		leases = append(leases, r.lease())
	}
	leases[1].Ack()
	leases[3].Nack()
	leases[0].Nack()
	require.Equal(t, r.order[0], r.lease().Batch().Key)
	require.Equal(t, r.order[3], r.lease().Batch().Key)
	require.Equal(t, r.order[4], r.lease().Batch().Key)
	leases[2].Nack()
	r.Finish()
	require.Equal(t, r.order[2], r.lease().Batch().Key)
	_, err := r.Lease(t.Context())
	require.ErrorIs(t, err, spool.ErrClosed)
	require.ErrorIs(t, r.Append(r.batches(1, 1)), spool.ErrClosed)
	require.NoError(t, r.Close())
}

func TestOnlyOneAgent(t *testing.T) {
	r := newRig(t, vfs.Default, func(o *spool.Options) { o.Dir = t.TempDir() })
	_, err := spool.Open(r.o)
	require.ErrorContains(t, err, "SPOOL_DIR "+r.o.Dir)
	require.ErrorContains(t, err, "another agent")
	require.NoError(t, r.Close())
	r.open()
	require.NoError(t, r.Close())

	file := t.TempDir() + "/file"
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	r.o.Dir = file
	_, err = spool.Open(r.o)
	require.ErrorContains(t, err, "SPOOL_DIR "+file)
}

// counting counts the syncs of segments.
type counting struct {
	vfs.FS
	syncs int
}

func (c *counting) Create(name string, cat vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := c.FS.Create(name, cat)
	return &countingFile{f, c}, err
}

type countingFile struct {
	vfs.File
	c *counting
}

func (f *countingFile) SyncData() error { f.c.syncs++; return f.File.SyncData() }

// TestOneSyncForAReport: the batches of one Append cost one fsync, and none of
// the settling does.
func TestOneSyncForAReport(t *testing.T) {
	fs := &counting{FS: vfs.NewMem()}
	r := newRig(t, fs, nil)
	r.append(1, 10)
	before := fs.syncs
	r.append(50, 2_000)
	require.Equal(t, before+1, fs.syncs)
	r.drain()
	require.Equal(t, before+1, fs.syncs)
	require.NoError(t, r.Close())
}
