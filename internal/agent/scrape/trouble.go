package scrape

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"go.uber.org/zap"
)

// trouble is logged when it begins, when it becomes another one, and when it
// ends, but not at each scrape.
type trouble struct {
	what  string // "scrape fails"
	since time.Time
	kind  string
}

// note logs err if it is news; nil ends the trouble.
func (t *trouble) note(log *zap.Logger, err error) {
	if err == nil {
		if !t.since.IsZero() {
			log.Info(t.what+" no more", zap.Duration("after", time.Since(t.since).Round(time.Millisecond)))
		}
		t.since, t.kind = time.Time{}, ""
		return
	}
	kind := kindOf(err)
	if kind == t.kind {
		return
	}
	if t.since.IsZero() {
		t.since = time.Now()
	}
	t.kind = kind
	fields := []zap.Field{zap.Error(err)}
	if p, ok := errors.AsType[*panicError](err); ok {
		fields = append(fields, zap.ByteString("stack", p.stack))
	}
	log.Warn(t.what, fields...)
}

// kindOf is what two errors of the same trouble have in common. Their texts
// differ, in ports for example.
func kindOf(err error) string {
	if l, ok := errors.AsType[*LimitError](err); ok {
		return cmp.Or(l.Setting, "labels")
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return "panic"
	}
	return "error"
}

// some is an error that n samples were left out, the first of them of the series
// first; nil if n is 0.
func some(n int, first labels.Labels) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("samples left out: %d, the first of them of %.500s", n, first.String())
}
