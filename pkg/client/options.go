package client

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/retry"
	"github.com/gometheus/gometheus/pkg/signature"
)

// Option changes a default of New.
type Option func(*options)

type options struct {
	key           []byte
	signature     signature.Mode
	wall          func() time.Time
	gzip          bool
	retry         retry.Policy
	httpClient    *http.Client
	transport     http.RoundTripper
	timeout       time.Duration
	userAgent     string
	producer      string
	maxRetryAfter time.Duration
	every         time.Duration
	tls           *tls.Config
	user          *url.Userinfo
}

func defaults() options {
	return options{
		gzip:          true,
		wall:          time.Now,
		retry:         retry.Default(),
		timeout:       10 * time.Second,
		userAgent:     "gometheus-client",
		maxRetryAfter: 5 * time.Minute,
	}
}

// WithKey signs what is sent, and demands signed answers to reads. An empty key
// means no signatures, the default.
func WithKey(key []byte) Option { return func(o *options) { o.key = key } }

// WithSignature sets what WithKey's signatures are: the hash, the default, which
// old servers know too; message signatures; or both. See "Signatures" above.
func WithSignature(m signature.Mode) Option { return func(o *options) { o.signature = m } }

// WithClock sets the wall clock, for tests.
func WithClock(now func() time.Time) Option { return func(o *options) { o.wall = now } }

// WithGzip turns compression of batches on, the default, or off.
func WithGzip(on bool) Option { return func(o *options) { o.gzip = on } }

// WithRetry sets how often and how far apart Send, Push and Value try. The
// default is retry.Default: until the context ends.
func WithRetry(p retry.Policy) Option { return func(o *options) { o.retry = p } }

// WithHTTPClient sends through a copy of c that follows no redirects and leaves
// timeouts to WithTimeout. Its transport stays the caller's to close.
func WithHTTPClient(c *http.Client) Option { return func(o *options) { o.httpClient = c } }

// WithTransport sends through t, which stays the caller's to close.
func WithTransport(t http.RoundTripper) Option { return func(o *options) { o.transport = t } }

// WithTLS sets how the client speaks to https:// addresses. TLSFiles makes a
// configuration from files.
func WithTLS(c *tls.Config) Option { return func(o *options) { o.tls = c } }

// WithBasicAuth sends a user and password along with every request. They may
// stand in the address instead; errors hold neither.
func WithBasicAuth(user, password string) Option {
	return func(o *options) { o.user = url.UserPassword(user, password) }
}

// WithTimeout bounds one try, from connecting to the last byte of the answer.
// The default is 10 s; zero means no bound but the context's.
func WithTimeout(d time.Duration) Option { return func(o *options) { o.timeout = d } }

// WithUserAgent sets the User-Agent header.
func WithUserAgent(s string) Option { return func(o *options) { o.userAgent = s } }

// WithProducer sets the producer id, which no other client may use, not even
// this program's next run: sequences start at 1 again. At most 128 of letters,
// digits and "._:-". The default is random.
func WithProducer(id string) Option { return func(o *options) { o.producer = id } }

// WithMaxRetryAfter bounds the wait a server can ask for by Retry-After. The
// default is 5 minutes.
func WithMaxRetryAfter(d time.Duration) Option { return func(o *options) { o.maxRetryAfter = d } }

// WithReportInterval tells the server how often this program sends. A program
// that says so is noticed when it is gone: after three missed reports its series
// end and up{instance="…"} is 0. The default says nothing.
func WithReportInterval(d time.Duration) Option { return func(o *options) { o.every = d } }

func (o *options) validate() error {
	var errs []error
	if o.every != 0 && (o.every < request.MinReportInterval || o.every > request.MaxReportInterval) {
		errs = append(errs, fmt.Errorf("report interval %v: allowed is from %v to %v", o.every, request.MinReportInterval, request.MaxReportInterval))
	}
	if o.timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout %v: must not be negative", o.timeout))
	}
	if o.maxRetryAfter < 0 {
		errs = append(errs, fmt.Errorf("longest Retry-After %v: must not be negative", o.maxRetryAfter))
	}
	if o.producer == "" || len(o.producer) > 128 ||
		strings.ContainsFunc(o.producer, func(r rune) bool { return !strings.ContainsRune(idChars, r) }) {
		errs = append(errs, fmt.Errorf("producer id %q: must be 1 to 128 letters, digits and any of ._:-", o.producer))
	}
	if len(o.key) == 0 && o.signature != signature.Hash {
		errs = append(errs, fmt.Errorf("signature %s: needs a key", o.signature))
	}
	if o.httpClient != nil && o.transport != nil {
		errs = append(errs, errors.New("an HTTP client and a transport exclude each other"))
	}
	if o.tls != nil && (o.httpClient != nil || o.transport != nil) {
		errs = append(errs, errors.New("an HTTP client or a transport has a TLS configuration of its own"))
	}
	return errors.Join(errs...)
}

const idChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-"

// baseURL turns "host:port" or a URL into a URL without a slash at the end, and
// takes the user out of it.
func baseURL(address string) (base string, user *url.Userinfo, err error) {
	s := address
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	shown := redacted(address)
	switch {
	case err != nil && shown != address: // it may quote a part of the password
		return "", nil, fmt.Errorf("address %q: want host:port or a URL", shown)
	case err != nil:
		return "", nil, fmt.Errorf("address %q: want host:port or a URL: %w", address, errors.Unwrap(err))
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return "", nil, fmt.Errorf("address %q: scheme %q: allowed are http, https", shown, u.Scheme)
	case u.Host == "":
		return "", nil, fmt.Errorf("address %q: no host", shown)
	case u.RawQuery != "" || u.Fragment != "":
		return "", nil, fmt.Errorf("address %q: no query or fragment is allowed", shown)
	}
	if u.Hostname() == "" { // ":8080", as a server would take it
		u.Host = net.JoinHostPort("localhost", u.Port())
	}
	user, u.User = u.User, nil
	return strings.TrimRight(u.String(), "/"), user, nil
}

// redacted hides what stands before the last @ of an address, where a user and a
// password are or were meant to be.
func redacted(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	scheme, _, ok := strings.Cut(address[:at], "://")
	if !ok {
		return "***" + address[at:]
	}
	return scheme + "://***" + address[at:]
}

// newTransport is a transport for one server.
//
// Compression is off since a signature is of the bytes on the wire, which the
// transport would hide; answers are small anyway.
//
// A dead connection would be kept for as long as the operating system takes to
// notice, with HTTP/2: the pings notice sooner.
func newTransport(c *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           32,
		MaxIdleConnsPerHost:    32,
		IdleConnTimeout:        90 * time.Second,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		TLSClientConfig:        c,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second},
	}
}
