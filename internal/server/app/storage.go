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
	// tell registers what it tells of itself.
	tell func(*telemetry.Telemetry)
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
		return openedStorage{store, "PostgreSQL", store.Run, func(t *telemetry.Telemetry) { tellDatabase(t, store) }}, nil
	case cfg.FileStoragePath == "":
		log.Warn("FILE_STORAGE_PATH is empty: the state lives in memory and ends with the process")
		store := memory.New()
		store.LimitSeries(cfg.Limits.Series)
		return openedStorage{store, "memory", idle, func(t *telemetry.Telemetry) {
			t.Func(seriesMetric, seriesHelp, func() float64 { return float64(store.Series()) })
		}}, nil
	default:
		store, err := dump.Open(dump.Options{
			FS: vfs.Default, Path: cfg.FileStoragePath, Interval: cfg.StoreInterval, Restore: cfg.Restore,
			MaxSeries: cfg.Limits.Series, Now: time.Now, Log: log,
		})
		if err != nil {
			return openedStorage{}, err
		}
		return openedStorage{store, cfg.FileStoragePath, store.Run, func(t *telemetry.Telemetry) { tellFiles(t, store) }}, nil
	}
}

const (
	seriesMetric = "gometheus_series"
	seriesHelp   = "Series in the state."
)

func tellFiles(t *telemetry.Telemetry, store *dump.Store) {
	t.Func(seriesMetric, seriesHelp, func() float64 { return float64(store.Stats().Series) })
	t.Func("gometheus_journal_bytes", "Size of the journal since the last snapshot.", func() float64 { return float64(store.Stats().JournalBytes) })
	t.Func("gometheus_snapshot_bytes", "Size of the snapshot on disk; 0 if there is none.", func() float64 { return float64(store.Stats().SnapshotBytes) })
	t.Func("gometheus_snapshot_timestamp_seconds", "When the last snapshot was taken, in Unix time; 0 if this process has taken none.", func() float64 {
		if at := store.Stats().SnapshotAt; !at.IsZero() {
			return float64(at.UnixMilli()) / 1000
		}
		return 0
	})
	t.Func("gometheus_journal_failing", "1 while the journal refuses writes, else 0.", func() float64 {
		if store.Stats().Failing {
			return 1
		}
		return 0
	})
}

func tellDatabase(t *telemetry.Telemetry, store *pgsql.Store) {
	t.Func("gometheus_database_connections", "Open connections to PostgreSQL.", func() float64 {
		open, _ := store.Conns()
		return float64(open)
	})
	t.Func("gometheus_database_connections_in_use", "Connections to PostgreSQL that are in use.", func() float64 {
		_, used := store.Conns()
		return float64(used)
	})
}

// idle is the background of a storage that has none.
func idle(ctx context.Context) error {
	<-ctx.Done()
	return nil
}
