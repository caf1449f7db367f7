// Package config reads the agent's settings from flags and the environment.
package config

import (
	"io"
	"os"
	"strings"
	"time"

	"github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/pkg/signature"
)

// The commands.
const (
	Healthcheck = "healthcheck" // look whether a running agent works
	Once        = "--once"      // print what would be sent
	Check       = "--check"     // look whether the server takes what would be sent
)

// MaxRateLimit is the largest RATE_LIMIT. The server remembers the last 1,024
// batches of a producer, so no more of them may be on their way.
const MaxRateLimit = 1024

// LongestAge is the longest SPOOL_MAX_AGE: the server forgets after it which
// batches of a silent producer it has.
const LongestAge = 7 * 24 * time.Hour

// Config is how the agent runs.
type Config struct {
	Command            string        // one of those above, or empty: collect and send
	Address            string        // of the server: host:port, or an http or https URL; see ServerURL
	LogLevel           string        // debug, info, warn or error
	PollInterval       time.Duration // between collections
	ReportInterval     time.Duration // between sends
	BatchSize          int           // metrics of one request, at most
	Key                logger.Secret // of the signatures; empty: none
	RateLimit          int           // requests on their way at once, at most
	SpoolDir           string        // of the queue on disk; empty: memory only
	SpoolMaxSize       int64         // of its files, in bytes
	SpoolMaxAge        time.Duration // of a batch
	HealthFile         string        // written while the agent works; empty: none
	CPUProfileFile     string
	CPUProfileDuration time.Duration
	MemProfileFile     string
	Labels             map[string]string // on every metric; empty: none

	Signature signature.Mode // the forms that signatures have
	Access    Access
	Collect   Collect
}

// ServerURL is Address as a URL without a slash at its end. A missing host
// means localhost.
func (c Config) ServerURL() string {
	switch {
	case strings.Contains(c.Address, "://"):
		return c.Address
	case strings.HasPrefix(c.Address, ":"):
		return "http://localhost" + c.Address
	}
	return "http://" + c.Address
}

// settings declares every setting once: flags, variables, help and
// documentation follow from it.
type settings struct {
	Address  config.Var[string]            `group:"General" flag:"address" short:"a" env:"ADDRESS" help:"The server to send to."`
	LogLevel config.Var[string]            `group:"General" flag:"log-level" short:"l" env:"LOG_LEVEL" help:"The least level that is logged."`
	Labels   config.Var[map[string]string] `group:"General" flag:"labels" env:"LABELS" default:"instance=<hostname>" help:"Labels on every metric, instead of the default. A value with a comma stands in double quotes."`

	HealthFile config.Var[string] `group:"General" flag:"health-file" env:"HEALTH_FILE" help:"A file that is written every 5 s while the agent's loops go on, for the command healthcheck; empty: none."`

	PollInterval   config.Var[time.Duration] `group:"Sending" flag:"poll-interval" short:"p" env:"POLL_INTERVAL" help:"How often metrics are collected."`
	ReportInterval config.Var[time.Duration] `group:"Sending" flag:"report-interval" short:"r" env:"REPORT_INTERVAL" help:"How often metrics are sent."`
	BatchSize      config.Var[int]           `group:"Sending" flag:"batch-size" short:"b" env:"BATCH_SIZE" help:"How many metrics a request has at most."`
	RateLimit      config.Var[int]           `group:"Sending" flag:"rate-limit" short:"m" env:"RATE_LIMIT" help:"How many requests are on their way at once at most."`

	SpoolDir     config.Var[string]        `group:"Spool" flag:"spool-dir" env:"SPOOL_DIR" help:"The folder of the queue on disk, which keeps what the server doesn't have yet through kills and power cuts; empty: in memory only. One agent at a time uses it, and it must not be copied."`
	SpoolMaxSize config.Var[int64]         `group:"Spool" flag:"spool-max-size" env:"SPOOL_MAX_SIZE" help:"How large the queue on disk gets. Then gauge samples are dropped and increments wait in memory."`
	SpoolMaxAge  config.Var[time.Duration] `group:"Spool" flag:"spool-max-age" env:"SPOOL_MAX_AGE" default:"168h" help:"How long a batch waits on disk before it is dropped."`

	Key config.Var[logger.Secret] `group:"Security" flag:"key" short:"k" env:"KEY" help:"Key of the signatures; empty: none. Prefer the variable: everybody on the machine sees flags."`

	Signature config.Var[string] `group:"Security" flag:"signature" env:"SIGNATURE" help:"What signs a request: hash, the HashSHA256 header; message, RFC 9421, which the server must take; or both, for the change from one to the other. The last two need a key."`

	AccessSettings

	CollectSettings

	config.Profiling
}

func defaults() *settings {
	const longest = LongestAge // the agent drops what is older
	return &settings{
		Address:        config.Server("localhost:8080"),
		LogLevel:       config.Level("info"),
		Labels:         config.Labels(hostLabel()),
		HealthFile:     config.PathOrEmpty(""),
		PollInterval:   config.Seconds(2*time.Second, time.Millisecond, longest),
		ReportInterval: config.Seconds(10*time.Second, time.Millisecond, longest),
		BatchSize:      config.Int(200, 1, 100_000),
		RateLimit:      config.Int(10, 1, MaxRateLimit),
		SpoolDir:       config.PathOrEmpty(""),
		SpoolMaxSize:   config.Size(512<<20, 1<<20, 1<<50),
		SpoolMaxAge:    config.Seconds(LongestAge, time.Second, LongestAge),
		Key:            config.Secret(),
		Signature:      config.Choice("mode", "hash", "hash", "both", "message"),
		AccessSettings: defaultAccess(),

		CollectSettings: defaultCollect(),
		Profiling:       config.DefaultProfiling(),
	}
}

// hostLabel is no label on a machine that has no name.
func hostLabel() map[string]string {
	labels := make(map[string]string)
	if name, err := os.Hostname(); err == nil && name != "" {
		labels["instance"] = name
	}
	return labels
}

func (s *settings) config() Config {
	mode, err := signature.ParseMode(s.Signature.Value())
	if err != nil {
		panic(err) // Choice knows the same words
	}
	return Config{
		Address:            s.Address.Value(),
		LogLevel:           s.LogLevel.Value(),
		PollInterval:       s.PollInterval.Value(),
		ReportInterval:     s.ReportInterval.Value(),
		BatchSize:          s.BatchSize.Value(),
		Key:                s.Key.Value(),
		Signature:          mode,
		RateLimit:          s.RateLimit.Value(),
		SpoolDir:           s.SpoolDir.Value(),
		SpoolMaxSize:       s.SpoolMaxSize.Value(),
		SpoolMaxAge:        s.SpoolMaxAge.Value(),
		HealthFile:         s.HealthFile.Value(),
		CPUProfileFile:     s.CPUProfileFile.Value(),
		CPUProfileDuration: s.CPUProfileDuration.Value(),
		MemProfileFile:     s.MemProfileFile.Value(),
		Labels:             s.Labels.Value(),
		Collect:            s.collect(),
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
		Name:  "gometheus-agent",
		About: "Collects metrics of this machine and pushes them to a gometheus server.",
		Commands: []config.Command{{
			Name:  Healthcheck,
			About: "Look at the HEALTH_FILE of a running agent, and exit with 0 if its loops go on, else with 1 and the reason. For containers and scripts.",
		}, {
			Name:  Once,
			About: "Collect once, print in Prometheus' text format what would be sent, and exit. Nothing is sent.",
		}, {
			Name:  Check,
			About: "Try the server: is it there, does it take what this agent would send, are the clocks right. Says what is wrong, and exits with 0 if nothing is, else with 1.",
		}},
	}
	command, args := program.CutCommand(args)
	if err := config.Parse(program, s, args, lookup, out); err != nil {
		return Config{}, err
	}
	cfg := s.config()
	if cfg.Signature != signature.Hash && cfg.Key == "" {
		return Config{}, &config.Error{
			Setting: "SIGNATURE", Value: cfg.Signature.String(), Valued: true,
			Reason: "there is no KEY to sign with", Allowed: "a KEY, or hash",
		}
	}
	if err := s.AccessSettings.complete(&cfg); err != nil {
		return Config{}, err
	}
	if err := cfg.Collect.check(); err != nil {
		return Config{}, err
	}
	cfg.Command = command
	return cfg, nil
}
