package scrape

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
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
	if s, ok := errors.AsType[statusError](err); ok {
		return s.Error()
	}
	if _, ok := errors.AsType[*parseError](err); ok {
		return "parse"
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errSlow) || errors.Is(err, errBusy) {
		return "timeout"
	}
	return "error"
}

// parseError is an exposition that can't be read.
type parseError struct{ err error }

func (e *parseError) Error() string { return "parse the exposition: " + e.err.Error() }
func (e *parseError) Unwrap() error { return e.err }

// statusError is another status than 200.
type statusError int

func (e statusError) Error() string {
	return fmt.Sprintf("the target answers %d %s", int(e), http.StatusText(int(e)))
}

// some is an error that n samples were left out, the first of them of the series
// first; nil if n is 0.
func some(n int, first labels.Labels) error {
	if n == 0 {
		return nil
	}
	return fmt.Errorf("samples left out: %d, the first of them of %.500s", n, first.String())
}
