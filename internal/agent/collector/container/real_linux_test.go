package container

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// runChild waits until it is in its cgroup, uses CPU time and memory, tells both, and
// waits until its input ends.
func runChild(what string) int {
	if what == "gather" {
		return gather()
	}
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return 1
	}
	block := make([]byte, 64<<20)
	for i := 0; i < len(block); i += 4096 {
		block[i] = 1
	}
	before := used()
	for used()-before < 500*time.Millisecond {
		for range 1_000_000 {
		}
	}
	if exec.Command("ip", "link", "add", "gometheus0", "type", "dummy").Run() != nil {
		_ = exec.Command("ip", "tuntap", "add", "gometheus0", "mode", "tun").Run() // else the test says so
	}
	fmt.Println((used() - before).Seconds(), len(block))
	_, _ = io.Copy(io.Discard, in)
	return int(block[len(block)-1])
}

// gather prints what a collector of this user sees.
func gather() int {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(New(Options{DockerHost: "unix:///nonexistent"}))
	families, err := r.Gather()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(os.Stdout, f); err != nil {
			return 1
		}
	}
	return 0
}

func used() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return time.Hour
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// realCgroup makes a cgroup that looks like a container's in the trees of this machine.
func realCgroup(t testing.TB, h *hierarchy, parent, id string) (path string) {
	t.Helper()
	path = "/" + parent + "/" + id
	done := make(map[string]bool)
	for _, root := range h.roots {
		if done[root] {
			continue
		}
		done[root] = true
		if h.unified { // so that the container has them
			_ = os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu +memory +pids"), 0)
		}
		err := os.MkdirAll(root+"/"+parent, 0o755)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
			t.Skipf("no cgroup can be made here: %v", err)
		}
		require.NoError(t, err)
		t.Cleanup(func() { _ = os.Remove(root + "/" + parent) })
		if h.unified {
			_ = os.WriteFile(root+"/"+parent+"/cgroup.subtree_control", []byte("+cpu +memory +pids"), 0)
		}
		dir := root + path
		require.NoError(t, os.Mkdir(dir, 0o755))
		t.Cleanup(func() { // a process that has just ended may still be in there
			require.Eventually(t, func() bool { err := os.Remove(dir); return err == nil || errors.Is(err, fs.ErrNotExist) }, 10*time.Second, 10*time.Millisecond)
		})
	}
	return path
}

// TestRealCgroup puts a real process into a real cgroup, in a network of its own.
func TestRealCgroup(t *testing.T) {
	h := findHierarchy("/sys/fs/cgroup")
	if h == nil {
		t.Skip("this machine has no cgroups")
	}
	id := fmt.Sprintf("%064x", time.Now().UnixNano())
	path := realCgroup(t, h, fmt.Sprintf("gometheus-test-%d", os.Getpid()), id)

	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), child+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	if err := cmd.Start(); errors.Is(err, fs.ErrPermission) {
		t.Skipf("no network namespace can be made here: %v", err)
	} else {
		require.NoError(t, err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	t.Cleanup(func() { _ = stdin.Close() })
	done := make(map[string]bool)
	for _, root := range h.roots {
		if !done[root] {
			done[root] = true
			require.NoError(t, os.WriteFile(root+path+"/cgroup.procs", []byte(strconv.Itoa(cmd.Process.Pid)), 0))
		}
	}
	_, err = io.WriteString(stdin, "go\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	var cpu, memory float64
	_, err = fmt.Sscan(line, &cpu, &memory)
	require.NoError(t, err)

	got := samples(t, New(Options{DockerHost: "unix:///nonexistent"}))
	l := "id=" + path + ",image=,name=" + id[:12] + "}"
	assert.InDelta(t, cpu, got["cpu_usage_seconds_total{cpu=total,"+l], 0.3)
	assert.InDelta(t, got["cpu_usage_seconds_total{cpu=total,"+l], got["cpu_user_seconds_total{"+l]+got["cpu_system_seconds_total{"+l], 0.25)
	assert.EqualValues(t, 1, got["processes{"+l])
	assert.InDelta(t, float64(time.Now().Unix()), got["start_time_seconds{"+l], 60)
	if _, err := os.Stat(filepath.Join(h.roots["memory"]+path, map[bool]string{true: "memory.current", false: "memory.usage_in_bytes"}[h.unified])); err != nil {
		t.Logf("memory isn't looked at: %v", err)
	} else {
		for _, name := range []string{"memory_usage_bytes{", "memory_working_set_bytes{", "memory_rss{"} {
			assert.GreaterOrEqual(t, got[name+l], memory, name)
			assert.Less(t, got[name+l], 4*memory, name)
		}
	}
	inside, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", cmd.Process.Pid))
	require.NoError(t, err)
	if !strings.Contains(string(inside), "gometheus0:") {
		t.Log("the network isn't looked at: ip can't make an interface here")
	} else {
		assert.Contains(t, got, "network_receive_bytes_total{id="+path+",image=,interface=gometheus0,name="+id[:12]+"}")
	}
	if os.Getuid() == 0 { // and all of it without any rights
		unprivileged := asNobody(t, short(t), child+"=gather")
		want := 0
		for series := range got {
			if strings.Contains(series, path) {
				want++
			}
		}
		assert.Equal(t, want, strings.Count(unprivileged, path), unprivileged)
	}
	for series := range got {
		assert.False(t, strings.Contains(series, path) && strings.Contains(series, "interface=eth0"), "that is the machine's: %s", series)
	}
}

// TestSocketWithoutRights is the usual case: the agent isn't in the group docker. Root
// may open any socket, so the test runs itself as nobody.
func TestSocketWithoutRights(t *testing.T) {
	if os.Getuid() == 0 {
		out := asNobody(t, short(t), "", "-test.run=^TestSocketWithoutRights$", "-test.v")
		assert.Contains(t, out, "--- PASS: TestSocketWithoutRights", out)
		return
	}
	core, logs := observer.New(zap.InfoLevel)
	d := newDocker(t, short(t)+"/d.sock")
	d.say(200, "[]")
	require.NoError(t, os.Chmod(d.path, 0))
	c := withContainers(t, idA).collector(Options{DockerHost: "unix://" + d.path, Log: zap.New(core)})
	for range 3 {
		assert.Equal(t, map[string]string{"/docker/" + idA: "aaaaaaaaaaaa"}, containers(t, c))
	}
	assert.Zero(t, d.asked.Load())
	require.Equal(t, 1, logs.Len())
	assert.Contains(t, logs.All()[0].Message, "reading their names needs root or group docker")
}

// asNobody runs this test binary as a user without any rights.
func asNobody(t *testing.T, dir string, env string, args ...string) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	content, err := os.ReadFile(self)
	require.NoError(t, err)
	binary := filepath.Join(dir, "test")
	require.NoError(t, os.WriteFile(binary, content, 0o755))
	require.NoError(t, os.Chmod(dir, 0o777))
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, env)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// BenchmarkRealCollect50 looks at 50 real, empty cgroups.
func BenchmarkRealCollect50(b *testing.B) {
	h := findHierarchy("/sys/fs/cgroup")
	if h == nil {
		b.Skip("this machine has no cgroups")
	}
	for i := range 50 {
		realCgroup(b, h, fmt.Sprintf("gometheus-bench-%d", os.Getpid()), fmt.Sprintf("%064x", i))
	}
	benchmark(b, New(Options{DockerHost: "unix:///nonexistent"}))
}
