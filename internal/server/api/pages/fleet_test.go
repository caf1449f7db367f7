package pages_test

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/programtest"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

const (
	sampleEvery = 15 * time.Second
	gibibyte    = 1 << 30
)

// box is a machine whose agent sends what node_exporter would.
type box struct {
	name   string
	labels []string // more of them, name and value in turn
	load   float64  // 0 to 1: how much it does
}

// series is what it sent from one time to another.
func (b box) series(from, to time.Time) []writetest.Series {
	var out []writetest.Series
	add := func(value func(t float64) float64, name string, more ...string) {
		pairs := map[string]string{"__name__": name, "instance": b.name}
		for _, ls := range [][]string{b.labels, more} {
			for i := 0; i+1 < len(ls); i += 2 {
				pairs[ls[i]] = ls[i+1]
			}
		}
		s := writetest.Series{Labels: sortedLabels(pairs)}
		for t := from.Truncate(sampleEvery); !t.After(to); t = t.Add(sampleEvery) {
			s.Samples = append(s.Samples, writetest.Sample{T: t.UnixMilli(), V: value(float64(t.UnixMilli()) / 1000)})
		}
		out = append(out, s)
	}
	is := func(v float64) func(float64) float64 { return func(float64) float64 { return v } }
	// total grows by rate a second, more at some times and less at others.
	total := func(rate, period float64) func(float64) float64 {
		return func(t float64) float64 {
			t -= 1_790_000_000
			return rate * (t + 0.7*period/(2*math.Pi)*(1-math.Cos(2*math.Pi*(t/period+b.load))))
		}
	}
	for cpu := range 2 {
		n := fmt.Sprint(cpu)
		busy := total(b.load*0.55, 1500)
		add(func(t float64) float64 { return t - 1_790_000_000 - busy(t) }, "node_cpu_seconds_total", "cpu", n, "mode", "idle")
		add(busy, "node_cpu_seconds_total", "cpu", n, "mode", "user")
	}
	add(is(8*b.load), "node_load1")
	add(is(1_790_000_000+b.load*4e6), "node_boot_time_seconds")
	add(is(16*gibibyte), "node_memory_MemTotal_bytes")
	add(is(16*gibibyte*(0.9-0.8*b.load)), "node_memory_MemAvailable_bytes")
	add(is(1), "gometheus_agent_info", "version", []string{"0.9.1", "0.10.0"}[len(b.name)%2])
	for device, scale := range map[string]float64{"eth0": 1, "lo": 100} {
		add(total(scale*b.load*3e6, 900), "node_network_receive_bytes_total", "device", device)
		add(total(scale*b.load*1e6, 1100), "node_network_transmit_bytes_total", "device", device)
	}
	for mount, used := range map[string]float64{"/": 0.4, "/data": 0.2 + 0.78*b.load, "/run": 0.999} {
		kind := "ext4"
		if mount == "/run" {
			kind = "tmpfs"
		}
		add(is(100*gibibyte), "node_filesystem_size_bytes", "mountpoint", mount, "fstype", kind)
		add(is(100*gibibyte*(1-used)), "node_filesystem_avail_bytes", "mountpoint", mount, "fstype", kind)
	}
	return out
}

func sortedLabels(pairs map[string]string) []string {
	var names []string
	for name := range pairs {
		names = append(names, name)
	}
	// A handful: the plainest sort will do.
	for i := range names {
		for j := range names[:i] {
			if names[i] < names[j] {
				names[i], names[j] = names[j], names[i]
			}
		}
	}
	var out []string
	for _, name := range names {
		out = append(out, name, pairs[name])
	}
	return out
}

// boxes are n machines, in two environments.
func boxes(n int) []box {
	var out []box
	for i := range n {
		out = append(out, box{
			name:   fmt.Sprintf("%s-%d", []string{"web", "db", "queue"}[i%3], i+1),
			labels: []string{"env", []string{"prod", "prod", "staging"}[i%7%3], "job", "node"},
			load:   float64((i*37+11)%100) / 100,
		})
	}
	return out
}

// send sends series by remote write.
func send(tb testing.TB, server string, series []writetest.Series) {
	tb.Helper()
	client := programtest.Client(tb)
	for len(series) > 0 {
		n, samples := 0, 0
		for n < len(series) && samples < 20_000 {
			samples += len(series[n].Samples)
			n++
		}
		r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, server+"/api/v1/write", bytes.NewReader(writetest.Encode(tb, "1.0", series[:n])))
		require.NoError(tb, err)
		r.Header = writetest.Headers("1.0")
		resp, err := client.Do(r)
		require.NoError(tb, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(tb, err)
		require.NoError(tb, resp.Body.Close())
		require.Equal(tb, http.StatusNoContent, resp.StatusCode, "%s", body)
		series = series[n:]
	}
}

// push pushes metrics in JSON, with headers as name and value in turn.
func push(tb testing.TB, server, body string, header ...string) {
	tb.Helper()
	r, err := http.NewRequestWithContext(tb.Context(), http.MethodPost, server+"/updates", strings.NewReader(body))
	require.NoError(tb, err)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := programtest.Client(tb).Do(r)
	require.NoError(tb, err)
	answer, err := io.ReadAll(resp.Body)
	require.NoError(tb, err)
	require.NoError(tb, resp.Body.Close())
	require.Equal(tb, http.StatusOK, resp.StatusCode, "%s", answer)
}
