package securitytest

import (
	"bytes"
	"errors"
	"fmt"
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

// server is the program as a process of its own, with history, files in a folder
// of its own, and default settings but for what the test sets.
type server struct {
	t       testing.TB
	cmd     *exec.Cmd
	args    []string
	env     []string
	dir     string
	address string
	url     string
	client  *http.Client
	done    chan struct{} // closed when it has ended
	err     error         // how; set before done is closed
}

var listeningLine = regexp.MustCompile(`"msg":"listening","address":"([^"]+)"`)

// start starts a server with settings, each NAME=value. In the end it must stop in
// order, and nothing in its log may be harmful.
func start(t testing.TB, settings ...string) *server {
	t.Helper()
	return startAs(t, build(t), settings...)
}

func startAs(t testing.TB, command string, settings ...string) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "securitytest-") //nolint:usetesting // it is kept when the test fails
	require.NoError(t, err)
	s := &server{t: t, dir: dir, client: &http.Client{
		Timeout: 60 * time.Second, Transport: &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 10_000, DisableCompression: true},
	}}
	s.args = strings.Fields(command)
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.Getenv("TMPDIR"),
		"ADDRESS=127.0.0.1:0", "FILE_STORAGE_PATH=" + filepath.Join(dir, "db.json"),
		"HISTORY=true", "HISTORY_PATH=" + filepath.Join(dir, "history"),
	}, settings...)
	t.Cleanup(s.end)
	s.launch()
	return s
}

// launch starts the process and waits until it listens.
func (s *server) launch() {
	s.t.Helper()
	log, err := os.OpenFile(s.logFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(s.t, err)
	before := len(s.log())
	done := make(chan struct{})
	s.done, s.cmd = done, exec.Command(s.args[0], s.args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr, s.cmd.Dir, s.cmd.Env = log, log, s.dir, s.env
	require.NoError(s.t, s.cmd.Start())
	go func() {
		s.err = s.cmd.Wait()
		log.Close()
		close(done)
	}()
	require.Eventually(s.t, func() bool {
		m := listeningLine.FindSubmatch(s.log()[before:])
		if m != nil {
			s.address = string(m[1])
			s.url = "http://" + s.address
		}
		return m != nil || !s.alive()
	}, 30*time.Second, 5*time.Millisecond, "it doesn't listen")
	s.mustLive()
}

// again ends the process, in order or by a kill, and starts it over the same
// files.
func (s *server) again(killed bool) {
	s.t.Helper()
	s.client.CloseIdleConnections()
	if killed {
		require.NoError(s.t, s.cmd.Process.Kill())
		<-s.done
	} else {
		require.True(s.t, s.stop())
		require.NoError(s.t, s.err)
	}
	s.launch()
}

func (s *server) logFile() string { return filepath.Join(s.dir, "log") }

func (s *server) log() []byte {
	b, err := os.ReadFile(s.logFile())
	require.NoError(s.t, err)
	return b
}

func (s *server) alive() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

func (s *server) mustLive() {
	s.t.Helper()
	if !s.alive() {
		log := s.log()
		s.t.Fatalf("the server has ended: %v\n%s", s.err, log[max(0, len(log)-4000):])
	}
}

func (s *server) end() {
	if s.cmd == nil || s.cmd.Process == nil {
		return // it never started
	}
	s.client.CloseIdleConnections()
	if s.alive() && !s.stop() {
		s.t.Error("the server does not stop in order")
	} else if s.err != nil {
		s.t.Errorf("the server ended: %v", s.err)
	}
	s.checkLog()
	if s.t.Failed() {
		s.t.Logf("log and data are kept in %s", s.dir)
		return
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Error(err)
	}
}

// stop stops it in order; false if it had to be killed.
func (s *server) stop() bool {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
	select {
	case <-s.done:
		return true
	case <-time.After(60 * time.Second):
		_ = s.cmd.Process.Kill() // as above
		<-s.done
		return false
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	took   time.Duration
}

// send sends a request and reads its answer. headers are pairs.
func (s *server) send(method, path string, body []byte, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, s.url+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	start := time.Now()
	res, err := s.client.Do(req)
	if err != nil {
		return answer{took: time.Since(start)}, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(out), time.Since(start)}, err
}

// do is send, and demands an answer.
func (s *server) do(method, path string, body []byte, headers ...string) answer {
	s.t.Helper()
	a, err := s.send(method, path, body, headers...)
	if err != nil {
		s.mustLive()
	}
	require.NoError(s.t, err)
	return a
}

// raw sends bytes and reads what comes until the connection ends.
func (s *server) raw(request string) (string, error) {
	conn, err := net.DialTimeout("tcp", s.address, 10*time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(conn, request); err != nil {
		return "", err
	}
	out, err := io.ReadAll(conn)
	if errors.Is(err, syscall.ECONNRESET) && len(out) > 0 {
		err = nil // it had more to say than was read
	}
	return string(out), err
}

// memory is a figure of /proc/PID/status in bytes: VmRSS or VmHWM.
func (s *server) memory(name string) int64 {
	s.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if errors.Is(err, os.ErrNotExist) {
		s.mustLive()
		s.t.Skip("no /proc to measure by")
	}
	require.NoError(s.t, err)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			require.NoError(s.t, err)
			return kib << 10
		}
	}
	s.t.Fatalf("no %s in /proc/…/status", name)
	return 0
}

// resident is what the process has resident now. The peak is counted from now on.
func (s *server) resident() int64 {
	s.t.Helper()
	// 5 resets the peak to what is resident.
	err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0o200)
	if err != nil {
		s.mustLive()
		s.t.Skipf("the peak of resident memory can't be reset here: %v", err)
	}
	return s.memory("VmRSS")
}

// peak is the most that was resident since resident.
func (s *server) peak() int64 { return s.memory("VmHWM") }

// warmUp does once what a server has to have done to be compared with itself.
func (s *server) warmUp() {
	s.t.Helper()
	for i := range 200 {
		body := fmt.Appendf(nil, `[{"id":"warm%d","type":"counter","delta":1},{"id":"heat","type":"gauge","value":%d}]`, i%10, i)
		require.Equal(s.t, 200, s.do("POST", "/updates", body).status)
	}
	require.Equal(s.t, 200, s.do("GET", "/", nil).status)
	require.Equal(s.t, 200, s.do("GET", "/api/v1/query?query=warm1", nil).status)
	require.Equal(s.t, 200, s.do("GET", "/metrics", nil).status)
}
