package app

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/snappy"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/common/logger"
	"github.com/gometheus/gometheus/pkg/client"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

// checkTime is what each step of a check may take.
const checkTime = 10 * time.Second

// Check tries what an agent with this configuration would do with the server, and
// says step by step, in words for people, what came of it. It sends an empty batch
// and an empty remote write, which change nothing. The error is that of settings,
// or of out.
func Check(ctx context.Context, cfg config.Config, out io.Writer, o Options) (ok bool, err error) {
	c := check{out: out, cfg: &cfg, wall: o.wall()}
	cl, err := newClient(cfg, zap.NewNop(), o)
	if err != nil {
		return false, err
	}
	defer cl.Close()
	c.steps(ctx, cl)
	return !c.bad, c.failure
}

type check struct {
	out     io.Writer
	cfg     *config.Config
	wall    func() time.Time
	bad     bool
	failure error // of out
}

func (c *check) sayf(mark, what, format string, args ...any) {
	_, err := fmt.Fprintf(c.out, "%-5s %-10s %s\n", mark, what, fmt.Sprintf(format, args...))
	c.failure = errors.Join(c.failure, err)
}

func (c *check) okf(what, format string, args ...any) { c.sayf("ok", what, format, args...) }

func (c *check) wrongf(what, format string, args ...any) {
	c.bad = true
	c.sayf("WRONG", what, format, args...)
}

func (c *check) steps(ctx context.Context, cl *client.Client) {
	server := logger.RedactDSN(c.cfg.ServerURL())
	began := time.Now()
	date, err := ping(ctx, cl)
	e, answered := errors.AsType[*client.Error](err)
	switch {
	case err != nil && !answered:
		c.wrongf("server", "%s: %s", server, explain(err))
		return // nothing else can be told
	case err == nil:
		c.okf("server", "%s answers, after %v", server, time.Since(began).Round(time.Millisecond))
	case e.Status == http.StatusInternalServerError && e.Problem.Code != "":
		c.wrongf("server", "%s answers, but its storage can take no writes: look at its log", server)
		date = e.Date
	default:
		c.wrongf("server", "%s: %s", server, explain(err))
		date = e.Date
	}
	c.clock(date)

	if c.send(ctx, cl, "push", client.Batch{Body: []byte("[]")}) {
		switch {
		case c.cfg.Key == "":
			c.okf("push", "metrics are taken; they are not signed, since there is no KEY")
		default:
			c.okf("push", "metrics are taken; the server accepts signatures by KEY, SIGNATURE=%s", c.cfg.Signature)
		}
	}
	if !c.cfg.Collect.Historic() {
		return
	}
	if c.send(ctx, cl, "history", client.RemoteWriteBatch(snappy.Encode(nil, nil), 0)) {
		c.okf("history", "samples are taken by remote write")
	}
}

// ping asks for a sign of life, and what time it is there.
func ping(ctx context.Context, cl *client.Client) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := cl.Ping(ctx); err != nil {
		return time.Time{}, err
	}
	return cl.Date(ctx), nil
}

func (c *check) clock(date time.Time) {
	if date.IsZero() {
		c.sayf("?", "clock", "the server doesn't say what time it is")
		return
	}
	// The date has whole seconds.
	ahead := c.wall().Sub(date.Add(500 * time.Millisecond)).Round(time.Second)
	side := "ahead of"
	if ahead < 0 {
		side = "behind"
	}
	switch {
	case ahead.Abs() <= 2*time.Second:
		c.okf("clock", "agrees with the server's")
	case ahead.Abs() <= tolerance:
		c.okf("clock", "%v %s the server's: samples are off by that; is a time service running?", ahead.Abs(), side)
	default:
		c.wrongf("clock", "%v %s the server's: the times of samples will be corrected, but set the clock of this machine", ahead.Abs(), side)
	}
}

// send tells whether the server takes an empty batch.
func (c *check) send(ctx context.Context, cl *client.Client, what string, b client.Batch) bool {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if err := cl.Number(&b); err != nil {
		c.wrongf(what, "%v", err)
		return false
	}
	_, err := cl.Try(ctx, b)
	if err == nil {
		return true
	}
	c.wrongf(what, "%s", explain(err))
	return false
}

// explain says what an error means for whoever set the agent up.
func explain(err error) string {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return explainAnswer(e)
	}
	text := plain(err)
	var (
		dns       *net.DNSError
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	hint := ""
	switch {
	case errors.Is(err, client.ErrSignature):
		hint = "its answers are not signed as they should be: KEY must be the same on both sides, and SIGNATURE must fit"
	case errors.Is(err, client.ErrAnswer):
		hint = "something answers there that is no gometheus server: look at ADDRESS"
	case errors.As(err, &dns) && dns.IsNotFound:
		hint = "no machine has that name: look at ADDRESS, and at the name service"
	case errors.As(err, &dns):
		hint = "the name service doesn't answer"
	case errors.Is(err, syscall.ECONNREFUSED):
		hint = "nothing listens there: is the server running, does it listen on an address that this machine reaches (its own ADDRESS), is the port right?"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		hint = "there is no way to that machine from here"
	case errors.As(err, &authority):
		hint = "its certificate is from an authority that this machine doesn't trust: give that authority's certificate in TLS_CA"
	case errors.As(err, &host):
		hint = "its certificate is for another name: use that in ADDRESS"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		hint = "its certificate has expired or is not valid yet; or the clock of this machine is wrong"
	case errors.As(err, &record), strings.Contains(text, "HTTP response to HTTPS client"):
		hint = "it speaks no TLS: use http:// in ADDRESS"
	case errors.As(err, &alert), strings.Contains(text, "remote error: tls"):
		hint = "it wants a certificate of this agent (TLS_CERT, TLS_KEY), or another one"
	case strings.Contains(text, "malformed HTTP response"):
		hint = "it doesn't speak plain HTTP: try https:// in ADDRESS"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		hint = "there is no answer in time: a firewall may swallow what is sent, or the server is overloaded"
	}
	if hint == "" {
		return text
	}
	return hint + " (" + text + ")"
}

func explainAnswer(e *client.Error) string {
	hint := ""
	switch {
	case e.Problem.Code == string(codes.NoHistory):
		hint = "it keeps no history (HISTORY=false there), so what node, container, process, SCRAPE, TEXTFILE_DIR and the timers of STATSD bring would be lost"
	case e.Problem.Code == string(codes.Signature):
		hint = "the server wants a signature by its KEY: KEY must be the same on both sides, and SIGNATURE must fit"
	case e.Problem.Code == string(codes.Stale):
		hint = "the signature is too old or ahead of time: the clocks differ"
	case e.Status == http.StatusUnauthorized:
		hint = "it wants a user and password: BASIC_AUTH_USER and BASIC_AUTH_PASSWORD, or those are wrong"
	case e.Status == http.StatusForbidden:
		hint = "it takes nothing from this machine: look at the server's TRUSTED_SUBNET, and at TRUSTED_PROXIES if there is a proxy between"
	case e.Status == http.StatusProxyAuthRequired:
		hint = "the proxy between wants a password: look at HTTP_PROXY and HTTPS_PROXY"
	case e.Status == http.StatusNotFound, e.Status == http.StatusMethodNotAllowed:
		hint = "that is no gometheus server, or ADDRESS has a wrong path"
	case e.Status >= 300 && e.Status < 400:
		hint = "it sends elsewhere, which agents don't follow: use the address it leads to"
	case e.Status == http.StatusTooManyRequests:
		hint = "the server has reached a limit of its own"
	case e.Status == http.StatusServiceUnavailable, e.Status == http.StatusBadGateway, e.Status == http.StatusGatewayTimeout:
		hint = "the server, or the proxy before it, can't answer now"
	}
	if hint == "" {
		return "it answers: " + e.Error()
	}
	return hint + " (" + e.Error() + ")"
}

// plain is the text without what was done, which stands before it.
func plain(err error) string {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err.Error()
	}
	return err.Error()
}
