package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/response"
	"github.com/gometheus/gometheus/pkg/retry"
)

// TestWhatIsPermanent: only what our server says of the batch itself is.
func TestWhatIsPermanent(t *testing.T) {
	ours := response.Problem{Code: "invalid"}
	for status, want := range map[int]struct{ ours, alien string }{
		400: {"permanent", "denied"}, 401: {"denied", "denied"}, 403: {"denied", "denied"}, 404: {"denied", "denied"},
		405: {"denied", "denied"}, 407: {"denied", "denied"}, 408: {"", ""}, 411: {"permanent", "denied"},
		413: {"permanent", "denied"}, 415: {"permanent", "denied"}, 421: {"permanent", "denied"}, 422: {"permanent", "denied"},
		425: {"", ""}, 429: {"", ""}, 301: {"", ""}, 500: {"", ""}, 503: {"", ""}, 507: {"", ""},
	} {
		is := func(e *client.Error) string {
			require.False(t, e.Permanent() && e.Denied())
			switch {
			case e.Permanent():
				return "permanent"
			case e.Denied():
				return "denied"
			}
			return ""
		}
		assert.Equal(t, want.ours, is(&client.Error{Status: status, Problem: ours, Date: time.Now()}), status)
		assert.Equal(t, want.alien, is(&client.Error{Status: status, Date: time.Now()}), status)
	}
}

// TestDeniedWaits: who is denied waits long before the next try of a write; a
// read ends at once.
func TestDeniedWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		began := time.Now()
		c, err := client.New("localhost:1", client.WithRetry(retry.Policy{Initial: time.Second, Max: time.Second}),
			client.WithTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
				at = append(at, time.Since(began))
				status := http.StatusUnauthorized
				if len(at) == 4 {
					status = http.StatusNoContent
				}
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
			})))
		require.NoError(t, err)
		require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
		require.Equal(t, []time.Duration{0, 30 * time.Second, time.Minute, 90 * time.Second}, at)
		at = nil
		_, err = c.Value(t.Context(), request.TypeCounter, "c", nil)
		e, ok := errors.AsType[*client.Error](err)
		require.True(t, ok)
		require.True(t, e.Denied())
		require.Len(t, at, 1)
	})
}

func TestBasicAuth(t *testing.T) {
	const secret = "p%s/w:rd#"
	s := serve(t, status(204))
	host := strings.TrimPrefix(s.URL, "http://")
	for _, c := range []*client.Client{
		newClient(t, "http://me:p%25s%2Fw%3Ard%23@"+host),
		newClient(t, "me:p%25s%2Fw%3Ard%23@"+host),
		newClient(t, host, client.WithBasicAuth("me", secret)),
	} {
		require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
		requests := s.requests()
		r := http.Request{Header: requests[len(requests)-1].header}
		user, password, ok := r.BasicAuth()
		require.True(t, ok)
		require.Equal(t, "me", user)
		require.Equal(t, secret, password)
	}
	_, err := client.New("me:x@"+host, client.WithBasicAuth("me", secret))
	require.ErrorContains(t, err, "in the address and among the options")
}

// TestNoErrorHoldsThePassword: whatever goes wrong.
func TestNoErrorHoldsThePassword(t *testing.T) {
	const part = "hunter2"
	for _, address := range []string{
		"http://me:" + part + "@localhost:1", "me:" + part + "@localhost:1", "https://me:" + part + "@localhost:1",
		"http://me:" + part + "@nowhere.invalid", "http://me:" + part + "/x@localhost:1", "http://me:" + part + "%zz@localhost",
		"http://me:" + part + "#x@localhost:1", "http://me:" + part + "?x@localhost:1", "ftp://me:" + part + "@localhost",
		"http://me:" + part + "@", "http://me:" + part + "@localhost:port", "http://me:" + part + "@localhost/?x", part + "@@@:1",
		"http://me:" + part + "\n@localhost:1",
	} {
		c, err := client.New(address, fast(), client.WithTimeout(time.Second))
		if err == nil {
			err = c.Push(t.Context(), request.Counter("c", 1))
			c.Close()
		}
		require.Error(t, err, address)
		require.NotContains(t, err.Error(), part)
		require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), part)
	}
}

// certificate writes name.pem and name-key.pem, signed by parent or by itself.
func certificate(t *testing.T, dir, name string, serial int64, parent *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, IsCA: parent == nil, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	signer, by := template, any(key)
	if parent != nil {
		signer, by = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, by)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + "-key.pem": {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), pem.EncodeToMemory(block), 0o600))
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func TestTLSFiles(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	ca := certificate(t, dir, "ca", 1, nil)
	own := certificate(t, dir, "server", 2, &ca)
	certificate(t, dir, "client", 3, &ca)
	var shown []int64
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shown = append(shown, r.TLS.PeerCertificates[0].SerialNumber.Int64())
		assert.Equal(t, 2, r.ProtoMajor)
		w.WriteHeader(http.StatusNoContent)
	}))
	srv.Config.ErrorLog = zap.NewStdLog(zap.NewNop())
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{own}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	srv.StartTLS()
	defer srv.Close()

	push := func(c *tls.Config) error {
		cl, err := client.New(srv.URL, fast(), client.WithTLS(c))
		require.NoError(t, err)
		defer cl.Close()
		return cl.Push(t.Context(), request.Counter("c", 1))
	}
	config, err := client.TLSFiles(path("ca.pem"), path("client.pem"), path("client-key.pem"))
	require.NoError(t, err)
	require.NoError(t, push(config))
	certificate(t, dir, "client", 4, &ca)
	require.NoError(t, push(config), "the renewed one")
	require.NoError(t, os.WriteFile(path("client.pem"), []byte("half a file"), 0o600))
	require.NoError(t, push(config), "the last good one")
	require.Equal(t, []int64{3, 4, 4}, shown)

	certificate(t, dir, "client", 5, &ca)
	config, err = client.TLSFiles("", path("client.pem"), path("client-key.pem"))
	require.NoError(t, err)
	require.ErrorContains(t, push(config), "unknown authority")
	config, err = client.TLSFiles(path("ca.pem"), "", "")
	require.NoError(t, err)
	require.Error(t, push(config)) // "certificate required", unless the connection is gone before that is read

	for _, files := range [][3]string{
		{path("none.pem"), "", ""},
		{path("ca-key.pem"), "", ""},
		{"", path("client.pem"), ""},
		{"", "", path("client-key.pem")},
		{"", path("client.pem"), path("ca-key.pem")},
		{"", path("none.pem"), path("client-key.pem")},
	} {
		_, err := client.TLSFiles(files[0], files[1], files[2])
		require.Error(t, err, files)
	}
	_, err = client.New("localhost:1", client.WithTLS(config), client.WithTransport(&http.Transport{}))
	require.ErrorContains(t, err, "of its own")
}
