package container

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
)

// metric is one name of cAdvisor. One of the three functions is set.
type metric struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	more   []string // values of labels that are always the same
	value  func(*stats) float64
	device func(*disk) float64
	net    func(*netInterface) float64
}

func newMetrics() []metric {
	var all []metric
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc("container_"+name, help, append([]string{"id", "name", "image"}, more...), nil)
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	add := func(kind prometheus.ValueType, name, help string, value func(*stats) float64) {
		all = append(all, metric{desc: desc(name, help), kind: kind, value: value})
	}
	all = append(all, metric{
		desc: desc("cpu_usage_seconds_total", "CPU time used.", "cpu"), kind: counter, more: []string{"total"},
		value: func(s *stats) float64 { return s.cpu },
	})
	add(counter, "cpu_user_seconds_total", "CPU time used by programs.", func(s *stats) float64 { return s.cpuUser })
	add(counter, "cpu_system_seconds_total", "CPU time used by the kernel.", func(s *stats) float64 { return s.cpuSystem })
	add(counter, "cpu_cfs_periods_total", "Periods in which the CPU limit was enforced.", func(s *stats) float64 { return s.periods })
	add(counter, "cpu_cfs_throttled_periods_total", "Periods in which it had to wait at its CPU limit.", func(s *stats) float64 { return s.throttledPeriods })
	add(counter, "cpu_cfs_throttled_seconds_total", "Time it waited at its CPU limit.", func(s *stats) float64 { return s.throttled })
	add(gauge, "spec_cpu_quota", "CPU limit, in microseconds a period.", func(s *stats) float64 { return s.limits.quota })
	add(gauge, "spec_cpu_period", "The period of the CPU limit, in microseconds.", func(s *stats) float64 { return s.limits.period })
	add(gauge, "spec_cpu_shares", "Its share of the CPUs when there are too few.", func(s *stats) float64 { return s.limits.shares })
	add(gauge, "memory_usage_bytes", "Memory used, with what the page cache holds for it.", func(s *stats) float64 { return s.memory })
	add(gauge, "memory_working_set_bytes", "Memory used, without inactive page cache.", func(s *stats) float64 { return s.workingSet })
	add(gauge, "memory_rss", "Anonymous memory, in bytes.", func(s *stats) float64 { return s.rss })
	add(gauge, "memory_cache", "Page cache, in bytes.", func(s *stats) float64 { return s.cache })
	add(gauge, "memory_swap", "Memory swapped out, in bytes.", func(s *stats) float64 { return s.swap })
	add(gauge, "spec_memory_limit_bytes", "Memory limit; 0 if there is none.", func(s *stats) float64 { return s.limits.memoryLimit })
	add(counter, "oom_events_total", "Processes killed for want of memory.", func(s *stats) float64 { return s.ooms })
	add(gauge, "processes", "Processes.", func(s *stats) float64 { return s.processes })
	add(gauge, "threads", "Threads.", func(s *stats) float64 { return s.threads })
	add(gauge, "threads_max", "Limit of threads; 0 if there is none.", func(s *stats) float64 { return s.limits.threadsMax })
	add(gauge, "start_time_seconds", "When its first process started, in Unix seconds.", func(s *stats) float64 {
		if s.start == 0 {
			return unknown
		}
		return s.start
	})
	add(gauge, "last_seen", "When it was last seen, in Unix seconds.", func(s *stats) float64 { return s.lastSeen })

	disks := func(name, help string, value func(*disk) float64) {
		all = append(all, metric{desc: desc("fs_"+name, help, "device"), kind: counter, device: value})
	}
	disks("reads_bytes_total", "Bytes read from the device.", func(d *disk) float64 { return d.readBytes })
	disks("writes_bytes_total", "Bytes written to the device.", func(d *disk) float64 { return d.writeBytes })
	disks("reads_total", "Reads from the device.", func(d *disk) float64 { return d.reads })
	disks("writes_total", "Writes to the device.", func(d *disk) float64 { return d.writes })

	network := func(name, help string, value func(*netInterface) float64) {
		all = append(all, metric{desc: desc("network_"+name, help, "interface"), kind: counter, net: value})
	}
	network("receive_bytes_total", "Bytes received.", func(i *netInterface) float64 { return i.rxBytes })
	network("receive_packets_total", "Packets received.", func(i *netInterface) float64 { return i.rxPackets })
	network("receive_errors_total", "Errors while receiving.", func(i *netInterface) float64 { return i.rxErrors })
	network("receive_packets_dropped_total", "Packets dropped while receiving.", func(i *netInterface) float64 { return i.rxDropped })
	network("transmit_bytes_total", "Bytes sent.", func(i *netInterface) float64 { return i.txBytes })
	network("transmit_packets_total", "Packets sent.", func(i *netInterface) float64 { return i.txPackets })
	network("transmit_errors_total", "Errors while sending.", func(i *netInterface) float64 { return i.txErrors })
	network("transmit_packets_dropped_total", "Packets dropped while sending.", func(i *netInterface) float64 { return i.txDropped })
	return all
}

// sendLocked hands out what is known of a container.
func (c *Collector) sendLocked(ch chan<- prometheus.Metric, s *stats) {
	send := func(m *metric, v float64, more ...string) {
		if !math.IsNaN(v) {
			ch <- prometheus.MustNewConstMetric(m.desc, m.kind, v, append([]string{s.cgid, s.name, s.image}, more...)...)
		}
	}
	disks := sortedDisks(s.disks)
	for i := range c.metrics {
		m := &c.metrics[i]
		switch {
		case m.value != nil:
			send(m, m.value(s), m.more...)
		case m.device != nil:
			for j := range disks {
				send(m, m.device(&disks[j]), disks[j].device)
			}
		default:
			for j := range s.interfaces {
				send(m, m.net(&s.interfaces[j]), s.interfaces[j].name)
			}
		}
	}
}
