package middleware

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gometheus/gometheus/internal/server/problem"
	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/semaphore"
	"github.com/gometheus/gometheus/pkg/signature"
)

// Signer verifies the signatures of requests and signs answers, in the forms
// that its mode allows. A Signer without key lets everything through.
//
// From outside in stand Sign, Mark (within the compression of the answer),
// Verify, and RefuseAnswers (within the decompression of the request).
type Signer struct {
	keys    *signature.Keys // nil: off
	mode    signature.Mode
	now     func() time.Time
	memory  *semaphore.Semaphore // bytes of signed bodies; nil: unbounded
	bodies  sync.Pool            // of *wholeBody
	buffers sync.Pool            // of *bytes.Buffer
}

// SignerOption changes a default of NewSigner.
type SignerOption func(*Signer)

// WithMode sets which signatures are taken and made. The default is the hash.
func WithMode(m signature.Mode) SignerOption { return func(s *Signer) { s.mode = m } }

// WithClock sets the clock that message signatures are held against.
func WithClock(now func() time.Time) SignerOption { return func(s *Signer) { s.now = now } }

// WithMemory bounds, by its size in bytes, what signed bodies over 32 KiB take at
// once, which must be there before anything is done with them. One that finds no
// room is refused with code Unavailable.
func WithMemory(m *semaphore.Semaphore) SignerOption { return func(s *Signer) { s.memory = m } }

// NewSigner makes the Signer of a key; "" turns signatures off.
func NewSigner(key string, options ...SignerOption) *Signer {
	s := &Signer{now: time.Now}
	if key != "" {
		s.keys = signature.NewKeys([]byte(key))
	}
	for _, o := range options {
		o(s)
	}
	s.bodies.New = func() any { return new(wholeBody) }
	s.buffers.New = func() any { return new(bytes.Buffer) }
	return s
}

// Enabled tells whether there is a key.
func (s *Signer) Enabled() bool { return s.keys != nil }

func (s *Signer) putBuffer(b *bytes.Buffer) {
	if b.Cap() <= 1<<20 {
		b.Reset()
		s.buffers.Put(b)
	}
}

func (s *Signer) putBody(b *wholeBody) {
	b.giveBack()
	if cap(b.data) <= keptBody {
		b.data = b.data[:0]
		s.bodies.Put(b)
	}
}

// takesHash and takesMessage tell the forms of the mode.
func (s *Signer) takesHash() bool    { return s.mode != signature.Message }
func (s *Signer) takesMessage() bool { return s.mode != signature.Hash }

// Rule says what a route needs.
type Rule uint8

const (
	// WriteBody: it writes what is in the body, which the hash is of.
	WriteBody Rule = iota
	// WritePath: it writes what is in the path, which the hash is of.
	WritePath
	// Ask: it reads, and need not be signed. A signature that is there must be
	// right.
	Ask
	// Read is Ask for a route without a body, where a hash says nothing.
	Read
)

func (r Rule) writes() bool { return r == WriteBody || r == WritePath }

// exchange is what Verify has to tell Sign about a request.
type exchange struct {
	request  signature.Request
	verified *signature.Verified // nil unless the signature is right
}

type exchangeKey struct{}

// Verify refuses requests whose signature is not right, or which lack the one
// that the rule demands. It reads a signed body, of at most limit bytes, before
// the handler runs, so it stands outside of Decompress.
//
// A request that carries both forms needs both to be right: none is worth more
// for a signature that somebody has added.
func (s *Signer) Verify(rule Rule, limit int64, p problem.Writer) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if s.keys == nil {
			return next
		}
		return p.Handle(func(w http.ResponseWriter, r *http.Request) error {
			hash, err := s.givenHash(r, rule)
			if err != nil {
				return err
			}
			message, err := s.verifyMessage(r)
			if err != nil {
				return err
			}
			switch {
			case message != nil, hash != "", !rule.writes():
			case !s.takesHash():
				return codes.New(codes.Signature, "%s; this server takes no other (SIGNATURE=%s)", signature.ErrMissing, s.mode)
			default:
				return codes.New(codes.Signature, "header %s is missing: this server has a key", request.HeaderHash)
			}
			if hash != "" && rule == WritePath {
				if !s.keys.VerifyTarget(hash, r.Method, signature.RequestOf(r).Target) {
					return codes.New(codes.Signature, "header %s does not match the path: it must be of %q", request.HeaderHash,
						"POST /update/{type}/{name}/{value}")
				}
				hash = "" // it is not of the body
			}
			if message == nil && hash == "" {
				next.ServeHTTP(w, r)
				return nil
			}
			body := s.bodies.Get().(*wholeBody)
			defer s.putBody(body)
			if err := body.read(http.MaxBytesReader(w, middleware.WholeBody(r.Body), limit), s.memory); err != nil {
				return problem.Body(err)
			}
			if hash != "" && !s.keys.VerifyBody(hash, body.data) {
				return codes.New(codes.Signature, "header %s does not match the body", request.HeaderHash)
			}
			if err := s.settle(r, rule, message, body.data); err != nil {
				return err
			}
			r.Body = io.NopCloser(bytes.NewReader(body.data))
			next.ServeHTTP(w, r)
			return nil
		})
	}
}

// givenHash is the hash that a request carries, "" for none that counts.
func (s *Signer) givenHash(r *http.Request, rule Rule) (string, error) {
	if !s.takesHash() || rule == Read {
		return "", nil
	}
	if n := len(r.Header.Values(request.HeaderHash)); n > 1 {
		return "", codes.New(codes.Invalid, "header %s stands %d times", request.HeaderHash, n)
	}
	return r.Header.Get(request.HeaderHash), nil
}

// verifyMessage looks at a message signature as far as that goes without the
// body. It is nil if there is none.
func (s *Signer) verifyMessage(r *http.Request) (*signature.Verified, error) {
	if !s.takesMessage() || r.Header[signature.HeaderInput] == nil && r.Header[signature.HeaderSignature] == nil {
		return nil, nil
	}
	v, err := s.keys.VerifyRequest(signature.RequestOf(r))
	if errors.Is(err, signature.ErrMissing) {
		return nil, nil // it is somebody else's
	}
	if err != nil {
		return nil, codes.New(codes.Signature, "%s", err.Error())
	}
	if err := v.CheckTime(s.now()); err != nil {
		// Without a look at the body: the answer costs the sender no more than
		// another try, which it can make as soon as it knows the time from an answer
		// that it can believe.
		s.believe(r, v)
		return nil, codes.New(codes.Stale, "%s", err.Error())
	}
	return v, nil
}

// settle looks at the rest of a message signature, if there is one.
func (s *Signer) settle(r *http.Request, rule Rule, v *signature.Verified, body []byte) error {
	if v == nil {
		return nil
	}
	if err := v.CheckBody(body); err != nil {
		return codes.New(codes.Signature, "%s", err.Error())
	}
	s.believe(r, v)
	if rule.writes() && len(r.Header[request.HeaderIdempotencyKey]) == 0 {
		// It is what tells a repetition from another request.
		return codes.New(codes.Invalid, "header %s is missing: a write with a message signature needs one", request.HeaderIdempotencyKey)
	}
	return nil
}

// believe has the answer tied to the request's signature.
func (s *Signer) believe(r *http.Request, v *signature.Verified) {
	if x, ok := r.Context().Value(exchangeKey{}).(*exchange); ok {
		x.verified = v
	}
}

// Sign signs every answer: with the hash those with a body, with a message
// signature all. To know the body before the first byte goes out, the answer is
// held back until it is complete.
func (s *Signer) Sign(next http.Handler) http.Handler {
	if s.keys == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := s.buffers.Get().(*bytes.Buffer)
		defer s.putBuffer(body)
		held := &held{ResponseWriter: w, body: body, status: http.StatusOK, memory: s.memory}
		defer held.giveBack()
		var x *exchange
		if s.takesMessage() {
			x = &exchange{request: signature.RequestOf(r)}
			r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
		}
		next.ServeHTTP(held, r)
		if held.noRoom {
			held.refuse()
		}
		sent := body.Bytes()
		if r.Method == http.MethodHead {
			sent = nil
		}
		if len(sent) > 0 && s.takesHash() {
			w.Header().Set(request.HeaderHash, s.keys.HashOfBody(sent))
		}
		if x != nil {
			s.signMessage(w.Header(), held.status, sent, x)
		}
		w.WriteHeader(held.status)
		w.Write(body.Bytes()) //nolint:errcheck // the client is gone: nobody to tell
	})
}

func (s *Signer) signMessage(header http.Header, status int, body []byte, x *exchange) {
	if header.Get("Content-Type") == "" && len(body) > 0 {
		header.Set("Content-Type", http.DetectContentType(body)) // net/http would, too late
	}
	res := signature.Response{Status: status, Header: header, Request: x.request}
	if err := s.keys.SignResponse(res, body, s.now(), x.verified); err != nil {
		panic("middleware: sign the answer: " + err.Error()) // a header of ours has a line break
	}
}

// held keeps an answer back.
type held struct {
	http.ResponseWriter
	body   *bytes.Buffer
	status int
	final  bool

	memory *semaphore.Semaphore // nil: unbounded
	room   int                  // bytes that the body may have
	taken  []func()             // gives back what of memory is taken
	noRoom bool
}

// heldPiece is by how much the room for a held answer grows, in bytes. The buffer
// may have twice of what is in it.
const heldPiece = 4 << 20

// makeRoom is false if there is none for so many more bytes.
func (h *held) makeRoom(more int) bool {
	for h.memory != nil && h.body.Len()+more > h.room+smallBody && !h.noRoom {
		release, ok := h.memory.TryAcquire(2 * heldPiece)
		if !ok {
			h.noRoom = true
			break
		}
		h.taken = append(h.taken, release)
		h.room += heldPiece
	}
	return !h.noRoom
}

func (h *held) giveBack() {
	for _, release := range h.taken {
		release()
	}
}

// refuse answers that there was no room for the answer.
func (h *held) refuse() {
	header := h.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding"} {
		header.Del(name)
	}
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Retry-After", "1")
	h.status = http.StatusServiceUnavailable
	h.body.Reset()
	h.body.WriteString("there is no memory now to sign so large an answer\n")
}

// SetWriteDeadline is for http.ResponseController. There is no Unwrap, by which a
// handler could flush what is held.
func (h *held) SetWriteDeadline(t time.Time) error {
	return http.NewResponseController(h.ResponseWriter).SetWriteDeadline(t)
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
	if !h.makeRoom(len(p)) {
		return 0, errNoRoom
	}
	return h.body.Write(p)
}
