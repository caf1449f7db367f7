package process

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// child is the variable that makes this test binary one of the real processes
// that the tests watch.
const child = "GOMETHEUS_TEST_PROCESS"

func TestMain(m *testing.M) {
	if what := os.Getenv(child); what != "" {
		os.Exit(runChild(what))
	}
	goleak.VerifyTestMain(m)
}

func TestGroup(t *testing.T) {
	f, k := newFakeProc(t), newClock()
	io1 := "rchar: 1\nwchar: 2\nsyscr: 3\nread_bytes: 4096\nwrite_bytes: 100\ncancelled_write_bytes: 7\n"
	f.put(fake{pid: 10, comm: "web", state: "R", user: 250, system: 50, threads: 4, start: 500, vsize: 1 << 20, rss: 10, io: io1, status: "Name:\tweb\nVmSwap:\t      12 kB\n"})
	f.put(fake{pid: 11, comm: "web", state: "D", user: 100, start: 300, vsize: 1 << 20, rss: 20, io: io1, status: "VmSwap:\t 8 kB\n"})
	f.put(fake{pid: 12, comm: "web", state: "Z", start: 900, rss: -3})
	r := registered(t, New(Options{Root: f.root, Now: k.read}))
	got := samples(t, r)
	page := float64(os.Getpagesize())
	want := map[string]float64{
		"num_procs{groupname=web}":                     3,
		"cpu_seconds_total{groupname=web,mode=user}":   3.5,
		"cpu_seconds_total{groupname=web,mode=system}": 0.5,
		"memory_bytes{groupname=web,memtype=resident}": 30 * page,
		"memory_bytes{groupname=web,memtype=virtual}":  2 << 20,
		"memory_bytes{groupname=web,memtype=swapped}":  20 << 10,
		"num_threads{groupname=web}":                   6,
		"oldest_start_time_seconds{groupname=web}":     bootTime + 3,
		"read_bytes_total{groupname=web}":              8192,
		"write_bytes_total{groupname=web}":             200,
		"states{groupname=web,state=Running}":          1,
		"states{groupname=web,state=Sleeping}":         0,
		"states{groupname=web,state=Waiting}":          1,
		"states{groupname=web,state=Zombie}":           1,
		"states{groupname=web,state=Other}":            0,
	}
	assert.Equal(t, want, got, "init uses nothing and isn't listed; no folder fd can be read")

	// Open files are counted where they can be. A fake folder has a size of its
	// own, which is not their number, so here they are only looked for.
	f.put(fake{pid: 10, comm: "web", user: 250, system: 50, start: 500, rss: 10, files: 3})
	assert.Contains(t, samples(t, r), "open_filedesc{groupname=web}")
}

func TestCountersNeverGoBack(t *testing.T) {
	f, k := newFakeProc(t), newClock()
	const cpu = "cpu_seconds_total{groupname=worker,mode=user}"
	io := func(n int) string { return fmt.Sprintf("read_bytes: %d\nwrite_bytes: 0\n", n) }
	f.put(fake{pid: 10, comm: "worker", user: 1000, start: 500, rss: 9, io: io(1000)})
	f.put(fake{pid: 11, comm: "worker", user: 500, start: 600, rss: 9, io: io(500)})
	r := registered(t, New(Options{Root: f.root, Now: k.read}))
	step := func(wantCPU, wantRead float64, why string) {
		t.Helper()
		k.tick(15 * time.Second)
		got := samples(t, r)
		assert.InDelta(t, wantCPU, got[cpu], 1e-9, why)
		assert.InDelta(t, wantRead, got["read_bytes_total{groupname=worker}"], 1e-9, why)
	}
	step(15, 1500, "the first")
	f.put(fake{pid: 10, comm: "worker", user: 1100, start: 500, rss: 9, io: io(1100)})
	step(16, 1600, "what was added")
	f.kill(10)
	step(16, 1600, "one ended")
	f.put(fake{pid: 10, comm: "worker", user: 30, start: 9000, rss: 9, io: io(7)})
	step(16.3, 1607, "another got its number")
	f.put(fake{pid: 10, comm: "worker", user: 2000, start: 9900, rss: 9, io: io(2000)})
	step(36.3, 3607, "and another, that has used more than the one before")
	f.put(fake{pid: 10, comm: "renamed", user: 2100, start: 9900, rss: 9, io: io(2100)})
	step(36.3, 3607, "it renamed itself: what it used stays where it was")
	got := samples(t, r)
	assert.InDelta(t, 1, got["cpu_seconds_total{groupname=renamed,mode=user}"], 1e-9)
	assert.InDelta(t, 100, got["read_bytes_total{groupname=renamed}"], 1e-9)
	f.put(fake{pid: 11, comm: "worker", user: 400, start: 600, rss: 9, io: io(400)})
	step(36.3, 3607, "a process' time doesn't go down, but if it did")
	f.put(fake{pid: 11, comm: "worker", user: 600, start: 600, rss: 9, io: io(600)})
	step(37.3, 3707, "it would not count twice")
	f.kill(11)
	step(37.3, 3707, "no process is left: listed for a while")
	assert.Zero(t, samples(t, r)["num_procs{groupname=worker}"])
	assert.NotContains(t, samples(t, r), "oldest_start_time_seconds{groupname=worker}")
	f.put(fake{pid: 20, comm: "worker", user: 100, start: 10_000, rss: 9, io: io(1)})
	step(38.3, 3708, "one is back meanwhile")
}

func TestForgotten(t *testing.T) {
	f, k := newFakeProc(t), newClock()
	f.put(fake{pid: 10, comm: "once", user: 1000, start: 500, rss: 9})
	c := New(Options{Root: f.root, Now: k.read})
	r := registered(t, c)
	samples(t, r)
	f.kill(10)
	k.tick(Linger - time.Second)
	assert.Contains(t, samples(t, r), "num_procs{groupname=once}")
	k.tick(2 * time.Second)
	assert.NotContains(t, samples(t, r), "num_procs{groupname=once}")
	assert.Len(t, c.groups, 1, "init")
	assert.Len(t, c.procs, 1)
	f.put(fake{pid: 10, comm: "once", user: 10, start: 90_000, rss: 9})
	assert.InDelta(t, 0.1, samples(t, r)["cpu_seconds_total{groupname=once,mode=user}"], 1e-9, "starts again")
}

// listed returns the names of groups that a gathering tells, and their number.
func listed(t testing.TB, r prometheus.Gatherer) (names []string) {
	families, err := r.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "namedprocess_namegroup_num_procs" {
			for _, m := range f.GetMetric() {
				names = append(names, m.GetLabel()[0].GetValue())
			}
		}
	}
	return names
}

func TestTop(t *testing.T) {
	f, k := newFakeProc(t), newClock()
	name := func(i int) string { return fmt.Sprintf("p%02d", i) }
	put := func(i, user, rss int) { f.put(fake{pid: 100 + i, comm: name(i), user: user, start: 100, rss: rss}) }
	for i := range 20 {
		put(i, i, 0) // p19 has used the most
	}
	put(3, 3, 50) // the only ones with memory
	put(4, 4, 60)
	put(5, 5, 40)
	r := registered(t, New(Options{Root: f.root, Top: 2, Now: k.read}))
	assert.Equal(t, []string{"p03", "p04", "p18", "p19"}, listed(t, r))

	k.tick(15 * time.Second)
	put(0, 100, 0)
	put(18, 19, 0)
	put(7, 8, 0) // as much as 18: by name
	assert.Equal(t, []string{"p00", "p03", "p04", "p07", "p18", "p19"}, listed(t, r), "p18 and p19 linger")

	k.tick(15 * time.Second)
	put(8, 50, 0)
	put(9, 60, 0)
	assert.Equal(t, []string{"p00", "p03", "p04", "p07", "p08", "p09"}, listed(t, r), "6 at most: who was out for longest goes")

	k.tick(Linger)
	assert.Equal(t, []string{"p03", "p04"}, listed(t, r), "nobody used the CPU for so long")
}

// TestFirstTop: at the first Collect the biggest by CPU are those with the highest
// average, not those that are oldest.
func TestFirstTop(t *testing.T) {
	f, k := newFakeProc(t), newClock()                               // 10,000 s after the start
	f.put(fake{pid: 10, comm: "old", user: 100_000, start: 0})       // 0.1 of a CPU
	f.put(fake{pid: 11, comm: "busy", user: 50_000, start: 900_000}) // 0.5
	f.put(fake{pid: 12, comm: "newborn", user: 10, start: 999_999})  // 10 ticks in 10 ms
	r := registered(t, New(Options{Root: f.root, Top: 1, Now: k.read}))
	assert.Equal(t, []string{"busy"}, listed(t, r))
}

func TestNames(t *testing.T) {
	const long = "exactly15chars_"
	for why, c := range map[string]struct {
		fake
		want string
	}{
		"a blank and parentheses":  {fake{comm: "a (b) c) R 1 2"}, "a (b) c) R 1 2"},
		"a line end":               {fake{comm: "a\nb"}, "a\uFFFDb"},
		"invalid UTF-8":            {fake{comm: "a\xffb"}, "a\uFFFDb"},
		"empty":                    {fake{comm: ""}, "(unnamed)"},
		"completed by exe":         {fake{comm: long, exe: "/opt/x y/" + long + "and more (deleted)", cmdline: "x\x00"}, long + "and more"},
		"completed by argv[0]":     {fake{comm: long, exe: "/usr/bin/python3", cmdline: "/opt/" + long + "and-more\x00--password=x\x00"}, long + "and-more"},
		"argv[0] with arguments":   {fake{comm: long, cmdline: "/opt/" + long + "more --password=/x/" + long + "secret"}, long + "more"},
		"renamed":                  {fake{comm: long, exe: "/bin/other", cmdline: "other\x00" + long + "secret\x00"}, long},
		"short: not asked":         {fake{comm: "short", exe: "/bin/shorter", cmdline: "shortest\x00"}, "short"},
		"a thread of the kernel":   {fake{comm: "kworker/u8:3-events", flags: kernelThread | 64}, "kworker"},
		"a slash in a user's name": {fake{comm: "a/b"}, "a/b"},
	} {
		t.Run(why, func(t *testing.T) {
			f := newFakeProc(t)
			c.pid, c.user, c.start = 10, 5, 100
			f.put(c.fake)
			assert.Equal(t, []string{c.want}, listed(t, registered(t, New(Options{Root: f.root, Now: newClock().read}))))
		})
	}
}

// TestOneNameTwice: names that differ only in what isn't shown are one group, since
// a series may not come twice.
func TestOneNameTwice(t *testing.T) {
	f := newFakeProc(t)
	f.put(fake{pid: 10, comm: "a\nb", user: 5, start: 1})
	f.put(fake{pid: 11, comm: "a\rb", user: 5, start: 1})
	got := samples(t, registered(t, New(Options{Root: f.root, Now: newClock().read})))
	assert.EqualValues(t, 2, got["num_procs{groupname=a\uFFFDb}"])
}

func TestCommandLine(t *testing.T) {
	f, k := newFakeProc(t), newClock()
	f.put(fake{pid: 10, comm: "sh", user: 5, start: 1, cmdline: "sh\x00-c\x00echo\n\x1b[1m\x00"})
	f.put(fake{pid: 11, comm: "sh", user: 5, start: 1, cmdline: "sh\x00"})
	f.put(fake{pid: 12, comm: "sh", user: 5, start: 1, cmdline: "sh\x00"})
	f.put(fake{pid: 13, comm: "long", user: 5, start: 1, cmdline: strings.Repeat("ü", 10_000)})
	c := New(Options{Root: f.root, CommandLine: true, Now: k.read})
	r := registered(t, c)
	got := samples(t, r)
	assert.EqualValues(t, 1, got["num_procs{cmdline=sh -c echo\uFFFD\uFFFD[1m,groupname=sh}"])
	assert.EqualValues(t, 2, got["num_procs{cmdline=sh,groupname=sh}"])
	assert.EqualValues(t, 1, got["num_procs{cmdline="+strings.Repeat("ü", 128)+",groupname=long}"], "256 bytes")

	// A child seen between fork and exec has its parent's command line at first.
	f.put(fake{pid: 12, comm: "sh", user: 6, start: 1, cmdline: "sh\x00job\x00"})
	got = samples(t, r)
	assert.EqualValues(t, 1, got["num_procs{cmdline=sh,groupname=sh}"])
	assert.InDelta(t, 0.01, got["cpu_seconds_total{cmdline=sh job,groupname=sh,mode=user}"], 1e-9)
	f.put(fake{pid: 12, comm: "sh", user: 7, start: 1, cmdline: "sh: waiting"})
	assert.NotContains(t, samples(t, r), "num_procs{cmdline=sh: waiting,groupname=sh}", "titles that change are not followed")

	without := samples(t, registered(t, New(Options{Root: f.root, Now: k.read})))
	for series := range without {
		assert.NotContains(t, series, "cmdline")
		assert.NotContains(t, series, "echo")
	}
}

func TestSaidOnce(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	f := newFakeProc(t)
	f.write("10/stat", "garbage")
	f.put(fake{pid: 11, comm: "fine", user: 5, start: 1})
	f.kill(1)
	r := registered(t, New(Options{Root: f.root, Log: zap.New(core), Now: newClock().read}))
	for range 3 {
		assert.Equal(t, []string{"fine"}, listed(t, r))
	}
	assert.Len(t, logs.FilterMessageSnippet("hidepid").All(), 1)
	assert.Len(t, logs.FilterMessageSnippet("a process is left out").All(), 1)
	assert.Equal(t, 2, logs.Len())

	core, logs = observer.New(zap.InfoLevel)
	r = registered(t, New(Options{Root: t.TempDir(), Log: zap.New(core)}))
	for range 3 {
		assert.Empty(t, samples(t, r))
	}
	require.Equal(t, 1, logs.Len())
	assert.Contains(t, logs.All()[0].Message, "can't be listed")
}

func TestBootTime(t *testing.T) {
	f, k := newFakeProc(t), newClock()
	f.put(fake{pid: 10, comm: "a", user: 1, rss: 1, start: 100})
	r := registered(t, New(Options{Root: f.root, Now: k.read}))
	start := func() float64 { return samples(t, r)["oldest_start_time_seconds{groupname=a}"] }
	assert.InDelta(t, bootTime+1, start(), 0)
	f.write("stat", "btime "+strconv.Itoa(bootTime+1)+"\n")
	k.tick(Linger)
	assert.InDelta(t, bootTime+1, start(), 0, "rounding is no restart")
	f.write("stat", "btime "+strconv.Itoa(bootTime+3600)+"\n")
	assert.InDelta(t, bootTime+1, start(), 0, "not asked each time")
	k.tick(Linger)
	assert.InDelta(t, bootTime+3601, start(), 0, "the clock was set")
}

func TestLint(t *testing.T) {
	f := newFakeProc(t)
	f.put(fake{pid: 10, comm: "web", user: 250, start: 500, rss: 10, io: "read_bytes: 1\nwrite_bytes: 1\n", files: 1})
	problems, err := testutil.GatherAndLint(registered(t, New(Options{Root: f.root, CommandLine: true, Now: newClock().read})))
	require.NoError(t, err)
	assert.Empty(t, problems)
	n, err := testutil.GatherAndCount(registered(t, New(Options{Root: f.root, Now: newClock().read})))
	require.NoError(t, err)
	assert.Equal(t, 16, n, "what the package says of a group")
}
