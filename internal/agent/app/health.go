package app

import (
	"context"
	"errors"
	"time"

	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/common/health"
)

// patience is how late a loop may be before it is taken for hanging: longer than
// anything it does that has a timeout, on a machine that has better things to do.
const patience = 30 * time.Second

// tellHealth writes HEALTH_FILE until ctx ends.
func (a *agent) tellHealth(ctx context.Context) {
	if a.cfg.HealthFile == "" {
		return
	}
	health.Keep(ctx, a.cfg.HealthFile, a.log, func() (string, error) {
		if err := a.alive.Check(); err != nil {
			return "", err
		}
		// Whether the server takes anything is said and doesn't count: to restart an
		// agent brings no server back, and may lose what it keeps in memory.
		if since, away := a.away.lasts(); away {
			return "collecting; the server takes no batches, for " + round(since).String(), nil
		}
		return "collecting and sending", nil
	})
}

// Healthcheck is what the agent that runs with this configuration says of itself,
// or why it is not well.
func Healthcheck(cfg config.Config) (string, error) {
	if cfg.HealthFile == "" {
		return "", errors.New("HEALTH_FILE is not set, here and for the agent")
	}
	return health.Read(cfg.HealthFile, time.Now())
}
