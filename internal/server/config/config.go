// Package config reads the server's settings from flags and the environment.
package config

import (
	"io"
	"net/netip"
	"time"

	"github.com/prometheus/exporter-toolkit/web"

	"github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/pkg/signature"
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
	DatabaseTimeout        time.Duration  // of a statement
	DatabaseConnectTimeout time.Duration  // of connecting, and of waiting for a free connection
	Key                    logger.Secret  // of the signatures; empty: none
	Signature              signature.Mode // the forms that signatures have
	History                bool           // keep samples over time
	HistoryPath            string
	HistoryRetention       time.Duration
	HistoryMaxSize         int64         // bytes; 0: no bound
	HistoryOutOfOrder      time.Duration // how late a sample may come
	QueryTimeout           time.Duration
	QueryConcurrency       int
	QueryMaxSamples        int
	EnableAdminAPI         bool // deleting and snapshots over HTTP
	CPUProfileFile         string
	CPUProfileDuration     time.Duration
	MemProfileFile         string
	// Shown is all of this by flag, for people to see: secrets are hidden.
	Shown          map[string]string
	Limits         Limits
	WebConfigFile  string         // TLS and passwords, as of the exporter toolkit; empty: none
	TrustedSubnet  []netip.Prefix // of clients; empty: all
	TrustedProxies []netip.Prefix // whose forwarding headers count
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

	History           config.Var[bool]          `group:"History" flag:"history" env:"HISTORY" help:"Keep every sample over time and answer PromQL; false keeps the latest values alone."`
	HistoryPath       config.Var[string]        `group:"History" flag:"history-path" env:"HISTORY_PATH" help:"The folder of the history, in the format of Prometheus; one server at a time."`
	HistoryRetention  config.Var[time.Duration] `group:"History" flag:"history-retention" env:"HISTORY_RETENTION" help:"How long samples are kept."`
	HistoryMaxSize    config.Var[int64]         `group:"History" flag:"history-max-size" env:"HISTORY_MAX_SIZE" help:"How large the history gets; then the oldest blocks go, before their time. 0: no bound."`
	HistoryOutOfOrder config.Var[time.Duration] `group:"History" flag:"history-out-of-order" env:"HISTORY_OUT_OF_ORDER" help:"How much older than the newest sample a late one may be, such as from an agent that was cut off."`
	QueryTimeout      config.Var[time.Duration] `group:"History" flag:"query-timeout" env:"QUERY_TIMEOUT" help:"How long a query may take."`
	QueryConcurrency  config.Var[int]           `group:"History" flag:"query-concurrency" env:"QUERY_CONCURRENCY" help:"How many queries run at once; others wait. One core is always left to pushes."`
	QueryMaxSamples   config.Var[int]           `group:"History" flag:"query-max-samples" env:"QUERY_MAX_SAMPLES" help:"How many samples a query may hold in memory, of 16 bytes each."`
	EnableAdminAPI    config.Var[bool]          `group:"History" flag:"enable-admin-api" env:"ENABLE_ADMIN_API" help:"Let requests delete series and take snapshots of the history."`

	Key config.Var[logger.Secret] `group:"Security" flag:"key" short:"k" env:"KEY" help:"Key of the signatures; empty: none. Prefer the variable: everybody on the machine sees flags."`

	Signature config.Var[string] `group:"Security" flag:"signature" env:"SIGNATURE" help:"What signs a request: hash, the HashSHA256 header; message, RFC 9421, which replays and reflections don't pass; or both, either of them, for the change from one to the other. The last two need a key."`

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

		History:           config.Bool(true),
		HistoryPath:       config.Path("gometheus-data"),
		HistoryRetention:  config.Span(15*24*time.Hour, time.Hour, 100*365*24*time.Hour),
		HistoryMaxSize:    config.Size(0, 0, 1<<50),
		HistoryOutOfOrder: config.SpanOrZero(7*24*time.Hour, time.Second, 365*24*time.Hour),
		QueryTimeout:      config.Seconds(30*time.Second, 10*time.Millisecond, time.Hour),
		QueryConcurrency:  config.Int(4, 1, 1000),
		QueryMaxSamples:   config.Int(20_000_000, 1, 1_000_000_000),
		EnableAdminAPI:    config.Bool(false),

		Key:       config.Secret(),
		Signature: config.Choice("mode", "hash", "hash", "both", "message"),

		WebConfigFile:  config.CheckedPath("a web configuration file whose certificates can be read", web.Validate),
		TrustedSubnet:  config.Prefixes(),
		TrustedProxies: config.Prefixes(),

		LimitSettings: defaultLimits(),
		Profiling:     config.DefaultProfiling(),
	}
}

func (s *settings) config() Config {
	mode, err := signature.ParseMode(s.Signature.Value())
	if err != nil {
		panic(err) // Choice knows the same words
	}
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
		History:                s.History.Value(),
		HistoryPath:            s.HistoryPath.Value(),
		HistoryRetention:       s.HistoryRetention.Value(),
		HistoryMaxSize:         s.HistoryMaxSize.Value(),
		HistoryOutOfOrder:      s.HistoryOutOfOrder.Value(),
		QueryTimeout:           s.QueryTimeout.Value(),
		QueryConcurrency:       s.QueryConcurrency.Value(),
		QueryMaxSamples:        s.QueryMaxSamples.Value(),
		EnableAdminAPI:         s.EnableAdminAPI.Value(),
		Signature:              mode,
		CPUProfileFile:         s.CPUProfileFile.Value(),
		CPUProfileDuration:     s.CPUProfileDuration.Value(),
		MemProfileFile:         s.MemProfileFile.Value(),
		Shown:                  config.Shown(s),
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
		Commands: []config.Command{{
			Name:  Healthcheck,
			About: "Ask the server that listens on ADDRESS for /ping, and exit with 0 if it is well, else with 1 and the reason. For containers and scripts.",
		}},
	}
	command, args := program.CutCommand(args)
	if err := config.Parse(program, s, args, lookup, out); err != nil {
		return Config{}, err
	}
	if err := s.check(); err != nil {
		return Config{}, err
	}
	c := s.config()
	if c.Signature != signature.Hash && c.Key == "" {
		return Config{}, &config.Error{
			Setting: "SIGNATURE", Value: c.Signature.String(), Valued: true,
			Reason: "there is no KEY to sign with", Allowed: "a KEY, or hash",
		}
	}
	c.Command = command
	return c, nil
}
