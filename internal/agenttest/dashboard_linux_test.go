package agenttest

import (
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// panel is what a panel of the dashboard draws.
type panel struct {
	name string
	expr string // $of stands for the label matchers that the variables fill in
	// needs tells whether this machine has what it shows; nil: each has.
	needs func(*testing.T) bool
	nan   bool // it may be NaN: 0 of 0
}

// panels are the panels that "Node Exporter Full" (Grafana 1860) shows before
// anybody opens a row: "Quick CPU / Mem / Disk" and "Basic CPU / Mem / Net / Disk".
var panels = []panel{
	{name: "Pressure: CPU", expr: `irate(node_pressure_cpu_waiting_seconds_total{$of}[1m])`, needs: pressure},
	{name: "Pressure: Mem", expr: `irate(node_pressure_memory_waiting_seconds_total{$of}[1m])`, needs: pressure},
	{name: "Pressure: Mem stalled", expr: `irate(node_pressure_memory_stalled_seconds_total{$of}[1m])`, needs: pressure},
	{name: "Pressure: I/O", expr: `irate(node_pressure_io_waiting_seconds_total{$of}[1m])`, needs: pressure},
	{name: "Pressure: I/O stalled", expr: `irate(node_pressure_io_stalled_seconds_total{$of}[1m])`, needs: pressure},
	{name: "CPU Busy", expr: `100 * (1 - avg(rate(node_cpu_seconds_total{mode="idle",$of}[1m])))`},
	{name: "Sys Load", expr: `100 * scalar(node_load1{$of}) / count(count by (cpu) (node_cpu_seconds_total{$of}))`},
	{name: "RAM Used", expr: `100 * (1 - node_memory_MemAvailable_bytes{$of} / node_memory_MemTotal_bytes{$of})`},
	{name: "RAM Used, with caches", expr: `100 * (node_memory_MemTotal_bytes{$of} - node_memory_MemFree_bytes{$of}) / node_memory_MemTotal_bytes{$of}`},
	{name: "SWAP Used", expr: `100 * (node_memory_SwapTotal_bytes{$of} - node_memory_SwapFree_bytes{$of}) / node_memory_SwapTotal_bytes{$of}`, nan: true},
	{name: "Root FS Used", expr: `100 - 100 * node_filesystem_avail_bytes{mountpoint="/",fstype!="rootfs",$of} / node_filesystem_size_bytes{mountpoint="/",fstype!="rootfs",$of}`, needs: rootDisk},
	{name: "CPU Cores", expr: `count(count by (cpu) (node_cpu_seconds_total{$of}))`},
	{name: "Uptime", expr: `node_time_seconds{$of} - node_boot_time_seconds{$of}`},
	{name: "RootFS Total", expr: `node_filesystem_size_bytes{mountpoint="/",fstype!="rootfs",$of}`, needs: rootDisk},
	{name: "RAM Total", expr: `node_memory_MemTotal_bytes{$of}`},
	{name: "SWAP Total", expr: `node_memory_SwapTotal_bytes{$of}`},

	{name: "CPU Basic: system", expr: `sum by (instance) (irate(node_cpu_seconds_total{mode="system",$of}[1m])) / on (instance) group_left () count by (instance) (count by (cpu, instance) (node_cpu_seconds_total{$of}))`},
	{name: "CPU Basic: user", expr: `sum(irate(node_cpu_seconds_total{mode="user",$of}[1m])) / scalar(count(count by (cpu) (node_cpu_seconds_total{$of})))`},
	{name: "CPU Basic: iowait", expr: `sum(irate(node_cpu_seconds_total{mode="iowait",$of}[1m])) / scalar(count(count by (cpu) (node_cpu_seconds_total{$of})))`},
	{name: "CPU Basic: irqs", expr: `sum(irate(node_cpu_seconds_total{mode=~".*irq",$of}[1m])) / scalar(count(count by (cpu) (node_cpu_seconds_total{$of})))`},
	{name: "CPU Basic: other", expr: `sum(irate(node_cpu_seconds_total{mode!~"idle|user|system|iowait|irq|softirq",$of}[1m])) / scalar(count(count by (cpu) (node_cpu_seconds_total{$of})))`},
	{name: "CPU Basic: idle", expr: `sum(irate(node_cpu_seconds_total{mode="idle",$of}[1m])) / scalar(count(count by (cpu) (node_cpu_seconds_total{$of})))`},
	{name: "Memory Basic: used", expr: `node_memory_MemTotal_bytes{$of} - node_memory_MemFree_bytes{$of} - (node_memory_Cached_bytes{$of} + node_memory_Buffers_bytes{$of} + node_memory_SReclaimable_bytes{$of})`},
	{name: "Memory Basic: cache", expr: `node_memory_Cached_bytes{$of} + node_memory_Buffers_bytes{$of} + node_memory_SReclaimable_bytes{$of}`},
	{name: "Memory Basic: free", expr: `node_memory_MemFree_bytes{$of}`},
	{name: "Memory Basic: swap used", expr: `node_memory_SwapTotal_bytes{$of} - node_memory_SwapFree_bytes{$of}`},
	{name: "Network Traffic Basic: in", expr: `8 * irate(node_network_receive_bytes_total{$of}[1m])`},
	{name: "Network Traffic Basic: out", expr: `8 * irate(node_network_transmit_bytes_total{$of}[1m])`},
	{name: "Disk Space Used Basic", expr: `100 - 100 * node_filesystem_avail_bytes{device!~"rootfs",$of} / node_filesystem_size_bytes{device!~"rootfs",$of}`, needs: rootDisk},
}

// metrics are the metrics that the dashboard shows at once, and the one of its
// variables.
var metrics = []string{
	"node_boot_time_seconds", "node_cpu_seconds_total", "node_filesystem_avail_bytes", "node_filesystem_size_bytes", "node_load1",
	"node_memory_Buffers_bytes", "node_memory_Cached_bytes", "node_memory_MemAvailable_bytes", "node_memory_MemFree_bytes",
	"node_memory_MemTotal_bytes", "node_memory_SReclaimable_bytes", "node_memory_SwapFree_bytes", "node_memory_SwapTotal_bytes",
	"node_network_receive_bytes_total", "node_network_transmit_bytes_total", "node_pressure_cpu_waiting_seconds_total",
	"node_pressure_io_stalled_seconds_total", "node_pressure_io_waiting_seconds_total", "node_pressure_memory_stalled_seconds_total",
	"node_pressure_memory_waiting_seconds_total", "node_time_seconds", "node_uname_info",
}

// pressure: a kernel may be built or started without it.
func pressure(*testing.T) bool {
	_, err := os.ReadFile("/proc/pressure/cpu")
	return err == nil
}

// rootDisk: the root of a container is of a kind that node_exporter passes over.
func rootDisk(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[1] == "/" && f[2] != "overlay" && f[2] != "rootfs" && f[2] != "squashfs" {
			return true
		}
	}
	return false
}

// nothing tells whether a value is none that a panel could draw.
func nothing(s series) bool {
	return slices.Contains([]string{`"NaN"`, `"+Inf"`, `"-Inf"`}, string(s.Value[1]))
}

func TestPanelsAskForEveryMetric(t *testing.T) {
	asked := []string{"node_uname_info"}
	for _, p := range panels {
		asked = append(asked, regexp.MustCompile(`node_\w+`).FindAllString(p.expr, -1)...)
	}
	slices.Sort(asked)
	require.Equal(t, metrics, slices.Compact(asked))
	require.Len(t, metrics, 22)
}

// TestDashboard feeds a server by an agent and looks at it as Grafana would.
func TestDashboard(t *testing.T) {
	s := startServer(t)
	agent := startAgent(t, s.url, "--collectors=node", "--scrape-interval=1s", "--report-interval=1s", "--labels=instance=web-1")
	of := `instance="web-1",job="node"`

	for _, p := range panels {
		if p.needs != nil && !p.needs(t) {
			t.Logf("%s: this machine hasn't got that", p.name)
			continue
		}
		expr := strings.ReplaceAll(p.expr, "$of", of)
		var got []series
		// A batch may come in two requests, so a panel may at first have one half only.
		require.Eventually(t, func() bool {
			got = s.query(expr)
			return len(got) > 0 && (p.nan || !slices.ContainsFunc(got, nothing))
		}, 30*time.Second, 100*time.Millisecond, "%s: %s: %v", p.name, expr, &got)
	}

	// The variables, as Grafana asks for label_values: by the label, or by series.
	machine, err := os.ReadFile("/proc/sys/kernel/hostname")
	require.NoError(t, err)
	nodename := strings.TrimSpace(string(machine))
	for _, v := range []struct{ label, match, want string }{
		{"job", `node_uname_info`, "node"},
		{"nodename", `node_uname_info{job="node"}`, nodename},
		{"instance", `node_uname_info{job="node",nodename="` + nodename + `"}`, "web-1"},
	} {
		last := url.Values{"match[]": {v.match}, "start": {time.Now().Add(-time.Hour).Format(time.RFC3339)}, "end": {time.Now().Add(time.Second).Format(time.RFC3339)}}
		var values []string
		s.ask("/api/v1/label/"+v.label+"/values", last, &values)
		require.Equal(t, []string{v.want}, values, v.label)
		var sets []map[string]string
		s.ask("/api/v1/series", last, &sets)
		require.Len(t, sets, 1, v.match)
		require.Equal(t, v.want, sets[0][v.label])
	}

	// All of it is told from other machines and jobs, and comes again and again.
	require.Empty(t, s.query(`{__name__=~"node_.+",instance!="web-1"} or {__name__=~"node_.+",job!="node"}`))
	require.Len(t, s.query(`count({`+of+`}) > 200`), 1)
	require.Eventually(t, func() bool { return len(s.query(`count_over_time(node_load1{`+of+`}[1m]) >= 3`)) == 1 }, 30*time.Second, 100*time.Millisecond)
	var kinds map[string][]struct {
		Type string `json:"type"`
		Help string `json:"help"`
	}
	s.ask("/api/v1/metadata", url.Values{"metric": {"node_cpu_seconds_total"}}, &kinds)
	require.Equal(t, "counter", kinds["node_cpu_seconds_total"][0].Type)
	require.NotEmpty(t, kinds["node_cpu_seconds_total"][0].Help)
	agent.Stop()
}
