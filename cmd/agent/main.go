// Command agent collects metrics of this machine and pushes them to a server.
// See --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/gometheus/gometheus/internal/agent/app"
	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/common/process"
	"github.com/gometheus/gometheus/internal/common/systemd"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	cfg, err := config.Parse(args, os.LookupEnv, os.Stdout)
	if err != nil {
		return process.BadSettings(err, os.Stderr)
	}
	if cfg.Command == config.Healthcheck {
		text, err := app.Healthcheck(cfg)
		return process.Health(text, err, os.Stdout)
	}
	log, err := logger.New(cfg.LogLevel, os.Stderr)
	if err != nil {
		return process.BadSettings(err, os.Stderr)
	}
	defer log.Sync() //nolint:errcheck // stderr needs none

	stops := make(chan os.Signal, 2)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	switch cfg.Command {
	case config.Once:
		return process.Task(stops, os.Stderr, func(ctx context.Context) (bool, error) { return true, app.Once(ctx, cfg, log, os.Stdout) })
	case config.Check:
		return process.Task(stops, os.Stderr, func(ctx context.Context) (bool, error) { return app.Check(ctx, cfg, os.Stdout, app.Options{}) })
	}
	process.CollectSooner()
	cpu, mem := profileSignals()
	return process.Run(log, stops, func(ctx context.Context) error {
		return app.Run(ctx, cfg, log, app.Options{CPUProfile: cpu, MemProfile: mem, Systemd: systemd.New(os.LookupEnv, os.Getpid())})
	})
}
