package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
)

// TLSFiles makes the configuration for [WithTLS] from PEM files. ca holds the
// authorities that may vouch for the server; empty: those of the system. cert and
// key are what the client shows to a server that asks; both or neither are empty.
// They are read again for each connection, so a renewed certificate needs no
// restart; while they can't be read, the last good one is shown.
func TLSFiles(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pool, err := readAuthorities(ca)
		if err != nil {
			return nil, err
		}
		c.RootCAs = pool
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("a certificate needs its key, and a key its certificate")
	}
	if cert != "" {
		p := &pair{cert: cert, key: key}
		if _, err := p.load(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return p.current(), nil }
	}
	return c, nil
}

func readAuthorities(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read certificate authorities: %s holds no certificate in PEM", path)
	}
	return pool, nil
}

// pair is a certificate and its key in two files.
type pair struct {
	cert, key string

	mu   sync.Mutex
	good *tls.Certificate
}

func (p *pair) load() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("read client certificate: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good = &c
	return p.good, nil
}

func (p *pair) current() *tls.Certificate {
	if c, err := p.load(); err == nil {
		return c
	}
	// Between the two files being replaced, for instance.
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.good
}
