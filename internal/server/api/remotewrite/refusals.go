package remotewrite

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// refusals collects what was wrong with parts of a request.
type refusals struct {
	text strings.Builder
	n    int // messages, said and unsaid
	by   map[Reason]int
}

// maxReasons is how many are listed in an answer.
const maxReasons = 20

// add is one sample of the current series.
func (r *refusals) add(b *batch, reason Reason, t int64, err error) {
	r.count(reason, 1)
	r.say(func() string {
		return "series " + strconv.Itoa(b.cur.index) + " " + b.describe() + " at " + strconv.FormatInt(t, 10) + ": " + err.Error()
	})
}

// series is all n samples of the current series.
func (r *refusals) series(b *batch, reason Reason, n int, err error) {
	r.count(reason, n)
	r.say(func() string { return "series " + strconv.Itoa(b.cur.index) + " " + b.describe() + ": " + err.Error() })
}

// count counts without a message: the request is a success all the same.
func (r *refusals) count(reason Reason, n int) {
	if r.by == nil {
		r.by = map[Reason]int{}
	}
	r.by[reason] += n
}

func (r *refusals) say(text func() string) {
	if r.n++; r.n > maxReasons {
		return
	}
	if r.n > 1 {
		r.text.WriteByte('\n')
	}
	r.text.WriteString(text())
}

// failure is the answer, nil if nothing was refused that would make it one.
func (r *refusals) failure(h *Handler) *failure {
	for reason, n := range r.by {
		if hook := h.o.Hooks.Refused; hook != nil {
			hook(reason, n)
		}
	}
	if r.n == 0 {
		return nil
	}
	if r.n > maxReasons {
		fmt.Fprintf(&r.text, "\nand %d more", r.n-maxReasons)
	}
	text := r.text.String()
	first, _, _ := strings.Cut(text, "\n")
	h.o.Log.Warn("remote write: not all of a request was taken", zap.Int("refused", r.n), zap.String("first", first))
	return &failure{status: http.StatusBadRequest, text: text}
}
