package pages

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// sparkPoints is of how many values a line of the last hour is.
const sparkPoints = int(sparkLength/sparkStep) + 1

// idle adds up how long the processors of a machine were idle, in seconds, and how
// long they were watched, for each value of a line.
type idle [sparkPoints]struct{ idle, watched float64 }

// line is the percentage that the processors were busy.
func (d *idle) line() []float64 {
	out := make([]float64, sparkPoints)
	for i, p := range d {
		out[i] = unknown
		if p.watched > 0 {
			out[i] = min(100, max(0, 100*(1-p.idle/p.watched)))
		}
	}
	return out
}

// sparks reads the last hour of CPU of all machines. It goes once through the
// samples: PromQL looks at each several times, which takes five times as long.
func (s *survey) sparks(k *knowledge) error {
	end := s.now.Truncate(sparkStep)
	start := end.Add(-sparkLength)
	all, err := s.idle(start, end)
	if err != nil {
		return err
	}
	lines := make(map[string][]float64, len(all))
	for name, d := range all {
		lines[name] = d.line()
	}
	for name, m := range s.machines {
		if m.found && lines[name] == nil && m.state.cpuCount > 0 {
			if err := s.plainSparks(lines, start, end); err != nil {
				return err
			}
			break
		}
	}
	k.sparks, k.sparksAt = lines, s.now
	return nil
}

// idle is for each machine how long its processors were idle.
func (s *survey) idle(start, end time.Time) (map[string]*idle, error) {
	from := start.Add(-sparkStep).UnixMilli()
	q, err := s.f.p.o.Storage.Querier(from, end.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read the last hour: %w", err)
	}
	defer q.Close() //nolint:errcheck // it has been read
	set := q.Select(s.ctx, false, &promstorage.SelectHints{Start: from, End: end.UnixMilli()},
		labels.MustNewMatcher(labels.MatchEqual, model.MetricNameLabel, "node_cpu_seconds_total"),
		labels.MustNewMatcher(labels.MatchEqual, "mode", "idle"))
	out := map[string]*idle{}
	var it chunkenc.Iterator
	for set.Next() {
		if err := s.ctx.Err(); err != nil {
			return nil, fmt.Errorf("read the last hour: %w", err)
		}
		series := set.At()
		name := series.Labels().Get(instanceLabel)
		d := out[name]
		if d == nil {
			d = new(idle)
			out[name] = d
		}
		it = series.Iterator(it)
		d.add(it, start.UnixMilli())
		if err := it.Err(); err != nil {
			return nil, fmt.Errorf("read the last hour: %w", err)
		}
	}
	if err := set.Err(); err != nil {
		return nil, fmt.Errorf("read the last hour: %w", err)
	}
	return out, nil
}

// add adds a processor. What lies between two samples counts for the time of the
// second, unless they are so far apart that nobody watched, or the machine started
// again.
func (d *idle) add(it chunkenc.Iterator, start int64) {
	step := sparkStep.Milliseconds()
	before, v0 := int64(math.MinInt64), 0.0
	for typ := it.Next(); typ != chunkenc.ValNone; typ = it.Next() {
		if typ != chunkenc.ValFloat {
			continue
		}
		t, v := it.At()
		if value.IsStaleNaN(v) {
			before = math.MinInt64
			continue
		}
		// Of the step that ends with or after t.
		i := (t - start + step - 1) / step
		if before != math.MinInt64 && t-before <= stateFresh.Milliseconds() && v >= v0 && t >= start && i < int64(sparkPoints) {
			d[i].idle += v - v0
			d[i].watched += float64(t-before) / 1000
		}
		before, v0 = t, v
	}
}

// plainSparks adds the lines of machines whose agents send gopsutil's percentages.
func (s *survey) plainSparks(lines map[string][]float64, start, end time.Time) error {
	m, err := s.f.p.span(s.ctx, plainQuery, start, end, sparkStep)
	if err != nil {
		return err
	}
	for _, series := range m {
		name := series.Metric.Get(instanceLabel)
		if lines[name] != nil || s.machines[name] == nil {
			continue
		}
		line := make([]float64, sparkPoints)
		for i := range line {
			line[i] = unknown
		}
		for _, p := range series.Floats {
			if i := (p.T - start.UnixMilli()) / sparkStep.Milliseconds(); i >= 0 && int(i) < len(line) {
				line[i] = p.F
			}
		}
		lines[name] = line
	}
	return nil
}
