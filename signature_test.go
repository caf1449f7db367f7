package gometheus_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	agentapp "github.com/gometheus/gometheus/internal/agent/app"
	"github.com/gometheus/gometheus/internal/agent/collector"
	agent "github.com/gometheus/gometheus/internal/agent/config"
	"github.com/gometheus/gometheus/internal/common/metric"
	serverapp "github.com/gometheus/gometheus/internal/server/app"
	server "github.com/gometheus/gometheus/internal/server/config"
	"github.com/gometheus/gometheus/pkg/signature"
)

// polls counts the polls, and a counter by them.
type polls struct {
	n    atomic.Int64
	wall func() time.Time
}

func (*polls) Name() string { return "polls" }

func (p *polls) Collect(context.Context) ([]metric.Metric, error) {
	p.n.Add(1)
	return []metric.Metric{{Kind: metric.Counter, Name: "Polls", Delta: 1, Timestamp: p.wall().UnixMilli()}}, nil
}

// runServer runs a server within this process until the test ends.
func runServer(t *testing.T, mode signature.Mode) (address string) {
	t.Helper()
	cfg := server.Default()
	cfg.Address, cfg.FileStoragePath, cfg.Key, cfg.Signature = "127.0.0.1:0", filepath.Join(t.TempDir(), "db.json"), "correct horse", mode
	cfg.HistoryPath = t.TempDir()
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serverapp.Run(ctx, cfg, zap.New(core), serverapp.Signals{}) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool { return logs.FilterMessage("listening").Len() > 0 }, 20*time.Second, 5*time.Millisecond)
	address, _ = logs.FilterMessage("listening").All()[0].ContextMap()["address"].(string)
	return address
}

// runAgent runs an agent within this process, until the returned function is
// called.
func runAgent(t *testing.T, address string, mode signature.Mode, wall func() time.Time) (*polls, *observer.ObservedLogs, func()) {
	t.Helper()
	cfg := agent.Default()
	cfg.Address, cfg.Key, cfg.Signature = address, "correct horse", mode
	cfg.PollInterval, cfg.ReportInterval = 20*time.Millisecond, 20*time.Millisecond
	core, logs := observer.New(zapcore.InfoLevel)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	p := &polls{wall: wall}
	o := agentapp.Options{Collectors: []collector.Collector{p}, Wall: wall, ShutdownTimeout: 2 * time.Second}
	go func() { done <- agentapp.Run(ctx, cfg, zap.New(core), o) }()
	return p, logs, func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// signedTotal is what the server has of the polls; 0 for none.
func signedTotal(t *testing.T, address string) int64 {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second}
	defer client.CloseIdleConnections()
	res, err := client.Get("http://" + address + "/value/counter/Polls")
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	if res.StatusCode == http.StatusNotFound {
		return 0
	}
	n, err := strconv.ParseInt(string(body), 10, 64)
	require.NoError(t, err)
	return n
}

// TestSignatureModePairs runs the two programs in each pair of modes.
func TestSignatureModePairs(t *testing.T) {
	const works = ""
	pairs := map[signature.Mode]map[signature.Mode]string{ // agent, server: what the agent says if it doesn't work
		signature.Hash:    {signature.Hash: works, signature.Both: works, signature.Message: "the server denies this agent"},
		signature.Both:    {signature.Hash: works, signature.Both: works, signature.Message: works},
		signature.Message: {signature.Hash: "the server takes no batches", signature.Both: works, signature.Message: works},
	}
	for agentMode, row := range pairs {
		for serverMode, says := range row {
			t.Run(fmt.Sprintf("agent %s, server %s", agentMode, serverMode), func(t *testing.T) {
				address := runServer(t, serverMode)
				p, logs, stop := runAgent(t, address, agentMode, time.Now)
				if says != works {
					require.Eventually(t, func() bool { return logs.FilterMessageSnippet(says).Len() == 1 }, 20*time.Second, 5*time.Millisecond)
					reason := fmt.Sprint(logs.FilterMessageSnippet(says).All()[0].ContextMap()["error"])
					if agentMode == signature.Message {
						require.Contains(t, reason, "SIGNATURE must fit")
					} else {
						require.Contains(t, reason, "SIGNATURE=message")
					}
					stop()
					require.Zero(t, signedTotal(t, address))
					return
				}
				require.Eventually(t, func() bool { return p.n.Load() >= 10 && signedTotal(t, address) > 0 }, 20*time.Second, 5*time.Millisecond)
				stop()
				require.Equal(t, p.n.Load(), signedTotal(t, address))
				require.Empty(t, logs.Filter(func(e observer.LoggedEntry) bool { return e.Level > zapcore.InfoLevel }).All())
			})
		}
	}
}

// TestSignatureWithWrongClock: an agent whose machine is an hour off delivers all.
func TestSignatureWithWrongClock(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
		address := runServer(t, signature.Message)
		p, logs, stop := runAgent(t, address, signature.Message, func() time.Time { return time.Now().Add(ahead) })
		require.Eventually(t, func() bool { return p.n.Load() >= 10 && signedTotal(t, address) > 0 }, 20*time.Second, 5*time.Millisecond)
		stop()
		require.Equal(t, p.n.Load(), signedTotal(t, address))
		require.Equal(t, 1, logs.FilterMessage("the clock of this machine is wrong; the times of samples are corrected").Len())
	}
}

// TestSignatureExamples runs what docs/signatures.md tells people to paste,
// against servers that take nothing but that.
func TestSignatureExamples(t *testing.T) {
	doc := read(t, "docs/signatures.md")
	hash, message := section(t, doc, "## The hash, by hand"), section(t, doc, "## Message signatures, by hand")
	for _, tt := range []struct {
		mode, text string
		want       []string // what the scripts print
	}{
		{"hash", hash, []string{`{"id":"logins","type":"counter","delta":3,"timestamp":0}`, "6"}},
		{"message", message, []string{
			`{"id":"logins","type":"counter","delta":3,"timestamp":0}`, "replayed", "8",
			"the answer is genuine", `{"id":"logins","type":"counter","delta":8,"timestamp":0}`,
		}},
	} {
		address := startServer(t, "--key", "correct horse", "--signature", tt.mode)
		var script strings.Builder
		blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(tt.text, -1)
		require.NotEmpty(t, blocks)
		for _, block := range blocks {
			script.WriteString(block[1])
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(script.String(), "localhost:8080", address))
		cmd.Env = append(os.Environ(), "no_proxy=*")
		cmd.Dir = t.TempDir()
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		cancel()
		require.NoError(t, err, "%s\n%s", out, said.String())
		got := regexp.MustCompile(`"timestamp":\d+`).ReplaceAllString(string(out), `"timestamp":0`)
		var lines []string
		for line := range strings.Lines(got) {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
		require.Equal(t, tt.want, lines)
	}
}
