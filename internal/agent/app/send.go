package app

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/common/health"
	"github.com/gometheus/gometheus/pkg/client"
	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/retry"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// maxAge is how long a batch in memory is tried, and the longest SPOOL_MAX_AGE:
// the server forgets after it which batches of a silent producer it has, and
// would count a repetition twice.
const maxAge = config.LongestAge

// errExpired is the cause of the end of a batch that got too old.
var errExpired = errors.New("the batch is too old to be sent again")

// send leases batches and delivers them, RateLimit at once, until the outbox is
// closed and empty or hard ends. soft ends when the agent is asked to stop.
func (a *agent) send(soft, hard context.Context) {
	var deliveries sync.WaitGroup
	defer deliveries.Wait()
	slots := semaphore.New(int64(a.cfg.RateLimit))
	for {
		release, err := slots.Acquire(hard, 1)
		if err != nil {
			return
		}
		l, err := a.outbox.Lease(hard)
		if err != nil {
			release()
			return
		}
		deliveries.Go(func() {
			defer release()
			a.deliver(soft, hard, l)
		})
	}
}

// deliver settles one lease.
func (a *agent) deliver(soft, hard context.Context, l lease) {
	s := l.Batch()
	alive := a.alive.Loop("the delivery of a batch")
	defer alive.End()
	ctx, cancel := context.WithDeadlineCause(hard, s.at.Add(a.maxAge), errExpired)
	defer cancel()

	// The end of soft cuts a pause short but no request under way: its answer may
	// be the one that counts. From then on there isn't the time for long pauses.
	res, err := a.try(soft, ctx, alive, s, retry.Policy{
		Initial: 500 * time.Millisecond, Max: 15 * time.Second, Multiplier: 2, Jitter: 0.5,
	})
	if undecided(err) && soft.Err() != nil {
		res, err = a.try(ctx, ctx, alive, s, retry.Policy{
			Initial: 100 * time.Millisecond, Max: time.Second, Multiplier: 2, Jitter: 0.5,
		})
	}

	switch {
	case err == nil:
		a.accepted(s, res)
		l.Ack()
	case isNoHistory(err):
		a.unwanted(s, err)
		l.Ack()
	case !undecided(err) && s.ContentType == client.RemoteWrite:
		a.rejected(s, l, err)
	case !undecided(err):
		a.refused(s, l, err)
	case errors.Is(context.Cause(ctx), errExpired):
		a.stats.expired.add(s.Count)
		a.log.Error("a batch is lost", zap.Error(errExpired), zap.String("key", s.Key), zap.Int("metrics", s.Count))
		l.Expire()
	default:
		l.Nack()
	}
}

// undecided reports whether another try of the same batch makes sense.
func undecided(err error) bool {
	if err == nil {
		return false
	}
	if isNoHistory(err) {
		return false
	}
	e, ok := errors.AsType[*client.Error](err)
	return !ok || !e.Permanent()
}

// noHistoryError: the server has no place for samples of remote write, and never
// will as it runs now.
type noHistoryError struct{ err error }

func (e *noHistoryError) Error() string { return e.err.Error() }
func (e *noHistoryError) Unwrap() error { return e.err }

func isNoHistory(err error) bool {
	_, ok := errors.AsType[*noHistoryError](err)
	return ok
}

// hasNoHistory tells whether the server says so, or doesn't know remote write and
// is there all the same: then it is neither the address that is wrong nor a proxy
// that misses its server.
func (a *agent) hasNoHistory(ctx context.Context, s sealed, err error) bool {
	e, ok := errors.AsType[*client.Error](err)
	if !ok || s.ContentType != client.RemoteWrite {
		return false
	}
	unknown := e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed
	return e.Problem.Code == string(codes.NoHistory) || unknown && a.client.Ping(ctx) == nil
}

// try sends the batch until it is decided. The end of pause ends a pause between
// tries, that of ctx a request under way; either is the end of trying.
func (a *agent) try(pause, ctx context.Context, alive *health.Loop, s sealed, p retry.Policy) (client.Result, error) {
	var res client.Result
	err := retry.Do(pause, p, func(context.Context) error {
		if ctx.Err() != nil { // meanwhile
			return retry.Permanent(context.Cause(ctx))
		}
		began := a.stats.now()
		alive.Within(patience) // the client's own timeout is shorter
		var err error
		res, err = a.client.Try(ctx, s.Batch)
		alive.Waits()
		// What the end of ctx has cut short is no news of the server.
		switch {
		case a.hasNoHistory(ctx, s, err):
			return retry.Permanent(&noHistoryError{err})
		case undecided(err) && ctx.Err() == nil:
			a.failed(err, began)
		}
		return err
	})
	return res, err
}

// failed notes a try that the server did not decide. One that began before the
// server was last seen alive is no news.
func (a *agent) failed(err error, began time.Duration) {
	if began < a.stats.lastAnswer() {
		return
	}
	first := a.away.enter(1)
	if e, ok := errors.AsType[*client.Error](err); ok && e.Denied() && a.denied.due() {
		a.log.Error("the server denies this agent, or is none; batches wait until that is cured: look at ADDRESS, KEY, user and password, "+
			"certificate, and at the server's TRUSTED_SUBNET", zap.Error(err))
		return
	}
	if first {
		a.log.Warn("the server takes no batches", zap.Error(err))
		return
	}
	a.log.Debug("the server still takes no batches", zap.Error(err))
}

// answered notes that the server has decided on a batch.
func (a *agent) answered() {
	a.stats.answered()
	a.denied.forget()
	if since, n := a.away.leave(); n > 0 {
		a.log.Info("the server is back", zap.Duration("away_for", round(since)), zap.Int("failed_tries", n))
	}
}

func (a *agent) accepted(s sealed, res client.Result) {
	a.answered()
	a.skew.heard(res.Date)
	a.stats.sent.add(s.Count)
	if res.Replayed {
		a.stats.replayed.add(s.Count)
	}
	if s.ContentType == client.RemoteWrite {
		a.kept()
	} else if since, n := a.refusing.leave(); n > 0 {
		a.log.Info("the server accepts batches again", zap.Duration("refused_for", round(since)), zap.Int("refused_batches", n))
	}
	a.log.Debug("batch accepted", zap.String("key", s.Key), zap.Int("metrics", s.Count), zap.Bool("replayed", res.Replayed))
}

// kept notes that the history took a batch whole.
func (a *agent) kept() {
	if since, n := a.unkept.leave(); n > 0 {
		a.log.Info("the server keeps a history again", zap.Duration("lost_for", round(since)))
	}
	// One target's samples may be refused each time, and those of the others not.
	if since, n := a.rejecting.leaveAfter(max(remindEvery, 4*a.cfg.Collect.Interval)); n > 0 {
		a.log.Info("the server takes all samples again", zap.Duration("refused_for", round(since)), zap.Int("refused_samples", n))
	}
}

// unwanted notes samples for which the server has no place.
func (a *agent) unwanted(s sealed, err error) {
	a.answered()
	a.stats.refused.add(s.Count)
	if first := a.unkept.enter(1); first {
		a.log.Warn("the server keeps no history (HISTORY=false), so what is collected for it alone is lost: "+
			"node, container, process, SCRAPE, TEXTFILE_DIR, and the timers of STATSD", zap.Error(err))
	}
}

// rejected gives up the samples of a batch that the history doesn't take; the rest
// counts. The first such batch is kept for people to look at. The others aren't: a
// target whose samples are too old has one each time, and they would push out the
// dead letters that hold increments.
func (a *agent) rejected(s sealed, l lease, err error) {
	a.answered()
	why, _ := errors.AsType[*client.Error](err) // or it would be undecided
	a.skew.heard(why.Date)
	written := min(why.Written, s.Count)
	a.stats.sent.metrics.Add(int64(written))
	a.stats.refused.add(s.Count - written)
	if first := a.rejecting.enter(max(s.Count-written, 1)); !first {
		l.Ack()
		a.log.Debug("samples refused", zap.Error(err), zap.Int("samples", s.Count-written))
		return
	}
	where, failure := l.Refuse(why)
	if failure != nil {
		a.log.Error("a refused batch can't be kept among the dead letters", zap.Error(failure), zap.String("key", s.Key))
	}
	fields := []zap.Field{zap.Error(err), zap.Int("samples", s.Count-written), zap.Int("taken", written)}
	if where != "" {
		fields = append(fields, zap.String("folder", where))
	}
	a.log.Error("the server refuses samples for its history, which are lost", fields...)
}

// refused gives up a batch that the server will never take.
func (a *agent) refused(s sealed, l lease, err error) {
	a.answered()
	a.stats.refused.add(s.Count)
	why, _ := errors.AsType[*client.Error](err) // or it would be undecided
	a.skew.heard(why.Date)
	where, failure := l.Refuse(why)
	if failure != nil {
		a.log.Error("a refused batch can't be kept among the dead letters", zap.Error(failure), zap.String("key", s.Key))
	}
	switch first := a.refusing.enter(1); {
	case first && where != "":
		a.log.Error("the server refuses batches, which are kept as dead letters", zap.Error(err),
			zap.Int("metrics", s.Count), zap.String("folder", where))
	case first:
		a.log.Error("the server refuses batches, which are lost", zap.Error(err), zap.Int("metrics", s.Count))
	default:
		a.log.Debug("batch refused", zap.Error(err), zap.Int("metrics", s.Count))
	}
}
