// Package config reads the server's settings from flags and the environment.
package config

import (
	"io"
	"time"

	"github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
)

// Healthcheck is the command that asks a running server whether it works.
const Healthcheck = "healthcheck"

// Config is how the server runs.
type Config struct {
	Command                string        // Healthcheck, or empty: serve
	Address                string        // host:port to listen on
	LogLevel               string        // debug, info, warn or error
	StoreInterval          time.Duration // between snapshots; 0: sync before every answer
	FileStoragePath        string        // empty: memory only
	Restore                bool          // load the state at start
	DatabaseDriver         string
	DatabaseDSN            logger.Secret // set: the state is in PostgreSQL, and there are no files
	DatabaseMaxConns       int
	DatabaseTimeout        time.Duration // of a statement
	DatabaseConnectTimeout time.Duration // of connecting, and of waiting for a free connection
	Key                    logger.Secret // of the signatures; empty: none
	CPUProfileFile         string
	CPUProfileDuration     time.Duration
	MemProfileFile         string
}

// settings declares every setting once: flags, variables, help and
// documentation follow from it.
type settings struct {
	Address  config.Var[string] `group:"General" flag:"address" short:"a" env:"ADDRESS" help:"Where the server listens; without a host, on every address of the machine."`
	LogLevel config.Var[string] `group:"General" flag:"log-level" short:"l" env:"LOG_LEVEL" help:"The least level that is logged."`

	StoreInterval   config.Var[time.Duration] `group:"Files" flag:"store-interval" short:"i" env:"STORE_INTERVAL" help:"How often the snapshot is taken and the journal cut; with 0 every answer waits for the disk."`
	FileStoragePath config.Var[string]        `group:"Files" flag:"file-storage-path" short:"f" env:"FILE_STORAGE_PATH" help:"The snapshot, with its journal beside it; empty keeps the state in memory only. Not used with a database."`
	Restore         config.Var[bool]          `group:"Files" flag:"restore" short:"r" env:"RESTORE" help:"Load the state at start; false starts empty and keeps the old files as .bak."`

	DatabaseDriver config.Var[string]        `group:"Database" flag:"database-driver" env:"DATABASE_DRIVER" help:"The driver for the database."`
	DatabaseDSN    config.Var[logger.Secret] `group:"Database" flag:"database-dsn" short:"d" env:"DATABASE_DSN" help:"PostgreSQL that keeps the state, as postgres://user:password@host:5432/name. Prefer the variable: everybody on the machine sees flags."`

	DatabaseMaxConns       config.Var[int]           `group:"Database" flag:"database-max-conns" env:"DATABASE_MAX_CONNS" help:"How many connections this server opens at most; all servers together need fewer than PostgreSQL's max_connections."`
	DatabaseTimeout        config.Var[time.Duration] `group:"Database" flag:"database-timeout" env:"DATABASE_TIMEOUT" help:"How long a statement may take; a batch is one statement."`
	DatabaseConnectTimeout config.Var[time.Duration] `group:"Database" flag:"database-connect-timeout" env:"DATABASE_CONNECT_TIMEOUT" help:"How long connecting may take, and how long a request waits for a connection that is free."`

	Key config.Var[logger.Secret] `group:"Security" flag:"key" short:"k" env:"KEY" help:"Key of the HashSHA256 signatures; empty: none. Prefer the variable: everybody on the machine sees flags."`

	config.Profiling
}

func defaults() *settings {
	return &settings{
		Address:         config.HostPort("localhost:8080"),
		LogLevel:        config.Level("info"),
		StoreInterval:   config.SecondsOrZero(300*time.Second, time.Millisecond, 365*24*time.Hour),
		FileStoragePath: config.PathOrEmpty("/tmp/metrics-db.json"),
		Restore:         config.Bool(true),
		DatabaseDriver:  config.Choice("driver", "pgx", "pgx"),
		DatabaseDSN:     config.Secret(),

		DatabaseMaxConns:       config.Int(10, 1, 1000),
		DatabaseTimeout:        config.Seconds(30*time.Second, 100*time.Millisecond, time.Hour),
		DatabaseConnectTimeout: config.Seconds(5*time.Second, 100*time.Millisecond, time.Hour),

		Key:       config.Secret(),
		Profiling: config.DefaultProfiling(),
	}
}

func (s *settings) config() Config {
	return Config{
		Address:                s.Address.Value(),
		LogLevel:               s.LogLevel.Value(),
		StoreInterval:          s.StoreInterval.Value(),
		FileStoragePath:        s.FileStoragePath.Value(),
		Restore:                s.Restore.Value(),
		DatabaseDriver:         s.DatabaseDriver.Value(),
		DatabaseDSN:            s.DatabaseDSN.Value(),
		DatabaseMaxConns:       s.DatabaseMaxConns.Value(),
		DatabaseTimeout:        s.DatabaseTimeout.Value(),
		DatabaseConnectTimeout: s.DatabaseConnectTimeout.Value(),
		Key:                    s.Key.Value(),
		CPUProfileFile:         s.CPUProfileFile.Value(),
		CPUProfileDuration:     s.CPUProfileDuration.Value(),
		MemProfileFile:         s.MemProfileFile.Value(),
	}
}

// Default is the configuration without flags and variables.
func Default() Config { return defaults().config() }

// Settings lists the settings for documentation.
func Settings() []config.Setting { return config.Settings(defaults()) }

// Parse reads the flags in args and the variables that lookup finds. Its errors
// are those of the common package: *config.Error, config.ErrHelp and
// config.ErrVersion.
func Parse(args []string, lookup func(string) (string, bool), out io.Writer) (Config, error) {
	s := defaults()
	program := config.Program{
		Name:  "gometheus-server",
		About: "Takes the metrics that agents push, keeps them, and answers questions.",
		Commands: []config.Command{{
			Name:  Healthcheck,
			About: "Ask the server that listens on ADDRESS for /ping, and exit with 0 if it is well, else with 1 and the reason. For containers and scripts.",
		}},
	}
	command, args := program.CutCommand(args)
	if err := config.Parse(program, s, args, lookup, out); err != nil {
		return Config{}, err
	}
	c := s.config()
	c.Command = command
	return c, nil
}
