//go:build linux

// Package deploy holds what installs the programs, and the tests of it. Those of
// the packages need what make release-dry builds: make package-test runs them.
package deploy

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// archive is the archive of an agent that is a script.
func archive(t *testing.T, version string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	unit, err := os.ReadFile("systemd/gometheus-agent.service")
	require.NoError(t, err)
	env, err := os.ReadFile("packages/agent.env")
	require.NoError(t, err)
	for name, text := range map[string]string{
		"gometheus-agent":         "#!/bin/sh\necho gometheus-agent " + version + "\n",
		"gometheus-agent.service": string(unit),
		"agent.env":               string(env),
	} {
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}))
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	require.NoError(t, z.Close())
	return b.Bytes()
}

// arch is this machine as the archives call it.
func arch(t *testing.T) string {
	t.Helper()
	switch runtime.GOARCH {
	case "amd64", "arm64":
		return runtime.GOARCH
	}
	t.Skip("there is no archive for this machine")
	return ""
}

// release is a folder as a release has it.
func release(t *testing.T, versions ...string) string {
	t.Helper()
	dir := t.TempDir()
	var sums strings.Builder
	for _, v := range versions {
		name := "gometheus-agent_" + v + "_linux_" + arch(t) + ".tar.gz"
		data := archive(t, v)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
		fmt.Fprintf(&sums, "%x  %s\n%x  gometheus-server_%s_linux_amd64.tar.gz\n", sha256.Sum256(data), name, sha256.Sum256(nil), v)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "checksums.txt"), []byte(sums.String()), 0o600))
	return dir
}

func install(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"../scripts/install-agent.sh"}, args...)...)
	cmd.Env = append(os.Environ(), append([]string{"INSTALL_ROOT=" + t.TempDir(), "no_proxy=*"}, env...)...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestInstall(t *testing.T) {
	dir := release(t, "1.2.3")
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	for _, from := range []string{dir, server.URL, server.URL + "/"} {
		prefix := t.TempDir()
		out, err := install(t, nil, "--from", from, "--prefix", prefix)
		require.NoError(t, err, out)
		require.Contains(t, out, "the checksum is right")
		require.Contains(t, out, "gometheus-agent 1.2.3")
		got, err := exec.CommandContext(t.Context(), filepath.Join(prefix, "bin/gometheus-agent")).Output()
		require.NoError(t, err)
		require.Equal(t, "gometheus-agent 1.2.3\n", string(got))

		out, err = install(t, nil, "--from", from, "--prefix", prefix, "--version", "v1.2.3")
		require.NoError(t, err, "over the old one: %s", out)
	}
}

// TestInstallService: with systemd there is a unit that starts the installed
// program, a user, and a file of settings, which an update leaves alone.
func TestInstallService(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making a user, even on a scratch root, needs root")
	}
	root := t.TempDir()
	for _, sub := range []string{"run/systemd/system", "etc"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, sub), 0o755))
	}
	for _, file := range []string{"passwd", "group", "shadow", "gshadow"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, "etc", file), nil, 0o600))
	}
	prefix, env := t.TempDir(), []string{"INSTALL_ROOT=" + root}
	out, err := install(t, env, "--from", release(t, "1.0.0"), "--prefix", prefix, "--server", "metrics.example:8080")
	require.NoError(t, err, out)
	settings := filepath.Join(root, "etc/gometheus/agent.env")
	text, err := os.ReadFile(settings)
	require.NoError(t, err)
	require.Contains(t, string(text), "\nADDRESS=metrics.example:8080\n")
	info, err := os.Stat(settings)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it may hold the key")
	unit, err := os.ReadFile(filepath.Join(root, "etc/systemd/system/gometheus-agent.service"))
	require.NoError(t, err)
	require.Contains(t, string(unit), "\nExecStart="+prefix+"/bin/gometheus-agent\n")
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	require.NoError(t, err)
	require.Contains(t, string(passwd), "gometheus-agent:")
	require.NoDirExists(t, filepath.Join(root, "etc/systemd/system/multi-user.target.wants"), "nothing is enabled")

	out, err = install(t, env, "--from", release(t, "1.1.0"), "--prefix", prefix, "--server", "other.example:1")
	require.NoError(t, err, out)
	require.Contains(t, out, "stays as it is")
	after, err := os.ReadFile(settings)
	require.NoError(t, err)
	require.Equal(t, text, after)
}

func TestInstallDryRun(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "none")
	out, err := install(t, nil, "--from", release(t, "1.2.3"), "--prefix", prefix, "--dry-run")
	require.NoError(t, err, out)
	require.Contains(t, out, "would run: mv -f "+prefix)
	require.Contains(t, out, "nothing was changed")
	require.NoDirExists(t, prefix)
}

// TestInstallRefuses: what is not as released, or not for this machine, installs
// nothing and says why.
func TestInstallRefuses(t *testing.T) {
	good := release(t, "1.2.3")
	file := "gometheus-agent_1.2.3_linux_" + arch(t) + ".tar.gz"
	change := func(name string, to func(string) string) string {
		dir := t.TempDir()
		require.NoError(t, os.CopyFS(dir, os.DirFS(good)))
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(path, 0o600))
		require.NoError(t, os.WriteFile(path, []byte(to(string(text))), 0o600))
		return dir
	}
	without := func(name string) string {
		dir := change(name, func(s string) string { return s })
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
		return dir
	}
	// machine is another one, as uname tells it.
	machine := func(system, machine string) []string {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "uname"),
			[]byte("#!/bin/sh\ncase $1 in -s) echo "+system+" ;; -m) echo "+machine+" ;; esac\n"), 0o700))
		return []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for name, c := range map[string]struct {
		args, env []string
		want      string
	}{
		"tampered":             {args: []string{"--from", change(file, func(s string) string { return s + "x" })}, want: "is not what was released"},
		"no checksums":         {args: []string{"--from", without("checksums.txt")}, want: "has no checksums.txt"},
		"not in checksums":     {args: []string{"--from", change("checksums.txt", func(s string) string { return strings.ReplaceAll(s, "gometheus-agent_", "another_") })}, want: "has no gometheus-agent for linux"},
		"half a checksum":      {args: []string{"--from", change("checksums.txt", func(s string) string { return s[8:] })}, want: "has no gometheus-agent for linux"},
		"no archive":           {args: []string{"--from", without(file)}, want: "has no " + file},
		"other version":        {args: []string{"--from", good, "--version", "1.2.4"}, want: "has no gometheus-agent_1.2.4_linux"},
		"not a pattern":        {args: []string{"--from", good, "--version", "1.2.."}, want: "has no gometheus-agent_1.2.._linux"},
		"several versions":     {args: []string{"--from", release(t, "1.0.0", "2.0.0")}, want: "say which with --version"},
		"no release":           {args: []string{"--from", server.URL}, want: "can't fetch " + server.URL + "/checksums.txt"},
		"archive of another":   {args: []string{"--from", good}, env: machine("Linux", "mips64"), want: "there is no archive for mips64"},
		"machine without any":  {args: []string{"--from", good}, env: machine("FreeBSD", "amd64"), want: "there is no archive for FreeBSD"},
		"not writable":         {args: []string{"--from", good, "--prefix", "/proc/none"}, want: "can't write into /proc/none/bin"},
		"unknown option":       {args: []string{"--form", good}, want: "--form: no such option"},
		"no value":             {args: []string{"--from"}, want: "--from needs a value"},
		"an address to escape": {args: []string{"--from", good, "--server", "a|e rm"}, want: "want host:port or a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			prefix := filepath.Join(t.TempDir(), "p")
			out, err := install(t, c.env, append([]string{"--prefix", prefix}, c.args...)...)
			require.Error(t, err, out)
			require.Contains(t, out, c.want)
			require.NoFileExists(t, filepath.Join(prefix, "bin/gometheus-agent"))
		})
	}
}
