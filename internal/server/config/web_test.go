package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestBadWebConfig: a file that the server could not use stops it at once, with
// one line that names the setting.
func TestBadWebConfig(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"unknown key":         "tls_server_confg: {}\nother: 1\n",
		"not YAML":            "basic_auth_users: [\n",
		"a plain password":    "basic_auth_users:\n  agent: secret\n",
		"no key":              "tls_server_config:\n  cert_file: x.pem\n",
		"missing certificate": "tls_server_config:\n  cert_file: x.pem\n  key_file: x.pem\n",
		"client CA alone":     "tls_server_config:\n  client_ca_file: x.pem\n",
	} {
		path := filepath.Join(dir, "web.yml")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := parse(map[string]string{"WEB_CONFIG_FILE": path})
		requireLine(t, err)
		require.ErrorContains(t, err, "WEB_CONFIG_FILE", name)
		require.ErrorContains(t, err, path, name)
	}
	_, err := parse(nil, "--web-config-file", filepath.Join(dir, "none.yml"))
	requireLine(t, err)
	require.ErrorContains(t, err, "no such file")
}
