package app

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gometheus/gometheus/internal/server/config"
)

// answers is what systemd's watchdog asks: does a request still find its way
// through the handler and the storage, and back? What the answer is doesn't
// matter. That the database is away is an answer too, which no restart makes better;
// a lock that nobody releases is none.
func answers(ctx context.Context, h http.Handler) error {
	for _, path := range []string{"/ping", "/value/gauge/gometheus_watchdog", "/federate?match[]=gometheus_watchdog"} {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
		if err != nil {
			return fmt.Errorf("ask the server itself: %w", err)
		}
		r.RequestURI, r.RemoteAddr = path, "watchdog"
		h.ServeHTTP(&unread{header: make(http.Header)}, r)
	}
	return nil
}

// unread is an answer that nobody reads.
type unread struct{ header http.Header }

// Header is an http.ResponseWriter's, like the others.
func (u *unread) Header() http.Header         { return u.header }
func (u *unread) Write(p []byte) (int, error) { return len(p), nil }
func (u *unread) WriteHeader(int)             {}

// healthTimeout is longer than /ping waits for a database with default settings.
const healthTimeout = 10 * time.Second

// Healthcheck asks the server that runs with this configuration for /ping. It
// returns what the server said, or why it is not well.
func Healthcheck(ctx context.Context, cfg config.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(cfg.Address)
	if err != nil || port == "0" {
		return "", fmt.Errorf("ADDRESS %s: no port to ask at", cfg.Address)
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	at := net.JoinHostPort(host, port) + "/ping"
	status, body, err := ask(ctx, "http://"+at)
	// The standard library's word for a client that speaks HTTP to a port that
	// speaks TLS.
	if err == nil && status == http.StatusBadRequest && bytes.Contains(body, []byte("HTTP request to an HTTPS server")) {
		status, body, err = ask(ctx, "https://"+at)
	}
	// That is how the standard library calls an alert of the other side.
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "remote error" {
		return "it wants a client certificate, so whether the storage works is not known", nil
	}
	text := cmp.Or(strings.TrimSpace(string(body)), http.StatusText(status))
	switch {
	case err != nil:
		return "", err
	case status == http.StatusOK:
		return text, nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return "it wants to know who asks, so whether the storage works is not known", nil
	}
	return "", fmt.Errorf("/ping answers %d: %s", status, text)
}

// ask makes one request, past proxies.
func ask(ctx context.Context, url string) (status int, body []byte, err error) {
	transport := &http.Transport{
		DisableKeepAlives: true,
		// It is a process of this machine, whose certificate names what others call it,
		// and it is told nothing.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the server: %w", err)
	}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("ask the server: %w", err)
	}
	body, err = io.ReadAll(io.LimitReader(response.Body, 1024))
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return 0, nil, fmt.Errorf("read the server's answer: %w", err)
	}
	return response.StatusCode, body, nil
}
