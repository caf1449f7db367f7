package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/signature"
)

// signer signs requests and verifies answers. A nil one does nothing.
type signer struct {
	keys *signature.Keys
	mode signature.Mode
	path string // before the API's
	wall func() time.Time

	// asking holds a token while somebody asks for the time.
	asking chan struct{}

	mu     sync.Mutex
	server time.Time // what a signed answer said last; zero: none yet
	at     time.Time // when that was, by the monotonic clock
	silent bool      // the server doesn't sign messages, and mode is Both
}

func newSigner(key []byte, mode signature.Mode, base string, wall func() time.Time) (*signer, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", base, err)
	}
	return &signer{
		keys: signature.NewKeys(key), mode: mode, path: u.EscapedPath(), wall: wall,
		asking: make(chan struct{}, 1),
	}, nil
}

func (s *signer) signsMessages() bool { return s != nil && s.mode != signature.Hash }

// sign signs a request whose header is complete otherwise.
func (s *signer) sign(method, path string, header http.Header, body []byte) (signature.Request, error) {
	r := signature.Request{}
	if s == nil {
		return r, nil
	}
	if s.mode != signature.Message && body != nil {
		header.Set(request.HeaderHash, s.keys.HashOfBody(body))
	}
	if s.mode == signature.Hash {
		return r, nil
	}
	r = signature.Request{Method: method, Target: s.path + path, Header: header}
	return r, s.keys.SignRequest(r, body, s.now())
}

// now is the time by the server's clock, as far as it is known.
func (s *signer) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server.IsZero() {
		return s.wall()
	}
	return s.server.Add(time.Since(s.at))
}

// wantsMessage reports whether an answer must have a message signature.
func (s *signer) wantsMessage(header http.Header) bool {
	return s.signsMessages() && (s.mode == signature.Message || header[signature.HeaderInput] != nil)
}

// verify demands that the answer is one to sent, and notes the time it tells.
func (s *signer) verify(sent signature.Request, status int, header http.Header, body []byte, cut bool) error {
	if cut {
		return fmt.Errorf("it is longer than %d bytes", maxAnswer)
	}
	res := signature.Response{Status: status, Header: header, Request: sent}
	if err := s.keys.VerifyResponse(res, body); err != nil {
		return err
	}
	if date := dateOf(header); !date.IsZero() {
		s.mu.Lock()
		s.server, s.at = date, time.Now()
		s.mu.Unlock()
	}
	return nil
}

// hashed reports whether the body carries the hash. Without a key, or without a
// body, there is nothing to check.
func (s *signer) hashed(header http.Header, body []byte, cut bool) bool {
	return s == nil || len(body) == 0 || !cut && s.keys.VerifyBody(header.Get(request.HeaderHash), body)
}

// unbelieved is the error of an answer that isn't signed as it must be. What the
// answer says may help people, and must not decide anything.
func unbelieved(why error, status int, failure *Error) error {
	said := fmt.Sprintf("status %d", status)
	if failure != nil {
		said = fmt.Sprintf("it says %q", failure.Error())
	}
	return fmt.Errorf("%w: %s (%s); KEY must be the same on both sides, and SIGNATURE must fit", ErrSignature, why.Error(), said)
}

func isStale(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.stale()
}

// learnTime asks the server for its time, unless a signed answer has told it.
//
// A request that is signed by a clock that is ahead is refused, and becomes good
// when its time comes: perhaps long after the server has forgotten the batch's
// key. So no write is ever signed by the clock of this machine. A GET may be; it
// is worth nothing to anybody.
func (c *Client) learnTime(ctx context.Context) error {
	s := c.signer
	if !s.signsMessages() || s.knowsTime() {
		return nil
	}
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return fmt.Errorf("ask for the server's time: %w", context.Cause(ctx))
	}
	if s.knowsTime() { // meanwhile
		return nil
	}
	_, _, err := c.once(ctx, http.MethodGet, "/ping", nil, nil, false)
	switch e, answered := errors.AsType[*Error](err); {
	case isStale(err) || s.knowsTime(): // whatever it says otherwise
		return nil
	case s.mode == signature.Both && (err == nil || answered && (e.Permanent() || e.Denied())):
		// A server that signs no messages does not look at ours either.
		s.mu.Lock()
		s.silent = true
		s.mu.Unlock()
		return nil
	}
	return fmt.Errorf("ask for the server's time: %w", err)
}

func (s *signer) knowsTime() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silent || !s.server.IsZero()
}
