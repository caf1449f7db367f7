// Package admission bounds how many requests the server works on at once, so that
// those it takes are done soon and the others are told at once to come again.
//
// It is asked when a request's body is there: who sends slowly holds no place.
// Small and large requests have places of their own, lest one large request after
// the other leave none to the many small ones.
package admission

import (
	"context"
	"runtime"
	"time"

	"github.com/gometheus/gometheus/pkg/semaphore"
)

const (
	// large is from how many bytes on a body counts as a large one.
	large = 256 << 10
	// largePerCPU is how many bytes of large bodies are worked on at once: about as
	// many as a processor does in a twentieth of a second.
	largePerCPU = 2 << 20
	// patience is how long a request waits for a place.
	patience = 500 * time.Millisecond
)

// Gate lets a number of requests through at once. A nil Gate lets all through.
type Gate struct {
	small, large *semaphore.Semaphore
}

// New makes a Gate for so many small requests at once.
func New(requests int) *Gate {
	return &Gate{semaphore.New(int64(requests)), semaphore.New(largePerCPU * int64(runtime.GOMAXPROCS(0)))}
}

// Enter waits for a place, for a while, for a request whose body has so many
// bytes. ok is false if there is none; otherwise leave must be called, once the
// work is done.
func (g *Gate) Enter(ctx context.Context, bytes int) (leave func(), ok bool) {
	if g == nil {
		return func() {}, true
	}
	places, n := g.small, int64(1)
	if bytes >= large {
		places, n = g.large, min(int64(bytes), g.large.Size())
	}
	if leave, ok := places.TryAcquire(n); ok {
		return leave, true
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	leave, err := places.Acquire(ctx, n)
	return leave, err == nil
}
