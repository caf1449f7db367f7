package app

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/gometheus/gometheus/internal/server/templates"
)

// reading is what the server's own counters say at a time.
type reading struct {
	at                      time.Time
	batches, metrics        map[string]float64 // by result, by type
	samples                 float64            // of remote write
	rejected, refused       map[string]float64 // by reason
	outcomes                map[string]float64 // of samples in the history
	routes                  map[string]map[string]durations
	commits                 durations
	cpu, resident, heap     float64
	files, maxFiles         float64
	chunks, wal             float64
	compactionsFailed       float64
	corruptions, truncation float64
}

// durations is a histogram, as far as it is needed.
type durations struct {
	count, sum float64
	upTo       []float64 // bounds of the buckets …
	within     []float64 // … and how many are within
}

// read reads the counters.
func (s *statusSource) read(now time.Time) (reading, error) {
	families, err := s.tell.Registry().Gather()
	if err != nil {
		return reading{}, fmt.Errorf("read the server's own metrics: %w", err)
	}
	r := reading{at: now, routes: map[string]map[string]durations{}}
	for _, f := range families {
		switch f.GetName() {
		case "gometheus_batches_total":
			r.batches = byLabel(f)
		case "gometheus_metrics_total":
			r.metrics = byLabel(f)
		case "gometheus_remote_write_written_total":
			by := byLabel(f)
			r.samples = by["sample"] + by["histogram"]
		case "gometheus_rejected_total":
			r.rejected = byLabel(f)
		case "gometheus_remote_write_refused_total":
			r.refused = byLabel(f)
		case "gometheus_history_samples_total":
			r.outcomes = byLabel(f)
		case "gometheus_http_request_duration_seconds":
			for _, m := range f.GetMetric() {
				route, code := labelOf(m, "route"), labelOf(m, "code")
				if r.routes[route] == nil {
					r.routes[route] = map[string]durations{}
				}
				r.routes[route][code] = durationsOf(m.GetHistogram())
			}
		case "gometheus_storage_apply_duration_seconds":
			for _, m := range f.GetMetric() {
				r.commits = durationsOf(m.GetHistogram())
			}
		case "process_cpu_seconds_total":
			r.cpu = single(f)
		case "process_resident_memory_bytes":
			r.resident = single(f)
		case "go_memstats_heap_alloc_bytes":
			r.heap = single(f)
		case "process_open_fds":
			r.files = single(f)
		case "process_max_fds":
			r.maxFiles = single(f)
		case "prometheus_tsdb_head_chunks":
			r.chunks = single(f)
		case "prometheus_tsdb_wal_storage_size_bytes":
			r.wal = single(f)
		case "prometheus_tsdb_compactions_failed_total":
			r.compactionsFailed = single(f)
		case "prometheus_tsdb_wal_corruptions_total":
			r.corruptions = single(f)
		case "prometheus_tsdb_head_truncations_failed_total":
			r.truncation = single(f)
		}
	}
	return r, nil
}

// single is the value of a family of one series.
func single(f *dto.MetricFamily) float64 {
	for _, m := range f.GetMetric() {
		return valueOf(m)
	}
	return 0
}

func valueOf(m *dto.Metric) float64 {
	if m.GetCounter() != nil {
		return m.GetCounter().GetValue()
	}
	return m.GetGauge().GetValue()
}

// byLabel is the values of a family by their only label.
func byLabel(f *dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			out[l.GetValue()] += valueOf(m)
		}
	}
	return out
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func durationsOf(h *dto.Histogram) durations {
	d := durations{count: float64(h.GetSampleCount()), sum: h.GetSampleSum()}
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			d.upTo = append(d.upTo, b.GetUpperBound())
			d.within = append(d.within, float64(b.GetCumulativeCount()))
		}
	}
	return d
}

// plus is both together; they have the same bounds.
func (d durations) plus(o durations) durations {
	out := durations{count: d.count + o.count, sum: d.sum + o.sum, upTo: o.upTo, within: slices.Clone(o.within)}
	for i := range d.within {
		out.within[i] += d.within[i]
	}
	return out
}

// quantile is the bound of the bucket that the quantile is in; over: it is beyond
// the last bound.
func (d durations) quantile(q float64) (bound float64, over bool) {
	if d.count == 0 || len(d.upTo) == 0 {
		return 0, false
	}
	for i, n := range d.within {
		if n >= q*d.count {
			return d.upTo[i], false
		}
	}
	return d.upTo[len(d.upTo)-1], true
}

// since is the reading that rates are counted from: the oldest of the last minute,
// or the start, when all counters were 0. It keeps r for the next.
func (s *statusSource) since(r reading) (from reading, fromStart bool) {
	s.readings = slices.DeleteFunc(s.readings, func(o reading) bool {
		age := r.at.Sub(o.at)
		return age > rateOver || age < 0 // the clock was set back
	})
	from, fromStart = reading{at: s.start}, true
	if len(s.readings) > 0 && r.at.Sub(s.readings[0].at) >= readEvery {
		from, fromStart = s.readings[0], false
	}
	if n := len(s.readings); n == 0 || r.at.Sub(s.readings[n-1].at) >= readEvery {
		s.readings = append(s.readings, r)
	}
	return from, fromStart
}

// rate is how much more it is per second.
func rate(now, before float64, over time.Duration) float64 {
	if over <= 0 || now < before {
		return 0
	}
	return (now - before) / over.Seconds()
}

// ingest is what came in.
func ingest(r, since reading, fromStart bool) templates.StatusIngest {
	over := r.at.Sub(since.at)
	in := templates.StatusIngest{
		Over: over, FromStart: fromStart,
		Batches:  rate(r.batches["applied"], since.batches["applied"], over),
		Replayed: rate(r.batches["replayed"], since.batches["replayed"], over),
		Failed:   rate(r.batches["failed"], since.batches["failed"], over),
		Metrics:  rate(sum(r.metrics), sum(since.metrics), over),
		Samples:  rate(r.samples, since.samples, over),

		TotalBatches: r.batches["applied"], TotalMetrics: sum(r.metrics), TotalSamples: r.samples,
	}
	for _, route := range r.routes {
		for _, d := range route {
			in.Requests += d.count
		}
	}
	for _, route := range since.routes {
		for _, d := range route {
			in.Requests -= d.count
		}
	}
	in.Requests = rate(in.Requests, 0, over)
	if n := r.commits.count - since.commits.count; n > 0 {
		in.Lag = (r.commits.sum - since.commits.sum) / n
	} else if r.commits.count > 0 {
		in.Lag = r.commits.sum / r.commits.count
	}
	in.Refused = append(reasons("", r.rejected, since.rejected, over), reasons("remote write, ", r.refused, since.refused, over)...)
	return in
}

func sum(m map[string]float64) (total float64) {
	for _, v := range m {
		total += v
	}
	return total
}

func reasons(prefix string, now, before map[string]float64, over time.Duration) (out []templates.StatusReason) {
	for _, reason := range slices.Sorted(maps.Keys(now)) {
		if now[reason] > 0 {
			out = append(out, templates.StatusReason{Reason: prefix + reason, Count: now[reason], Rate: rate(now[reason], before[reason], over)})
		}
	}
	return out
}

// routesOf is the requests by route, the most frequent first.
func routesOf(r, since reading) (out []templates.StatusRoute) {
	over := r.at.Sub(since.at)
	for name, codes := range r.routes {
		route := templates.StatusRoute{Route: name}
		var all, before durations
		for _, code := range slices.Sorted(maps.Keys(codes)) {
			all = all.plus(codes[code])
			before.count += since.routes[name][code].count
			route.Codes = append(route.Codes, templates.StatusReason{Reason: code, Count: codes[code].count})
		}
		route.Rate = rate(all.count, before.count, over)
		if all.count > 0 {
			route.Mean = all.sum / all.count
		}
		route.P99, route.Slow = all.quantile(0.99)
		out = append(out, route)
	}
	slices.SortFunc(out, func(a, b templates.StatusRoute) int {
		return cmp.Or(cmp.Compare(total(b.Codes), total(a.Codes)), cmp.Compare(a.Route, b.Route))
	})
	return out
}

func total(codes []templates.StatusReason) (n float64) {
	for _, c := range codes {
		n += c.Count
	}
	return n
}

// problems says in plain words what somebody should see to, the worst first.
func (s *statusSource) problems(ctx context.Context, st *templates.Status, r, since reading) (out []templates.StatusProblem) {
	add := func(bad bool, format string, args ...any) {
		out = append(out, templates.StatusProblem{Bad: bad, Text: fmt.Sprintf(format, args...)})
	}
	if st.State.Failing {
		add(true, "The journal can't be written, so pushes are refused. Look at the log, and whether the disk of FILE_STORAGE_PATH has room.")
	} else if err := s.store.Ping(ctx); err != nil {
		// Why, the log says: it may name what is not for everybody.
		add(true, "The storage (%s) can't be reached, so pushes are refused and wait at their senders.", st.State.Kind)
	}
	limit := float64(st.State.Limit)
	if n := float64(st.State.Series); limit > 0 && n >= 0.9*limit {
		add(n >= limit, "The state has %.0f %% of the series that LIMIT_SERIES allows; new ones are refused when it is full.", 100*n/limit)
	}
	if h := st.History; h != nil {
		if newest, wrong := s.past.Future(); wrong {
			add(true, "The history has samples of a time to come (%s), taken while this machine's clock was wrong. "+
				"Samples older than these by more than HISTORY_OUT_OF_ORDER are refused. Stop the server and move HISTORY_PATH away, or wait.",
				newest.UTC().Format("2006-01-02 15:04 UTC"))
		}
		if n := float64(h.Series); limit > 0 && n >= 0.9*limit {
			add(false, "The history has %.0f %% of the series that LIMIT_SERIES allows; remote write has no room for new ones when it is full.", 100*n/limit)
		}
		if r.outcomes["lost"] > since.outcomes["lost"] {
			add(true, "The history can't be written: samples are lost. Look at the log, and whether the disk of HISTORY_PATH has room.")
		}
		if r.compactionsFailed > since.compactionsFailed || r.truncation > since.truncation {
			add(true, "The history could not be compacted. Look at the log, and whether the disk of HISTORY_PATH has room.")
		}
		if r.corruptions > 0 {
			add(false, "The history's write-ahead log was damaged since the start; what could be read was kept.")
		}
		if h.Waiting > 2*h.Most {
			add(false, "%d queries wait for their turn: QUERY_CONCURRENCY is %d.", h.Waiting, h.Most)
		}
	}
	if r.maxFiles > 0 && r.files > 0.85*r.maxFiles {
		add(r.files > 0.97*r.maxFiles, "%.0f of %.0f files and connections that the process may have are open.", r.files, r.maxFiles)
	}
	out = append(out, s.slow.problems...)
	slices.SortStableFunc(out, func(a, b templates.StatusProblem) int {
		switch {
		case a.Bad == b.Bad:
			return 0
		case a.Bad:
			return -1
		}
		return 1
	})
	return out
}
