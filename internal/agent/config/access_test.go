package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/agent/config"
)

// writeFiles writes a certificate, its key and a password.
func writeFiles(t *testing.T) (cert, key, password string) {
	t.Helper()
	dir := t.TempDir()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	cert, key, password = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	require.NoError(t, os.WriteFile(password, []byte("from a file\n"), 0o600))
	return cert, key, password
}

func TestAccess(t *testing.T) {
	cert, key, password := writeFiles(t)
	for _, tt := range []struct {
		vars    map[string]string
		address string
		want    config.Access
	}{
		{map[string]string{"ADDRESS": "https://me:p%2Fw@h:2/x/"}, "https://h:2/x", config.Access{User: "me", Password: "p/w"}},
		{map[string]string{"ADDRESS": "http://me@h"}, "http://h", config.Access{User: "me"}},
		{map[string]string{"BASIC_AUTH_USER": "me", "BASIC_AUTH_PASSWORD": "pw"}, "localhost:8080", config.Access{User: "me", Password: "pw"}},
		{map[string]string{"BASIC_AUTH_USER": "me", "BASIC_AUTH_PASSWORD_FILE": password}, "localhost:8080", config.Access{User: "me", Password: "from a file"}},
		{map[string]string{"ADDRESS": "https://h", "TLS_CA": cert}, "https://h", config.Access{CA: cert}},
		{map[string]string{"ADDRESS": "https://h", "TLS_CERT": cert, "TLS_KEY": key}, "https://h", config.Access{Cert: cert, Key: key}},
	} {
		got, err := parse(tt.vars)
		require.NoError(t, err)
		require.Equal(t, tt.address, got.Address)
		require.Equal(t, tt.want, got.Access)
		require.NotContains(t, fmt.Sprintf("%+v %#v", got, got), "pw")
	}
}

// TestBadAccess: what can't work stops the agent at once, and no error tells a
// password.
func TestBadAccess(t *testing.T) {
	cert, key, password := writeFiles(t)
	for _, tt := range []struct {
		vars map[string]string
		says string
	}{
		{map[string]string{"ADDRESS": "https://h", "TLS_CERT": cert}, "TLS_KEY: TLS_CERT has none: want the certificate's key"},
		{map[string]string{"ADDRESS": "https://h", "TLS_KEY": key}, "TLS_CERT: TLS_KEY has none"},
		{map[string]string{"ADDRESS": "https://h", "TLS_CERT": key, "TLS_KEY": key}, "TLS_CERT " + fmt.Sprintf("%q", key)},
		{map[string]string{"ADDRESS": "https://h", "TLS_CERT": cert, "TLS_KEY": "none.pem"}, "no such file"},
		{map[string]string{"ADDRESS": "https://h", "TLS_CA": "none.pem"}, `TLS_CA "none.pem": read certificate authorities: open none.pem: no such file`},
		{map[string]string{"ADDRESS": "https://h", "TLS_CA": key}, "holds no certificate"},
		{map[string]string{"TLS_CA": cert}, "ADDRESS: TLS_CA and TLS_CERT are for TLS: want an https:// URL"},
		{map[string]string{"BASIC_AUTH_PASSWORD": "hunter2"}, "there is a password without a user"},
		{map[string]string{"BASIC_AUTH_USER": "a:b"}, "without a colon"},
		{map[string]string{"BASIC_AUTH_USER": "me", "BASIC_AUTH_PASSWORD": "hunter2", "BASIC_AUTH_PASSWORD_FILE": password}, "not both"},
		{map[string]string{"BASIC_AUTH_USER": "me", "ADDRESS": "http://you:hunter2@h"}, "not both"},
		{map[string]string{"BASIC_AUTH_USER": "me", "BASIC_AUTH_PASSWORD_FILE": "none"}, "BASIC_AUTH_PASSWORD_FILE"},
		{map[string]string{"ADDRESS": "http://me:hunter2/x@h"}, "ADDRESS"},
		{map[string]string{"ADDRESS": "me:hunter2@h:80"}, "ADDRESS"},
	} {
		_, err := parse(tt.vars)
		requireLine(t, err)
		require.ErrorContains(t, err, tt.says)
		require.NotContains(t, err.Error(), "hunter2")
	}
}
