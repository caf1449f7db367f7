package remotewrite

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/klauspost/compress/s2"
)

const (
	// smallBody is how many bytes a request may take without asking.
	smallBody = 64 << 10
	// keepBody is how large a buffer may be to be kept for the next request.
	keepBody = 2 << 20
	// maxRatio is above how much one byte of snappy can become: 64 bytes of 3.
	maxRatio = 22
)

var errBusy = &failure{status: http.StatusServiceUnavailable, text: "too many requests at once: try again"}

// read reads the body into b.wire.
func (b *batch) read(r *http.Request) *failure {
	most := b.h.o.Limits.Wire
	tooLarge := func() *failure {
		return &failure{
			status: http.StatusRequestEntityTooLarge,
			text:   fmt.Sprintf("the body is larger than %d bytes", most),
		}
	}
	if r.ContentLength > most {
		return tooLarge()
	}
	b.wire = b.wire[:0]
	for {
		if len(b.wire) == cap(b.wire) {
			if f := b.growWire(); f != nil {
				return f
			}
		}
		n, err := r.Body.Read(b.wire[len(b.wire):cap(b.wire)])
		b.wire = b.wire[:len(b.wire)+n]
		if int64(len(b.wire)) > most {
			return tooLarge()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return unreadable(err)
		}
	}
}

func unreadable(err error) *failure {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return &failure{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("the body is larger than %d bytes", large.Limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &failure{status: http.StatusRequestTimeout, text: "the body took too long to arrive"}
	}
	return &failure{status: http.StatusBadRequest, text: "the body could not be read", cause: err}
}

// growWire doubles b.wire, if all bodies together leave room for that.
func (b *batch) growWire() *failure {
	size := max(2*cap(b.wire), 16<<10)
	if size > smallBody {
		release, ok := b.h.bodies.TryAcquire(int64(size))
		if !ok {
			return errBusy
		}
		if b.releaseWire != nil {
			b.releaseWire() // the smaller one goes
		}
		b.releaseWire = release
	}
	b.wire = append(make([]byte, 0, size), b.wire...)
	return nil
}

// unpack decompresses b.wire into b.plain. The size that the data claims for
// itself is looked at before anything is allocated.
func (b *batch) unpack() *failure {
	corrupt := &failure{status: http.StatusBadRequest, text: "the body is not snappy (block format)"}
	n, err := s2.DecodedLen(b.wire)
	if err != nil {
		return corrupt
	}
	if most := b.h.o.Limits.Plain; int64(n) > most {
		return &failure{
			status: http.StatusRequestEntityTooLarge,
			text:   fmt.Sprintf("the body is unpacked %d bytes, more than %d", n, most),
		}
	}
	if n/maxRatio > len(b.wire) {
		return corrupt
	}
	if n > smallBody {
		release, ok := b.h.bodies.TryAcquire(int64(n))
		if !ok {
			return errBusy
		}
		b.releasePlain = release
	}
	if cap(b.plain) < n {
		b.plain = make([]byte, max(n, 16<<10))
	}
	plain, err := s2.Decode(b.plain[:n], b.wire)
	if err != nil {
		return corrupt
	}
	b.plain = plain
	return nil
}

// freeBody gives back what the body took; false if that was much.
func (b *batch) freeBody() bool {
	for _, release := range []*func(){&b.releaseWire, &b.releasePlain} {
		if *release != nil {
			(*release)()
			*release = nil
		}
	}
	return cap(b.wire) <= keepBody && cap(b.plain) <= keepBody
}

// size is how large the body will be, unpacked, as far as it tells the truth.
func (b *batch) size() int {
	n, err := s2.DecodedLen(b.wire)
	if err != nil {
		return len(b.wire)
	}
	return max(len(b.wire), min(n, int(b.h.o.Limits.Plain)))
}
