// Package process is what both programs do around their work: stop in order at
// the first signal, at once at the second, and end with an exit code that says
// how it went. The signals themselves are registered in cmd.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/config"
)

// Exit codes.
const (
	OK     = 0
	Failed = 1 // the work ended with an error, or was cut short
	Usage  = 2 // a setting is wrong
)

// Run works until the work ends. The first value of stops ends its context, the
// second ends everything.
func Run(log *zap.Logger, stops <-chan os.Signal, work func(ctx context.Context) error) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- work(ctx) }() // outlived only at a second signal, when the process ends
	for {
		select {
		case err := <-done:
			if err != nil {
				log.Error("failed", zap.Error(err))
				return Failed
			}
			return OK
		case s := <-stops:
			if ctx.Err() != nil {
				log.Warn("stopped at once", zap.Stringer("signal", s))
				return Failed
			}
			cancel()
		}
	}
}

// Task does something for a person who waits at a terminal: errors are plain
// lines to w. ok tells that all is well, else what is not has been said. A value of
// stops ends it.
func Task(stops <-chan os.Signal, w io.Writer, task func(ctx context.Context) (ok bool, err error)) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-stops:
			cancel()
		case <-ctx.Done():
		}
	}()
	ok, err := task(ctx)
	if err != nil {
		fmt.Fprintln(w, err)
	}
	if err != nil || !ok {
		return Failed
	}
	return OK
}

// Health says what a health check found, and is the exit code for it: 0 or 1, as
// Docker wants it.
func Health(text string, err error, w io.Writer) int {
	if err != nil {
		fmt.Fprintln(w, "unhealthy:", err)
		return Failed
	}
	fmt.Fprintln(w, "healthy:", text)
	return OK
}

// BadSettings is the exit code for an error of a config.Parse; it says the error,
// in one line, unless help or version were asked for.
func BadSettings(err error, w io.Writer) int {
	if errors.Is(err, config.ErrHelp) || errors.Is(err, config.ErrVersion) {
		return OK
	}
	fmt.Fprintln(w, err)
	return Usage
}
