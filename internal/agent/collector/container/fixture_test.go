package container

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

const (
	idA = "aaaaaaaaaaaa0123456789abcdef0123456789abcdef0123456789abcdef0123"
	idB = "bbbbbbbbbbbb0123456789abcdef0123456789abcdef0123456789abcdef0123"
	idC = "cccccccccccc0123456789abcdef0123456789abcdef0123456789abcdef0123"

	bootTime = 1_700_000_000
	nowTime  = bootTime + 10_000
)

func now() time.Time { return time.Unix(nowTime, 0) }

// machine is the /proc and /sys of one that a test writes.
type machine struct {
	t    testing.TB
	root string
}

func newMachine(t testing.TB) *machine {
	m := &machine{t: t, root: t.TempDir()}
	m.write("proc/stat", fmt.Sprintf("cpu 1 2 3\nbtime %d\n", bootTime))
	m.process(1, 1, netDev("eth0", 1))
	require.NoError(t, os.MkdirAll(m.path("sys/dev/block"), 0o750))
	require.NoError(t, os.Symlink("../../devices/pci0000:00/block/sda", m.path("sys/dev/block/8:0")))
	return m
}

func (m *machine) path(name string) string { return filepath.Join(m.root, name) }

func (m *machine) write(name, content string) {
	m.t.Helper()
	require.NoError(m.t, os.MkdirAll(filepath.Dir(m.path(name)), 0o750))
	require.NoError(m.t, os.WriteFile(m.path(name), []byte(content), 0o600))
}

// cgroup writes files of a cgroup: of v1 they begin with the controller and a slash.
func (m *machine) cgroup(path string, files map[string]string) {
	m.t.Helper()
	for name, content := range files {
		dir, base := filepath.Split(name)
		m.write(filepath.Join("sys/fs/cgroup", dir, path, base), content)
	}
}

// process writes one that started so many seconds after the machine.
func (m *machine) process(pid, start int, net string) {
	m.t.Helper()
	m.write(fmt.Sprintf("proc/%d/stat", pid), fmt.Sprintf("%d (a) b) S 1 1 1 0 -1 0 9 9 9 9 1 1 9 9 20 -5 1 0 %d 9 9 9\n", pid, start*100))
	if net != "" {
		m.write(fmt.Sprintf("proc/%d/net/dev", pid), net)
	}
}

// netDev is a file net/dev whose numbers all tell of n.
func netDev(name string, n int) string {
	return "Inter-|   Receive   |  Transmit\n face |bytes    packets errs drop |bytes\n" +
		"    lo:  9 9 9 9 9 9 9 9  9 9 9 9 9 9 9 9\n" +
		fmt.Sprintf("%6s:%d1 %d2 %d3 %d4 0 0 0 0 %d5 %d6 %d7 %d8 0 0 0 0\n", name, n, n, n, n, n, n, n, n) +
		" veth1:  9 9 9 9 9 9 9 9  9 9 9 9 9 9 9 9\ndocker0: 9 9 9 9 9 9 9 9  9 9 9 9 9 9 9 9\n"
}

// v2 is what a cgroup of v2 has; more replaces some of it.
func v2(more map[string]string) map[string]string {
	files := map[string]string{
		"cgroup.procs": "", "cpu.weight": "100\n", "cpu.max": "max 100000\n",
		"cpu.stat":       "usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n",
		"memory.current": "1000\n", "memory.max": "max\n", "memory.swap.current": "70\n",
		"memory.stat":   "anon 400\nfile 500\nanon_thp 1\ninactive_file 300\nactive_file 200\n",
		"memory.events": "low 0\nhigh 0\nmax 5\noom 3\noom_kill 2\n",
		"pids.current":  "7\n", "pids.max": "max\n", "io.stat": "",
	}
	maps.Copy(files, more)
	return files
}

func (m *machine) collector(o Options) *Collector {
	o.Root = m.root
	if o.Now == nil {
		o.Now = now
	}
	return New(o)
}

// samples gathers as a user does and returns the values by name and labels, without
// the prefix and without quotes.
func samples(t testing.TB, c *Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	families, err := r.Gather()
	require.NoError(t, err)
	out := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue()
			out[strings.TrimPrefix(f.GetName(), "container_")+"{"+strings.Join(labels, ",")+"}"] = v
		}
	}
	return out
}

// names returns the containers' names by the paths of their cgroups.
func containers(t testing.TB, c *Collector) map[string]string {
	t.Helper()
	out := make(map[string]string)
	for series := range samples(t, c) {
		if labels, ok := strings.CutPrefix(series, "last_seen{id="); ok {
			id, rest, _ := strings.Cut(labels, ",image=")
			_, name, _ := strings.Cut(strings.TrimSuffix(rest, "}"), ",name=")
			out[id] = name
		}
	}
	return out
}
