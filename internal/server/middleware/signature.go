package middleware

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"sync"

	"github.com/gometheus/gometheus/internal/server/problem"
	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/request"
)

// Signer computes hex(HMAC-SHA256(key, body as on the wire)), the value of the
// HashSHA256 header. A Signer without key lets everything through.
type Signer struct {
	enabled bool
	macs    sync.Pool // of hash.Hash; making one costs more than a small body
	buffers sync.Pool // of *bytes.Buffer
}

// NewSigner makes the Signer of a key; "" turns signatures off.
func NewSigner(key string) *Signer {
	s := &Signer{enabled: key != ""}
	s.macs.New = func() any { return hmac.New(sha256.New, []byte(key)) }
	s.buffers.New = func() any { return new(bytes.Buffer) }
	return s
}

func (s *Signer) sum(body []byte) (sum [sha256.Size]byte) {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	mac.Write(body)
	mac.Sum(sum[:0])
	return sum
}

func (s *Signer) putBuffer(b *bytes.Buffer) {
	if b.Cap() <= 1<<20 {
		b.Reset()
		s.buffers.Put(b)
	}
}

// Verify refuses requests whose HashSHA256 header is not that of the body, of
// at most limit bytes. With required set a missing header is refused too. It
// reads the whole body before the handler runs, so it stands outside of
// Decompress.
func (s *Signer) Verify(required bool, limit int64, p problem.Writer) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if !s.enabled {
			return next
		}
		return p.Handle(func(w http.ResponseWriter, r *http.Request) error {
			given := r.Header.Get(request.HeaderHash)
			if n := len(r.Header.Values(request.HeaderHash)); n > 1 {
				return codes.New(codes.Invalid, "header %s stands %d times", request.HeaderHash, n)
			}
			if given == "" {
				if required {
					return codes.New(codes.Invalid, "header %s is missing: this server has a key", request.HeaderHash)
				}
				next.ServeHTTP(w, r)
				return nil
			}
			body := s.buffers.Get().(*bytes.Buffer)
			defer s.putBuffer(body)
			if _, err := body.ReadFrom(http.MaxBytesReader(w, middleware.WholeBody(r.Body), limit)); err != nil {
				return problem.Body(err)
			}
			want := s.sum(body.Bytes())
			got, err := hex.DecodeString(given)
			if err != nil || !hmac.Equal(got, want[:]) {
				return codes.New(codes.Invalid, "header %s does not match the body", request.HeaderHash)
			}
			r.Body = io.NopCloser(bytes.NewReader(body.Bytes()))
			next.ServeHTTP(w, r)
			return nil
		})
	}
}

// Sign sets HashSHA256 on every answer with a body. To know it before the first
// byte goes out, the answer is held back until it is complete.
func (s *Signer) Sign(next http.Handler) http.Handler {
	if !s.enabled {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := s.buffers.Get().(*bytes.Buffer)
		defer s.putBuffer(body)
		held := &held{ResponseWriter: w, body: body, status: http.StatusOK}
		next.ServeHTTP(held, r)
		if body.Len() > 0 && r.Method != http.MethodHead {
			sum := s.sum(body.Bytes())
			w.Header().Set(request.HeaderHash, hex.EncodeToString(sum[:]))
		}
		w.WriteHeader(held.status)
		w.Write(body.Bytes()) //nolint:errcheck // the client is gone: nobody to tell
	})
}

// held keeps an answer back.
type held struct {
	http.ResponseWriter
	body   *bytes.Buffer
	status int
	final  bool
}

func (h *held) WriteHeader(status int) {
	if status < 200 {
		h.ResponseWriter.WriteHeader(status)
		return
	}
	if !h.final {
		h.status, h.final = status, true
	}
}

func (h *held) Write(p []byte) (int, error) {
	h.final = true
	return h.body.Write(p)
}
