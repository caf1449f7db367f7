package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"

	"github.com/gometheus/gometheus/internal/server/config"
)

// What the two hashes are of, at the least cost and at the usual one.
const (
	password  = "correct horse"
	cheapHash = "$2a$04$4Z4hFd1isJQBEm7CygQCkOR5lm7iCDlo6ejsXv5926/O3l1yMHOby"
	usualHash = "$2a$10$PF0EIxX60HMBBo0tz0OcM.WcW/z/tMYPb4YHE55zSRpsQzSlF2UpO"
)

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
	n    int64
}

func newAuthority(t *testing.T, dir string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, pool: x509.NewCertPool()}
	var err error
	a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	require.NoError(t, err)
	a.cert, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	a.pool.AddCert(a.cert)
	a.write("ca.pem", "CERTIFICATE", der)
	return a
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	// Renamed, so that nobody reads a half.
	path := filepath.Join(a.dir, name)
	require.NoError(a.t, os.WriteFile(path+".new", text, 0o600))
	require.NoError(a.t, os.Rename(path+".new", path))
}

// issue writes name.pem and name-key.pem.
func (a *authority) issue(name string) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	a.n++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(100 + a.n), Subject: pkix.Name{CommonName: fmt.Sprint(name, a.n)},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	require.NoError(a.t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(a.t, err)
	a.write(name+"-key.pem", "EC PRIVATE KEY", keyDER)
	a.write(name+".pem", "CERTIFICATE", der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func webConfig(t *testing.T, dir, text string) string {
	t.Helper()
	path := filepath.Join(dir, "web.yml")
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
	return path
}

// try sends a batch, on a connection of its own.
func try(t *testing.T, url string, tlsConfig *tls.Config, change func(*http.Request)) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/updates", strings.NewReader(`[{"id":"c","type":"counter","delta":1}]`))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(r)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: tlsConfig, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	res, err := client.Do(r)
	if err == nil {
		require.NoError(t, res.Body.Close())
	}
	return res, err
}

// TestTLS: certificates and their change, client certificates, and the orderly
// stop.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca := newAuthority(t, dir)
	ca.issue("server")
	agent := ca.issue("agent")
	stranger := newAuthority(t, t.TempDir()).issue("agent")
	path := webConfig(t, dir, "tls_server_config:\n  cert_file: server.pem\n  key_file: server-key.pem\n"+
		"  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.pem\n")
	r := start(t, func(c *config.Config) { c.WebConfigFile = path })
	url := "https" + strings.TrimPrefix(r.url, "http")

	res, err := try(t, url, &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{agent}}, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, 2, res.ProtoMajor)
	require.Equal(t, "server1", res.TLS.PeerCertificates[0].Subject.CommonName)

	_, err = try(t, url, &tls.Config{RootCAs: ca.pool}, nil)
	require.Error(t, err) // "certificate required", unless the connection is gone before the client reads it
	_, err = try(t, url, &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{stranger}}, nil)
	require.Error(t, err)
	_, err = try(t, url, &tls.Config{Certificates: []tls.Certificate{agent}}, nil)
	require.ErrorContains(t, err, "unknown authority")
	_, err = try(t, url, &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{agent}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, nil)
	require.Error(t, err)
	res, err = try(t, r.url, nil, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, res.StatusCode, "plain HTTP")

	ca.issue("server")
	res, err = try(t, url, &tls.Config{RootCAs: ca.pool, Certificates: []tls.Certificate{agent}}, nil)
	require.NoError(t, err)
	require.Equal(t, "server3", res.TLS.PeerCertificates[0].Subject.CommonName, "the new one, without a restart")
	require.NoError(t, r.stop())
}

// TestPasswords: who has one gets in, and who has not learns, costs and changes
// nothing; whatever is refused is logged, guarded, and counts as a request.
func TestPasswords(t *testing.T) {
	dir := t.TempDir()
	path := webConfig(t, dir, "basic_auth_users:\n  agent: "+cheapHash+"\n")
	r := start(t, func(c *config.Config) { c.WebConfigFile, c.Key = path, "" })
	as := func(user, pass string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, pass) }
	}
	status := func(change func(*http.Request)) int {
		t.Helper()
		res, err := try(t, r.url, nil, change)
		require.NoError(t, err)
		require.Equal(t, "nosniff", res.Header.Get("X-Content-Type-Options"))
		require.Contains(t, res.Header.Get("Content-Security-Policy"), "default-src 'none'")
		require.NotEmpty(t, res.Header.Get("X-Request-Id"))
		return res.StatusCode
	}
	require.Equal(t, http.StatusOK, status(as("agent", password)))
	require.Equal(t, http.StatusUnauthorized, status(nil))
	require.Equal(t, http.StatusUnauthorized, status(as("agent", "wrong")))
	require.Equal(t, http.StatusUnauthorized, status(as("nobody", password)))
	require.Equal(t, http.StatusUnauthorized, status(func(r *http.Request) { r.URL.Path = "/ping" }), "/ping too")
	require.Equal(t, http.StatusUnsupportedMediaType, status(func(r *http.Request) {
		r.SetBasicAuth("agent", password)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}))
	refused := 0
	for _, e := range r.logs.FilterMessage("request").FilterLevelExact(zapcore.WarnLevel).All() {
		if fmt.Sprint(e.ContextMap()["status"]) == "401" {
			refused++
		}
	}
	require.Equal(t, 4, refused)

	webConfig(t, dir, "basic_auth_users:\n  other: "+cheapHash+"\n")
	require.Equal(t, http.StatusUnauthorized, status(as("agent", password)), "removed without a restart")
	require.Equal(t, http.StatusOK, status(as("other", password)))
	webConfig(t, dir, "basic_auth_users: [\n")
	require.Equal(t, http.StatusInternalServerError, status(as("other", password)), "closed, not open")
	webConfig(t, dir, "basic_auth_users:\n  agent: "+cheapHash+"\n")
	require.Equal(t, http.StatusOK, status(as("agent", password)))
	require.NoError(t, r.stop())
	for _, e := range r.logs.All() {
		require.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), cheapHash)
		require.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), password)
	}
}

// TestNoSecretInAnyAnswer asks everything there is, rightly and wrongly, of a
// server with all secrets set, and looks for them in answers and log.
func TestNoSecretInAnyAnswer(t *testing.T) {
	const key = "key-battery-staple"
	path := webConfig(t, t.TempDir(), "basic_auth_users:\n  agent: "+cheapHash+"\n")
	r := start(t, func(c *config.Config) {
		c.WebConfigFile, c.Key, c.FileStoragePath = path, key, filepath.Join(t.TempDir(), "db.json")
	})
	hidden := []string{key, cheapHash, password, "Y29ycmVjd", "web.yml", "db.json"}
	for _, auth := range []string{"", "agent:" + password, "agent:wrong", "nobody:" + password} {
		for _, target := range []string{"/", "/ping", "/static/app.js", "/value/counter/x", "/value", "/update", "/updates", "/update/counter/x/1", "/nothing", "/%zz"} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"} {
				for _, contentType := range []string{"", "application/json"} {
					req, err := http.NewRequestWithContext(t.Context(), method, r.url, strings.NewReader("[{}]"))
					require.NoError(t, err)
					req.URL.Opaque = target
					if user, pass, ok := strings.Cut(auth, ":"); ok {
						req.SetBasicAuth(user, pass)
					}
					if contentType != "" {
						req.Header.Set("Content-Type", contentType)
					}
					res, err := r.client.Do(req)
					require.NoError(t, err)
					body, err := io.ReadAll(res.Body)
					require.NoError(t, err)
					require.NoError(t, res.Body.Close())
					for _, secret := range hidden {
						require.NotContains(t, string(body), secret, "%s %s", method, target)
						require.NotContains(t, fmt.Sprint(res.Header), secret, "%s %s", method, target)
					}
				}
			}
		}
	}
	require.NoError(t, r.stop())
	for _, e := range r.logs.All() {
		for _, secret := range hidden[:4] {
			require.NotContains(t, fmt.Sprint(e.Message, e.ContextMap()), secret)
		}
	}
}

// TestWrongAddressCostsNoPassword: TRUSTED_SUBNET stands before the passwords.
func TestWrongAddressCostsNoPassword(t *testing.T) {
	path := webConfig(t, t.TempDir(), "basic_auth_users:\n  agent: "+usualHash+"\n")
	r := start(t, func(c *config.Config) {
		c.WebConfigFile, c.TrustedSubnet = path, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	})
	status := func(from string) int {
		t.Helper()
		res, err := try(t, r.url, nil, func(r *http.Request) {
			r.SetBasicAuth("agent", password)
			r.Header.Set("X-Forwarded-For", from)
		})
		require.NoError(t, err)
		require.Empty(t, res.Header.Get("WWW-Authenticate"))
		return res.StatusCode
	}
	require.Equal(t, http.StatusForbidden, status("198.51.100.1"))
	require.Equal(t, http.StatusOK, status("192.0.2.1"))
	require.NoError(t, r.stop())
}

// BenchmarkPassword is what a request with a password costs once it is known;
// bcrypt itself, at the usual cost, takes some 50 ms.
func BenchmarkPassword(b *testing.B) {
	for name, text := range map[string]string{"none": "", "password": "basic_auth_users:\n  agent: " + usualHash + "\n"} {
		b.Run(name, func(b *testing.B) {
			path := ""
			if text != "" {
				path = filepath.Join(b.TempDir(), "web.yml")
				require.NoError(b, os.WriteFile(path, []byte(text), 0o600))
			}
			r := start(b, func(c *config.Config) { c.WebConfigFile, c.LogLevel = path, "error" })
			request := func() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, r.url+"/ping", nil)
				require.NoError(b, err)
				req.SetBasicAuth("agent", password)
				res, err := r.client.Do(req)
				require.NoError(b, err)
				require.Equal(b, http.StatusOK, res.StatusCode)
				require.NoError(b, res.Body.Close())
			}
			request()
			for b.Loop() {
				request()
			}
			b.StopTimer()
			require.NoError(b, r.stop())
		})
	}
}
