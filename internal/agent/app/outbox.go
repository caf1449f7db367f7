package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gometheus/gometheus/internal/agent/spool"
	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/queue"
)

// sealed is a batch with the time at which it got its key and its bytes.
type sealed struct {
	client.Batch
	at time.Time
}

// outbox keeps sealed batches until the server has them: in memory, or on disk.
type outbox interface {
	// Group is how many batches Put takes at once at most.
	Group() int

	// Put takes encoded batches in, in order, all or none, and gives those without
	// a key theirs. When it returns nil they are kept as safely as the
	// implementation promises, and may be sent. In memory it waits for room until
	// ctx ends; the batches may have their keys then, which must be put in again. On
	// disk it doesn't wait: the error is errNotKept, and the batches have no keys.
	Put(ctx context.Context, batches []client.Batch) error

	// Lease waits for a batch that nobody holds and lends the oldest. It returns
	// an error when ctx has ended, or after Close when no batch waits any more.
	Lease(ctx context.Context) (lease, error)

	// Close refuses further batches. What is kept can still be leased.
	Close()

	// Left is what remains after all leases are settled, and whether it survives
	// the process.
	Left() (batches, metrics int64, kept bool)
}

// errNotKept: there is no room, or the disk fails.
var errNotKept = errors.New("the spool takes nothing")

// lease is a batch on its way. It is settled once: by Ack when the server has
// decided on the batch and nothing of it is worth keeping, by Refuse when it never will, by Expire when it has got too
// old. Nack gives it back. None of them waits for anybody.
type lease interface {
	Batch() sealed
	Ack()
	Expire()
	// Refuse tells where the batch is kept for people to look at; empty if nowhere.
	Refuse(why *client.Error) (where string, err error)
	Nack()
}

// memory is the outbox of an agent without a disk.
type memory struct {
	q      *queue.Queue[sealed]
	client *client.Client
	// settled holds a token when a number may have become free.
	settled chan struct{}
}

// newMemory returns an outbox with room for n batches, leased ones included. The
// client numbers them, and is told by Try and Discard what is settled.
func newMemory(n int, c *client.Client) *memory {
	return &memory{q: queue.New[sealed](n), client: c, settled: make(chan struct{}, 1)}
}

func (m *memory) Group() int { return 1 }

func (m *memory) Put(ctx context.Context, batches []client.Batch) error {
	for i := range batches {
		b := &batches[i]
		for b.Key == "" {
			err := m.client.Number(b)
			if err == nil {
				break
			}
			// One batch is stuck while others went by. It holds up the rest, or it
			// would fall out of the server's memory.
			select {
			case <-m.settled:
			case <-ctx.Done():
				return errors.Join(err, ctx.Err())
			}
		}
		if err := m.q.Push(ctx, sealed{Batch: *b, at: time.Now()}); err != nil {
			return err
		}
	}
	return nil
}

func (m *memory) Lease(ctx context.Context) (lease, error) {
	l, err := m.q.Lease(ctx, 1)
	if err != nil {
		return nil, err
	}
	return memoryLease{l, m}, nil
}

func (m *memory) Close() { m.q.Close() }

func (m *memory) Left() (batches, metrics int64, kept bool) {
	for _, s := range m.q.Drain() {
		batches++
		metrics += int64(s.Count)
	}
	return batches, metrics, false
}

type memoryLease struct {
	*queue.Lease[sealed]
	m *memory
}

func (l memoryLease) Batch() sealed { return l.Items()[0] }

func (l memoryLease) Ack() {
	l.m.client.Discard(l.Batch().Batch)
	l.Lease.Ack()
	select {
	case l.m.settled <- struct{}{}:
	default:
	}
}

func (l memoryLease) Expire() { l.Ack() }

func (l memoryLease) Refuse(*client.Error) (where string, err error) {
	l.Ack()
	return "", nil
}

// disk is the outbox of an agent with a spool.
type disk struct {
	*spool.Spool
	dead string // folder of the dead letters
}

// group bounds what is written at once, and so what is in memory for it.
const group = 256

func (d disk) Group() int { return group }

func (d disk) Put(_ context.Context, batches []client.Batch) error {
	if err := d.Append(batches); err != nil {
		return fmt.Errorf("%w: %w", errNotKept, err)
	}
	return nil
}

func (d disk) Lease(ctx context.Context) (lease, error) {
	l, err := d.Spool.Lease(ctx)
	if err != nil {
		return nil, err
	}
	return diskLease{l, d.dead}, nil
}

func (d disk) Close() { d.Finish() }

func (d disk) Left() (batches, metrics int64, kept bool) {
	s := d.Stats()
	return s.WaitingBatches, s.WaitingMetrics, true
}

type diskLease struct {
	*spool.Lease
	dead string
}

func (l diskLease) Batch() sealed { return sealed{Batch: l.Lease.Batch(), at: l.At()} }

func (l diskLease) Refuse(why *client.Error) (where string, err error) {
	if err := l.Lease.Refuse(why.Status, why.Problem); err != nil {
		return "", err
	}
	return l.dead, nil
}
