package dump

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
)

// Open loads what is at o.Path and starts a journal. It refuses to start, with
// an error that names file and offset, when what is there is damaged in a way
// that a crash doesn't explain and .bak can't make good; it never starts empty
// where something was.
func Open(o Options) (*Store, error) {
	if err := journal.MkdirAll(o.FS, o.FS.PathDir(o.Path)); err != nil {
		return nil, err
	}
	lock, err := o.FS.Lock(o.Path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("lock %s.lock: is another server using the same FILE_STORAGE_PATH? %w", o.Path, err)
	}
	s, err := open(o)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

func open(o Options) (*Store, error) {
	start := time.Now()
	s := &Store{o: o, grown: make(chan struct{}, 1)}
	s.pending.New = func() any { return &pending{done: make(chan bool, 1)} }
	// What a killed snapshot left may take the last of the room.
	if err := o.FS.Remove(o.Path + tmpSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove unfinished snapshot: %w", err)
	}
	l := loader{o: o}
	load := l.load
	if !o.Restore {
		load = l.startEmpty
	}
	if err := load(); err != nil {
		return nil, err
	}
	dec := decoder{mem: l.mem}
	log, err := journal.Open(
		journal.Options{FS: o.FS, Dir: journalOf(o.Path), Sync: o.Interval == 0, Log: o.Log}, l.header.Journal,
		func(path string, offset int64, rec []byte) error {
			if err := dec.apply(path, rec); err != nil {
				return &journal.CorruptError{Path: path, Offset: offset, Reason: err.Error()}
			}
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	s.mem, s.log, s.position = l.mem, log, l.header.Journal
	if o.MaxSeries > 0 {
		s.mem.LimitSeries(o.MaxSeries)
	}
	s.written.Store(l.size)
	s.stale = l.damaged || !o.Restore || l.header.Journal == 0 || dec.batches > 0
	if l.damaged || !o.Restore {
		// Without a good file at path the next start would load the old one.
		if err := s.Snapshot(); err != nil {
			return nil, errors.Join(err, log.Close())
		}
	}
	o.Log.Info("state loaded", zap.String("file", o.Path), zap.Bool("restore", o.Restore),
		zap.Int("metrics", l.header.Metrics), zap.Int("producers", l.header.Producers),
		zap.Int("journal_batches", dec.batches), zap.Duration("took", time.Since(start)))
	return s, nil
}

// loader finds the snapshot to start from.
type loader struct {
	o       Options
	mem     *memory.Store
	header  snapshotHeader // of what was loaded; zero if nothing was
	size    int64
	damaged bool // what is at path can't serve the next start
}

// startEmpty is RESTORE=false: the old journal is put aside here, the old snapshot
// becomes .bak when Open writes the first one of the new state. The new journal's
// numbers go on from the old one's, so no old snapshot can ever be taken for the
// start of it.
func (l *loader) startEmpty() error {
	fs, dir := l.o.FS, journalOf(l.o.Path)
	l.mem, l.header.Journal = memory.New(), 1
	numbers, err := journal.Segments(fs, dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(numbers) > 0 {
		l.header.Journal = numbers[len(numbers)-1] + 1
	}
	if err := fs.RemoveAll(backupOf(dir)); err != nil {
		return fmt.Errorf("remove old journal backup: %w", err)
	}
	if err := fs.Rename(dir, backupOf(dir)); err != nil {
		return fmt.Errorf("put old journal aside: %w", err)
	}
	return journal.SyncDir(fs, fs.PathDir(dir))
}

func (l *loader) load() error {
	path, bak := l.o.Path, backupOf(l.o.Path)
	err := l.read(path)
	if err == nil {
		return l.checkJournal()
	}
	var corrupt *journal.CorruptError
	missing := errors.Is(err, os.ErrNotExist)
	if !missing && !errors.As(err, &corrupt) {
		return err
	}
	bakErr := l.read(bak)
	switch {
	case bakErr == nil:
	case missing && errors.Is(bakErr, os.ErrNotExist):
		// Nothing was ever saved here; a journal that starts at 1 has it all, and
		// any other is refused when it is opened.
		l.mem, l.header = memory.New(), snapshotHeader{}
		return nil
	case errors.Is(bakErr, os.ErrNotExist) && l.journalFromStart():
		// The first snapshot of all: the journal still has everything.
		l.mem, l.header, bak = memory.New(), snapshotHeader{}, "none"
	case errors.Is(bakErr, os.ErrNotExist):
		return fmt.Errorf("load snapshot: %w (there is no %s to fall back to)", err, bak)
	default:
		return fmt.Errorf("load snapshot: %w", errors.Join(err, bakErr))
	}
	l.damaged = true
	if missing {
		l.o.Log.Warn("snapshot is missing, its backup and the journal take its place",
			zap.String("file", path), zap.String("backup", bak))
		return l.checkJournal()
	}
	aside := path + ".corrupt-" + l.o.Now().UTC().Format("20060102T150405Z")
	l.o.Log.Error("snapshot is damaged, its backup and the journal take its place",
		zap.String("file", path), zap.String("backup", bak), zap.String("put_aside_as", aside), zap.Error(err))
	if err := l.o.FS.Rename(path, aside); err != nil {
		return fmt.Errorf("put damaged snapshot aside: %w", err)
	}
	return l.checkJournal()
}

// journalFromStart reports whether the journal was never cut.
func (l *loader) journalFromStart() bool {
	numbers, err := journal.Segments(l.o.FS, journalOf(l.o.Path))
	return err == nil && len(numbers) > 0 && numbers[0] == 1
}

// checkJournal warns when a snapshot comes without its journal, as when only the
// file was copied from a backup.
func (l *loader) checkJournal() error {
	numbers, err := journal.Segments(l.o.FS, journalOf(l.o.Path))
	if err == nil && len(numbers) > 0 {
		return nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l.o.Log.Warn("there is no journal beside the snapshot: the state is that of the snapshot's time",
		zap.String("file", l.o.Path), zap.Time("created", l.header.Created))
	return nil
}

// read loads the snapshot at path into a new store. An empty file, as somebody
// may have made to reserve the name, counts as missing.
func (l *loader) read(path string) error {
	f, err := l.o.FS.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	mem := memory.New()
	header, size, err := decodeSnapshot(f, path, mem)
	if err == nil {
		l.mem, l.header, l.size = mem, header, size
		return nil
	}
	if size == 0 && errors.Is(err, io.EOF) {
		l.o.Log.Warn("snapshot is an empty file", zap.String("file", path))
		return os.ErrNotExist
	}
	return err
}

// anything lets a snapshot hold what earlier limits allowed.
var anything = metric.Limits{
	Metrics: math.MaxInt, Name: math.MaxInt, Labels: math.MaxInt, LabelName: math.MaxInt, LabelValue: math.MaxInt,
}

// decodeSnapshot reads a snapshot into mem. On an error mem is not to be used.
// A file without a byte is io.EOF.
func decodeSnapshot(r io.Reader, path string, mem *memory.Store) (snapshotHeader, int64, error) {
	d := lineReader{r: bufio.NewReaderSize(r, 256<<10), path: path}
	var header snapshotHeader
	if err := d.json(&header); err != nil {
		return header, d.offset, err
	}
	if header.Format != formatName || header.Version != formatVersion {
		return header, d.offset, &journal.CorruptError{Path: path, Reason: fmt.Sprintf(
			"not a snapshot of a version this program knows: format %.40q, version %d", header.Format, header.Version)}
	}
	var batch metric.Batch
	var key []byte
	for range header.Metrics {
		line, err := d.next()
		if err != nil {
			return header, d.offset, err
		}
		if err := batch.DecodeOne(line, &anything, math.MaxInt64-metric.MaxAhead); err != nil {
			return header, d.offset, d.corrupt(err.Error())
		}
		m := &batch.Metrics[0]
		key = m.AppendKey(key[:0])
		id, err := mem.Resolve(key)
		switch {
		case err != nil:
			return header, d.offset, d.corrupt(err.Error())
		case m.Kind == metric.Gauge:
			mem.RestoreGauge(id, m.Value, m.Timestamp, 0)
		case !mem.RestoreCounter(id, m.Delta, m.Timestamp, 0):
			return header, d.offset, d.corrupt("counter overflows")
		}
	}
	for range header.Producers {
		if err := d.producer(mem); err != nil {
			return header, d.offset, err
		}
	}
	want := trailer(d.crc)
	end, err := d.next()
	if err != nil {
		return header, d.offset, err
	}
	if string(end) != want {
		return header, d.offset, d.corrupt(fmt.Sprintf("%.40q instead of %q: something before is damaged", end, want))
	}
	if _, err := d.r.ReadByte(); err == nil {
		return header, d.offset, &journal.CorruptError{Path: path, Offset: d.offset, Reason: "something follows the last line"}
	}
	return header, d.offset, nil
}

// lineReader reads lines, counting and summing them.
type lineReader struct {
	r      *bufio.Reader
	path   string
	line   int64 // offset where the current line starts
	offset int64 // and where it ends
	crc    uint32
	long   []byte
}

// next returns the next line without its end. It is valid until the next call.
func (d *lineReader) next() ([]byte, error) {
	d.line = d.offset
	line, err := d.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		d.long = append(d.long[:0], line...)
		var rest []byte
		if rest, err = d.r.ReadBytes('\n'); err == nil || errors.Is(err, io.EOF) {
			d.long = append(d.long, rest...)
			line = d.long
		}
	}
	d.offset += int64(len(line))
	switch {
	case errors.Is(err, io.EOF) && d.offset == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		return nil, &journal.CorruptError{Path: d.path, Offset: d.offset, Reason: "the file ends too early"}
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", d.path, err)
	}
	d.crc = crc32.Update(d.crc, castagnoli, line)
	return line[:len(line)-1], nil
}

func (d *lineReader) corrupt(reason string) error {
	return &journal.CorruptError{Path: d.path, Offset: d.line, Reason: reason}
}

func (d *lineReader) json(v any) error {
	line, err := d.next()
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return d.corrupt(err.Error())
	}
	return nil
}

func (d *lineReader) producer(mem *memory.Store) error {
	var in producerLine
	if err := d.json(&in); err != nil {
		return err
	}
	if in.Producer == "" || in.IdleSeconds < 0 {
		return d.corrupt("not a producer")
	}
	p := memory.Producer{Name: in.Producer, Idle: time.Duration(in.IdleSeconds) * time.Second}
	if in.Window != nil {
		p.Window = new(storage.Window)
		if err := p.Window.UnmarshalBinary(in.Window); err != nil {
			return d.corrupt(err.Error())
		}
	}
	mem.RestoreProducer(p)
	return nil
}
