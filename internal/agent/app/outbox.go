package app

import (
	"context"
	"time"

	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/queue"
)

// sealed is a batch with the time at which it got its key and its bytes.
type sealed struct {
	client.Batch
	at time.Time
}

// outbox keeps sealed batches until the server has them. In memory it is a
// queue; a spool on disk can take its place.
type outbox interface {
	// Push takes a batch in, in order, and waits for room until ctx ends. When it
	// returns nil the batch is kept as safely as the implementation promises, and
	// may be sent.
	Push(ctx context.Context, s sealed) error

	// Lease waits for a batch that nobody holds and lends the oldest. It returns
	// an error when ctx has ended, or after Close when no batch waits any more.
	Lease(ctx context.Context) (lease, error)

	// Close refuses further pushes. What is kept can still be leased.
	Close()

	// Rest is what is left after all leases are settled. It is for counting what
	// the end of the process gives up: a spool gives up nothing.
	Rest() []sealed
}

// lease is a batch on its way. It is settled once, by Ack when the server has
// accepted or finally refused the batch, else by Nack, which never blocks.
type lease interface {
	Batch() sealed
	Ack()
	Nack()
}

// memory is the outbox of an agent without a disk.
type memory struct{ q *queue.Queue[sealed] }

// newMemory returns an outbox with room for n batches, leased ones included.
func newMemory(n int) memory { return memory{queue.New[sealed](n)} }

func (m memory) Push(ctx context.Context, s sealed) error { return m.q.Push(ctx, s) }

func (m memory) Lease(ctx context.Context) (lease, error) {
	l, err := m.q.Lease(ctx, 1)
	if err != nil {
		return nil, err
	}
	return memoryLease{l}, nil
}

func (m memory) Close() { m.q.Close() }

func (m memory) Rest() []sealed { return m.q.Drain() }

type memoryLease struct{ *queue.Lease[sealed] }

func (l memoryLease) Batch() sealed { return l.Items()[0] }
