package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// compactor is the TSDB's, except that it looks at the late samples once more
// before it writes them into blocks.
//
// The TSDB goes through all series once, moves the late samples of each into a
// chunk on disk, and notes the last chunk's number, and the series that have such
// chunks, with the time they span. Afterwards it writes blocks of what it noted,
// and drops all chunks of late samples up to that number. Samples that come while
// it goes through the series may fill chunks with smaller numbers in series that it
// has passed already: those are in no block, and dropped (Prometheus 3.16,
// NewOOOCompactionHead; TestLateSamplesDuringCompaction loses some without this).
//
// When the blocks are asked for, every chunk up to that number is there. So a
// second look, taken then, finds them all; what it finds beyond them stays in the
// head too, and queries see it once.
type compactor struct {
	tsdb.Compactor
	head atomic.Pointer[tsdb.Head] // nil until the TSDB is open

	// The last request for a block of late samples; the TSDB makes one at a time.
	ref  chunks.ChunkDiskMapperRef
	mint int64
}

// new makes the TSDB's own compactor with the options that it would have,
// and puts c around it.
func (c *compactor) new(
	ctx context.Context, r prometheus.Registerer, log *slog.Logger, ranges []int64, pool chunkenc.Pool, o *tsdb.Options,
) (tsdb.Compactor, error) {
	own, err := tsdb.NewLeveledCompactorWithOptions(ctx, r, log, ranges, pool, tsdb.LeveledCompactorOptions{
		MaxBlockChunkSegmentSize:    o.MaxBlockChunkSegmentSize,
		EnableOverlappingCompaction: o.EnableOverlappingCompaction,
		PD:                          o.PostingsDecoderFactory,
		UseUncachedIO:               o.UseUncachedIO,
		BlockExcludeFilter:          o.BlockCompactionExcludeFunc,
		FloatChunkEncoding:          func() chunkenc.Encoding { return o.FloatChunkEncoding },
	})
	c.Compactor = own
	return c, err
}

// Write implements tsdb.Compactor. Of late samples the first request writes the
// blocks of all times; those that follow, of later and later times, write nothing.
func (c *compactor) Write(dest string, b tsdb.BlockReader, mint, maxt int64, base *tsdb.BlockMeta) ([]ulid.ULID, error) {
	late, ok := b.(*tsdb.OOOCompactionHead)
	head := c.head.Load()
	if !ok || head == nil {
		return c.Compactor.Write(dest, b, mint, maxt, base)
	}
	follows := late.LastMmapRef() == c.ref && mint > c.mint
	c.ref, c.mint = late.LastMmapRef(), mint
	if follows {
		return nil, nil
	}
	all, err := tsdb.NewOOOCompactionHead(context.Background(), head)
	if err != nil {
		return nil, fmt.Errorf("look at the late samples: %w", err)
	}
	var blocks []ulid.ULID
	size := all.ChunkRange()
	for t := size * (all.MinTime() / size); t <= all.MaxTime(); t += size {
		written, err := c.Compactor.Write(dest, all.CloneForTimeRange(t, t+size-1), t, t+size, base)
		if err != nil {
			errs := []error{err}
			for _, block := range blocks {
				errs = append(errs, os.RemoveAll(filepath.Join(dest, block.String())))
			}
			c.ref, c.mint = 0, 0
			return nil, errors.Join(errs...)
		}
		blocks = append(blocks, written...)
	}
	return blocks, nil
}
