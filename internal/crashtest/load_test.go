package crashtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/retry"
)

// target is where the server listens now; it changes with each of its lives.
type target struct{ address atomic.Value }

func (tg *target) set(address string) { tg.address.Store(address) }

func (tg *target) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	address, _ := tg.address.Load().(string)
	if address == "" {
		return nil, errors.New("the server is down")
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// transport connects to the target, whatever the request's host is.
func (tg *target) transport() *http.Transport {
	return &http.Transport{DialContext: tg.dial, MaxIdleConnsPerHost: 32, DisableCompression: true}
}

// load is senders at work.
type load struct {
	oracle *oracle
	target *target
	// timeout is that of one try; tries may be cut off.
	timeout time.Duration
	// breath is the longest pause between two batches of a sender.
	breath time.Duration
	// mayRefuse goes on with batches that were refused for good, which no batch
	// of ours deserves, and counts them.
	mayRefuse bool
	refused   atomic.Int64
	reason    atomic.Value // of the last refusal

	soft context.CancelFunc
	hard context.CancelFunc
	wg   sync.WaitGroup
}

// run starts n senders. first is the number of the first one: each has a
// producer id of its own.
func (l *load) run(ctx context.Context, n, first int, rng *rand.Rand) {
	hard, stop := context.WithCancel(ctx)
	soft, pause := context.WithCancel(hard)
	l.soft, l.hard = pause, stop
	for i := range n {
		rng := fork(rng)
		l.wg.Go(func() {
			if err := l.sender(soft, hard, first+i, rng); err != nil && hard.Err() == nil {
				l.oracle.fail(fmt.Errorf("sender %d: %w", first+i, err))
			}
		})
	}
}

// finish lets the senders deliver what they have begun, and waits for them.
func (l *load) finish() error {
	l.soft()
	timer := time.AfterFunc(time.Minute, func() {
		l.oracle.fail(errors.New("senders still have no acknowledgement a minute after the last kill"))
		l.hard()
	})
	l.wg.Wait()
	timer.Stop()
	l.hard()
	return l.oracle.failure()
}

// abort stops the senders at once.
func (l *load) abort() {
	if l.hard != nil {
		l.hard()
		l.wg.Wait()
	}
}

// metrics is the batch as the client takes it.
func (b *batch) metrics() []request.Metric {
	var out []request.Metric
	b.effect(func(name, label, value string, delta int64) {
		out = append(out, request.Counter(name, delta).With(map[string]string{label: value}))
	})
	label, value, at := b.gauge()
	return append(out, request.Gauge("last", float64(b.n)).With(map[string]string{label: value}).At(time.UnixMilli(at)))
}

// sender makes batches until soft ends, and sends each until it is acknowledged.
// One in ten it gives up after one try that is cut short, one in ten it sends
// twice at once.
func (l *load) sender(soft, hard context.Context, id int, rng *rand.Rand) error {
	tr := l.target.transport()
	defer tr.CloseIdleConnections()
	c, err := client.New("server", client.WithTransport(tr), client.WithGzip(id%2 == 0), client.WithTimeout(l.timeout),
		client.WithRetry(retry.Policy{Initial: time.Millisecond, Max: 20 * time.Millisecond, Multiplier: 2, Jitter: 0.5}))
	if err != nil {
		return err
	}
	defer c.Close()
	for soft.Err() == nil {
		b := l.oracle.next(id, rng)
		sealed, err := c.NewBatch(b.metrics())
		if err != nil {
			return err
		}
		b.key = sealed.Key // before it is sent; check reads it after
		switch rng.IntN(10) {
		case 0:
			err = l.giveUp(hard, c, b, sealed, within(rng, 8*time.Millisecond))
		case 1:
			err = l.twice(hard, c, b, sealed)
		default:
			err = l.until(hard, c, b, sealed)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", b, err)
		}
		if l.breath > 0 {
			pause(soft, within(rng, l.breath))
		}
	}
	return nil
}

// until sends the batch until it is acknowledged. An error that isn't the
// context's means that the client took the batch for refused.
func (l *load) until(ctx context.Context, c *client.Client, b *batch, sealed client.Batch) error {
	for {
		_, err := c.Send(ctx, sealed)
		if err == nil {
			l.oracle.ack(b)
			return nil
		}
		if ctx.Err() != nil || !l.mayRefuse {
			return fmt.Errorf("refused for good: %w", err)
		}
		l.note(err)
	}
}

func (l *load) note(err error) {
	l.refused.Add(1)
	l.reason.Store(err.Error())
}

func (l *load) twice(ctx context.Context, c *client.Client, b *batch, sealed client.Batch) error {
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i := range errs {
		wg.Go(func() { errs[i] = l.until(ctx, c, b, sealed) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (l *load) giveUp(ctx context.Context, c *client.Client, b *batch, sealed client.Batch, after time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, after)
	defer cancel()
	_, err := c.Try(ctx, sealed)
	if e, ok := errors.AsType[*client.Error](err); ok && e.Permanent() {
		if !l.mayRefuse {
			return fmt.Errorf("refused for good: %w", err)
		}
		l.note(err)
	}
	c.Discard(sealed)
	if err == nil {
		l.oracle.ack(b)
	} else {
		l.oracle.giveUp(b)
	}
	return nil
}

// httpView reads over HTTP.
type httpView struct {
	ctx context.Context
	c   *http.Client
}

func newHTTPView(ctx context.Context, tg *target) *httpView {
	return &httpView{ctx, &http.Client{Transport: tg.transport(), Timeout: 20 * time.Second}}
}

func (v *httpView) close() { v.c.CloseIdleConnections() }

// get answers status and body of a path.
func (v *httpView) get(path string) (int, string, error) {
	r, err := http.NewRequestWithContext(v.ctx, http.MethodGet, "http://server"+path, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	res, err := v.c.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSpace(string(body)), err
}

func (v *httpView) value(kind, name, label, value string) (string, error) {
	path := "/value/" + kind + "/" + name
	if label != "" {
		path += "?" + url.Values{label: {value}}.Encode()
	}
	status, body, err := v.get(path)
	switch {
	case err != nil:
		return "", err
	case status == http.StatusNotFound:
		return "", nil
	case status != http.StatusOK:
		return "", fmt.Errorf("GET %s: %d %s", path, status, body)
	}
	return body, nil
}

func (v *httpView) counter(name, label, value string) (int64, error) {
	s, err := v.value("counter", name, label, value)
	if err != nil || s == "" {
		return 0, err
	}
	return strconv.ParseInt(s, 10, 64)
}

func (v *httpView) gauge(name, label, value string) (float64, error) {
	s, err := v.value("gauge", name, label, value)
	if err != nil || s == "" {
		return -1, err
	}
	return strconv.ParseFloat(s, 64)
}
