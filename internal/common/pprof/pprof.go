// Package pprof is the profiling of both programs: a request writes a profile to
// the file that the configuration names.
//
// Where requests come from is not known here: cmd registers signals on the
// channels (SIGUSR1 for CPU, SIGUSR2 for the heap), tests send by hand.
package pprof

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/pkg/pprof"
)

// Config says where profiles go. A kind whose file is "" is off.
type Config struct {
	CPUFile     string        // replaced by each CPU profile
	CPUDuration time.Duration // of a CPU profile
	MemFile     string        // replaced by each heap profile
}

// Run writes a CPU profile for each value from cpu and a heap profile for each
// from mem, until ctx ends, and logs how each went: a profile that can't be
// written stops nothing. CPU profiles run beside the rest, one at a time; a request
// for another one meanwhile is logged and skipped.
//
// When ctx ends, so does a running CPU profile, and Run returns after it is
// written; the error is nil. A channel that is nil or closed asks for nothing.
func Run(ctx context.Context, cfg Config, cpu, mem <-chan os.Signal, log *zap.Logger) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case _, ok := <-cpu:
			if !ok {
				cpu = nil
				continue
			}
			// That only one runs is pkg/pprof's to hold, as other code may profile too.
			wg.Go(func() {
				write(log.With(zap.Duration("duration", cfg.CPUDuration)), "CPU", cfg.CPUFile, func(path string) error {
					return pprof.CPU(ctx, path, cfg.CPUDuration)
				})
			})
		case _, ok := <-mem:
			if !ok {
				mem = nil
				continue
			}
			write(log, "heap", cfg.MemFile, pprof.Heap)
		}
	}
}

func write(log *zap.Logger, kind, path string, profile func(path string) error) {
	log = log.With(zap.String("profile", kind), zap.String("path", path))
	if path == "" {
		log.Warn("profile skipped: it has no file")
		return
	}
	log.Debug("profile started")
	switch err := profile(path); {
	case errors.Is(err, pprof.ErrRunning):
		log.Warn("profile skipped: one is running")
	case err != nil:
		log.Error("profile not written", zap.Error(err))
	default:
		log.Info("profile written")
	}
}
