package app

import (
	"context"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/storage"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
	"github.com/gometheus/gometheus/internal/server/storage/memory"
	"github.com/gometheus/gometheus/internal/server/storage/pgsql"
	"github.com/gometheus/gometheus/internal/server/telemetry"
)

// openedStorage is a storage and what it does in the background.
type openedStorage struct {
	storage.Storage
	name string
	// Run works until ctx ends.
	Run func(ctx context.Context) error
}

// openStorage picks the storage that the configuration asks for. It waits for a
// database that is away until ctx ends.
func openStorage(ctx context.Context, cfg config.Config, log *zap.Logger) (openedStorage, error) {
	switch {
	case cfg.DatabaseDSN != "":
		log.Info("DATABASE_DSN is set: the state is in PostgreSQL, and no files are used")
		store, err := pgsql.Open(ctx, pgsql.Options{
			DSN: cfg.DatabaseDSN, MaxConns: cfg.DatabaseMaxConns, Timeout: cfg.DatabaseTimeout,
			ConnectTimeout: cfg.DatabaseConnectTimeout, MaxSeries: cfg.Limits.Series, Log: log,
		})
		if err != nil {
			return openedStorage{}, err
		}
		return openedStorage{store, "PostgreSQL", store.Run}, nil
	case cfg.FileStoragePath == "":
		log.Warn("FILE_STORAGE_PATH is empty: the state lives in memory and ends with the process")
		store := memory.New()
		store.LimitSeries(cfg.Limits.Series)
		return openedStorage{store, "memory", idle}, nil
	default:
		store, err := dump.Open(dump.Options{
			FS: vfs.Default, Path: cfg.FileStoragePath, Interval: cfg.StoreInterval, Restore: cfg.Restore,
			MaxSeries: cfg.Limits.Series, Now: time.Now, Log: log,
		})
		if err != nil {
			return openedStorage{}, err
		}
		return openedStorage{store, cfg.FileStoragePath, store.Run}, nil
	}
}

// idle is the background of a storage that has none.
func idle(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// tellStorage registers what a storage can tell of itself without asking others.
func tellStorage(tell *telemetry.Telemetry, s storage.Storage) {
	if s, ok := s.(interface{ Series() int64 }); ok {
		tell.Func("gometheus_series", "Series in the state.", func() float64 { return float64(s.Series()) })
	}
	if s, ok := s.(interface{ JournalSize() int64 }); ok {
		tell.Func("gometheus_journal_size_bytes", "What was written to the journal since the last snapshot.",
			func() float64 { return float64(s.JournalSize()) })
	}
	if s, ok := s.(interface{ Refusing() bool }); ok {
		tell.Func("gometheus_storage_refuses_writes", "1 while writes are refused since the disk takes none, else 0.", func() float64 {
			if s.Refusing() {
				return 1
			}
			return 0
		})
	}
}
