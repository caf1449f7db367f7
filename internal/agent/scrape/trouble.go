package scrape

import (
	"errors"
	"fmt"
	"time"

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
		return l.Setting
	}
	if _, ok := errors.AsType[*panicError](err); ok {
		return "panic"
	}
	return "error"
}

// countError is that n of something were left out of a scrape.
type countError struct {
	n    int
	what string
}

func (e *countError) Error() string { return fmt.Sprintf("%d %s", e.n, e.what) }

// some is a countError, or nil if n is 0.
func some(n int, what string) error {
	if n == 0 {
		return nil
	}
	return &countError{n, what}
}
