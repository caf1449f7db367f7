package middleware

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	codes "github.com/gometheus/gometheus/pkg/errors"
)

// answerEnd ends every JSON answer that has a hash. JSON doesn't mind it, and no
// request may end so: an answer has the form of an update, and the hash of an
// answer is that of a request with the same bytes.
const answerEnd = " \t\r\n"

var errAnswer = codes.New(codes.Invalid, "the body ends as an answer of this server does: it is no request")

// Mark lets every successful JSON answer end with answerEnd. It stands within
// the compression, so that the mark is there however the bytes are packed.
func (s *Signer) Mark(next http.Handler) http.Handler {
	if s.keys == nil || !s.takesHash() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := &marker{ResponseWriter: w}
		next.ServeHTTP(m, r)
		if m.json {
			io.WriteString(w, answerEnd) //nolint:errcheck // the client is gone: nobody to tell
		}
	})
}

// marker finds out whether the answer is JSON and makes room for its end.
type marker struct {
	http.ResponseWriter
	started, json bool
}

func (m *marker) WriteHeader(status int) {
	if !m.started && status >= 200 {
		m.started = true
		media, _, _ := strings.Cut(m.Header().Get("Content-Type"), ";")
		// All that can follow is a body: 204 and 304 have no type.
		if m.json = strings.EqualFold(strings.TrimSpace(media), "application/json"); m.json {
			if n, err := strconv.Atoi(m.Header().Get("Content-Length")); err == nil {
				m.Header().Set("Content-Length", strconv.Itoa(n+len(answerEnd)))
			}
		}
	}
	m.ResponseWriter.WriteHeader(status)
}

func (m *marker) Write(p []byte) (int, error) {
	if !m.started {
		m.WriteHeader(http.StatusOK)
	}
	return m.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (m *marker) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// RefuseAnswers lets the reading of a body end with an error if its end is
// answerEnd. It stands within the decompression.
func (s *Signer) RefuseAnswers(next http.Handler) http.Handler {
	if s.keys == nil || !s.takesHash() {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = &notAnswer{ReadCloser: r.Body}
		next.ServeHTTP(w, r)
	})
}

// notAnswer remembers the last bytes of a body.
type notAnswer struct {
	io.ReadCloser
	last [len(answerEnd)]byte
}

func (b *notAnswer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n >= len(b.last) {
		copy(b.last[:], p[n-len(b.last):n])
	} else {
		copy(b.last[:], b.last[n:])
		copy(b.last[len(b.last)-n:], p[:n])
	}
	if errors.Is(err, io.EOF) && string(b.last[:]) == answerEnd {
		return n, errAnswer
	}
	return n, err
}
