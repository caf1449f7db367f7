package gometheus_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	agent "github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/common/config"
	server "github.com/gometheus/gometheus/internal/server/config"
)

func readme(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("README.md")
	require.NoError(t, err)
	return string(data)
}

// section is the text under a heading up to the next one of its level.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	require.True(t, ok, "no section %q", heading)
	level := heading[:strings.Index(heading, " ")+1]
	body, _, _ := strings.Cut(rest, "\n"+level)
	return body
}

// TestSettingsTables: the README's tables have exactly the settings of the
// programs, with their flags, variables and defaults.
func TestSettingsTables(t *testing.T) {
	for heading, settings := range map[string][]config.Setting{
		"### Server": server.Settings(),
		"### Agent":  agent.Settings(),
	} {
		var got, want []string
		for line := range strings.SplitSeq(section(t, readme(t), heading), "\n") {
			if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `-") {
				got = append(got, strings.Join(cells[1:4], "|"))
			}
		}
		for _, s := range settings {
			flag := " `--" + s.Flag + "` "
			if s.Short != "" {
				flag = " `-" + s.Short + "`," + flag
			}
			def := " "
			if s.Default != "" {
				def = " `" + s.Default + "` "
			}
			want = append(want, flag+"| `"+s.Env+"` |"+def)
		}
		require.ElementsMatch(t, want, got, heading)
	}
}

// TestLayout: every folder that the README names exists and holds Go code.
func TestLayout(t *testing.T) {
	folders := regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(section(t, readme(t), "## Layout"), -1)
	require.NotEmpty(t, folders)
	for _, match := range folders {
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(match[1], -1) {
			found := false
			require.NoError(t, filepath.WalkDir(name[1], func(path string, _ os.DirEntry, err error) error {
				found = found || strings.HasSuffix(path, ".go")
				return err
			}))
			require.True(t, found, "%s holds no Go code", name[1])
		}
	}
}

// TestExamples runs the README's console examples, in order, against a server
// and compares what they print.
func TestExamples(t *testing.T) {
	address := startServer(t)
	timestamps := regexp.MustCompile(`"timestamp":\d+`)
	blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(readme(t), -1)
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		for _, example := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(strings.TrimSuffix(example, "\n"), "\n")
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			cmd := exec.CommandContext(ctx, "bash", "-c", strings.ReplaceAll(command, "localhost:8080", address))
			cmd.Env = append(os.Environ(), "no_proxy=*")
			out, _ := cmd.Output() // grep finds nothing where nothing is shown
			cancel()
			got := strings.TrimSuffix(strings.ReplaceAll(string(out), "\r", ""), "\n")
			require.Equal(t, timestamps.ReplaceAllString(want, `"timestamp":0`), timestamps.ReplaceAllString(got, `"timestamp":0`), command)
		}
	}
}

// startServer builds the server, runs it on a free port, and stops it at the
// end of the test.
func startServer(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "server")
	out, err := exec.Command("go", "build", "-o", binary, "./cmd/server").CombinedOutput()
	require.NoError(t, err, "%s", out)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := listener.Addr().String()
	require.NoError(t, listener.Close())
	cmd := exec.Command(binary, "--address", address, "--file-storage-path", filepath.Join(dir, "db.json"), "--history-path", filepath.Join(dir, "history"))
	cmd.Args = append(cmd.Args, args...)
	cmd.Stderr = io.Discard
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait())
	})
	client := &http.Client{Timeout: time.Second}
	require.Eventually(t, func() bool {
		response, err := client.Get("http://" + address + "/ping")
		if err != nil {
			return false
		}
		return response.Body.Close() == nil && response.StatusCode == http.StatusOK
	}, 20*time.Second, 20*time.Millisecond)
	return address
}
