package node

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// child is set in the processes that inProcess starts.
const child = "GOMETHEUS_NODE_TEST"

// inProcess runs the rest of a test in a process of its own, because the settings
// of upstream's collectors are one for a process. It tells whether this is it.
func inProcess(t *testing.T) bool {
	t.Helper()
	if os.Getenv(child) != "" {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.v")
	cmd.Env = append(cmd.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: "+t.Name())
	return false
}

func TestCollectors(t *testing.T) {
	known := map[string]bool{}
	for _, c := range Collectors() {
		known[c.Name] = c.Default
	}
	require.Greater(t, len(known), 70)
	for _, name := range []string{"cpu", "meminfo", "filesystem", "textfile", "uname", "filefd", "bcachefs"} {
		require.True(t, known[name], name)
	}
	for _, name := range []string{"systemd", "interrupts", "perf", "tcpstat", "cgroups"} {
		on, ok := known[name]
		require.True(t, ok && !on, name)
	}
}

// TestChoose: what runs, and what the settings can get wrong.
func TestChoose(t *testing.T) {
	require.True(t, Supported)
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"unknown to enable":  {Options{Enable: []string{"cpu", "gpu"}}, `NODE_ENABLE: there is no collector "gpu"; there are arp, bcache, `},
		"unknown to disable": {Options{Disable: []string{"cpu.info"}}, `NODE_DISABLE: there is no collector "cpu.info"; there are arp, `},
		"both":               {Options{Enable: []string{"qdisc"}, Disable: []string{"cpu", "qdisc"}}, `NODE_ENABLE and NODE_DISABLE both name the collector "qdisc"`},
		"no root":            {Options{Root: "/nowhere"}, "HOST_ROOT /nowhere has no proc of Linux: "},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Log = zap.NewNop()
			_, err := New(c.o)
			require.ErrorContains(t, err, c.want)
		})
	}
	chosen, err := choose(Options{Enable: []string{"interrupts"}, Disable: []string{"cpu"}})
	require.NoError(t, err)
	require.True(t, chosen["interrupts"] && chosen["uname"] && !chosen["cpu"] && !chosen["systemd"])
}

// TestReal gathers the machine, with other collectors too, and says nothing at the
// second time that it didn't say at the first.
func TestReal(t *testing.T) {
	if !inProcess(t) {
		return
	}
	core, logs := observer.New(zap.InfoLevel)
	log := zap.New(core)
	g, err := New(Options{Log: log, Disable: []string{"vmstat"}, Enable: []string{"buddyinfo"}})
	require.NoError(t, err)
	gather := func(g prometheus.Gatherer) map[string]float64 {
		t.Helper()
		families, err := g.Gather()
		require.NoError(t, err)
		return values(families)
	}
	got := gather(g)
	require.Positive(t, got["node_memory_MemTotal_bytes"])
	require.Positive(t, got["node_time_seconds"])
	require.Contains(t, got, success+"buddyinfo")
	require.NotContains(t, got, success+"vmstat")
	require.NotContains(t, got, "node_vmstat_pgfault")
	logs.TakeAll()
	for range 3 {
		gather(g)
	}
	require.Empty(t, logs.All())

	// Others may run beside it.
	second, err := New(Options{Log: log})
	require.NoError(t, err)
	got = gather(second)
	require.NotContains(t, got, success+"buddyinfo")
	require.Contains(t, got, "node_vmstat_pgfault")
	require.Contains(t, gather(g), success+"buddyinfo")
	require.NotContains(t, gather(g), success+"vmstat")

	// But the paths are those of the first.
	_, err = New(Options{Log: log, TextfileDir: t.TempDir()})
	require.ErrorContains(t, err, "HOST_ROOT and TEXTFILE_DIR are one for the whole process")
	require.ErrorContains(t, err, "--collector.textfile.directory=")
}

// TestTextfileOnly: a folder of files and nothing else; a bad file costs itself
// and is said once.
func TestTextfileOnly(t *testing.T) {
	if !inProcess(t) {
		return
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("a.prom", "# TYPE backup_seconds gauge\nbackup_seconds{disk=\"a\"} 12\n")
	write("bad.prom", "backup_seconds{ 12\n")
	write("ignored.txt", "ignored 1\n")
	core, logs := observer.New(zap.InfoLevel)
	g, err := New(Options{Log: zap.New(core), TextfileOnly: true, TextfileDir: dir})
	require.NoError(t, err)
	gather := func() map[string]float64 {
		t.Helper()
		families, err := g.Gather()
		require.NoError(t, err)
		return values(families)
	}
	for range 3 {
		got := gather()
		require.InDelta(t, 12, got["backup_seconds/a"], 0)
		require.InDelta(t, 1, got["node_textfile_scrape_error"], 0)
		require.NotContains(t, got, "ignored")
		require.NotContains(t, got, "node_time_seconds")
	}
	require.Equal(t, 1, logs.Len(), "%v", logs.All())
	require.Equal(t, "bad.prom", logs.TakeAll()[0].ContextMap()["file"])
	write("bad.prom", "backups_total 3\n")
	got := gather()
	require.InDelta(t, 3, got["backups_total"], 0)
	require.InDelta(t, 0, got["node_textfile_scrape_error"], 0)
	require.Equal(t, 1, logs.Len())
	require.True(t, strings.HasPrefix(logs.All()[0].Message, "over: "), logs.All()[0].Message)
	write("c.prom", "backup_seconds{disk=\"a\"} 13\n") // the same series once more
	require.Contains(t, gather(), "backups_total")
	gather()
	require.Equal(t, 2, logs.Len(), "%v", logs.All())
}

// TestRoot looks at a machine of files.
func TestRoot(t *testing.T) {
	if !inProcess(t) {
		return
	}
	root := t.TempDir()
	for name, text := range map[string]string{
		"proc/stat":        "cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 100 0 0 0 0 0 0 0 0 0\nbtime 1000\n",
		"proc/loadavg":     "0.25 0.50 0.75 1/2 3\n",
		"etc/os-release":   "ID=elsewhere\nNAME=Elsewhere\n",
		"proc/self/mounts": "",
	} {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o750))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	core, logs := observer.New(zap.InfoLevel)
	o := Options{Log: zap.New(core), Root: root + "/"}
	g, err := New(o)
	require.NoError(t, err)
	require.NotEmpty(t, logs.FilterMessage("node collector can't start and is left out").
		FilterField(zap.String("collector", "nvme")).All(), "there is no sys")
	families, err := g.Gather()
	require.NoError(t, err)
	got := values(families)
	require.InDelta(t, 0.25, got["node_load1"], 0)
	require.InDelta(t, 1000, got["node_boot_time_seconds"], 0)
	require.Contains(t, got, "node_os_info//elsewhere////Elsewhere//////")
	require.NotContains(t, got, success+"nvme")

	o.Enable = []string{"nvme"}
	_, err = New(o)
	require.ErrorContains(t, err, "NODE_ENABLE: start the collector nvme: ")
}

// BenchmarkGather is one gather of the default collectors on this machine.
func BenchmarkGather(b *testing.B) {
	g, err := New(Options{Log: zap.NewNop()})
	require.NoError(b, err)
	b.ReportAllocs()
	series := 0
	for b.Loop() {
		families, err := g.Gather()
		require.NoError(b, err)
		series = 0
		for _, f := range families {
			series += len(f.GetMetric())
		}
	}
	b.ReportMetric(float64(series), "series")
}
