package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"go.uber.org/zap/zapcore"

	"github.com/gometheus/gometheus/internal/server/config"
)

// serve serves until the server is shut down. With a WEB_CONFIG_FILE the
// exporter toolkit does TLS, client certificates and passwords; it reads the file
// and the certificates anew as they change.
//
// The toolkit puts its own handler around the server's. What outer adds must
// stand outside of that too, so that a request that it refuses is logged, and one
// from a wrong address costs no bcrypt. BaseContext is called after the one and
// before the first request.
func serve(server *http.Server, listener net.Listener, cfg config.Config, outer func(http.Handler) http.Handler, log *zap.Logger) error {
	server.BaseContext = func(net.Listener) context.Context {
		server.Handler = outer(server.Handler)
		return context.Background()
	}
	// What it says at start is said by us; that a file can't be read is an error.
	quiet := log.Named("web").WithOptions(zap.IncreaseLevel(zapcore.WarnLevel))
	err := web.Serve(listener, server, &web.FlagConfig{WebConfigFile: &cfg.WebConfigFile}, slog.New(zapslog.NewHandler(quiet.Core())))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	// The toolkit may have failed before it served.
	if closeErr := listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return fmt.Errorf("serve: %w", err)
}
