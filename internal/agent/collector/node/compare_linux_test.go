package node

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/programtest"
)

// What changed between node_exporter 1.5.0, which Debian 12 has, and 1.12.1, with
// the release and the change that did it. Everything else must be the same.
var (
	// newNames are metrics that the old one doesn't have.
	newNames = map[string]string{
		"node_btrfs_commits_total":                     "1.9.0 #3010",
		"node_btrfs_commit_seconds_total":              "1.9.0 #3010",
		"node_btrfs_last_commit_seconds":               "1.9.0 #3010",
		"node_btrfs_max_commit_seconds":                "1.9.0 #3010",
		"node_cpu_online":                              "1.9.0 #3032",
		"node_cpu_scaling_governor":                    "1.6.0 #2569",
		"node_cpu_frequency_avg_hertz":                 "1.12.0 #3712",
		"node_edac_channel_correctable_errors_total":   "1.12.0 #3720",
		"node_edac_channel_uncorrectable_errors_total": "1.12.0 #3720",
		"node_filesystem_mount_info":                   "1.9.0 #2970",
		"node_filesystem_purgeable_bytes":              "1.9.0 #3206, of no use on Linux",
		"node_hwmon_freq_freq_mhz":                     "1.9.0 #3093",
		"node_kernel_hung_tasks_total":                 "1.11.0 #3470, a new collector",
		"node_netstat_TcpExt_TCPOFOQueue":              "1.8.0 #2867",
		"node_netstat_TcpExt_TCPRcvQDrop":              "1.9.0 #3021",
		"node_nvme_namespace_info":                     "1.11.0 #3360",
		"node_nvme_namespace_capacity_bytes":           "1.11.0 #3360",
		"node_nvme_namespace_size_bytes":               "1.11.0 #3360",
		"node_nvme_namespace_used_bytes":               "1.11.0 #3360",
		"node_nvme_namespace_logical_block_size_bytes": "1.11.0 #3360",
		"node_os_support_end_timestamp_seconds":        "1.8.0 #2982",
		"node_pressure_irq_stalled_seconds_total":      "1.9.0 #3048",
		// The library that reads /proc gave softnet more columns.
		"node_softnet_backlog_len":            "1.6.0",
		"node_softnet_cpu_collision_total":    "1.6.0",
		"node_softnet_flow_limit_count_total": "1.6.0",
		"node_softnet_received_rps_total":     "1.6.0",
	}
	// newCollectors are on by default and were not there: bcachefs (1.11.0 #3523),
	// dmmultipath (1.12.0 #3581), kernel_hung (1.11.0 #3470), watchdog (1.8.0 #2880).
	newCollectors = regexp.MustCompile(`^(bcachefs|dmmultipath|kernel_hung|watchdog)$`)
	// newOfThem are their metrics, where there is such hardware.
	newOfThem = regexp.MustCompile(`^node_(bcachefs|dmmultipath|watchdog)_`)
	// goneNames are memory fields that the library which reads /proc/meminfo since
	// 1.9.0 (#3049) doesn't know.
	goneNames = []string{
		"node_memory_Balloon_bytes", "node_memory_FileHugePages_bytes", "node_memory_FilePmdMapped_bytes",
		"node_memory_Hugetlb_bytes", "node_memory_KReclaimable_bytes", "node_memory_SecPageTables_bytes",
		"node_memory_Unaccepted_bytes", "node_memory_CmaReleased_bytes",
	}
	// newLabels are labels that metrics were given.
	newLabels = map[string]string{
		"node_disk_info":    "rotational",   // 1.9.0 #3022
		"node_network_info": "adminstate",   // 1.6.0 #2515
		"node_filesystem_":  "device_error", // 1.8.0 #2923; all of them but those above
	}
	// goneDevices: zram is ignored since 1.8.0 (#2898).
	goneDevices = regexp.MustCompile(`^zram\d+$`)
)

// flags give Debian's the defaults of upstream, where Debian has others, and the
// exclusion of erofs, which is upstream's since 1.10.0 (#3313).
var flags = []string{
	"--no-collector.systemd",
	"--collector.netdev.device-exclude=",
	`--collector.filesystem.mount-points-exclude=^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)`,
	`--collector.filesystem.fs-types-exclude=^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$`,
}

// sample is a value and what kind it is.
type sample struct {
	kind  dto.MetricType
	value float64
}

// samples are the values of node_* by name and labels, without what is known to be
// on one side only. ours tells which side it is.
func samples(families []*dto.MetricFamily, ours bool) map[string]sample {
	out := map[string]sample{}
	for _, f := range families {
		name := f.GetName()
		_, isNew := newNames[name]
		if !strings.HasPrefix(name, "node_") || name == "node_exporter_build_info" || // of the program
			ours && (isNew || newOfThem.MatchString(name)) || !ours && slices.Contains(goneNames, name) {
			continue
		}
	metrics:
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				switch {
				case ours && l.GetName() == "collector" && newCollectors.MatchString(l.GetValue()):
					continue metrics
				case !ours && strings.HasPrefix(name, "node_disk_") && l.GetName() == "device" && goneDevices.MatchString(l.GetValue()):
					continue metrics
				case ours && (newLabels[name] == l.GetName() || strings.HasPrefix(name, "node_filesystem_") && newLabels["node_filesystem_"] == l.GetName()):
				default:
					labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
				}
			}
			s := sample{kind: f.GetType()}
			switch s.kind {
			case dto.MetricType_COUNTER:
				s.value = m.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				s.value = m.GetGauge().GetValue()
			default:
				s.value = m.GetUntyped().GetValue()
			}
			out[name+"{"+strings.Join(labels, ",")+"}"] = s
		}
	}
	return out
}

// fixed are gauges that don't change from one second to the next.
var fixed = regexp.MustCompile(`^node_(memory_(MemTotal|SwapTotal|CommitLimit|VmallocTotal|DirectMap.*|HugePages_Total|Hugepagesize)_.*|` +
	`filesystem_(size_bytes|files|readonly|device_error)|boot_time_seconds|uname_info|os_info|os_version|dmi_info|disk_info|` +
	`network_(info|mtu_bytes|up|address_assign_type|flags|iface_.*|protocol_type|device_id|net_dev_group|speed_bytes|transmit_queue_length|name_assign_type|dormant)|` +
	`cpu_(info|package_throttles_total|core_throttles_total)|selinux_enabled|time_zone_offset_seconds|time_clocksource_.*|nf_conntrack_entries_limit|filefd_maximum|` +
	`entropy_pool_size_bits|scrape_collector_success|textfile_scrape_error|timex_(tick_seconds|tai_offset_seconds|sync_status|pps_.*)|xfs_.*_info|md_.*|power_supply_.*info|nvme_info|rapl_.*)\{`)

// differ compares a gather of ours with theirs before and after it.
func differ(before, ours, after map[string]sample) (out []string) {
	for _, key := range slices.Sorted(maps.Keys(ours)) {
		o := ours[key]
		b, inBefore := before[key]
		a, inAfter := after[key]
		if !inBefore && !inAfter {
			out = append(out, "only ours has "+key)
			continue
		}
		if !inBefore || !inAfter {
			continue // it came or went meanwhile
		}
		if a.kind != o.kind {
			out = append(out, fmt.Sprintf("%s is a %v, not a %v", key, o.kind, a.kind))
			continue
		}
		low, high := min(b.value, a.value), max(b.value, a.value)
		room := 1e-9 * math.Abs(high) // they divide and multiply in another order
		switch {
		case strings.HasPrefix(key, "node_scrape_collector_duration_seconds{"):
			continue // of the two programs, not of the machine
		case o.kind == dto.MetricType_COUNTER, key == "node_time_seconds{}", fixed.MatchString(key):
		case strings.HasPrefix(key, "node_timex_"): // the kernel steers the clock
			room = 0.01*math.Abs(high) + 0.1
		case o.kind == dto.MetricType_UNTYPED: // some rise only, some don't
			room = 0.01*math.Abs(high) + 20
		case strings.Contains(key, "_bytes{"): // of memory and disks, which others use meanwhile
			room = 0.02*math.Abs(high) + 64<<20
		default:
			room = 0.1*math.Abs(high) + 30
		}
		if o.value < low-room || o.value > high+room {
			out = append(out, fmt.Sprintf("%s is %v, not within %v … %v (± %v)", key, o.value, b.value, a.value, room))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		_, inOurs := ours[key]
		_, inAfter := after[key]
		if !inOurs && inAfter {
			out = append(out, "only theirs has "+key)
		}
	}
	return out
}

// debian finds Debian's node_exporter. In CI it must be there.
func debian(t *testing.T) string {
	t.Helper()
	return programtest.Debian(t, "node_exporter", "prometheus-node-exporter", os.Getenv("CI") != "")
}

// TestLikeNodeExporter gathers between two scrapes of a real node_exporter and
// finds the same metrics, labels, types and values.
func TestLikeNodeExporter(t *testing.T) {
	if os.Getenv(child) == "" {
		debian(t) // a skip in the process below would not be seen
	}
	if !inProcess(t) {
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	dir := t.TempDir()
	theirs := programtest.Start(t, dir, debian(t), append([]string{
		"--web.listen-address=" + address, "--collector.textfile.directory=" + dir,
	}, flags...))
	g, err := New(Options{Log: zap.NewNop(), TextfileDir: dir})
	require.NoError(t, err)
	client := programtest.Client(t)
	scrape := func() map[string]sample {
		res, err := client.Get("http://" + address + "/metrics")
		if err != nil {
			return nil
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode, "%s", body)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
		require.NoError(t, err)
		return samples(slices.Collect(maps.Values(families)), false)
	}
	require.Eventually(t, func() bool { return scrape() != nil }, 30*time.Second, 20*time.Millisecond, theirs.Output())

	// What is mounted or switched on in the middle of it differs once.
	var differences []string
	for range 5 {
		before := scrape()
		families, err := g.Gather()
		require.NoError(t, err)
		after := scrape()
		ours := samples(families, true)
		if differences = differ(before, ours, after); len(differences) > 0 {
			continue
		}
		counters := 0
		for _, s := range ours {
			if s.kind == dto.MetricType_COUNTER {
				counters++
			}
		}
		require.Greater(t, len(ours), 200)
		require.Greater(t, counters, 50)
		t.Logf("%d series, %d of them counters, are the same", len(ours), counters)
		return
	}
	require.Empty(t, differences)
}

// TestDiffer: the comparison above sees what it should.
func TestDiffer(t *testing.T) {
	of := func(text string) map[string]sample {
		t.Helper()
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		require.NoError(t, err)
		return samples(slices.SortedFunc(maps.Values(families), func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) }), true)
	}
	const same = "# TYPE node_x_total counter\nnode_x_total{device=\"a\"} 5\n# TYPE node_memory_MemTotal_bytes gauge\nnode_memory_MemTotal_bytes 1000\n# TYPE node_load1 gauge\nnode_load1 2\n"
	base := of(same)
	later := of(strings.Replace(same, "} 5", "} 9", 1))
	require.Empty(t, differ(base, base, base))
	require.Empty(t, differ(base, of(strings.Replace(same, "} 5", "} 7", 1)), later))
	for change, want := range map[[2]string]string{
		{"} 5", "} 10"}:                                "node_x_total",
		{"} 5", "} 4"}:                                 "node_x_total",
		{"_bytes 1000", "_bytes 1001"}:                 "MemTotal",
		{"node_load1 2", "node_load1 60"}:              "node_load1",
		{`device="a"`, `device="b"`}:                   "only ours has",
		{"node_load1 2", "node_load2 2"}:               "only ours has",
		{"node_x_total counter", "node_x_total gauge"}: "is a GAUGE, not a COUNTER",
	} {
		got := differ(base, of(strings.Replace(same, change[0], change[1], 1)), later)
		require.NotEmpty(t, got, change)
		require.Contains(t, strings.Join(got, "\n"), want)
	}
	less := maps.Clone(base)
	delete(less, "node_load1{}")
	require.Equal(t, []string{"only theirs has node_load1{}"}, differ(base, less, later))
}
