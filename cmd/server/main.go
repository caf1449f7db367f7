// Command server takes the metrics that agents push, keeps them, and answers
// questions. See --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
	common "github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/internal/server/app"
	"github.com/gometheus/gometheus/internal/server/config"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func run(args []string) int {
	cfg, err := config.Parse(args, os.LookupEnv, os.Stdout)
	switch {
	case errors.Is(err, common.ErrHelp), errors.Is(err, common.ErrVersion):
		return exitOK
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	log, err := logger.New(cfg.LogLevel, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitUsage
	}
	defer log.Sync() //nolint:errcheck // stderr needs none
	build := buildinfo.Read()
	log.Info("starting", zap.String("version", build.Version), zap.String("commit", build.Commit))

	stops := make(chan os.Signal, 2)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	profiles := profileSignals()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- app.Run(ctx, cfg, log, profiles) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				log.Error("failed", zap.Error(err))
				return exitFailed
			}
			return exitOK
		case s := <-stops:
			if ctx.Err() != nil { // the second one: the journal has what was acknowledged
				log.Warn("stopped at once", zap.Stringer("signal", s))
				return exitFailed
			}
			cancel()
		}
	}
}
