package spool

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// producer is who sends the batches that Append takes. The file of that name is
// a line of JSON and a line with the CRC-32C of the first, in hex.
type producer struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	ID      string `json:"id"`
	Epoch   uint64 `json:"epoch"`
	// Base is the number of the last batch before the epoch, so that its sequences
	// begin at 1.
	Base uint64 `json:"base"`
}

const (
	producerFormat  = "gometheus-spool"
	producerVersion = 1
)

func newProducer() producer {
	return producer{Format: producerFormat, Version: producerVersion, ID: rand.Text(), Epoch: 1}
}

// name is the producer as the server knows it.
func (p *producer) name() string { return fmt.Sprintf("%s-%d", p.ID, p.Epoch) }

func (p *producer) write(fs vfs.FS, path string) error {
	line, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode producer: %w", err)
	}
	line = append(line, '\n')
	if err := writeFile(fs, path, fmt.Appendf(line, "%08x\n", crc32.Checksum(line, castagnoli))); err != nil {
		return fmt.Errorf("write producer: %w", err)
	}
	return nil
}

var errProducer = errors.New("the file producer is damaged")

// readProducer returns os.ErrNotExist or errProducer when there is none to be
// had.
func readProducer(fs vfs.FS, path string) (producer, error) {
	data, err := readFile(fs, path)
	if errors.Is(err, os.ErrNotExist) {
		return producer{}, os.ErrNotExist
	}
	if err != nil {
		return producer{}, fmt.Errorf("%w: %w", errProducer, err)
	}
	i := bytes.IndexByte(data, '\n') + 1
	var p producer
	switch {
	case string(data[i:]) != fmt.Sprintf("%08x\n", crc32.Checksum(data[:i], castagnoli)):
		return p, fmt.Errorf("%w: wrong checksum", errProducer)
	case json.Unmarshal(data[:i], &p) != nil || p.Format != producerFormat || p.ID == "" || len(p.ID) > 64:
		return p, fmt.Errorf("%w: not a producer", errProducer)
	case p.Version != producerVersion:
		return p, fmt.Errorf("%w: version %d, but this program knows only %d", errProducer, p.Version, producerVersion)
	}
	return p, nil
}
