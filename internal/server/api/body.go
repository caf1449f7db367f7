package api

import (
	"errors"
	"io"
	"net/http"

	"github.com/gometheus/gometheus/internal/server/problem"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

// mostChunk is the largest piece in which a large body is read.
const mostChunk = 4 << 20

// readBody reads the whole body into s. One that doesn't fit the memory s has is
// read in pieces, which are put together when all of it is there: so a bomb, which
// ends at the limit of a body, takes no more memory than that limit.
func (s *scratch) readBody(r *http.Request) error {
	if cap(s.body) > smallBody && !s.hold(cap(s.body)) { // of a request before
		s.body = make([]byte, 0, smallBody)
	}
	var err error
	s.body, err = fill(s.body, r.Body)
	if err == nil { // there may be more
		err = s.readMore(r.Body)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	if errors.Is(err, errNoRoom) {
		return err
	}
	return problem.Body(err)
}

var errNoRoom = codes.New(codes.Unavailable, "too many large requests at once")

// readMore reads what follows s.body.
func (s *scratch) readMore(r io.Reader) error {
	total := cap(s.body)
	var chunks [][]byte
	for {
		size := min(total, mostChunk)
		if !s.hold(size) {
			return errNoRoom
		}
		chunk, err := fill(make([]byte, 0, size), r)
		chunks, total = append(chunks, chunk), total+len(chunk)
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		break
	}
	if total < keptBody { // the next one, a little larger, is to fit at once
		total = min(2*total, keptBody)
	}
	if !s.hold(total) {
		return errNoRoom
	}
	whole := append(make([]byte, 0, total), s.body...)
	for _, chunk := range chunks {
		whole = append(whole, chunk...)
	}
	s.body = whole
	// The last one held is of the whole.
	last := len(s.releases) - 1
	s.releases[0], s.releases[last] = s.releases[last], s.releases[0]
	s.letGo(1)
	return nil
}

// fill reads until b is full, which is no error, or r ends, which is io.EOF.
func fill(b []byte, r io.Reader) ([]byte, error) {
	for len(b) < cap(b) {
		n, err := r.Read(b[len(b):cap(b)])
		if b = b[:len(b)+n]; err != nil {
			return b, err
		}
	}
	return b, nil
}

// hold counts size bytes for the body, if there is room.
func (s *scratch) hold(size int) (ok bool) {
	release, ok := s.bodies.TryAcquire(int64(size))
	if ok {
		s.releases = append(s.releases, release)
	}
	return ok
}

// letGo gives back what was held, but for the first n.
func (s *scratch) letGo(n int) {
	for _, release := range s.releases[n:] {
		release()
	}
	clear(s.releases[n:])
	s.releases = s.releases[:n]
}
