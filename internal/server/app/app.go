// Package app wires the server: it alone picks implementations, starts what
// runs, and stops it in order.
package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/common/pprof"
	"github.com/gometheus/gometheus/internal/common/systemd"
	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/templates"
	common "github.com/gometheus/gometheus/pkg/middleware"
)

// Bounds on what a connection may take, and on stopping.
const (
	headerTimeout   = 5 * time.Second
	requestTimeout  = 30 * time.Second
	answerTimeout   = time.Minute // from the end of the request's header
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 10 * time.Second
	maxHeaderBytes  = 64 << 10
)

// bodyLimits bound a request body.
var bodyLimits = common.BodyLimits{Wire: 8 << 20, Plain: 32 << 20}

// Signals are what passes between a running server and its machine: requests for
// profiles, and what systemd is told. The zero value is neither.
type Signals struct {
	CPU, Heap <-chan os.Signal
	Systemd   systemd.Notifier
}

// Run serves until ctx ends, then stops in order: no new connections, requests
// in flight finish, the state is saved, the storage is closed. It returns nil if
// all of that went well.
func Run(ctx context.Context, cfg config.Config, log *zap.Logger, signals Signals) (err error) {
	store, err := openStorage(ctx, cfg, log)
	if err != nil {
		if ctx.Err() != nil { // told to stop while it waited for the database
			log.Info("stopped", zap.Error(err))
			return nil
		}
		return err
	}
	defer func() {
		if closeErr := store.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("close storage: %w", closeErr))
		}
	}()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Address)
	if err != nil {
		return fmt.Errorf("listen on ADDRESS %s: %w", cfg.Address, err)
	}
	var inFlight sync.WaitGroup
	server := &http.Server{
		Handler:           counted(&inFlight, handler(cfg, store, log)),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(log.WithOptions(zap.AddCallerSkip(1)).Named("http")),
	}
	// What the storage does in the background goes on until the last request is
	// answered.
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return store.Run(background) })
	group.Go(func() error {
		return pprof.Run(ctx, pprof.Config{
			CPUFile: cfg.CPUProfileFile, CPUDuration: cfg.CPUProfileDuration, MemFile: cfg.MemProfileFile,
		}, signals.CPU, signals.Heap, log)
	})
	group.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		signals.Systemd.Run(ctx, log, "listening on "+listener.Addr().String(), func(ctx context.Context) error {
			return answers(ctx, server.Handler)
		})
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		defer stopBackground()
		shutdown(server, log)
		// Connections that were cut may have handlers, and the storage must outlive
		// these.
		inFlight.Wait()
		return nil
	})
	log.Info("listening", zap.Stringer("address", listener.Addr()), zap.String("storage", store.name),
		zap.Bool("signed", cfg.Key != ""))
	err = group.Wait()
	log.Info("stopped", zap.Error(err))
	return err
}

// shutdown lets requests in flight finish, for a while: a client that doesn't
// read its answer must not keep the server from stopping.
func shutdown(server *http.Server, log *zap.Logger) {
	log.Info("stopping")
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Warn("requests in flight are cut short", zap.Error(errors.Join(err, server.Close())))
	}
}

// counted counts the requests that h is answering.
func counted(inFlight *sync.WaitGroup, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inFlight.Add(1)
		defer inFlight.Done()
		h.ServeHTTP(w, r)
	})
}

func handler(cfg config.Config, store openedStorage, log *zap.Logger) http.Handler {
	return router.New(router.Options{
		API:     api.New(manager.New(store), metric.DefaultLimits(), time.Now),
		Static:  templates.Static,
		Problem: problem.Writer{Log: log},
		Signer:  middleware.NewSigner(cfg.Key.Reveal()),
		Limits:  bodyLimits,
	})
}
