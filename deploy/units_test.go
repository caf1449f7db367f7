//go:build linux

package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// analyze runs systemd-analyze.
func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("there is no systemd-analyze; scripts/test-deps installs it where apt-get can")
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	return string(out), err
}

// machine is a scratch root with the units, and something at the paths that they
// start.
func machine(t *testing.T, unit func(program string) string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/bin"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "usr/lib/systemd/system"), 0o755))
	for _, program := range []string{"server", "agent"} {
		require.NoError(t, os.WriteFile(filepath.Join(root, "usr/bin/gometheus-"+program), []byte("#!/bin/sh\n"), 0o755))
		text := unit(program)
		require.NoError(t, os.WriteFile(filepath.Join(root, "usr/lib/systemd/system/gometheus-"+program+".service"), []byte(text), 0o600))
	}
	// What the units refer to and systemd brings.
	for _, name := range []string{"network-online.target", "multi-user.target", "sysinit.target", "basic.target", "shutdown.target", "network.target"} {
		text, err := os.ReadFile("/usr/lib/systemd/system/" + name)
		if err != nil {
			text, err = os.ReadFile("/lib/systemd/system/" + name)
		}
		if err == nil {
			require.NoError(t, os.WriteFile(filepath.Join(root, "usr/lib/systemd/system", name), text, 0o600))
		}
	}
	return root
}

func shipped(t *testing.T) func(program string) string {
	return func(program string) string {
		text, err := os.ReadFile("systemd/gometheus-" + program + ".service")
		require.NoError(t, err)
		return string(text)
	}
}

// verify lets systemd read the units of a root, and returns what it said of ours.
func verify(t *testing.T, root string) string {
	t.Helper()
	out, err := analyze(t, "verify", "--root="+root, "--man=no", "--recursive-errors=no", "gometheus-server.service", "gometheus-agent.service")
	if err != nil && out == "" {
		return err.Error()
	}
	ours := ""
	for _, line := range regexp.MustCompile(`(?m)^.*gometheus-.*$`).FindAllString(out, -1) {
		ours += line + "\n"
	}
	return ours
}

func TestUnits(t *testing.T) {
	require.Empty(t, verify(t, machine(t, shipped(t))))
	broken := verify(t, machine(t, func(program string) string {
		return shipped(t)(program) + "\n[Service]\nWatchdogSecs=60\n"
	}))
	require.Contains(t, broken, "WatchdogSecs", "a mistake is found")
}

// TestUnitsAreClosed: what systemd itself thinks of how far a unit is from the
// machine, of 10; a shell is 9.6.
func TestUnitsAreClosed(t *testing.T) {
	for program, most := range map[string]float64{"server": 1.5, "agent": 2} { // the agent looks at the machine
		out, err := analyze(t, "security", "--offline=yes", "systemd/gometheus-"+program+".service")
		require.NoError(t, err, out)
		m := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
		require.NotNil(t, m, out)
		exposure, err := strconv.ParseFloat(m[1], 64)
		require.NoError(t, err)
		require.LessOrEqual(t, exposure, most, out)
	}
}
