package client

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-resty/resty/v2"

	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/response"
	"github.com/gometheus/gometheus/pkg/retry"
	"github.com/gometheus/gometheus/pkg/slice"
)

// maxAnswer bounds how much of a body is read: one metric or one problem.
const maxAnswer = 256 << 10

// Client speaks the push API with one server. Its methods may be called at once
// from many goroutines.
type Client struct {
	rc            *resty.Client
	own           *http.Transport // nil when the transport is the caller's
	base          string
	signer        *signer // nil without a key
	gzip          bool
	keyPrefix     string // of every Idempotency-Key: quote, producer, slash
	retry         retry.Policy
	timeout       time.Duration
	maxRetryAfter time.Duration
	every         time.Duration
	writers       sync.Pool // of *gzip.Writer
	window        window
}

// Result tells how a batch was accepted.
type Result struct {
	// Replayed: an earlier try had been applied, so this one changed nothing.
	Replayed bool
	// Attempts is how many tries it took, this one included.
	Attempts int
	// Date is what the server's clock said, zero if the answer doesn't tell.
	Date time.Time
}

// New returns a client of the server at address: "host:port" or an http(s) URL,
// which may have a path before the API's.
func New(address string, opts ...Option) (*Client, error) {
	o := defaults()
	for _, opt := range opts {
		opt(&o)
	}
	if o.producer == "" {
		o.producer = rand.Text()
	}
	base, user, err := baseURL(address)
	if err != nil {
		return nil, err
	}
	if user != nil && o.user != nil {
		return nil, errors.New("a user stands in the address and among the options")
	}
	if err := o.validate(); err != nil {
		return nil, err
	}

	c := &Client{
		base:          base,
		gzip:          o.gzip,
		keyPrefix:     `"` + o.producer + "/",
		retry:         o.retry,
		timeout:       o.timeout,
		maxRetryAfter: o.maxRetryAfter,
		every:         o.every,
	}
	if len(o.key) > 0 {
		if c.signer, err = newSigner(o.key, o.signature, base, o.wall); err != nil {
			return nil, err
		}
	}
	hc := &http.Client{Transport: o.transport}
	switch {
	case o.httpClient != nil:
		*hc = *o.httpClient
		hc.Timeout = 0
	case o.transport == nil:
		c.own = newTransport(o.tls)
		hc.Transport = c.own
	}
	// A redirected POST would become a GET, or send the batch to who knows whom.
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.rc = resty.NewWithClient(hc).
		SetBaseURL(base).
		SetLogger(silent{}).
		SetDoNotParseResponse(true). // so that the body is bounded, and checked as it came
		SetHeader("User-Agent", o.userAgent).
		SetHeader("Accept-Encoding", "identity")
	if user = cmp.Or(user, o.user); user != nil {
		password, _ := user.Password()
		c.rc.SetBasicAuth(user.Username(), password)
	}
	return c, nil
}

// Close drops the idle connections. Calls under way go on; the client can be
// used afterwards, and must then be closed again.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// What Push puts into one batch at most: well below what a server takes.
const (
	pushMetrics = 10_000
	pushBytes   = 4 << 20 // of JSON, roughly
)

// Push sends the metrics, each counted once, and retries as the policy says. Up
// to 10,000 of ordinary size are one batch, which the server takes whole or not
// at all; more are several, one after the other. An error means it is unknown
// whether the batch that failed counts, unless it is an [*Error] that is
// permanent: then it doesn't. Those before it count, those behind it were not
// sent.
func (c *Client) Push(ctx context.Context, metrics ...request.Metric) error {
	for part := range slice.ChunkBy(metrics, pushMetrics, weight, pushBytes) {
		if err := c.push(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) push(ctx context.Context, metrics []request.Metric) error {
	b, err := c.NewBatch(metrics)
	if err != nil {
		return err
	}
	defer c.Discard(b) // nobody else can send it again
	_, err = c.Send(ctx, b)
	return err
}

// weight is about how many bytes of JSON a metric makes.
func weight(m request.Metric) int {
	n := 100 + len(m.ID)
	for name, value := range m.Labels {
		n += 6 + len(name) + len(value)
	}
	return n
}

// Send sends the batch until the server accepts or refuses it, the retry policy
// is exhausted or ctx ends. It may be called again with the same batch after any
// error that isn't permanent.
//
// A permanent [*Error] settles the key: the same metrics need a new batch.
func (c *Client) Send(ctx context.Context, b Batch) (Result, error) {
	var res Result
	attempts := 0
	err := retry.Do(ctx, c.retry, func(ctx context.Context) error {
		attempts++
		var err error
		res, err = c.Try(ctx, b)
		return err
	})
	res.Attempts = attempts
	return res, err
}

// Try sends the batch once. The error is marked for retry.Do: permanent, or with
// the wait that the server asked for.
func (c *Client) Try(ctx context.Context, b Batch) (Result, error) {
	path, h := c.post(b)
	header, _, err := c.do(ctx, http.MethodPost, path, h, b.Body, false)
	if e, ok := errors.AsType[*Error](err); err == nil || ok && e.Permanent() {
		c.Discard(b)
	}
	if err != nil {
		return Result{}, fmt.Errorf("send batch %s: %w", b.Key, err)
	}
	return Result{Replayed: header.Get(response.HeaderReplayed) == "true", Attempts: 1, Date: dateOf(header)}, nil
}

// post is where a batch goes, and its header.
func (c *Client) post(b Batch) (path string, h map[string]string) {
	h = map[string]string{request.HeaderIdempotencyKey: b.Key}
	if b.ContentEncoding != "" {
		h["Content-Encoding"] = b.ContentEncoding
	}
	if b.ContentType != "" {
		h["Content-Type"] = b.ContentType
		h["X-Prometheus-Remote-Write-Version"] = "2.0.0"
		return remoteWritePath, h
	}
	h["Content-Type"] = "application/json"
	h[request.HeaderPrefer] = request.PreferMinimal
	if c.every > 0 {
		h[request.HeaderReportInterval] = strconv.FormatFloat(c.every.Seconds(), 'f', -1, 64)
	}
	return "/updates/", h
}

const remoteWritePath = "/api/v1/write"

// Value asks for one metric; typ is request.TypeGauge or request.TypeCounter. A
// label not given is summed away by the server: a counter is the sum over the
// series that have the labels given, a gauge the newest of them. An [*Error]
// with Status 404 means there is none.
func (c *Client) Value(ctx context.Context, typ, id string, labels map[string]string) (response.Metric, error) {
	var m response.Metric
	body, err := json.Marshal(request.Metric{ID: id, Type: typ, Labels: labels})
	if err != nil {
		return m, fmt.Errorf("encode question: %w", err)
	}
	h := map[string]string{"Content-Type": "application/json", "Accept": "application/json"}
	err = retry.Do(ctx, c.retry, func(ctx context.Context) error {
		_, answer, err := c.do(ctx, http.MethodPost, "/value/", h, body, true)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(answer, &m); err != nil {
			return retry.Permanent(fmt.Errorf("%w: %w", ErrAnswer, err))
		}
		return nil
	})
	if err != nil {
		return response.Metric{}, fmt.Errorf("read %s %q: %w", typ, id, err)
	}
	return m, nil
}

// Ping asks once whether the server's storage answers.
func (c *Client) Ping(ctx context.Context) error {
	if _, _, err := c.do(ctx, http.MethodGet, "/ping", nil, nil, true); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// Date asks once what time it is at the server, to the second. It is zero if the
// server doesn't tell or doesn't answer.
func (c *Client) Date(ctx context.Context) time.Time {
	header, _, err := c.do(ctx, http.MethodGet, "/ping", nil, nil, false)
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Date
	}
	return dateOf(header)
}

// do makes one request and reads its answer within the timeout. A status other
// than 2xx is an *Error. verify demands that a body which counts is signed.
//
// With message signatures it first learns the server's time, if it doesn't know
// it, and signs once more when that has changed.
func (c *Client) do(
	ctx context.Context, method, path string, h map[string]string, body []byte, verify bool,
) (header http.Header, answer []byte, err error) {
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	if method != http.MethodGet { // nothing else changes anything
		if err := c.learnTime(ctx); err != nil {
			return nil, nil, err
		}
	}
	header, answer, err = c.once(ctx, method, path, h, body, verify)
	if isStale(err) {
		header, answer, err = c.once(ctx, method, path, h, body, verify)
	}
	return header, answer, err
}

func (c *Client) once(
	ctx context.Context, method, path string, h map[string]string, body []byte, verify bool,
) (header http.Header, answer []byte, err error) {
	r := c.rc.R().SetContext(ctx).SetHeaders(h)
	if body != nil {
		r.SetBody(bytes.NewReader(body))
	}
	sent, err := c.signer.sign(method, path, r.Header, body)
	if err != nil {
		return nil, nil, retry.Permanent(fmt.Errorf("sign the request: %w", err))
	}
	res, err := r.Execute(method, path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.RawBody().Close() }() // the answer is read; there is nothing to be learned
	header, status := res.Header(), res.StatusCode()

	// A write's 2xx says it all; its body, if any, is read only to keep the
	// connection, or for the signature's sake.
	answer, cut, err := readBounded(res.RawBody())
	ok := status >= 200 && status < 300
	if ok && !verify && isPage(header) {
		// A captive portal's, or a proxy's: nobody took the batch.
		return nil, nil, fmt.Errorf("%w: a page (status %d)", ErrAnswer, status)
	}
	message := c.signer.wantsMessage(header)
	if ok && !verify && !message {
		return header, nil, nil
	}
	if ok && err != nil {
		return nil, nil, fmt.Errorf("read the answer: %w", err)
	}

	failure := (*Error)(nil)
	if !ok {
		failure = newError(status, header, answer, c.maxRetryAfter)
		failure.text = path == remoteWritePath && isText(header)
	}
	// A question may be asked again; who asked wrongly wants to know now.
	denied := !ok && verify && failure.Denied()
	decides := ok || failure.Permanent() || failure.stale() || denied
	switch {
	case decides && message:
		if err := c.signer.verify(sent, status, header, answer, cut); err != nil {
			// Who knows who said it: the batch may be applied or not.
			err = unbelieved(err, status, failure)
			if verify {
				err = retry.Permanent(err)
			}
			return nil, nil, err
		}
	case decides && verify && !c.signer.hashed(header, answer, cut):
		return nil, nil, retry.Permanent(fmt.Errorf("%w (status %d)", ErrSignature, status))
	}
	switch {
	case ok && cut:
		return nil, nil, retry.Permanent(fmt.Errorf("%w: more than %d bytes", ErrAnswer, maxAnswer))
	case ok:
		return header, answer, nil
	case failure.Permanent() || denied:
		return nil, nil, retry.Permanent(failure)
	case failure.Denied():
		return nil, nil, retry.After(failure, max(failure.RetryAfter, min(deniedWait, c.maxRetryAfter)))
	default:
		return nil, nil, retry.After(failure, failure.RetryAfter)
	}
}

// isText reports whether an answer is a line of text, as remote write has it.
func isText(header http.Header) bool {
	return strings.HasPrefix(strings.ToLower(header.Get("Content-Type")), "text/plain")
}

// isPage reports whether an answer is for people.
func isPage(header http.Header) bool {
	return strings.HasPrefix(strings.ToLower(header.Get("Content-Type")), "text/html")
}

// readBounded reads at most maxAnswer bytes. cut tells that there were more.
func readBounded(r io.Reader) (body []byte, cut bool, err error) {
	body, err = io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if len(body) > maxAnswer {
		return body[:maxAnswer], true, err
	}
	return body, false, err
}

// silent keeps resty from writing to the standard error.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Debugf(string, ...any) {}
