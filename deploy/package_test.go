//go:build linux

package deploy

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/systemd/systemdtest"
)

// dist is what make release-dry built.
func dist(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("GOMETHEUS_DIST")
	if dir == "" {
		t.Skip("make package-test builds the packages and runs this")
	}
	return dir
}

// one is the file of dist that matches.
func one(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dist(t), pattern))
	require.NoError(t, err)
	require.Len(t, found, 1, pattern)
	return found[0]
}

func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s: %s", name, strings.Join(args, " "), out)
	return string(out)
}

// TestDist: all archives, packages and SBOMs are there, and the checksums name each
// and are right.
func TestDist(t *testing.T) {
	dir := dist(t)
	sums, err := os.ReadFile(filepath.Join(dir, "checksums.txt"))
	require.NoError(t, err)
	var names []string
	for line := range strings.Lines(string(sums)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		require.True(t, ok)
		data, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, sum, fmt.Sprintf("%x", sha256.Sum256(data)), name)
		names = append(names, name)
	}
	unix := []string{"linux_amd64", "linux_arm64", "linux_armv7", "darwin_amd64", "darwin_arm64"}
	var want []string
	for _, program := range []string{"server", "agent"} {
		for _, platform := range unix {
			want = append(want, `gometheus-`+program+`_[^_]+_`+platform+`\.tar\.gz`, `gometheus-`+program+`_[^_]+_`+platform+`\.cdx\.json`)
		}
		for _, a := range []string{"amd64", "arm64", "armhf"} {
			want = append(want, `gometheus-`+program+`_[^_]+_`+a+`\.deb`)
		}
		for _, a := range []string{"x86_64", "aarch64", "armv7hl"} {
			want = append(want, `gometheus-`+program+`-.+\.`+a+`\.rpm`)
		}
	}
	want = append(want, `gometheus-agent_[^_]+_windows_amd64\.zip`, `gometheus-agent_[^_]+_windows_amd64\.cdx\.json`)
	for _, pattern := range want {
		require.True(t, slices.ContainsFunc(names, regexp.MustCompile("^"+pattern+"$").MatchString), "%s among %q", pattern, names)
	}
	require.Len(t, names, len(want))
}

// TestSBOM: it names the program and the modules in it.
func TestSBOM(t *testing.T) {
	for _, program := range []string{"server", "agent"} {
		text, err := os.ReadFile(one(t, "gometheus-"+program+"_*_linux_amd64.cdx.json"))
		require.NoError(t, err)
		var bom struct {
			Format     string `json:"bomFormat"`
			Components []struct{ Name, Version string }
		}
		require.NoError(t, json.Unmarshal(text, &bom))
		require.Equal(t, "CycloneDX", bom.Format)
		var modules []string
		for _, c := range bom.Components {
			require.NotEmpty(t, c.Version, c.Name)
			modules = append(modules, c.Name)
		}
		require.Contains(t, modules, "go.uber.org/zap")
		require.Equal(t, program == "server", slices.Contains(modules, "github.com/jackc/pgx/v5"))
	}
}

// TestStatic: programs for Linux need nothing of the machine, and say which commit
// they are.
func TestStatic(t *testing.T) {
	for _, program := range []string{"server", "agent"} {
		dir := t.TempDir()
		command(t, nil, "tar", "-xzf", one(t, "gometheus-"+program+"_*_linux_"+runtime.GOARCH+".tar.gz"), "-C", dir)
		binary := filepath.Join(dir, "gometheus-"+program)
		info := command(t, nil, "go", "version", "-m", binary)
		require.Contains(t, info, "CGO_ENABLED=0")
		require.Contains(t, info, "-trimpath=true")
		version := command(t, nil, binary, "--version")
		require.Contains(t, version, strings.TrimSpace(command(t, nil, "git", "rev-parse", "HEAD"))[:7])
		listing := command(t, nil, "tar", "-tzf", one(t, "gometheus-"+program+"_*_linux_arm64.tar.gz"))
		for _, name := range []string{"LICENSE", "CHANGELOG.md", "gometheus-" + program, "gometheus-" + program + ".service", program + ".env"} {
			require.Contains(t, strings.Fields(listing), name)
		}
	}
}

func TestRPM(t *testing.T) {
	if _, err := exec.LookPath("rpm"); err != nil {
		t.Skip("there is no rpm; scripts/test-deps installs it where apt-get can")
	}
	for _, program := range []string{"server", "agent"} {
		path := one(t, "gometheus-"+program+"-*.x86_64.rpm")
		require.Equal(t, "/etc/gometheus/"+program+".env\n", command(t, nil, "rpm", "-qpc", path), "its settings survive an update")
		files := strings.Fields(command(t, nil, "rpm", "-qpl", path))
		require.Subset(t, files, []string{"/usr/bin/gometheus-" + program, "/usr/lib/systemd/system/gometheus-" + program + ".service"})
		info := command(t, nil, "rpm", "-qpi", path)
		require.Regexp(t, `License +: Apache-2.0`, info)
		require.Regexp(t, `Build Host +: gometheus`, info)
		scripts := command(t, nil, "rpm", "-qp", "--scripts", path)
		for _, s := range []string{"useradd", "try-restart", "disable --now"} {
			require.Contains(t, scripts, s)
		}
		require.Contains(t, command(t, nil, "rpm", "-qp", "--requires", path), "/usr/sbin/useradd")
	}
}

// scratch is the root of a machine with an empty dpkg, on which packages can be
// installed and removed.
type scratch struct {
	t    *testing.T
	root string
}

func newScratch(t *testing.T) scratch {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("installing packages, even on a scratch root, needs root")
	}
	if _, err := exec.LookPath("dpkg"); err != nil {
		t.Skip("there is no dpkg")
	}
	root := t.TempDir()
	for _, sub := range []string{"var/lib/dpkg/updates", "var/lib/dpkg/info", "etc", "var/lib"} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, sub), 0o755))
	}
	for _, file := range []string{"var/lib/dpkg/status", "etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, file), nil, 0o600))
	}
	return scratch{t, root}
}

func (s scratch) dpkg(args ...string) string {
	s.t.Helper()
	return command(s.t, nil, "dpkg", append([]string{
		"--root=" + s.root, "--force-script-chrootless", "--force-depends", "--force-not-root", "--log=" + filepath.Join(s.root, "dpkg.log"),
	}, args...)...)
}

func (s scratch) path(name string) string { return filepath.Join(s.root, name) }

func (s scratch) has(name string) bool {
	_, err := os.Lstat(s.path(name))
	return err == nil
}

func (s scratch) users() string {
	s.t.Helper()
	text, err := os.ReadFile(s.path("etc/passwd"))
	require.NoError(s.t, err)
	return string(text)
}

// TestDeb installs, updates, removes and purges both packages.
func TestDeb(t *testing.T) {
	s := newScratch(t)
	debs := map[string]string{}
	for _, program := range []string{"server", "agent"} {
		debs[program] = one(t, "gometheus-"+program+"_*_"+runtime.GOARCH+".deb")
	}
	out := s.dpkg("-i", debs["server"], debs["agent"])
	require.Contains(t, out, "systemctl enable --now gometheus-agent starts it")
	require.False(t, s.has("etc/systemd"), "nothing is enabled")
	require.Empty(t, verify(t, machine(t, func(program string) string {
		text, err := os.ReadFile(s.path("usr/lib/systemd/system/gometheus-" + program + ".service"))
		require.NoError(t, err)
		return string(text)
	})))
	for _, program := range []string{"server", "agent"} {
		name, env := "gometheus-"+program, s.path("etc/gometheus/"+program+".env")
		require.Contains(t, s.users(), name+":")
		info, err := os.Stat(env)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it may hold secrets")
		info, err = os.Stat(s.path("usr/bin/" + name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o755), info.Mode().Perm())

		// An update keeps what was changed and what is enabled; a removal also the data.
		require.NoError(t, os.WriteFile(env, []byte("LOG_LEVEL=warn\n"), 0o600))
		link := "etc/systemd/system/multi-user.target.wants/" + name + ".service"
		require.NoError(t, os.MkdirAll(filepath.Dir(s.path(link)), 0o750))
		require.NoError(t, os.Symlink("/usr/lib/systemd/system/"+name+".service", s.path(link)))
		require.NoError(t, os.MkdirAll(s.path("var/lib/"+name), 0o750))
		s.dpkg("-i", debs[program])
		text, err := os.ReadFile(env)
		require.NoError(t, err)
		require.Equal(t, "LOG_LEVEL=warn\n", string(text))
		require.True(t, s.has(link), "an update disables the service")

		s.dpkg("-r", name)
		require.False(t, s.has(link), "a removed service stays enabled")
		require.False(t, s.has("usr/bin/"+name))
		require.True(t, s.has("var/lib/"+name), "a removal loses the data")
		require.True(t, s.has("etc/gometheus/"+program+".env"))
		s.dpkg("-P", name)
		require.False(t, s.has("var/lib/"+name))
		require.False(t, s.has("etc/gometheus/"+program+".env"))
		require.NotContains(t, s.users(), name+":")
	}
}

// TestInstalledPrograms starts both from where the packages put them, as their
// units do, and sees a metric of the agent at the server.
func TestInstalledPrograms(t *testing.T) {
	s := newScratch(t)
	s.dpkg("-i", one(t, "gometheus-server_*_"+runtime.GOARCH+".deb"), one(t, "gometheus-agent_*_"+runtime.GOARCH+".deb"))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())

	stop := func(cmd *exec.Cmd, m *systemdtest.Manager) {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		m.Await("STOPPING=1")
		require.NoError(t, cmd.Wait(), cmd.Path)
	}
	start := func(program string, more ...string) (*exec.Cmd, *systemdtest.Manager) {
		state := s.path("var/lib/gometheus-" + program)
		require.NoError(t, os.MkdirAll(state, 0o750))
		unit, err := os.ReadFile(s.path("usr/lib/systemd/system/gometheus-" + program + ".service"))
		require.NoError(t, err)
		m := systemdtest.Listen(t)
		cmd := exec.CommandContext(t.Context(), s.path(regexp.MustCompile(`(?m)^ExecStart=(\S+)$`).FindStringSubmatch(string(unit))[1]))
		cmd.Dir, cmd.Env = state, m.Env(append(more, "WATCHDOG_USEC=1000000")...)
		for _, line := range regexp.MustCompile(`(?m)^Environment=(.*)$`).FindAllStringSubmatch(string(unit), -1) {
			cmd.Env = append(cmd.Env, strings.ReplaceAll(line[1], "%S", s.path("var/lib")))
		}
		require.NoError(t, cmd.Start())
		m.Await("READY=1")
		m.Await("WATCHDOG=1")
		return cmd, m
	}
	server, told := start("server", "ADDRESS="+address)
	agent, agentTold := start("agent", "ADDRESS="+address, "LABELS=instance=package")
	client := &http.Client{Timeout: time.Second}
	require.Eventually(t, func() bool {
		answer, err := client.Get("http://" + address + "/value/gauge/TotalMemory?instance=package")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		return err == nil && answer.StatusCode == http.StatusOK && len(body) > 6
	}, 20*time.Second, 10*time.Millisecond)
	stop(agent, agentTold)
	stop(server, told)
	require.True(t, s.has("var/lib/gometheus-server/metrics-db.json"), "the state is in the StateDirectory")
	require.True(t, s.has("var/lib/gometheus-agent/spool"), "the queue is in the StateDirectory")
}

// TestInstallRelease installs the archive that was built.
func TestInstallRelease(t *testing.T) {
	dir, prefix := dist(t), t.TempDir()
	out, err := install(t, nil, "--from", dir, "--prefix", prefix)
	require.NoError(t, err, out)
	require.Contains(t, command(t, nil, filepath.Join(prefix, "bin/gometheus-agent"), "--version"), "gometheus-agent ")
}

// TestReproducible builds the same commit again, in another folder, in another time
// zone and with other rights for new files, and gets the same bytes.
func TestReproducible(t *testing.T) {
	dir := dist(t)
	sums, err := os.ReadFile(filepath.Join(dir, "checksums.txt"))
	require.NoError(t, err)
	if command(t, nil, "git", "status", "--porcelain") != "" {
		t.Skip("the checkout has changes that are not committed, so there is no telling what dist was built from")
	}
	clone := filepath.Join(t.TempDir(), "elsewhere")
	command(t, nil, "git", "clone", "--quiet", "..", clone)
	cmd := exec.CommandContext(t.Context(), "bash", "-c", "umask 077 && exec scripts/release --snapshot")
	cmd.Dir, cmd.Env = clone, append(os.Environ(), "TZ=Pacific/Auckland", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	again, err := os.ReadFile(filepath.Join(clone, "dist", "checksums.txt"))
	require.NoError(t, err)
	require.Equal(t, string(sums), string(again))
}
