package gometheus_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fakeDocker writes down what it is asked for. It has a Compose plugin and a
// running engine unless BROKEN says otherwise; its containers write a profile when
// they get a signal.
const fakeDocker = `#!/usr/bin/env bash
echo "$*" >>"$DOCKER_LOG"
case "$BROKEN $*" in
'plugin compose version') exit 1 ;;
'engine version '*) echo 'Cannot connect to the Docker daemon' >&2; exit 1 ;;
*' version '*) echo 28.0.0 ;;
*' compose ps '*) [[ $BROKEN == stopped ]] || printf 'agent\nserver\n' ;;
*' compose kill '*) [[ $BROKEN == silent ]] || echo new | gzip >"$DOCKER_LOG.profile" ;;
*' compose cp '*) cp "$DOCKER_LOG.profile" "${@: -1}" 2>/dev/null ;;
*' compose up '*) [[ $BROKEN != unhealthy ]] || exit 7 ;;
esac
`

// checkout is a folder with the Makefile and its scripts, and a PATH with a fake
// docker, or none, beside the commands that make needs.
type checkout struct {
	t        *testing.T
	dir, log string
	env      []string
}

func newCheckout(t *testing.T, docker bool, env ...string) *checkout {
	t.Helper()
	c := &checkout{t: t, dir: t.TempDir()}
	path := filepath.Join(c.dir, "path")
	require.NoError(t, os.MkdirAll(path, 0o750))
	for _, name := range []string{
		"bash", "make", "env", "dirname", "git", "grep", "sort", "awk", "sed", "date", "cat", "cmp", "cp", "sleep", "mkdir",
		"mv", "rm", "mktemp", "gzip", "chmod",
	} {
		found, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("the Makefile needs %s", name)
		}
		require.NoError(t, os.Symlink(found, filepath.Join(path, name)))
	}
	if docker {
		require.NoError(t, os.WriteFile(filepath.Join(path, "docker"), []byte(fakeDocker), 0o700))
	}
	for _, name := range []string{"Makefile", "scripts/compose", "scripts/pprof", "scripts/check"} {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(c.dir, name)), 0o750))
		require.NoError(t, os.WriteFile(filepath.Join(c.dir, name), text, 0o700))
	}
	c.log = filepath.Join(c.dir, "docker.log")
	c.env = append([]string{"PATH=" + path, "DOCKER_LOG=" + c.log, "HOME=" + c.dir, "BROKEN="}, env...)
	return c
}

// make runs a target and returns what it said and the commands that docker got,
// but for those that only look whether it is there.
func (c *checkout) make(target string, args ...string) (out string, commands []string, err error) {
	c.t.Helper()
	require.NoError(c.t, os.RemoveAll(c.log))
	cmd := exec.CommandContext(c.t.Context(), filepath.Join(c.dir, "path", "make"), append([]string{target}, args...)...)
	cmd.Dir, cmd.Env = c.dir, c.env
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err = cmd.Run()
	log, _ := os.ReadFile(c.log) // none: nothing was asked
	for line := range strings.Lines(string(log)) {
		if line = strings.TrimSuffix(line, "\n"); !strings.Contains(line, "version") {
			commands = append(commands, line)
		}
	}
	return both.String(), commands, err
}

// dockerTargets are the targets that need Docker, with what each asks it for, apart
// from pprof-….
var dockerTargets = map[string]string{
	"build":            "compose build server agent",
	"up":               "compose up --detach --wait",
	"down":             "compose down",
	"logs":             "compose logs",
	"logsf":            "compose logs --follow",
	"vet-server":       "compose --profile dev run --rm --build -e TESTFLAGS=-short server-dev scripts/check vet server",
	"test-server":      "compose --profile dev run --rm --build -e TESTFLAGS=-short server-dev scripts/check test server",
	"test-race-server": "compose --profile dev run --rm --build -e TESTFLAGS=-short server-dev scripts/check test-race server",
	"vet-agent":        "compose --profile dev run --rm --build -e TESTFLAGS=-short agent-dev scripts/check vet agent",
	"test-agent":       "compose --profile dev run --rm --build -e TESTFLAGS=-short agent-dev scripts/check test agent",
	"test-race-agent":  "compose --profile dev run --rm --build -e TESTFLAGS=-short agent-dev scripts/check test-race agent",
}

var pprofTargets = map[string]string{
	"pprof-cpu-server": "compose kill --signal SIGUSR1 server",
	"pprof-mem-server": "compose kill --signal SIGUSR2 server",
	"pprof-cpu-agent":  "compose kill --signal SIGUSR1 agent",
	"pprof-mem-agent":  "compose kill --signal SIGUSR2 agent",
}

func TestContainerTargets(t *testing.T) {
	c := newCheckout(t, true)
	for target, want := range dockerTargets {
		out, commands, err := c.make(target, "TESTFLAGS=-short")
		require.NoError(t, err, "%s: %s", target, out)
		require.Equal(t, []string{want}, commands, target)
	}
	for target, want := range pprofTargets {
		require.NoError(t, os.RemoveAll(c.log+".profile"))
		out, commands, err := c.make(target)
		require.NoError(t, err, "%s: %s", target, out)
		require.Contains(t, commands, want, target)
		parts := strings.Split(target, "-")
		file := regexp.MustCompile(`(?m)^profiles/` + parts[2] + "-" + parts[1] + `-\S+\.pprof$`).FindString(out)
		require.NotEmpty(t, file, "it says where the profile lies: %s", out)
		require.FileExists(t, filepath.Join(c.dir, file))
	}
}

// TestContainerTargetsWithoutDocker: each says what is missing, and fails.
func TestContainerTargetsWithoutDocker(t *testing.T) {
	for name, c := range map[string]struct {
		docker bool
		broken string
		want   string
	}{
		"no docker": {false, "", "needs Docker, and there is no docker in PATH"},
		"no plugin": {true, "plugin", "needs Docker's Compose plugin"},
		"no engine": {true, "engine", "doesn't answer: Cannot connect to the Docker daemon"},
	} {
		t.Run(name, func(t *testing.T) {
			checkout := newCheckout(t, c.docker, "BROKEN="+c.broken)
			for _, targets := range []map[string]string{dockerTargets, pprofTargets} {
				for target := range targets {
					out, commands, err := checkout.make(target)
					require.Error(t, err, target)
					require.Contains(t, out, "make "+target+": ")
					require.Contains(t, out, c.want)
					require.Empty(t, commands, target)
				}
			}
		})
	}
}

// TestContainerTargetsFail: what Docker can't do is not passed over.
func TestContainerTargetsFail(t *testing.T) {
	out, _, err := newCheckout(t, true, "BROKEN=unhealthy").make("up")
	require.Error(t, err)
	require.NotContains(t, out, "shows what arrives")

	out, commands, err := newCheckout(t, true, "BROKEN=stopped").make("pprof-cpu-agent")
	require.Error(t, err)
	require.Contains(t, out, "no running container of agent")
	require.NotContains(t, strings.Join(commands, "\n"), "kill")

	// The profile of last time is not taken for a new one.
	c := newCheckout(t, true, "BROKEN=silent", "PPROF_TIMEOUT=1")
	old := exec.CommandContext(t.Context(), "bash", "-c", "echo old | gzip >"+c.log+".profile")
	require.NoError(t, old.Run())
	out, _, err = c.make("pprof-mem-server")
	require.Error(t, err)
	require.Contains(t, out, "no profile after 1 s")
	require.NoDirExists(t, filepath.Join(c.dir, "profiles"))
}

// TestHelp: every target has a line, in a group.
func TestHelp(t *testing.T) {
	out, _, err := newCheckout(t, false).make("help")
	require.NoError(t, err)
	text, err := os.ReadFile("Makefile")
	require.NoError(t, err)
	phony := regexp.MustCompile(`(?s)\n\.PHONY: (.*?[^\\])\n`).FindStringSubmatch(string(text))
	for target := range strings.FieldsSeq(strings.ReplaceAll(phony[1], "\\\n", " ")) {
		if target != "test-deps" && target != "lint-deps" {
			require.Regexp(t, `(?m)^  make `+target+` +\S`, out)
		}
	}
	_, containers, ok := strings.Cut(out, "\nIn containers; these need Docker with Compose\n")
	require.True(t, ok)
	for _, targets := range []map[string]string{dockerTargets, pprofTargets} {
		for target := range targets {
			require.Contains(t, containers, "make "+target+" ", "in the group of those that need Docker")
		}
	}
}
