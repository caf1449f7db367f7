package statsd

import (
	"math"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	// finest is the schema to begin with: a bucket is wider than the one before by
	// 2^(1/8), which is the widest of those below 1.1.
	finest = 3
	// coarsest is the last schema there is: a bucket is 2^16 times as wide.
	coarsest = -4
	// maxBuckets is how many buckets a histogram has before they are made wider.
	maxBuckets = 160
	// minReset is how long a histogram keeps wide buckets at least.
	minReset = time.Hour
	// zeroThreshold is the largest value that counts as zero.
	zeroThreshold = 0x1p-128
)

// roots are the fractions, as of math.Frexp, where the buckets of the finest
// schema end: 2^(i/8) / 2.
var roots = [1 << finest]float64{
	0.5, 0.5452538663326288, 0.5946035575013605, 0.6484197773255048,
	0.7071067811865475, 0.7711054127039704, 0.8408964152537144, 0.9170040432046711,
}

// histogram is a native histogram. It holds what client_golang's would, with its
// factor 1.1, of at most 160 buckets, reset after an hour. It is not that one
// because samples have a weight here, which there is only as many observations;
// because each observation there allocates; and because what it gets between a
// scrape and its reset is never seen.
type histogram struct {
	count, zero uint64
	sum         float64
	carry       fraction
	schema      int
	pos, neg    buckets
	created     time.Time
}

func newHistogram(now time.Time) histogram { return histogram{schema: finest, created: now} }

// observe counts v so often. It reports whether it could; else nothing changed.
func (h *histogram) observe(v, times float64) bool {
	n, carry := h.carry.add(times)
	sum := h.sum + v*float64(n)
	if math.IsInf(sum, 0) || h.count > math.MaxInt64-uint64(n) { // deltas are int64
		return false
	}
	h.carry, h.sum, h.count = carry, sum, h.count+uint64(n)
	switch {
	case v > zeroThreshold:
		h.pos.add(h.index(v), uint64(n))
	case v < -zeroThreshold:
		h.neg.add(h.index(-v), uint64(n))
	default:
		h.zero += uint64(n)
	}
	for len(h.pos.index)+len(h.neg.index) > maxBuckets && h.schema > coarsest {
		h.schema--
		h.pos.widen()
		h.neg.widen()
	}
	return true
}

// index is the number of v's bucket: bucket i ends at 2^(i / 2^schema), which
// belongs to it.
func (h *histogram) index(v float64) int32 {
	fraction, exp := math.Frexp(v)
	i, _ := slices.BinarySearch(roots[:], fraction)
	return ceilShift((exp-1)<<finest+i, finest-h.schema)
}

// ceilShift is i / 2^n, rounded up.
func ceilShift(i, n int) int32 { return int32((i + 1<<n - 1) >> n) }

// write puts the histogram into a message.
func (h *histogram) write(out *dto.Histogram) {
	out.SampleCount, out.SampleSum = new(h.count), new(h.sum)
	out.Schema, out.ZeroThreshold, out.ZeroCount = new(int32(h.schema)), new(zeroThreshold), new(h.zero)
	out.PositiveSpan, out.PositiveDelta = h.pos.spans()
	out.NegativeSpan, out.NegativeDelta = h.neg.spans()
	out.CreatedTimestamp = timestamppb.New(h.created)
}

// afterWrite begins anew with the finest buckets when they have been wide for
// long. All it had has just been told, so no observation is lost: who reads it
// sees a counter reset.
func (h *histogram) afterWrite(now time.Time) {
	if h.schema < finest && now.Sub(h.created) >= minReset {
		*h = histogram{schema: finest, created: now, carry: h.carry}
	}
}

// buckets are those that count something, in order. Two slices take half of the
// memory of a map.
type buckets struct {
	index []int32
	n     []uint64
}

func (b *buckets) add(index int32, n uint64) {
	i, found := slices.BinarySearch(b.index, index)
	if found {
		b.n[i] += n
		return
	}
	b.index = slices.Insert(b.index, i, index)
	b.n = slices.Insert(b.n, i, n)
}

// widen joins each bucket of an even number with the one before it.
func (b *buckets) widen() {
	index, n := b.index[:0], b.n[:0]
	for i := range b.index {
		wide := ceilShift(int(b.index[i]), 1)
		if last := len(index) - 1; last >= 0 && index[last] == wide {
			n[last] += b.n[i]
			continue
		}
		index, n = append(index, wide), append(n, b.n[i])
	}
	b.index, b.n = index, n
}

// spans are the buckets as the message has them: runs of neighbours, each with
// its distance to the end of the one before, and each count as the difference to
// the count before. Up to two empty buckets cost less within a run than a new run.
func (b *buckets) spans() (spans []*dto.BucketSpan, deltas []int64) {
	const longest = 2
	var next int32 // after the last bucket
	var last int64
	for i, index := range b.index {
		gap := index - next
		if i == 0 || gap > longest {
			spans = append(spans, &dto.BucketSpan{Offset: new(gap), Length: new(uint32(0))})
		} else {
			for range gap {
				deltas, last = append(deltas, -last), 0
				*spans[len(spans)-1].Length++
			}
		}
		n := int64(b.n[i])
		deltas, last, next = append(deltas, n-last), n, index+1
		*spans[len(spans)-1].Length++
	}
	return spans, deltas
}

// fraction is the part of a sum that is not yet a whole number. It may lie below
// zero by slack.
type fraction float64

// slack is how little may be missing to a whole: 7 × 1/0.7 are 10, not 9.
const slack = 1e-9

// add is the whole number that x, which is at most maxIncrement, makes with the
// fraction, and the fraction that remains.
func (f fraction) add(x float64) (int64, fraction) {
	sum := float64(f) + x
	whole := math.Floor(sum + slack)
	return int64(whole), fraction(sum - whole)
}
