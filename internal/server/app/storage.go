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
