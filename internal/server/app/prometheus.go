package app

import (
	"context"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/features"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
	"github.com/gometheus/gometheus/internal/server/admission"
	"github.com/gometheus/gometheus/internal/server/api/promapi"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/internal/server/history"
	"github.com/gometheus/gometheus/internal/server/telemetry"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// guard is what stands before a handler.
type guard = func(http.Handler) http.Handler

// prometheusAPI makes the maker of the handlers of what this server has in common
// with a Prometheus; nil if there is no history to ask.
func prometheusAPI(cfg config.Config, past openedHistory, tell *telemetry.Telemetry, stopping *atomic.Bool, memory *semaphore.Semaphore, gate *admission.Gate, log *zap.Logger) func(write, change guard) *promapi.API {
	if past.History == nil {
		return nil
	}
	return func(write, change guard) *promapi.API {
		o := prometheusOptions(cfg, past.History, tell, stopping, memory, gate, log)
		o.Write, o.Guard = write(o.Write), change
		return promapi.New(o)
	}
}

func prometheusOptions(cfg config.Config, h *history.History, tell *telemetry.Telemetry, stopping *atomic.Bool, memory *semaphore.Semaphore, gate *admission.Gate, log *zap.Logger) promapi.Options {
	build := buildinfo.Read()
	start := time.Now()
	return promapi.Options{
		Storage: h, Exemplars: h, Engine: h.Engine(), Parser: h.Parser(), Metadata: h,
		TSDB:     flushed{promapi.DB{DB: h.DB(), Gatherer: tell.Registry()}, h},
		Features: features.NewRegistry(),
		Flags:    cfg.Shown, Config: configText(cfg),
		Build: promapi.BuildInfo{
			Revision: build.Commit, BuildDate: build.Date, GoVersion: build.Go, Server: build.Version,
		},
		Runtime: func() (promapi.RuntimeInfo, error) { return runtimeInfo(cfg, start), nil },
		Ready: func() error {
			if stopping.Load() {
				return promapi.ErrStopping
			}
			return nil
		},
		EnableAdmin: cfg.EnableAdminAPI, Dir: cfg.HistoryPath,
		Write: remotewrite.New(remotewrite.Options{
			Appendable: remotewrite.LimitSeries(h, h.DB().Head().NumSeries, cfg.Limits.Series), Metadata: h, Bodies: memory, Enter: gate.Enter, Now: time.Now, Log: log, Hooks: tell.RemoteWrite(),
			Limits: remotewrite.Limits{Wire: cfg.Limits.Body, Plain: cfg.Limits.BodyUnpacked},
		}),
		LookbackDelta: history.Lookback, Now: time.Now, Log: log,
	}
}

// configText is the settings as a Prometheus would show its configuration file:
// this server has none.
func configText(cfg config.Config) string {
	var b strings.Builder
	b.WriteString("# gometheus has no configuration file. It runs with these settings:\n")
	for _, name := range slices.Sorted(maps.Keys(cfg.Shown)) {
		b.WriteString("# --" + name + "=" + cfg.Shown[name] + "\n")
	}
	return b.String()
}

func runtimeInfo(cfg config.Config, start time.Time) promapi.RuntimeInfo {
	// Where it can't be told it is left out.
	cwd, _ := os.Getwd()
	host, _ := os.Hostname()
	retention := cfg.Shown["history-retention"]
	if cfg.HistoryMaxSize > 0 {
		retention += " or " + cfg.Shown["history-max-size"]
	}
	return promapi.RuntimeInfo{
		StartTime: start, CWD: filepath.Clean(cwd), Hostname: host, ServerTime: time.Now(),
		ReloadConfigSuccess: true, LastConfigTime: start,
		GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0), GOMEMLIMIT: debug.SetMemoryLimit(-1),
		StorageRetention: retention,
	}
}

// flushed is the TSDB with what was pushed until now: what waits to be written is
// counted, deleted and copied as well.
type flushed struct {
	promapi.DB
	h *history.History
}

// Stats implements promapi.TSDB.
func (f flushed) Stats(statsByLabelName string, limit int) (*tsdb.Stats, error) {
	f.h.Flush()
	return f.DB.Stats(statsByLabelName, limit)
}

// Delete implements promapi.TSDB.
func (f flushed) Delete(ctx context.Context, mint, maxt int64, ms ...*labels.Matcher) error {
	f.h.Flush()
	return f.DB.Delete(ctx, mint, maxt, ms...)
}

// Snapshot implements promapi.TSDB.
func (f flushed) Snapshot(dir string, withHead bool) error {
	f.h.Flush()
	return f.DB.Snapshot(dir, withHead)
}
