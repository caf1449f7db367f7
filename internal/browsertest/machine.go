package browsertest

import (
	"bytes"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/programtest"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// Machine makes the series of a machine, as an agent of it would send them: the same
// for the same name and time, and no two machines the same.
type Machine struct {
	Instance string
	// Containers and Processes are the names of such, beside some of the machine's own.
	Containers, Processes []string
	// Mount is where the fullest filesystem is mounted; "" is /data.
	Mount string
}

// Interval is how far apart a machine's samples are.
const Interval = 15 * time.Second

const gib = 1 << 30

// maker makes samples of one time.
type maker struct {
	m     *Machine
	t     time.Time
	phase float64 // of this machine, 0 to 1
	out   func(v float64, labels ...string)
}

// wave goes up and down between 0 and 1 with a period, smoothly.
func (k maker) wave(period time.Duration, shift float64) float64 {
	x := 2 * math.Pi * (float64(k.t.UnixMilli())/float64(period.Milliseconds()) + shift + k.phase)
	return 0.5 + 0.33*math.Sin(x) + 0.17*math.Sin(2.7*x+1)
}

// total is a counter that grew by rate a second, a little more at some times, since
// the machine started.
func (k maker) total(rate float64, period time.Duration, shift float64) float64 {
	seconds := float64(k.t.UnixMilli())/1000 - boot
	p := period.Seconds()
	return rate * (seconds + 0.8*p/(2*math.Pi)*(1-math.Cos(2*math.Pi*(seconds/p+shift+k.phase))))
}

const boot = 1_790_000_000 // Unix seconds: when the machines started

func (k maker) node(name string, v float64, labels ...string) {
	k.out(v, append([]string{"__name__", name, "instance", k.m.Instance, "job", "node"}, labels...)...)
}

func (k maker) all() {
	const cores = 4
	for cpu := range cores {
		idle := float64(k.t.UnixMilli())/1000 - boot // what the others leave
		for i, mode := range []struct {
			name string
			rate float64
		}{{"system", 0.06}, {"user", 0.22}, {"nice", 0.004}, {"iowait", 0.03}, {"irq", 0}, {"softirq", 0.01}, {"steal", 0.005}} {
			v := k.total(mode.rate*(0.5+k.phase), time.Duration(40+9*i)*time.Minute, float64(cpu)/11)
			idle -= v
			k.node("node_cpu_seconds_total", v, "cpu", strconv.Itoa(cpu), "mode", mode.name)
		}
		k.node("node_cpu_seconds_total", idle, "cpu", strconv.Itoa(cpu), "mode", "idle")
	}
	k.node("node_load1", 4*k.wave(37*time.Minute, 0))
	k.node("node_load5", 0.4+3*k.wave(37*time.Minute, -0.05))
	k.node("node_load15", 0.8+2*k.wave(37*time.Minute, -0.1))
	k.node("node_boot_time_seconds", boot)
	k.node("node_time_seconds", float64(k.t.Unix()))
	k.node("node_uname_info", 1, "sysname", "Linux", "release", "6.12.48+deb13-amd64", "machine", "x86_64", "nodename", k.m.Instance)
	k.node("node_os_info", 1, "id", "debian", "pretty_name", "Debian GNU/Linux 13 (trixie)", "version_id", "13")
	k.out(1, "__name__", "gometheus_agent_info", "instance", k.m.Instance, "version", "0.2.0")

	cached, used := 5*gib*k.wave(3*time.Hour, 0.3), 4*gib+5*gib*k.wave(100*time.Minute, 0.1)
	k.node("node_memory_MemTotal_bytes", 16*gib)
	k.node("node_memory_MemFree_bytes", 16*gib-cached-used-0.6*gib)
	k.node("node_memory_MemAvailable_bytes", 16*gib-used-0.2*gib)
	k.node("node_memory_Buffers_bytes", 0.2*gib)
	k.node("node_memory_Cached_bytes", cached)
	k.node("node_memory_SReclaimable_bytes", 0.4*gib)
	k.node("node_memory_SwapTotal_bytes", 2*gib)
	k.node("node_memory_SwapFree_bytes", 1.9*gib-0.4*gib*k.wave(5*time.Hour, 0))
	k.node("node_pressure_cpu_waiting_seconds_total", k.total(0.08, 37*time.Minute, 0))
	k.node("node_pressure_memory_waiting_seconds_total", k.total(0.004, 90*time.Minute, 0.4))
	k.node("node_pressure_io_waiting_seconds_total", k.total(0.03, 55*time.Minute, 0.2))

	for i, device := range []string{"eth0", "eth1", "lo", "veth12ab"} {
		scale := []float64{1, 0.15, 3, 0.2}[i]
		k.node("node_network_receive_bytes_total", scale*k.total(2.6e6, 31*time.Minute, 0.1*float64(i)), "device", device)
		k.node("node_network_transmit_bytes_total", scale*k.total(1.1e6, 43*time.Minute, 0.2*float64(i)), "device", device)
		k.node("node_network_receive_errs_total", 0, "device", device)
		k.node("node_network_transmit_errs_total", 0, "device", device)
		k.node("node_network_receive_drop_total", scale*k.total(0.02, time.Hour, 0), "device", device)
		k.node("node_network_transmit_drop_total", 0, "device", device)
	}
	for i, device := range []string{"nvme0n1", "sda", "loop0"} {
		scale := []float64{1, 0.4, 0.01}[i]
		k.node("node_disk_read_bytes_total", scale*k.total(3e6, 26*time.Minute, 0.5), "device", device)
		k.node("node_disk_written_bytes_total", scale*k.total(7e6, 17*time.Minute, 0.3), "device", device)
		k.node("node_disk_reads_completed_total", scale*k.total(90, 26*time.Minute, 0.5), "device", device)
		k.node("node_disk_writes_completed_total", scale*k.total(160, 17*time.Minute, 0.3), "device", device)
		k.node("node_disk_io_time_seconds_total", scale*k.total(0.12, 17*time.Minute, 0.3), "device", device)
	}
	mount := k.m.Mount
	if mount == "" {
		mount = "/data"
	}
	for _, fs := range []struct {
		mount, device, kind string
		size, free          float64
	}{
		{"/", "/dev/nvme0n1p2", "ext4", 60 * gib, 60 * gib * (0.35 + 0.1*k.wave(6*time.Hour, 0))},
		{"/boot/efi", "/dev/nvme0n1p1", "vfat", gib / 2, gib / 2 * 0.98},
		{mount, "/dev/sda1", "xfs", 900 * gib, 900 * gib * (0.06 + 0.05*k.wave(9*time.Hour, 0.2))},
		{"/run", "tmpfs", "tmpfs", 2 * gib, gib},
	} {
		k.node("node_filesystem_size_bytes", fs.size, "mountpoint", fs.mount, "device", fs.device, "fstype", fs.kind)
		k.node("node_filesystem_avail_bytes", fs.free, "mountpoint", fs.mount, "device", fs.device, "fstype", fs.kind)
	}
	for i, name := range append([]string{"postgres", "nginx", "systemd", "sshd", "gometheus-agent", "cron"}, k.m.Processes...) {
		scale := 1 / float64(i+1)
		k.node("namedprocess_namegroup_cpu_seconds_total", k.total(0.5*scale, 29*time.Minute, 0.13*float64(i)), "groupname", name, "mode", "user")
		k.node("namedprocess_namegroup_cpu_seconds_total", k.total(0.1*scale, 29*time.Minute, 0.13*float64(i)), "groupname", name, "mode", "system")
		k.node("namedprocess_namegroup_memory_bytes", scale*gib*(1+k.wave(2*time.Hour, scale)), "groupname", name, "memtype", "resident")
		k.node("namedprocess_namegroup_num_procs", float64(1+12/(i+1)), "groupname", name)
	}
	for i, name := range k.m.Containers {
		scale := 1 / float64(i+2)
		k.node("container_cpu_usage_seconds_total", k.total(0.6*scale, 33*time.Minute, 0.2*float64(i)), "name", name)
		k.node("container_memory_working_set_bytes", scale*gib*(0.6+0.5*k.wave(time.Hour, scale)), "name", name)
	}
	for i, unit := range []string{"cron.service", "nginx.service", "postgresql.service", "backup.service"} {
		for _, state := range []string{"active", "activating", "deactivating", "failed", "inactive"} {
			v := 0.0
			if state == "active" && i < 3 || state == "failed" && i == 3 {
				v = 1
			}
			k.node("node_systemd_unit_state", v, "name", unit, "state", state, "type", "simple")
		}
	}
}

// Series is the machine's samples from one time to another, both included.
func (m *Machine) Series(from, to time.Time, interval time.Duration) []writetest.Series {
	hash := fnv.New32a()
	io.WriteString(hash, m.Instance) //nolint:errcheck // it never fails
	var out []writetest.Series
	for t := from.Truncate(interval); !t.After(to); t = t.Add(interval) {
		if t.Before(from) {
			continue
		}
		n := 0 // the series come in the same order each time
		maker{m: m, t: t, phase: float64(hash.Sum32()%997) / 997, out: func(v float64, labels ...string) {
			if n == len(out) {
				out = append(out, writetest.Series{Labels: sorted(labels)})
			}
			out[n].Samples = append(out[n].Samples, writetest.Sample{T: t.UnixMilli(), V: v})
			n++
		}}.all()
	}
	return out
}

// sorted are labels by name, as remote write wants them.
func sorted(labels []string) []string {
	var pairs [][2]string
	for i := 0; i+1 < len(labels); i += 2 {
		pairs = append(pairs, [2]string{labels[i], labels[i+1]})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if a[0] < b[0] {
			return -1
		}
		return 1
	})
	out := make([]string, 0, len(labels))
	for _, p := range pairs {
		out = append(out, p[0], p[1])
	}
	return out
}

// Write sends series to a server by remote write, the oldest samples first, whatever
// series they are of: as they would have come.
func Write(tb testing.TB, server string, series []writetest.Series) {
	tb.Helper()
	const most = 20_000 // samples in a request, about
	client := programtest.Client(tb)
	send := func(part []writetest.Series) {
		r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, server+"/api/v1/write", bytes.NewReader(writetest.Encode(tb, "1.0", part)))
		require.NoError(tb, err)
		r.Header = writetest.Headers("1.0")
		resp, err := client.Do(r)
		require.NoError(tb, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(tb, err)
		require.NoError(tb, resp.Body.Close())
		require.Equal(tb, http.StatusNoContent, resp.StatusCode, "%s", body)
	}
	left := make([][]writetest.Sample, len(series))
	next := int64(math.MaxInt64)
	for i, s := range series {
		left[i] = s.Samples
		if len(s.Samples) > 0 {
			next = min(next, s.Samples[0].T)
		}
	}
	for next != math.MaxInt64 {
		until := next + (10 * time.Minute).Milliseconds()
		next = math.MaxInt64
		var part []writetest.Series
		samples := 0
		for i, s := range series {
			n := 0
			for n < len(left[i]) && left[i][n].T < until {
				n++
			}
			if n > 0 {
				part = append(part, writetest.Series{Labels: s.Labels, Samples: left[i][:n], Meta: s.Meta})
				samples += n
				left[i] = left[i][n:]
			}
			if len(left[i]) > 0 {
				next = min(next, left[i][0].T)
			}
			if samples >= most {
				send(part)
				part, samples = nil, 0
			}
		}
		if len(part) > 0 {
			send(part)
		}
	}
}
