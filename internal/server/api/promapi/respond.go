package promapi

import (
	"errors"
	"mime"
	"net/http"
	"strconv"

	"github.com/prometheus/prometheus/util/annotations"
	"go.uber.org/zap"
)

const (
	// piece is how much of an answer is encoded before it is sent on. A shorter
	// answer goes out at once, with its length.
	piece = 64 << 10
	// maxBody is what a form sent as multipart may take. That of the usual kind
	// net/http bounds itself, with the same number.
	maxBody = 10 << 20
	// maxNotes is how many warnings, and how many infos, an answer has.
	maxNotes = 10
)

// output is where an answer is encoded.
type output struct {
	b   []byte
	w   http.ResponseWriter
	err error // the first error of w; nothing is sent after it
	out bool  // something was sent
}

// spill sends what was encoded if that is enough for a piece. It returns false
// when the client is gone: no need to go on.
func (o *output) spill() bool {
	if len(o.b) >= piece {
		o.send()
	}
	return o.err == nil
}

func (o *output) send() {
	if o.err == nil && len(o.b) > 0 {
		o.out = true
		_, o.err = o.w.Write(o.b)
	}
	o.b = o.b[:0]
}

// handle adapts an endpoint.
func (a *API) handle(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && t == "multipart/form-data" {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		}
		ans := e(r)
		if ans.close != nil {
			defer ans.close()
		}
		switch {
		case ans.err != nil:
			a.respondError(w, r, available(ans.err), ans.data)
		case ans.data != nil:
			a.respond(w, r, ans.data, ans.warnings)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

func (a *API) respond(w http.ResponseWriter, r *http.Request, data func(*output), notes annotations.Annotations) {
	o := a.output(w)
	defer a.outputs.Put(o)
	w.Header().Set("Content-Type", "application/json")
	o.b = append(o.b, `{"status":"success","data":`...)
	data(o)
	if len(notes) > 0 {
		// The query is what positions in the notes are counted in.
		warnings, infos := notes.AsStrings(r.FormValue("query"), maxNotes, maxNotes)
		o.b = appendNotes(o.b, "warnings", warnings)
		o.b = appendNotes(o.b, "infos", infos)
	}
	o.b = append(o.b, '}')
	a.finish(o, r, http.StatusOK)
}

// respondError sends an error. Only runtimeinfo has data with it.
func (a *API) respondError(w http.ResponseWriter, r *http.Request, e *Error, data func(*output)) {
	status := e.Status()
	if status == http.StatusInternalServerError && !errors.Is(e.Err, errAdminDisabled) {
		a.o.Log.Error("query API", zap.String("path", r.URL.Path), zap.String("type", string(e.Type)), zap.Error(e.Err))
	}
	o := a.output(w)
	defer a.outputs.Put(o)
	w.Header().Set("Content-Type", "application/json")
	o.b = append(o.b, `{"status":"error"`...)
	if data != nil {
		o.b = append(o.b, `,"data":`...)
		data(o)
	}
	o.b = append(o.b, `,"errorType":`...)
	o.b = appendText(o.b, string(e.Type))
	if text := e.Err.Error(); text != "" {
		o.b = append(o.b, `,"error":`...)
		o.b = appendText(o.b, text)
	}
	o.b = append(o.b, '}')
	a.finish(o, r, status)
}

func (a *API) output(w http.ResponseWriter) *output {
	o := a.outputs.Get().(*output)
	*o = output{b: o.b[:0], w: w}
	return o
}

// finish sends the rest.
func (a *API) finish(o *output, r *http.Request, status int) {
	if !o.out {
		o.w.Header().Set("Content-Length", strconv.Itoa(len(o.b)))
		o.w.WriteHeader(status)
	}
	o.send()
	o.w = nil
	if o.err != nil {
		a.o.Log.Debug("query API: answer not sent", zap.String("path", r.URL.Path), zap.Error(o.err))
	}
}

func appendNotes(b []byte, name string, notes []string) []byte {
	if len(notes) == 0 {
		return b
	}
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return appendTexts(b, notes)
}
