// Package config reads the server's settings from flags and the environment.
package config

import (
	"io"
	"net/netip"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
)

// Config is how the server runs.
type Config struct {
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
	Limits                 Limits
	WebConfigFile          string         // TLS and passwords, as of the exporter toolkit; empty: none
	TrustedSubnet          []netip.Prefix // of clients; empty: all
	TrustedProxies         []netip.Prefix // whose forwarding headers count
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

	WebConfigFile  config.Var[string]         `group:"Security" flag:"web-config-file" env:"WEB_CONFIG_FILE" help:"TLS, client certificates and passwords: a web configuration file as of Prometheus and its exporters. Empty: plain HTTP for everybody."`
	TrustedSubnet  config.Var[[]netip.Prefix] `group:"Security" flag:"trusted-subnet" env:"TRUSTED_SUBNET" help:"Who may use the server, apart from /ping: the address of the peer, or of whom a trusted proxy names, must be in one of these. Empty: everybody."`
	TrustedProxies config.Var[[]netip.Prefix] `group:"Security" flag:"trusted-proxies" env:"TRUSTED_PROXIES" help:"Proxies whose X-Forwarded-For, X-Real-IP and Forwarded count for TRUSTED_SUBNET. They must set or overwrite one of these headers. Empty: none."`

	LimitSettings

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

		Key: config.Secret(),

		WebConfigFile:  config.CheckedPath("a web configuration file whose certificates can be read", web.Validate),
		TrustedSubnet:  config.Prefixes(),
		TrustedProxies: config.Prefixes(),

		LimitSettings: defaultLimits(),
		Profiling:     config.DefaultProfiling(),
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
		Limits:                 s.limits(),
		WebConfigFile:          s.WebConfigFile.Value(),
		TrustedSubnet:          s.TrustedSubnet.Value(),
		TrustedProxies:         s.TrustedProxies.Value(),
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
	}
	if err := config.Parse(program, s, args, lookup, out); err != nil {
		return Config{}, err
	}
	if err := s.check(); err != nil {
		return Config{}, err
	}
	return s.config(), nil
}
