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
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// readmes are the languages of the README.
var readmes = []string{"README.md", "README.ru.md"}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(data)
}

// section is the text under a heading up to the next one of its level or above.
func section(t *testing.T, text, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	require.True(t, ok, "no section %q", heading)
	level := strings.Index(heading, " ")
	if next := regexp.MustCompile(`(?m)^#{2,` + strconv.Itoa(level) + `} `).FindStringIndex(rest); next != nil {
		rest = rest[:next[0]]
	}
	return rest
}

// TestLayout: every folder that the README names exists and holds Go code.
func TestLayout(t *testing.T) {
	folders := regexp.MustCompile("(?m)^\\| (`[^|]+) \\|").FindAllStringSubmatch(section(t, read(t, "README.md"), "## Layout"), -1)
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

// withExamples are the files whose console examples are run.
var withExamples = append([]string{"docs/push-api.md", "docs/history.md"}, readmes...)

// TestExamples runs the console examples of each file, in order, against a server
// of its own, and compares what they print.
func TestExamples(t *testing.T) {
	binary := build(t, "server")
	for _, file := range withExamples {
		t.Run(file, func(t *testing.T) {
			address := startBinary(t, binary)
			blocks := regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(read(t, file), -1)
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
					require.Equal(t, timeless(want), timeless(got), command)
				}
			}
		})
	}
}

// timeless has no times: neither those of metrics nor those of samples.
func timeless(text string) string {
	text = regexp.MustCompile(`"timestamp":\d+`).ReplaceAllString(text, `"timestamp":0`)
	return regexp.MustCompile(`\[\d+(\.\d+)?,"`).ReplaceAllString(text, `[0,"`)
}

// startServer builds the server, runs it on a free port, and stops it at the
// end of the test.
func startServer(t *testing.T, args ...string) string {
	t.Helper()
	return startBinary(t, build(t, "server"), args...)
}

// build builds one of the programs.
func build(t *testing.T, program string) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), program)
	out, err := exec.Command("go", "build", "-o", binary, "./cmd/"+program).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return binary
}

func startBinary(t *testing.T, binary string, args ...string) string {
	t.Helper()
	dir := t.TempDir()
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
