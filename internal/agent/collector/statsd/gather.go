package statsd

import (
	"cmp"
	"slices"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// drop is why a sample that is valid, or a part of it, is not kept.
type drop int

const (
	dropConflict drop = iota
	dropSeries
	dropValue
	dropTag
	dropEvent
	dropCheck
	drops // how many there are

	kept drop = -1
)

// String is the reason as a label has it.
func (d drop) String() string {
	switch d {
	case dropConflict:
		return "conflict"
	case dropSeries:
		return "series_limit"
	case dropValue:
		return "set_limit"
	case dropTag:
		return "tag"
	case dropEvent:
		return "event"
	case dropCheck:
		return "service_check"
	default:
		return "none"
	}
}

// tally is what the receiver tells about itself.
type tally struct {
	packets, samples, invalid uint64
	dropped                   [drops]uint64
}

const histogramHelp = "StatsD timers (in seconds), histograms or distributions (in the unit they were sent in)."

// Gather implements prometheus.Gatherer: the histograms, as native ones of a
// schema of at most 3 without classic buckets, and the receiver's own counters.
// Families are sorted by name and metrics by their labels. Names are those that
// programs on the machine choose: who merges this with other gatherers must
// expect one that is there already.
func (s *Server) Gather() ([]*dto.MetricFamily, error) {
	s.mu.Lock()
	at := s.now()
	s.sweepLocked(at.Sub(s.start))
	out := s.ownLocked()
	families := make(map[string]*dto.MetricFamily)
	histograms := slices.DeleteFunc(slices.Clone(s.table.all), func(sr *series) bool { return sr.histogram == nil })
	slices.SortFunc(histograms, func(a, b *series) int {
		return cmp.Or(cmp.Compare(a.name, b.name), a.labels.Compare(b.labels))
	})
	for _, sr := range histograms {
		f := families[sr.name]
		if f == nil {
			f = &dto.MetricFamily{Name: new(sr.name), Help: new(histogramHelp), Type: dto.MetricType_HISTOGRAM.Enum()}
			families[sr.name] = f
			out = append(out, f)
		}
		m := &dto.Metric{Label: pairs(sr.labels), Histogram: new(dto.Histogram)}
		sr.histogram.write(m.Histogram)
		sr.histogram.afterWrite(at)
		f.Metric = append(f.Metric, m)
	}
	n := s.note.take()
	s.mu.Unlock()
	n.tell(s.log)
	slices.SortFunc(out, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out, nil
}

// ownLocked is the families about the receiver.
func (s *Server) ownLocked() []*dto.MetricFamily {
	created := timestamppb.New(s.start)
	labels := make(metric.Labels, 0, len(s.parser.base)+1)
	for _, l := range s.parser.base {
		labels = append(labels, metric.Label{Name: string(l.name), Value: string(l.value)})
	}
	count := func(v uint64, labels metric.Labels) *dto.Metric {
		return &dto.Metric{
			Label:   pairs(labels),
			Counter: &dto.Counter{Value: new(float64(v)), CreatedTimestamp: created},
		}
	}
	family := func(name, help string, metrics ...*dto.Metric) *dto.MetricFamily {
		return &dto.MetricFamily{
			Name: new(ownPrefix + name), Help: new(help), Type: dto.MetricType_COUNTER.Enum(), Metric: metrics,
		}
	}
	var dropped []*dto.Metric
	for d := range drops {
		own := metric.Label{Name: "reason", Value: d.String()}
		with := slices.DeleteFunc(slices.Clone(labels), func(l metric.Label) bool { return l.Name == own.Name })
		i, _ := slices.BinarySearchFunc(with, own, func(a, b metric.Label) int { return cmp.Compare(a.Name, b.Name) })
		dropped = append(dropped, count(s.tally.dropped[d], slices.Insert(with, i, own)))
	}
	slices.SortFunc(dropped, func(a, b *dto.Metric) int {
		return slices.CompareFunc(a.Label, b.Label, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetValue(), b.GetValue()) })
	})
	return []*dto.MetricFamily{
		family("packets_total", "StatsD packets read.", count(s.tally.packets, labels)),
		family("samples_total", "StatsD samples taken in.", count(s.tally.samples, labels)),
		family("invalid_total", "StatsD lines and values that are not understood or not possible.", count(s.tally.invalid, labels)),
		family("dropped_total", "What was left out though it is valid, by reason: samples that conflict with another series or exceed "+
			"the limit of series, values a set has no room for, tags without a name or value, events and service checks.", dropped...),
	}
}

func pairs(ls metric.Labels) []*dto.LabelPair {
	out := make([]*dto.LabelPair, len(ls))
	for i, l := range ls {
		out[i] = &dto.LabelPair{Name: new(l.Name), Value: new(l.Value)}
	}
	return out
}
