package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/journal"
	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/response"
)

// Letter says why a batch is dead. It stands as JSON beside the batch's exact
// body, by the batch's number: 00000000000000000117-<producer>.reason.json beside ….json.gz, or ….json
// when it isn't compressed, or, of remote write, ….rw2.snappy.
type Letter struct {
	Key             string           `json:"key"`
	Time            time.Time        `json:"time"`
	Status          int              `json:"status"`
	Problem         response.Problem `json:"problem"`
	ContentType     string           `json:"content_type,omitempty"`
	ContentEncoding string           `json:"content_encoding,omitempty"`
	Metrics         int              `json:"metrics"`
}

const (
	maxDead     = 1000 // letters
	reasonEnd   = ".reason.json"
	maxCorrupt  = 16 // files put aside
	deadPerSize = 8  // the letters may take this part of MaxSize
	corruptMark = ".corrupt-"
)

// dead is the folder of dead letters. Its method may be called from many
// goroutines.
type dead struct {
	fs      vfs.FS
	dir     string
	maxSize int64
	log     *zap.Logger

	mu      sync.Mutex
	letters []letter // oldest first; nil before the first one is written
	total   int64
	full    bool // the oldest are being removed
}

// letter is the files of one: their names begin with base.
type letter struct {
	base  string
	names []string
	size  int64
}

// bury writes one letter, durably.
func (d *dead) bury(number uint64, l Letter, b client.Batch) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.load(); err != nil {
		return err
	}
	producer, _, _ := strings.Cut(strings.Trim(b.Key, `"`), "/")
	reason, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return fmt.Errorf("encode reason: %w", err)
	}
	reason = append(reason, '\n')
	end := ".json"
	switch {
	case b.ContentType == client.RemoteWrite:
		end = ".rw2.snappy"
	case b.ContentEncoding == "gzip":
		end = ".json.gz"
	}
	base := fmt.Sprintf("%020d-%s", number, producer)
	d.letters = append(d.letters, letter{base, []string{base + end, base + reasonEnd}, int64(len(b.Body) + len(reason))})
	d.total += int64(len(b.Body) + len(reason))
	// The file system may change the slice, and the batch's is the caller's.
	err = writeFile(d.fs, d.fs.PathJoin(d.dir, base+end), slices.Clone(b.Body))
	if err == nil {
		err = writeFile(d.fs, d.fs.PathJoin(d.dir, base+reasonEnd), reason)
	}
	return errors.Join(err, d.prune())
}

// load makes the folder and finds the letters in it.
func (d *dead) load() error {
	if d.letters != nil {
		return nil
	}
	if err := journal.MkdirAll(d.fs, d.dir); err != nil {
		return err
	}
	names, err := d.fs.List(d.dir)
	if err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	slices.Sort(names)
	d.letters = []letter{}
	for _, name := range names {
		info, err := d.fs.Stat(d.fs.PathJoin(d.dir, name))
		if err != nil || info.IsDir() {
			continue
		}
		base, _, _ := strings.Cut(name, ".")
		if n := len(d.letters); n == 0 || d.letters[n-1].base != base {
			d.letters = append(d.letters, letter{base: base})
		}
		l := &d.letters[len(d.letters)-1]
		l.names = append(l.names, name)
		l.size += info.Size()
		d.total += info.Size()
	}
	return nil
}

// prune removes the oldest letters until the rest is within its bounds.
func (d *dead) prune() error {
	for len(d.letters) > 1 && (len(d.letters) > maxDead || d.total > d.maxSize) {
		oldest := d.letters[0]
		d.letters = d.letters[1:]
		d.total -= oldest.size
		if !d.full {
			d.log.Warn("there are many dead letters; from now on the oldest go", zap.String("folder", d.dir))
			d.full = true
		}
		for _, name := range oldest.names {
			if err := d.fs.Remove(d.fs.PathJoin(d.dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("remove old dead letter: %w", err)
			}
		}
		d.log.Debug("dead letter removed", zap.String("letter", oldest.base))
	}
	return nil
}
