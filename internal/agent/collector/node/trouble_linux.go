package node

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
)

// troubles is what is wrong at the moment. Each thing is logged when it begins and
// when a gather passes without it.
type troubles struct {
	log *zap.Logger
	mu  sync.Mutex
	// all are those that have begun, by a key of their own. What comes and goes by
	// the hour, such as a text file's name, leaves it again.
	all map[string]*trouble
	// unprivileged are the collectors that have asked for more rights: to be said
	// once in the life of a process.
	unprivileged map[string]bool
	// gathering is false while the collectors are made: what is wrong then stays so,
	// and no gather sees it again.
	gathering bool
}

type trouble struct {
	text  string
	since time.Time
	seen  bool // in this gather
	who   []zap.Field
}

func newTroubles(log *zap.Logger) *troubles {
	return &troubles{log: log, all: map[string]*trouble{}, unprivileged: map[string]bool{}}
}

// begin notes a trouble, and logs it if it is new. The first field tells whose it
// is, and comes again at its end.
func (t *troubles) begin(key, text string, fields ...zap.Field) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.all[key]; old != nil {
		old.seen = true
		return
	}
	t.log.Warn(text, fields...)
	if !t.gathering {
		return
	}
	t.all[key] = &trouble{text: text, since: time.Now(), seen: true, who: fields[:min(1, len(fields))]}
}

// rights notes that a collector gives less than it could, or nothing.
func (t *troubles) rights(name string, fields ...zap.Field) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unprivileged[name] {
		return
	}
	t.unprivileged[name] = true
	t.log.Warn("node collector needs more rights than this process has; what it may not read is left out", fields...)
}

// made says that the collectors are made.
func (t *troubles) made() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gathering = true
}

// sweep ends what this gather didn't see, and begins the next.
func (t *troubles) sweep() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(t.all)) {
		old := t.all[key]
		if !old.seen {
			t.log.Info("over: "+old.text, append(old.who, zap.Duration("after", time.Since(old.since).Round(time.Millisecond)))...)
			delete(t.all, key)
		}
		old.seen = false
	}
}

// handler takes what the collectors log by themselves, which some do at every
// gather. What is wrong goes through troubles; the rest is detail, and goes on as
// such.
type handler struct {
	next     slog.Handler
	attrs    []slog.Attr
	troubles *troubles
}

// Enabled implements slog.Handler. Details are looked at as well: some tell of
// missing rights.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	name, key, fields, cause := "", r.Message, []zap.Field(nil), error(nil)
	look := func(a slog.Attr) bool {
		if a.Key == "collector" {
			name = a.Value.String()
		}
		if err, ok := a.Value.Any().(error); ok {
			cause = err // it may say something else each time, and so is not in the key
		} else {
			key += "\x00" + a.String()
		}
		fields = append(fields, zap.Any(a.Key, a.Value.Any()))
		return true
	}
	for _, a := range h.attrs {
		look(a)
	}
	r.Attrs(look)
	switch {
	case errors.Is(cause, fs.ErrPermission):
		h.troubles.rights(name, fields...)
	case r.Level >= slog.LevelWarn:
		h.troubles.begin(key, "node collector: "+strings.TrimSpace(r.Message), fields...)
	case h.next.Enabled(ctx, slog.LevelDebug):
		r.Level = slog.LevelDebug
		r.AddAttrs(h.attrs...)
		return h.next.Handle(ctx, r)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{next: h.next, attrs: slices.Concat(h.attrs, attrs), troubles: h.troubles}
}

// WithGroup implements slog.Handler. No collector makes groups.
func (h *handler) WithGroup(string) slog.Handler { return h }
