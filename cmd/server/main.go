// Command server takes the metrics that agents push, keeps them, and answers
// questions. See --help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/common/process"
	"github.com/gometheus/gometheus/internal/common/systemd"
	"github.com/gometheus/gometheus/internal/server/app"
	"github.com/gometheus/gometheus/internal/server/config"
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
		text, err := app.Healthcheck(context.Background(), cfg)
		return process.Health(text, err, os.Stdout)
	}
	log, err := logger.New(cfg.LogLevel, os.Stderr)
	if err != nil {
		return process.BadSettings(err, os.Stderr)
	}
	defer log.Sync() //nolint:errcheck // stderr needs none
	process.CollectSooner()
	build := buildinfo.Read()
	log.Info("starting", zap.String("version", build.Version), zap.String("commit", build.Commit))

	stops := make(chan os.Signal, 2)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	signals := profileSignals()
	signals.Systemd = systemd.New(os.LookupEnv, os.Getpid())
	return process.Run(log, stops, func(ctx context.Context) error {
		return app.Run(ctx, cfg, log, signals)
	})
}
