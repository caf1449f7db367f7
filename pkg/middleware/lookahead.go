package middleware

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"

	codes "github.com/gometheus/gometheus/pkg/errors"
)

// A body that unpacks to far more than was sent is looked through to its end
// before its reader gets more of it than 1/aheadPart of the limit: so a bomb is
// found out before anybody has made room for it. An honest body, of very much
// alike metrics, is unpacked twice, and nothing else happens to it.
const (
	aheadPart  = 8
	aheadRatio = 16
	// keptSeen is how much memory for wire bytes is kept for the next request.
	keptSeen = 16 << 10
)

// replayed is a body as sent. Its bytes are kept as long as it may have to be
// looked through again from its start.
type replayed struct {
	wire io.Reader
	err  error // of wire; sticky
	seen []byte
	next int // of seen, to be read again
	most int // as many are kept; 0: none any more
}

func (r *replayed) reset(wire io.Reader, most int) {
	r.wire, r.err, r.next, r.most = wire, nil, 0, most
	if cap(r.seen) > keptSeen {
		r.seen = nil
	}
	r.seen = r.seen[:0]
}

func (r *replayed) Read(p []byte) (int, error) {
	if r.next < len(r.seen) {
		n := copy(p, r.seen[r.next:])
		r.next += n
		return n, nil
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.wire.Read(p)
	r.err = err
	if r.most > 0 {
		if len(r.seen)+n > r.most {
			r.forget()
		} else {
			r.seen = append(r.seen, p[:n]...)
			r.next = len(r.seen)
		}
	}
	return n, err
}

// forget keeps no more.
func (r *replayed) forget() {
	r.seen, r.next, r.most = nil, 0, 0
}

var errAheadFull = errors.New("not a bomb: as much was sent as this may unpack to")

// lookAhead unpacks the body from its start and returns the error of one that
// unpacks to more than the limit. Other errors are for the reader to find, where
// they are.
func (b *plainBody) lookAhead() error {
	if b.memory != nil && b.encoding == "zstd" {
		release, ok := b.memory.TryAcquire(zstdWindow)
		if !ok {
			return codes.New(codes.Unavailable, "too many large requests at once")
		}
		defer release()
	}
	at := b.wire.next
	// What is sent from now on is kept for the reader.
	rest := &aheadReader{wire: &b.wire, most: int(b.limit / aheadRatio)}
	z := b.other()
	defer z.Release()
	// What else is wrong with it, the reader meets again.
	if z.Reset(bufio.NewReader(io.MultiReader(bytes.NewReader(b.wire.seen[:at:at]), rest))) == nil {
		if n, _ := io.Copy(io.Discard, io.LimitReader(z, b.limit+1)); n > b.limit {
			return &http.MaxBytesError{Limit: b.limit}
		}
	}
	b.wire.next, b.wire.most = at, 0 // what comes after seen is read once
	return nil
}

// aheadReader reads on and keeps what it reads.
type aheadReader struct {
	wire *replayed
	most int
}

func (a *aheadReader) Read(p []byte) (int, error) {
	r := a.wire
	if len(r.seen) >= a.most {
		return 0, errAheadFull
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.wire.Read(p)
	r.err = err
	r.seen = append(r.seen, p[:n]...)
	return n, err
}
