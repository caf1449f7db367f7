package middleware

import (
	"errors"
	"io"

	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

const (
	// smallBody is how large a body may be without counting.
	smallBody = 32 << 10
	// keptBody is how large a body's memory may be to be used again.
	keptBody = 64 << 10
)

var errNoRoom = codes.New(codes.Unavailable, "too many large requests at once")

// wholeBody is a body that must be there before anything is done with it.
type wholeBody struct {
	data    []byte
	release func() // gives back what it takes of the memory; nil: nothing
}

// read reads r to its end. The memory it takes grows with what has arrived, not
// with what was announced, and counts from smallBody on; nil bounds nothing.
func (b *wholeBody) read(r io.Reader, memory *semaphore.Semaphore) error {
	for {
		if len(b.data) == cap(b.data) {
			if err := b.grow(memory); err != nil {
				return err
			}
		}
		n, err := r.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (b *wholeBody) grow(memory *semaphore.Semaphore) error {
	size := max(2*cap(b.data), smallBody/2)
	var release func()
	if memory != nil && size > smallBody {
		var ok bool
		if release, ok = memory.TryAcquire(int64(size)); !ok {
			return errNoRoom
		}
	}
	b.data = append(make([]byte, 0, size), b.data...)
	b.giveBack() // the smaller one is gone
	b.release = release
	return nil
}

func (b *wholeBody) giveBack() {
	if b.release != nil {
		b.release()
		b.release = nil
	}
}
