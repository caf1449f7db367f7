package scrape

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/gometheus/gometheus/internal/common/logger"
)

// accept asks for protobuf first, since it alone has native histograms.
const accept = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," +
	"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5," +
	"application/openmetrics-text;version=0.0.1;q=0.4," +
	"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3," +
	"text/plain;version=0.0.4;q=0.2," +
	"*/*;q=0.1"

// HTTP is a Source that asks an endpoint. A user and a password in the URL are
// used for basic authentication, and shown nowhere.
func HTTP(rawURL string) (Source, error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	return newEndpoint(u), nil
}

// endpoint implements Source.
type endpoint struct {
	url      string // without user and password
	shown    string // without the query, too
	user     string
	password logger.Secret
	auth     bool
	// gzip unpacks answers, if one was packed.
	gzip *gzip.Reader
}

func newEndpoint(u *url.URL) *endpoint {
	e := &endpoint{shown: shown(u)}
	if u.User != nil {
		password, _ := u.User.Password()
		e.auth, e.user, e.password = true, u.User.Username(), logger.Secret(password)
	}
	bare := *u
	bare.User, bare.Fragment, bare.RawFragment = nil, "", ""
	e.url = bare.String()
	return e
}

// shown is what may be seen of a URL: queries hold tokens, sometimes.
func shown(u *url.URL) string {
	s := u.Scheme + "://" + u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		s += "?…"
	}
	return s
}

func (e *endpoint) String() string { return e.shown }

// Drain implements Source: nothing outlives Fetch.
func (*endpoint) Drain(context.Context) error { return nil }

func (e *endpoint) Fetch(ctx context.Context, r Request, b *bytes.Buffer) (Result, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url, http.NoBody)
	if err != nil {
		return Result{}, errors.New("the URL can't be requested") // err would show it
	}
	if e.auth {
		req.SetBasicAuth(e.user, e.password.Reveal())
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", r.UserAgent)
	req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.FormatFloat(r.Timeout.Seconds(), 'f', -1, 64))
	resp, err := r.Client.Do(req)
	if err != nil {
		return Result{}, e.plain(err)
	}
	defer func() {
		// What is left of a short answer is read, so that the connection lives on.
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		_ = resp.Body.Close() // nothing was written
	}()
	if resp.StatusCode != http.StatusOK {
		return Result{}, statusError(resp.StatusCode)
	}
	body, err := e.unpacked(resp)
	if err != nil {
		return Result{}, fmt.Errorf("read the exposition: %w", e.plain(err))
	}
	n, err := b.ReadFrom(io.LimitReader(body, r.MaxBody+1))
	if err != nil {
		return Result{}, fmt.Errorf("read the exposition: %w", e.plain(err))
	}
	if n > r.MaxBody {
		return Result{}, bodyLimit(r.MaxBody)
	}
	return Result{ContentType: resp.Header.Get("Content-Type")}, nil
}

func (e *endpoint) unpacked(resp *http.Response) (io.Reader, error) {
	switch enc := strings.ToLower(resp.Header.Get("Content-Encoding")); enc {
	case "", "identity":
		return resp.Body, nil
	case "gzip", "x-gzip":
		if e.gzip == nil {
			e.gzip = new(gzip.Reader)
		}
		if err := e.gzip.Reset(resp.Body); err != nil {
			return nil, err
		}
		return e.gzip, nil
	default:
		return nil, fmt.Errorf("Content-Encoding %q was not asked for", enc)
	}
}

// plain takes the URL off an error of the client: a redirect's may hold secrets.
func (*endpoint) plain(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no complete answer within the timeout: %w", context.DeadlineExceeded)
	}
	return err
}

// maxRedirects is as many as Go's client follows by itself.
const maxRedirects = 10

// redirected lets a redirect pass, without what is for the target alone: the
// password doesn't go to another port or without TLS either, and the query, which
// may hold a token, not as the Referer.
func redirected(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	if to, from := req.URL, via[0].URL; to.Scheme != from.Scheme || to.Host != from.Host {
		req.Header.Del("Authorization")
	}
	req.Header.Del("Referer")
	return nil
}

// newTransport is for targets that are near: no proxy stands before them, and the
// connection lives until the next scrape.
func newTransport(interval time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: defaultTimeout, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        max(2*interval, time.Minute),
		TLSHandshakeTimeout:    defaultTimeout,
		MaxResponseHeaderBytes: 64 << 10,
		ReadBufferSize:         16 << 10,
		DisableCompression:     true, // Fetch asks for it, and bounds what comes
	}
}
