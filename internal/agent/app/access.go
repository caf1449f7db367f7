package app

import (
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/pkg/client"
)

// accessOptions are how the client reaches the server and who it says it is.
func accessOptions(cfg config.Config, o Options, log *zap.Logger) ([]client.Option, error) {
	var opts []client.Option
	a := cfg.Access
	if a.User != "" {
		opts = append(opts, client.WithBasicAuth(a.User, a.Password.Reveal()))
		if !strings.HasPrefix(cfg.ServerURL(), "https://") {
			log.Warn("the password goes to the server readable by all on the way: use an https:// address")
		}
	}
	if o.Transport != nil {
		return append(opts, client.WithTransport(o.Transport)), nil
	}
	files, err := client.TLSFiles(a.CA, a.Cert, a.Key)
	if err != nil {
		return nil, err
	}
	return append(opts, client.WithTLS(files)), nil
}

// remindEvery is how often the log tells again that the agent is denied.
const remindEvery = 5 * time.Minute

// reminder is for trouble that waits for people: it is told at once, and again
// and again.
type reminder struct {
	mu   sync.Mutex
	last time.Time // zero: not told since it was forgotten
}

// due reports whether it is to be told now.
func (r *reminder) due() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.last.IsZero() && time.Since(r.last) < remindEvery {
		return false
	}
	r.last = time.Now()
	return true
}

func (r *reminder) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = time.Time{}
}
