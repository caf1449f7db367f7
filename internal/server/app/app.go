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
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/common/pprof"
	"github.com/gometheus/gometheus/internal/common/systemd"
	"github.com/gometheus/gometheus/internal/server/admission"
	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/telemetry"
	"github.com/gometheus/gometheus/internal/server/templates"
	common "github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// Bounds on what a connection may take, and on stopping.
const (
	// answerTime is what an answer may take beyond its request.
	answerTime      = 30 * time.Second
	shutdownTimeout = 10 * time.Second
	maxHeaderBytes  = 64 << 10
)

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
	tell := telemetry.New()
	store.tell(tell)
	var stopping atomic.Bool
	past, err := openHistory(ctx, cfg, store, tell, log)
	if err != nil {
		if ctx.Err() != nil { // told to stop while it read
			log.Info("stopped", zap.Error(err))
			return nil
		}
		return err
	}
	defer func() {
		if closeErr := past.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("close history: %w", closeErr))
		}
	}()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.Address)
	if err != nil {
		return fmt.Errorf("listen on ADDRESS %s: %w", cfg.Address, err)
	}
	var inFlight sync.WaitGroup
	routes := routes(cfg, store, past, tell, &stopping, log)
	inner := router.Inner(routes)
	// What the watchdog asks passes nothing that stands outside of inner.
	guarded := middleware.Recover(routes.Problem)(inner)
	server := &http.Server{
		Handler:           inner,
		ReadHeaderTimeout: cfg.Limits.HeaderTime,
		ReadTimeout:       cfg.Limits.RequestTime,
		WriteTimeout:      cfg.Limits.RequestTime + answerTime, // from the end of the request's header
		IdleTimeout:       cfg.Limits.IdleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          zap.NewStdLog(log.WithOptions(zap.AddCallerSkip(1)).Named("http")),
	}
	// What the storage does in the background goes on until the last request is
	// answered.
	background, stopBackground := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBackground()

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return store.Run(background) })
	group.Go(func() error { return past.Run(background) })
	group.Go(func() error {
		return pprof.Run(ctx, pprof.Config{
			CPUFile: cfg.CPUProfileFile, CPUDuration: cfg.CPUProfileDuration, MemFile: cfg.MemProfileFile,
		}, signals.CPU, signals.Heap, log)
	})
	group.Go(func() error {
		outer := func(h http.Handler) http.Handler { return counted(&inFlight, router.Outer(routes)(h)) }
		return serve(server, listener, cfg, outer, log)
	})
	group.Go(func() error {
		signals.Systemd.Run(ctx, log, "listening on "+listener.Addr().String(), func(ctx context.Context) error {
			return answers(ctx, guarded)
		})
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		defer stopBackground()
		stopping.Store(true)
		shutdown(server, log)
		// Connections that were cut may have handlers, and the storage must outlive
		// these.
		inFlight.Wait()
		return nil
	})
	log.Info("listening", zap.Stringer("address", listener.Addr()), zap.String("storage", store.name),
		zap.Bool("signed", cfg.Key != ""), zap.Stringer("signature", cfg.Signature), zap.String("web_config", cfg.WebConfigFile))
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

func routes(cfg config.Config, store openedStorage, past openedHistory, tell *telemetry.Telemetry, stopping *atomic.Bool, log *zap.Logger) router.Options {
	l := cfg.Limits
	memory, gate := semaphore.New(l.Memory), admission.New(l.Requests)
	limits := metric.Limits{Metrics: l.Batch, Name: l.Name, Labels: l.Labels, LabelName: l.LabelName, LabelValue: l.LabelValue}
	state := manager.New(store, past.recorder(), tell)
	return router.Options{
		API:     api.New(state, limits, time.Now, api.WithMemory(memory), api.WithGate(gate)),
		Pages:   pages.New(pageOptions(cfg, state, store, past, tell, log)),
		Static:  templates.Static,
		Problem: problem.Writer{Log: log, Wrote: tell.Rejected},
		Signer:  middleware.NewSigner(cfg.Key.Reveal(), middleware.WithMode(cfg.Signature), middleware.WithMemory(memory)),
		Limits:  common.BodyLimits{Wire: l.Body, Plain: l.BodyUnpacked, Memory: memory},
		Metrics: tell.Handler(log),

		Prometheus: prometheusAPI(cfg, past, tell, stopping, memory, gate, log),
		QueryTime:  max(cfg.QueryTimeout, l.RequestTime),
		Done:       tell.Request,

		Trusted: middleware.Trusted{Subnets: cfg.TrustedSubnet, Proxies: cfg.TrustedProxies},
		// The file may come to ask for passwords or certificates while we run.
		Credentials: cfg.WebConfigFile != "",
	}
}
