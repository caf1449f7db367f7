package container

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestNspawn: systemd-nspawn's own process is in the cgroup, in the machine's
// network, and is older than what it runs.
func TestNspawn(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	path := "/machine.slice/systemd-nspawn@web.service"
	m.cgroup(path, v2(nil))
	m.cgroup(path+"/supervisor", v2(map[string]string{"cgroup.procs": "20\n"}))
	m.cgroup(path+"/payload/init.scope", v2(map[string]string{"cgroup.procs": "21\n"}))
	m.process(20, 100, "")
	m.process(21, 200, netDev("host0", 2))
	got := samples(t, m.collector(Options{}))
	assert.InDelta(t, bootTime+200, got["start_time_seconds{id="+path+",image=,name=web}"], 0)
	assert.InDelta(t, 21, got["network_receive_bytes_total{id="+path+",image=,interface=host0,name=web}"], 0)
	assert.EqualValues(t, 2, got["processes{id="+path+",image=,name=web}"])
}

// TestRestart: the same id with another first process.
func TestRestart(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	put := func(pids string) { m.cgroup("/docker/"+idA, v2(map[string]string{"cgroup.procs": pids})) }
	c := m.collector(Options{})
	start := func() float64 {
		return samples(t, c)["start_time_seconds{id=/docker/"+idA+",image=,name=aaaaaaaaaaaa}"]
	}
	m.process(20, 100, "")
	m.process(21, 150, "")
	m.process(30, 500, "")
	put("21\n20\n")
	assert.InDelta(t, bootTime+100, start(), 0)
	put("30\n")
	assert.InDelta(t, bootTime+500, start(), 0)
	put("")
	assert.InDelta(t, float64(time.Now().Unix()), start(), 3600, "without a process: when the cgroup was made")
}

// TestLimitsChange: limits are read once a minute, and what was off may be on then.
func TestLimitsChange(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	files := v2(nil)
	delete(files, "memory.current")
	m.cgroup("/lxc.payload.a", files)
	at := now()
	c := m.collector(Options{Now: func() time.Time { return at }})
	const l = "{id=/lxc.payload.a,image=,name=a}"
	got := samples(t, c)
	assert.NotContains(t, got, "spec_cpu_quota"+l)
	assert.NotContains(t, got, "memory_usage_bytes"+l)
	m.cgroup("/lxc.payload.a", v2(map[string]string{"cpu.max": "20000 100000\n", "cpu.stat": "usage_usec 9000000\nnr_periods 3\n"}))
	at = at.Add(limitsFor - time.Second)
	got = samples(t, c)
	assert.NotContains(t, got, "spec_cpu_quota"+l)
	assert.InDelta(t, 9, got["cpu_usage_seconds_total{cpu=total,"+l[1:]], 0, "what is used is read each time")
	at = at.Add(time.Second)
	got = samples(t, c)
	assert.InDelta(t, 20_000, got["spec_cpu_quota"+l], 0)
	assert.InDelta(t, 3, got["cpu_cfs_periods_total"+l], 0)
	assert.InDelta(t, 1000, got["memory_usage_bytes"+l], 0)
}

func TestOddNames(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	for _, name := range []string{"a\xff", "a\xfe", "line\nend", "Grüße"} {
		m.cgroup("/lxc.payload."+name, v2(nil))
	}
	assert.Equal(t, map[string]string{
		`"/lxc.payload.a\xff"`: "a\uFFFD", `"/lxc.payload.a\xfe"`: "a\uFFFD", `"/lxc.payload.line\nend"`: "line\uFFFDend", "/lxc.payload.Grüße": "Grüße",
	}, containers(t, m.collector(Options{})))
}

func TestBounded(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	for i := range maxContainers - 1 {
		m.cgroup(fmt.Sprintf("/lxc.payload.m%04d", i), map[string]string{"cgroup.procs": ""})
	}
	c := m.collector(Options{Log: zap.New(core)})
	assert.Len(t, containers(t, c), maxContainers-1)
	assert.Zero(t, logs.Len())
	for _, name := range []string{"a", "b", "z"} {
		m.cgroup("/lxc.payload."+name, map[string]string{"cgroup.procs": ""})
	}
	for range 2 {
		got := containers(t, c)
		assert.Len(t, got, maxContainers)
		assert.Contains(t, got, "/lxc.payload.a")
		assert.NotContains(t, got, "/lxc.payload.b", "who is told already stays")
	}
	assert.Equal(t, 1, logs.FilterMessageSnippet("too many containers").Len())
}

func TestNoCgroups(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	m := newMachine(t)
	c := m.collector(Options{Log: zap.New(core)})
	for range 3 {
		assert.Empty(t, samples(t, c))
	}
	assert.Equal(t, 1, logs.FilterMessageSnippet("no cgroups are found").Len())
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	m.cgroup("/lxc.payload.a", v2(nil))
	assert.Len(t, containers(t, c), 1, "mounted later")
}

// TestOtherPIDNamespace: an agent in a container sees processes of others as 0.
func TestOtherPIDNamespace(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	m.cgroup("/lxc.payload.a", v2(map[string]string{"cgroup.procs": "0\n0\n"}))
	c := m.collector(Options{Log: zap.New(core)})
	for range 2 {
		assert.EqualValues(t, 2, samples(t, c)["processes{id=/lxc.payload.a,image=,name=a}"])
	}
	assert.Equal(t, 1, logs.FilterMessageSnippet("PID namespace").Len())
}

func TestHiddenProcesses(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	m.cgroup("/lxc.payload.a", v2(map[string]string{"cgroup.procs": "20\n"}))
	c := m.collector(Options{Log: zap.New(core)})
	assert.EqualValues(t, 1, samples(t, c)["processes{id=/lxc.payload.a,image=,name=a}"])
	assert.Zero(t, logs.Len(), "a process that has just ended")
	require.NoError(t, os.RemoveAll(m.path("proc/1")))
	for range 2 {
		assert.EqualValues(t, 1, samples(t, c)["processes{id=/lxc.payload.a,image=,name=a}"])
	}
	require.Equal(t, 1, logs.Len())
	assert.Contains(t, logs.All()[0].Message, "hidepid")
}

func TestLint(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	m.cgroup("/docker/"+idA, v2(map[string]string{"cpu.max": "1 2\n", "io.stat": "8:0 rbytes=1\n", "cgroup.procs": "20\n"}))
	m.process(20, 1, netDev("eth0", 1))
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(m.collector(Options{})))
	problems, err := testutil.GatherAndLint(r)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{`a\x2db`: "a-b", `\x2d`: "-", `a\x2`: `a\x2`, `a\x`: `a\x`, `\xzz\x41`: `\xzzA`, "": ""} {
		assert.Equal(t, want, unescape(in))
	}
}

func BenchmarkCollect50(b *testing.B) {
	m := newMachine(b)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	for i := range 200 {
		m.cgroup(fmt.Sprintf("/system.slice/s%d.service", i), map[string]string{"cgroup.procs": ""})
	}
	for i := range 50 {
		m.cgroup(fmt.Sprintf("/system.slice/docker-%064x.scope", i), v2(map[string]string{"cgroup.procs": fmt.Sprintln(100 + i), "io.stat": "8:0 rbytes=1 wbytes=1 rios=1 wios=1\n"}))
		m.process(100+i, i, netDev("eth0", i))
	}
	benchmark(b, m.collector(Options{}))
}

func benchmark(b *testing.B, c *Collector) {
	ch := make(chan prometheus.Metric, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		c.Collect(ch)
		for len(ch) > 0 {
			<-ch
		}
	}
}
