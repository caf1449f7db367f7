package conformance

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
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
func (r *random) request(bad, exemplars bool) []writetest.Series {
	r.step++
	list := make([]writetest.Series, 1+r.IntN(12))
	for i := range list {
		list[i] = r.series(bad, exemplars)
	}
	return list
}

func (r *random) series(bad, exemplars bool) (s writetest.Series) {
	n := r.IntN(40)
	s.Labels = []string{"__name__", fmt.Sprintf("metric_%d", n), "instance", fmt.Sprintf("web-%d", n%7), "job", "ä"}
	if n%3 == 0 {
		s.Labels = append(s.Labels, "empty", "")
	}
	if r.one(8) { // not sorted
		s.Labels[0], s.Labels[1], s.Labels[2], s.Labels[3] = s.Labels[2], s.Labels[3], s.Labels[0], s.Labels[1]
	}
	if bad && r.one(8) {
		r.spoilLabels(&s)
	}
	if r.one(3) {
		s.Meta = writetest.Meta{Type: int32(r.IntN(9)), Help: fmt.Sprintf("help %d", r.IntN(3)), Unit: "s"}
	}
	switch {
	case exemplars && bad && r.one(15):
	case n%4 == 1:
		for range 1 + r.IntN(2) {
			s.Histograms = append(s.Histograms, r.histogram(n, bad))
		}
		if r.one(10) {
			s.Samples = append(s.Samples, writetest.Sample{T: r.time(bad) + 500, V: math.Float64frombits(value.StaleNaN)})
		}
	default:
		for range 1 + r.IntN(3) {
			s.Samples = append(s.Samples, writetest.Sample{T: r.time(bad), ST: r.began(), V: r.float()})
		}
	}
	if exemplars && len(s.Samples)+len(s.Histograms) > 0 && r.one(3) {
		for range 1 + r.IntN(3) {
			s.Exemplars = append(s.Exemplars, r.exemplar(bad))
		}
	}
	return s
}

func (r *random) spoilLabels(s *writetest.Series) {
	switch r.IntN(8) {
	case 0:
		s.Labels = s.Labels[2:]
	case 1:
		s.Labels = append(s.Labels, "job", "again")
	case 2:
		s.Labels = append(s.Labels, "zone", "\xff")
	case 3:
		s.Labels = append(s.Labels, "\xc3\x28", "x")
	case 4:
		s.Labels = append(s.Labels, "", "x")
	case 5:
		s.Labels[1] = ""
	case 6:
		s.Labels = nil
	case 7:
		s.Labels = append(s.Labels, "job", "")
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

func (r *random) exemplar(bad bool) writetest.Exemplar {
	e := writetest.Exemplar{Labels: []string{"trace_id", fmt.Sprintf("%016x", r.Uint64())}, T: r.time(bad), V: r.float()}
	if bad && r.one(8) {
		e.Labels[1] = strings.Repeat("x", 200)
	}
	if r.one(10) {
		e.Labels = nil
	}
	return e
}

func (r *random) histogram(n int, bad bool) writetest.Hist {
	h := writetest.Hist{T: r.time(bad), ST: r.began()}
	i := r.step + int64(r.IntN(3))
	switch n % 8 {
	case 1:
		switch r.IntN(3) {
		case 0:
			h.I = tsdbutil.GenerateTestHistogram(i)
		case 1:
			h.I = tsdbutil.GenerateTestCustomBucketsHistogram(i)
		case 2:
			h.I = tsdbutil.GenerateTestGaugeHistogram(i)
		}
	default:
		switch r.IntN(3) {
		case 0:
			h.F = tsdbutil.GenerateTestFloatHistogram(i)
		case 1:
			h.F = tsdbutil.GenerateTestCustomBucketsFloatHistogram(i)
		case 2:
			h.F = tsdbutil.GenerateTestGaugeFloatHistogram(i)
		}
	}
	if r.one(6) {
		hint := histogram.CounterResetHint(r.IntN(4))
		if h.I != nil {
			h.I.CounterResetHint = hint
		} else {
			h.F.CounterResetHint = hint
		}
	}
	if bad && r.one(3) {
		r.spoilHistogram(&h)
	}
	return h
}

func (r *random) spoilHistogram(h *writetest.Hist) {
	kind := r.IntN(9)
	if h.F != nil {
		switch kind {
		case 0:
			h.F.Schema = 77
		case 1:
			h.F.Schema = int32(-5 - r.IntN(5))
		case 2:
			h.F.Schema = int32(9 + r.IntN(45))
		case 3:
			h.F.CustomValues = []float64{2, 1}
		case 4:
			h.F.PositiveBuckets = append(h.F.PositiveBuckets, 1)
		case 5:
			h.F.PositiveSpans = h.F.PositiveSpans[:1]
		case 6:
			h.F.Count = -1
		case 7:
			h.F.PositiveBuckets[0] = -7
		case 8:
			h.F.Sum = math.Float64frombits(value.StaleNaN)
		}
		return
	}
	switch kind {
	case 0:
		h.I.Schema = 77
	case 1:
		h.I.Schema = int32(-5 - r.IntN(5))
	case 2:
		h.I.Schema = int32(9 + r.IntN(45))
	case 3:
		h.I.CustomValues = []float64{2, 1}
	case 4:
		h.I.PositiveBuckets = append(h.I.PositiveBuckets, 1)
	case 5:
		h.I.PositiveSpans = h.I.PositiveSpans[:1]
	case 6:
		h.I.Count++
	case 7:
		h.I.PositiveBuckets[0] = -7
	case 8:
		h.I.Sum = math.Float64frombits(value.StaleNaN)
	}
}
