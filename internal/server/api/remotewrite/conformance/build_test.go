// Package conformance holds our receiver of remote write against the one of
// Prometheus, storage/remote. It has tests and benchmarks only, and a folder of
// its own since that package brings much with it.
package conformance

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// yardstick is the receiver of Prometheus.
func yardstick(db *tsdb.DB) http.Handler {
	return newYardstick(remote.NewWriteHandler, db)
}

// newYardstick calls remote.NewWriteHandler. Its types are inferred, since they
// come from a module that is nobody's business here.
func newYardstick[M ~[]E, E ~string](
	f func(*slog.Logger, prometheus.Registerer, storage.AppendableV2, M, bool, bool) http.Handler, db storage.AppendableV2,
) http.Handler {
	accepted := M{"prometheus.WriteRequest", "io.prometheus.write.v2.Request"}
	return f(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), db, accepted, false, false)
}

func ours(db *tsdb.DB) *remotewrite.Handler {
	return remotewrite.New(remotewrite.Options{Appendable: db, Metadata: &writetest.Families{}, Now: time.Now, Log: zap.NewNop()})
}
