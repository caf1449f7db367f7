package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
)

// random makes requests. The times it uses are around start, which lies so far
// back that nothing is near a limit by chance.
type random struct {
	*rand.Rand
	start int64
	step  int64 // of the request under way
}

func (r *random) one(n int) bool { return r.IntN(n) == 0 }

// request makes some series. bad: some of it may be refused. exemplars: there
// may be some, and series without samples.
func (r *random) request(bad, exemplars bool) []series {
	r.step++
	list := make([]series, 1+r.IntN(12))
	for i := range list {
		list[i] = r.series(bad, exemplars)
	}
	return list
}

func (r *random) series(bad, exemplars bool) (s series) {
	n := r.IntN(40)
	s.labels = []string{"__name__", fmt.Sprintf("metric_%d", n), "instance", fmt.Sprintf("web-%d", n%7), "job", "ä"}
	if n%3 == 0 {
		s.labels = append(s.labels, "empty", "")
	}
	if r.one(8) { // not sorted
		s.labels[0], s.labels[1], s.labels[2], s.labels[3] = s.labels[2], s.labels[3], s.labels[0], s.labels[1]
	}
	if bad && r.one(8) {
		r.spoilLabels(&s)
	}
	if r.one(3) {
		s.meta = meta{typ: int32(r.IntN(9)), help: fmt.Sprintf("help %d", r.IntN(3)), unit: "s"}
	}
	switch {
	case exemplars && bad && r.one(15):
	case n%4 == 1:
		for range 1 + r.IntN(2) {
			s.histograms = append(s.histograms, r.histogram(n, bad))
		}
		if r.one(10) {
			s.samples = append(s.samples, sample{t: r.time(bad) + 500, v: math.Float64frombits(value.StaleNaN)})
		}
	default:
		for range 1 + r.IntN(3) {
			s.samples = append(s.samples, sample{t: r.time(bad), st: r.began(), v: r.float()})
		}
	}
	if exemplars && len(s.samples)+len(s.histograms) > 0 && r.one(3) {
		for range 1 + r.IntN(3) {
			s.exemplars = append(s.exemplars, r.exemplar(bad))
		}
	}
	return s
}

func (r *random) spoilLabels(s *series) {
	switch r.IntN(8) {
	case 0:
		s.labels = s.labels[2:]
	case 1:
		s.labels = append(s.labels, "job", "again")
	case 2:
		s.labels = append(s.labels, "zone", "\xff")
	case 3:
		s.labels = append(s.labels, "\xc3\x28", "x")
	case 4:
		s.labels = append(s.labels, "", "x")
	case 5:
		s.labels[1] = ""
	case 6:
		s.labels = nil
	case 7:
		s.labels = append(s.labels, "job", "")
	}
}

func (r *random) time(bad bool) int64 {
	t := r.start + r.step*1000 + int64(r.IntN(400))
	if !bad {
		return t
	}
	switch r.IntN(20) {
	case 0:
		return t - 10*time3h // too old
	case 1:
		return t + 10*time3h // ahead of the clock
	case 2:
		return t - int64(r.IntN(600_000)) // out of order, within the window
	case 3:
		return r.start + r.step*1000 // perhaps the same as another
	}
	return t
}

const time3h = 3 * 3600 * 1000

func (r *random) began() int64 {
	switch r.IntN(6) {
	case 0:
		return r.start - 5000
	case 1:
		return r.start + r.step*1000 - 300
	case 2:
		return r.start + 20*time3h
	}
	return 0
}

func (r *random) float() float64 {
	switch r.IntN(12) {
	case 0:
		return math.Float64frombits(value.StaleNaN)
	case 1:
		return math.Float64frombits(value.NormalNaN)
	case 2:
		return math.Inf(1 - 2*r.IntN(2))
	case 3:
		return 0
	case 4:
		return math.Copysign(0, -1)
	case 5:
		return math.MaxFloat64
	}
	return r.NormFloat64() * 1000
}

func (r *random) exemplar(bad bool) exemplar {
	e := exemplar{labels: []string{"trace_id", fmt.Sprintf("%016x", r.Uint64())}, t: r.time(bad), v: r.float()}
	if bad && r.one(8) {
		e.labels[1] = strings.Repeat("x", 200)
	}
	if r.one(10) {
		e.labels = nil
	}
	return e
}

func (r *random) histogram(n int, bad bool) hist {
	h := hist{t: r.time(bad), st: r.began()}
	i := int64(r.step) + int64(r.IntN(3))
	switch n % 8 {
	case 1:
		switch r.IntN(3) {
		case 0:
			h.i = tsdbutil.GenerateTestHistogram(i)
		case 1:
			h.i = tsdbutil.GenerateTestCustomBucketsHistogram(i)
		case 2:
			h.i = tsdbutil.GenerateTestGaugeHistogram(i)
		}
	default:
		switch r.IntN(3) {
		case 0:
			h.f = tsdbutil.GenerateTestFloatHistogram(i)
		case 1:
			h.f = tsdbutil.GenerateTestCustomBucketsFloatHistogram(i)
		case 2:
			h.f = tsdbutil.GenerateTestGaugeFloatHistogram(i)
		}
	}
	if r.one(6) {
		hint := histogram.CounterResetHint(r.IntN(4))
		if h.i != nil {
			h.i.CounterResetHint = hint
		} else {
			h.f.CounterResetHint = hint
		}
	}
	if bad && r.one(3) {
		r.spoilHistogram(&h)
	}
	return h
}

func (r *random) spoilHistogram(h *hist) {
	kind := r.IntN(9)
	if h.f != nil {
		switch kind {
		case 0:
			h.f.Schema = 77
		case 1:
			h.f.Schema = int32(-5 - r.IntN(5))
		case 2:
			h.f.Schema = int32(9 + r.IntN(45))
		case 3:
			h.f.CustomValues = []float64{2, 1}
		case 4:
			h.f.PositiveBuckets = append(h.f.PositiveBuckets, 1)
		case 5:
			h.f.PositiveSpans = h.f.PositiveSpans[:1]
		case 6:
			h.f.Count = -1
		case 7:
			h.f.PositiveBuckets[0] = -7
		case 8:
			h.f.Sum = math.Float64frombits(value.StaleNaN)
		}
		return
	}
	switch kind {
	case 0:
		h.i.Schema = 77
	case 1:
		h.i.Schema = int32(-5 - r.IntN(5))
	case 2:
		h.i.Schema = int32(9 + r.IntN(45))
	case 3:
		h.i.CustomValues = []float64{2, 1}
	case 4:
		h.i.PositiveBuckets = append(h.i.PositiveBuckets, 1)
	case 5:
		h.i.PositiveSpans = h.i.PositiveSpans[:1]
	case 6:
		h.i.Count++
	case 7:
		h.i.PositiveBuckets[0] = -7
	case 8:
		h.i.Sum = math.Float64frombits(value.StaleNaN)
	}
}
