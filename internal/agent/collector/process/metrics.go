package process

import (
	"github.com/prometheus/client_golang/prometheus"
)

type descs struct {
	procs, cpu, memory, threads, files, start, read, write, states *prometheus.Desc
}

func newDescs(commandLine bool) descs {
	desc := func(name, help string, more ...string) *prometheus.Desc {
		labels := []string{"groupname"}
		if commandLine {
			labels = append(labels, "cmdline")
		}
		return prometheus.NewDesc("namedprocess_namegroup_"+name, help, append(labels, more...), nil)
	}
	return descs{
		procs:   desc("num_procs", "Processes in the group."),
		cpu:     desc("cpu_seconds_total", "CPU time that the processes of the group used.", "mode"),
		memory:  desc("memory_bytes", "Memory of the processes of the group; shared pages count in each.", "memtype"),
		threads: desc("num_threads", "Threads of the processes of the group."),
		files:   desc("open_filedesc", "Open files of the processes of the group."),
		start:   desc("oldest_start_time_seconds", "When the oldest process of the group started, in Unix seconds."),
		read:    desc("read_bytes_total", "Bytes that the processes of the group had read from storage."),
		write:   desc("write_bytes_total", "Bytes that the processes of the group had written to storage."),
		states:  desc("states", "Processes of the group by state.", "state"),
	}
}

func (d *descs) all() []*prometheus.Desc {
	return []*prometheus.Desc{d.procs, d.cpu, d.memory, d.threads, d.files, d.start, d.read, d.write, d.states}
}

// sendLocked hands out the metrics of a group.
func (c *Collector) sendLocked(ch chan<- prometheus.Metric, g *group, d detail) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64, more ...string) {
		labels := []string{g.key.name}
		if c.commandLine {
			labels = append(labels, g.key.cmdline)
		}
		ch <- prometheus.MustNewConstMetric(desc, kind, v, append(labels, more...)...)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	send(c.descs.procs, gauge, float64(g.num))
	send(c.descs.cpu, counter, float64(g.user)/ticksPerSecond, "user")
	send(c.descs.cpu, counter, float64(g.system)/ticksPerSecond, "system")
	send(c.descs.memory, gauge, float64(g.rss*c.pageSize), "resident")
	send(c.descs.memory, gauge, float64(g.vsize), "virtual")
	send(c.descs.memory, gauge, float64(d.swapped), "swapped")
	send(c.descs.threads, gauge, float64(g.threads))
	if d.filesKnown {
		send(c.descs.files, gauge, float64(d.files))
	}
	if g.num > 0 && c.boot.time != 0 {
		send(c.descs.start, gauge, float64(c.boot.time)+float64(g.oldest)/ticksPerSecond)
	}
	if g.io {
		send(c.descs.read, counter, float64(g.read))
		send(c.descs.write, counter, float64(g.write))
	}
	for i, name := range stateNames {
		send(c.descs.states, gauge, float64(g.states[i]), name)
	}
}
