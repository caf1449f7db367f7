package container

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// child is the variable that makes this test binary the process in a real cgroup.
const child = "GOMETHEUS_TEST_CONTAINER"

func TestMain(m *testing.M) {
	if what := os.Getenv(child); what != "" {
		os.Exit(runChild(what))
	}
	goleak.VerifyTestMain(m)
}

func TestV2Systemd(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n")
	path := "/system.slice/docker-" + idA + ".scope"
	m.cgroup(path, v2(map[string]string{
		"cgroup.procs": "20\n21\n", "cpu.max": "50000 100000\n",
		"cpu.stat":   "usage_usec 3500000\nuser_usec 2500000\nsystem_usec 1000000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 1500000\n",
		"memory.max": "2000\n", "pids.max": "99\n",
		"io.stat": "7:7 7:6 8:0 rbytes=11 wbytes=12 rios=13 wios=14 dbytes=9 dios=9\n259:1 rbytes=1 wbytes=0 rios=1 wios=0\n7:1 \n",
	}))
	m.process(21, 300, netDev("eth0", 3))
	m.process(20, 200, netDev("eth0", 2))
	m.cgroup("/system.slice/ssh.service", v2(nil))
	m.cgroup("/user.slice/user-0.slice/session-1.scope", v2(nil))
	m.cgroup("/init.scope", v2(nil))

	l := "id=" + path + ",image=,"
	n := "name=aaaaaaaaaaaa"
	eth := "id=" + path + ",image=,interface=eth0,name=aaaaaaaaaaaa}"
	sda := "{device=/dev/sda,id=" + path + ",image=,name=aaaaaaaaaaaa}"
	other := "{device=259:1,id=" + path + ",image=,name=aaaaaaaaaaaa}"
	assert.Equal(t, map[string]float64{
		"cpu_usage_seconds_total{cpu=total," + l + n + "}": 3.5,
		"cpu_user_seconds_total{" + l + n + "}":            2.5,
		"cpu_system_seconds_total{" + l + n + "}":          1,
		"cpu_cfs_periods_total{" + l + n + "}":             10,
		"cpu_cfs_throttled_periods_total{" + l + n + "}":   4,
		"cpu_cfs_throttled_seconds_total{" + l + n + "}":   1.5,
		"spec_cpu_quota{" + l + n + "}":                    50_000,
		"spec_cpu_period{" + l + n + "}":                   100_000,
		"spec_cpu_shares{" + l + n + "}":                   2597,
		"memory_usage_bytes{" + l + n + "}":                1000,
		"memory_working_set_bytes{" + l + n + "}":          700,
		"memory_rss{" + l + n + "}":                        400,
		"memory_cache{" + l + n + "}":                      500,
		"memory_swap{" + l + n + "}":                       70,
		"spec_memory_limit_bytes{" + l + n + "}":           2000,
		"oom_events_total{" + l + n + "}":                  2,
		"processes{" + l + n + "}":                         2,
		"threads{" + l + n + "}":                           7,
		"threads_max{" + l + n + "}":                       99,
		"start_time_seconds{" + l + n + "}":                bootTime + 200,
		"last_seen{" + l + n + "}":                         nowTime,
		"fs_reads_bytes_total" + sda:                       11,
		"fs_writes_bytes_total" + sda:                      12,
		"fs_reads_total" + sda:                             13,
		"fs_writes_total" + sda:                            14,
		"fs_reads_bytes_total" + other:                     1,
		"fs_writes_bytes_total" + other:                    0,
		"fs_reads_total" + other:                           1,
		"fs_writes_total" + other:                          0,
		"network_receive_bytes_total{" + eth:               21,
		"network_receive_packets_total{" + eth:             22,
		"network_receive_errors_total{" + eth:              23,
		"network_receive_packets_dropped_total{" + eth:     24,
		"network_transmit_bytes_total{" + eth:              25,
		"network_transmit_packets_total{" + eth:            26,
		"network_transmit_errors_total{" + eth:             27,
		"network_transmit_packets_dropped_total{" + eth:    28,
	}, samples(t, m.collector(Options{})))
}

// TestV2Cgroupfs: without limits, and with an inner systemd, whose processes are in
// cgroups below.
func TestV2Cgroupfs(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	path := "/docker/" + idA
	m.cgroup(path, v2(nil))
	m.cgroup(path+"/init.scope", v2(map[string]string{"cgroup.procs": "20\n"}))
	m.cgroup(path+"/system.slice/cron.service", v2(map[string]string{"cgroup.procs": "21\n22\n"}))
	m.cgroup(path+"/docker/"+idB, v2(map[string]string{"cgroup.procs": "23\n"}))
	m.process(20, 200, netDev("eth0", 2))
	c := m.collector(Options{})
	got := samples(t, c)
	l := "{id=" + path + ",image=,name=aaaaaaaaaaaa}"
	assert.EqualValues(t, 4, got["processes"+l])
	assert.InDelta(t, bootTime+200, got["start_time_seconds"+l], 0)
	assert.Contains(t, got, "spec_memory_limit_bytes"+l)
	assert.Zero(t, got["spec_memory_limit_bytes"+l], "none")
	assert.Contains(t, got, "threads_max"+l)
	assert.NotContains(t, got, "spec_cpu_quota"+l)
	assert.NotContains(t, got, "cpu_cfs_periods_total"+l, "what isn't limited isn't throttled")
	assert.Equal(t, map[string]string{path: "aaaaaaaaaaaa"}, containers(t, c), "a container inside of one counts in it")

	// Controllers may be off.
	bare := "/docker/" + idC
	m.cgroup(bare, map[string]string{"cgroup.procs": "", "cpu.stat": "usage_usec 1000000\n"})
	got = samples(t, c)
	l = "id=" + bare + ",image=,name=cccccccccccc}"
	assert.InDelta(t, 1, got["cpu_usage_seconds_total{cpu=total,"+l], 0)
	for series := range got {
		assert.False(t, strings.HasPrefix(series, "memory") && strings.HasSuffix(series, l), series)
	}
}

func TestV1Hybrid(t *testing.T) {
	m := newMachine(t)
	for _, controller := range []string{"cpu,cpuacct", "memory", "blkio", "pids", "systemd", "unified"} {
		m.write("sys/fs/cgroup/"+controller+"/cgroup.procs", "1\n")
	}
	m.write("sys/fs/cgroup/unified/cgroup.controllers", "")
	path := "/docker/" + idA
	m.cgroup(path, map[string]string{
		"cpu,cpuacct/cpuacct.usage": "3500000000\n", "cpu,cpuacct/cpuacct.usage_user": "2500000000\n", "cpu,cpuacct/cpuacct.usage_sys": "1000000000\n",
		"cpu,cpuacct/cpu.stat":         "nr_periods 10\nnr_throttled 4\nthrottled_time 1500000000\n",
		"cpu,cpuacct/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n", "cpu,cpuacct/cpu.shares": "1024\n",
		"memory/memory.usage_in_bytes": "1000\n", "memory/memory.limit_in_bytes": "9223372036854771712\n",
		"memory/memory.stat":        "cache 1\nrss 1\nswap 1\ninactive_file 1\ntotal_cache 500\ntotal_rss 400\ntotal_swap 70\ntotal_inactive_file 300\n",
		"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		"pids/pids.current":         "7\n", "pids/pids.max": "max\n", "pids/cgroup.procs": "20\n",
		"blkio/blkio.throttle.io_service_bytes": "8:0 Read 11\n8:0 Write 12\n8:0 Sync 9\n8:0 Total 23\nTotal 23\n",
		"blkio/blkio.throttle.io_serviced":      "8:0 Read 13\n8:0 Write 14\n8:0 Total 27\n",
	})
	m.process(20, 200, netDev("eth0", 2))
	onlySystemd := "/system.slice/docker-" + idB + ".scope" // in one tree only
	m.cgroup(onlySystemd, map[string]string{"cpu,cpuacct/cpuacct.usage": "1000000000\n", "cpu,cpuacct/cpuacct.stat": "user 50\nsystem 25\n", "cpu,cpuacct/cpu.cfs_quota_us": "-1\n"})

	got := samples(t, m.collector(Options{}))
	l := "id=" + path + ",image=,name=aaaaaaaaaaaa}"
	sda := "{device=/dev/sda," + l
	for series, want := range map[string]float64{
		"cpu_usage_seconds_total{cpu=total," + l: 3.5, "cpu_user_seconds_total{" + l: 2.5, "cpu_system_seconds_total{" + l: 1,
		"cpu_cfs_periods_total{" + l: 10, "cpu_cfs_throttled_periods_total{" + l: 4, "cpu_cfs_throttled_seconds_total{" + l: 1.5,
		"spec_cpu_quota{" + l: 50_000, "spec_cpu_period{" + l: 100_000, "spec_cpu_shares{" + l: 1024,
		"memory_usage_bytes{" + l: 1000, "memory_working_set_bytes{" + l: 700, "memory_rss{" + l: 400, "memory_cache{" + l: 500,
		"memory_swap{" + l: 70, "spec_memory_limit_bytes{" + l: 0, "oom_events_total{" + l: 2,
		"processes{" + l: 1, "threads{" + l: 7, "threads_max{" + l: 0, "start_time_seconds{" + l: bootTime + 200,
		"fs_reads_bytes_total" + sda: 11, "fs_writes_bytes_total" + sda: 12, "fs_reads_total" + sda: 13, "fs_writes_total" + sda: 14,
		"network_receive_bytes_total{id=" + path + ",image=,interface=eth0,name=aaaaaaaaaaaa}": 21,
	} {
		v, ok := got[series]
		assert.True(t, ok, series)
		assert.InDelta(t, want, v, 1e-9, series)
	}
	l = "id=" + onlySystemd + ",image=,name=bbbbbbbbbbbb}"
	assert.InDelta(t, 0.5, got["cpu_user_seconds_total{"+l], 1e-9, "of ticks, as old kernels have it")
	assert.InDelta(t, 0.25, got["cpu_system_seconds_total{"+l], 1e-9)
	assert.NotContains(t, got, "spec_cpu_quota{"+l)
}

func TestIdentify(t *testing.T) {
	for path, want := range map[string]string{ // engine and default name
		"/docker/" + idA:                         "docker aaaaaaaaaaaa",
		"/system.slice/docker-" + idA + ".scope": "docker aaaaaaaaaaaa",
		"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idA + ".scope": "docker aaaaaaaaaaaa",
		"/mine/" + idA: " aaaaaaaaaaaa",
		"/kubepods/burstable/pod0f9cb1f5-5c66-4b4a-8c5f-0d5a1d1c9f1e/" + idA:                                           " aaaaaaaaaaaa",
		"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0f9c.slice/cri-containerd-" + idA + ".scope": "cri-containerd aaaaaaaaaaaa",
		"/kubepods.slice/kubepods-pod0f9c.slice/crio-" + idA + ".scope":                                                "crio aaaaaaaaaaaa",
		"/system.slice/containerd.service/kubepods-burstable-pod0f9c.slice:cri-containerd:" + idA:                      "cri-containerd aaaaaaaaaaaa",
		"/machine.slice/libpod-" + idA + ".scope":                                                                      "libpod aaaaaaaaaaaa",
		"/libpod_parent/libpod-" + idA:                                                                                 "libpod aaaaaaaaaaaa",
		"/system.slice/web.service/libpod-payload-" + idA:                                                              "libpod aaaaaaaaaaaa",
		"/system.slice/nerdctl-" + idA + ".scope":                                                                      "nerdctl aaaaaaaaaaaa",
		"/ecs/0123456789abcdef0123456789abcdef/0123456789abcdef0123456789abcdef-1234567890":                            "ecs 0123456789ab",
		"/lxc.payload.web": "lxc web",
		"/lxc.payload/web": "lxc web",
		"/lxc/101":         "lxc 101",
		"/machine.slice/systemd-nspawn@web.service":     "nspawn web",
		`/machine.slice/machine-web\x2d1.scope`:         "nspawn web-1",
		`/machine.slice/machine-lxc\x2d17\x2dweb.scope`: "nspawn lxc-17-web",
	} {
		id, ok := identify(path)
		assert.True(t, ok, path)
		assert.Equal(t, want, id.engine+" "+id.defaultName(), path)
	}
	for _, path := range []string{
		"/", "/docker", "/system.slice", "/system.slice/docker.service", "/system.slice/ssh.service", "/init.scope",
		"/user.slice/user-0.slice/session-1.scope", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f9c.slice",
		"/machine.slice/libpod-conmon-" + idA + ".scope", "/kubepods.slice/crio-conmon-" + idA + ".scope",
		"/lxc.monitor.web", "/lxc.monitor/web", "/lxc", "/lxc/lxc.monitor.web", "/lxc.pivot", "/lxc.payload.",
		`/machine.slice/machine-qemu\x2d1\x2dweb.scope`, "/machine.slice/other.scope", "/machine.slice/systemd-nspawn@.service",
		"/docker/" + idA[1:], "/docker/" + strings.ToUpper(idA), "/docker/x" + idA, "/x/" + idA + "0",
	} {
		_, ok := identify(path)
		assert.False(t, ok, path)
	}
}

// TestFound: containers of all kinds beside each other, below services and slices.
func TestFound(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	want := map[string]string{
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f9c.slice/cri-containerd-" + idA + ".scope": "aaaaaaaaaaaa",
		"/machine.slice/libpod-" + idB + ".scope":         "bbbbbbbbbbbb",
		"/system.slice/web.service/libpod-payload-" + idC: "cccccccccccc",
		"/lxc.payload.db":                       "db",
		`/machine.slice/machine-web\x2d1.scope`: "web-1",
	}
	for path := range want {
		m.cgroup(path, v2(nil))
	}
	for _, path := range []string{"/lxc.monitor.db", "/system.slice/web.service/runtime", "/machine.slice/libpod-conmon-" + idB + ".scope"} {
		m.cgroup(path, v2(nil))
	}
	c := m.collector(Options{})
	assert.Equal(t, want, containers(t, c))

	require.NoError(t, os.RemoveAll(m.path("sys/fs/cgroup/lxc.payload.db")))
	delete(want, "/lxc.payload.db")
	assert.Equal(t, want, containers(t, c), "one has ended")
	assert.Len(t, c.containers, len(want), "and is forgotten")
}

func TestNetwork(t *testing.T) {
	m := newMachine(t)
	m.write("sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
	put := func(id string, pid, start int) {
		m.cgroup("/docker/"+id, v2(map[string]string{"cgroup.procs": fmt.Sprintln(pid)}))
		m.process(pid, start, "")
	}
	share := func(pid, with int) { // files of one namespace are one file
		require.NoError(t, os.MkdirAll(m.path(fmt.Sprintf("proc/%d/net", pid)), 0o750))
		require.NoError(t, os.Link(m.path(fmt.Sprintf("proc/%d/net/dev", with)), m.path(fmt.Sprintf("proc/%d/net/dev", pid))))
	}
	put(idA, 20, 300)
	m.write("proc/20/net/dev", netDev("eth0", 2))
	put(idB, 21, 200) // older: the pod's
	share(21, 20)
	put(idC, 22, 100)
	share(22, 1) // the machine's
	var got []string
	for series := range samples(t, m.collector(Options{})) {
		if strings.HasPrefix(series, "network_receive_bytes_total") {
			got = append(got, series)
		}
	}
	assert.Equal(t, []string{"network_receive_bytes_total{id=/docker/" + idB + ",image=,interface=eth0,name=bbbbbbbbbbbb}"}, got)
}
