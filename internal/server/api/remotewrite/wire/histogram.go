package wire

import (
	"encoding/binary"
	"math"

	"github.com/prometheus/prometheus/model/histogram"
)

// Histogram is one native histogram: Int or Float is set. It shares no memory
// with the message, since the TSDB keeps it.
type Histogram struct {
	Int   *histogram.Histogram
	Float *histogram.FloatHistogram
	Time  int64
	Start int64
}

// raw holds the fields before it is known of which kind the histogram is.
type raw struct {
	schema                                 int32
	hint                                   histogram.CounterResetHint
	float                                  bool // the count is one
	count                                  uint64
	zeroFloat                              bool
	zero                                   uint64
	threshold, sum                         float64
	negativeSpans, positiveSpans           []histogram.Span
	negativeDeltas, positiveDeltas         []int64
	negativeCounts, positiveCounts, bounds []float64
}

// DecodeHistogram reads a Histogram. budget is how many spans, buckets and
// bounds may still be allocated; it gets less by what this one holds.
func DecodeHistogram(b []byte, v2 bool, budget *int) (h Histogram, err error) {
	var r raw
	m := Walk(b)
	for m.Next() && err == nil {
		switch m.Tag {
		case 1<<3 | Varint:
			r.float, r.count = false, m.Int
		case 2<<3 | Fixed64:
			r.float, r.count = true, m.Int
		case 3<<3 | Fixed64:
			r.sum = m.Float()
		case 4<<3 | Varint:
			r.schema = int32(zigzag(m.Int & math.MaxUint32))
		case 5<<3 | Fixed64:
			r.threshold = m.Float()
		case 6<<3 | Varint:
			r.zeroFloat, r.zero = false, m.Int
		case 7<<3 | Fixed64:
			r.zeroFloat, r.zero = true, m.Int
		case 14<<3 | Varint:
			// One that nobody knows yet says nothing.
			if r.hint = histogram.CounterResetHint(m.Int); r.hint > histogram.GaugeType {
				r.hint = histogram.UnknownCounterReset
			}
		case 15<<3 | Varint:
			h.Time = int64(m.Int)
		default:
			if m.Tag == 17<<3|Varint && v2 {
				h.Start = int64(m.Int)
			} else {
				err = r.list(&m, v2, budget)
			}
		}
	}
	if err != nil {
		return Histogram{}, err
	}
	if err := m.Err(); err != nil {
		return Histogram{}, err
	}
	r.fill(&h)
	return h, nil
}

// list reads the repeated fields.
func (r *raw) list(m *Message, v2 bool, budget *int) (err error) {
	switch m.Number() {
	case 8:
		r.negativeSpans, err = span(r.negativeSpans, m, budget)
	case 9:
		r.negativeDeltas, err = deltas(r.negativeDeltas, m, budget)
	case 10:
		r.negativeCounts, err = doubles(r.negativeCounts, m, budget)
	case 11:
		r.positiveSpans, err = span(r.positiveSpans, m, budget)
	case 12:
		r.positiveDeltas, err = deltas(r.positiveDeltas, m, budget)
	case 13:
		r.positiveCounts, err = doubles(r.positiveCounts, m, budget)
	case 16:
		r.bounds, err = doubles(r.bounds, m, budget)
	default:
		if n := m.Number(); n < 16 || n == 17 && v2 {
			return ErrMalformed
		}
	}
	return err
}

func (r *raw) fill(h *Histogram) {
	if r.float {
		h.Float = &histogram.FloatHistogram{
			CounterResetHint: r.hint, Schema: r.schema, ZeroThreshold: r.threshold,
			Count: math.Float64frombits(r.count), Sum: r.sum,
			PositiveSpans: r.positiveSpans, NegativeSpans: r.negativeSpans,
			PositiveBuckets: r.positiveCounts, NegativeBuckets: r.negativeCounts,
			CustomValues: r.bounds,
		}
		if r.zeroFloat {
			h.Float.ZeroCount = math.Float64frombits(r.zero)
		}
		return
	}
	h.Int = &histogram.Histogram{
		CounterResetHint: r.hint, Schema: r.schema, ZeroThreshold: r.threshold,
		Count: r.count, Sum: r.sum,
		PositiveSpans: r.positiveSpans, NegativeSpans: r.negativeSpans,
		PositiveBuckets: r.positiveDeltas, NegativeBuckets: r.negativeDeltas,
		CustomValues: r.bounds,
	}
	if !r.zeroFloat {
		h.Int.ZeroCount = r.zero
	}
}

func span(dst []histogram.Span, m *Message, budget *int) ([]histogram.Span, error) {
	if m.Tag&7 != Bytes {
		return nil, ErrMalformed
	}
	if *budget--; *budget < 0 {
		return nil, ErrTooMany
	}
	var s histogram.Span
	f := Walk(m.Bytes)
	for f.Next() {
		switch f.Tag {
		case 1<<3 | Varint:
			s.Offset = int32(zigzag(f.Int & math.MaxUint32))
		case 2<<3 | Varint:
			s.Length = uint32(f.Int)
		default:
			if f.Number() <= 2 {
				f.Fail()
			}
		}
	}
	return append(dst, s), f.Err()
}

func deltas(dst []int64, m *Message, budget *int) ([]int64, error) {
	switch m.Tag & 7 {
	case Varint:
		if *budget--; *budget < 0 {
			return nil, ErrTooMany
		}
		return append(dst, zigzag(m.Int)), nil
	case Bytes:
		n := 0
		for _, c := range m.Bytes {
			if c < 0x80 {
				n++
			}
		}
		if *budget -= n; *budget < 0 {
			return nil, ErrTooMany
		}
		dst = grown(dst, n)
		for pos := 0; pos < len(m.Bytes); {
			var v uint64
			if v, pos = Uvarint(m.Bytes, pos); pos < 0 {
				return nil, ErrMalformed
			}
			dst = append(dst, zigzag(v))
		}
		return dst, nil
	}
	return nil, ErrMalformed
}

func doubles(dst []float64, m *Message, budget *int) ([]float64, error) {
	switch m.Tag & 7 {
	case Fixed64:
		if *budget--; *budget < 0 {
			return nil, ErrTooMany
		}
		return append(dst, m.Float()), nil
	case Bytes:
		n := len(m.Bytes) / 8
		if len(m.Bytes)%8 != 0 {
			return nil, ErrMalformed
		}
		if *budget -= n; *budget < 0 {
			return nil, ErrTooMany
		}
		dst = grown(dst, n)
		for pos := 0; pos < len(m.Bytes); pos += 8 {
			dst = append(dst, math.Float64frombits(binary.LittleEndian.Uint64(m.Bytes[pos:])))
		}
		return dst, nil
	}
	return nil, ErrMalformed
}

// grown makes room for exactly n in an empty slice, and stays nil for none:
// whether a histogram has bounds at all means something.
func grown[T any](dst []T, n int) []T {
	if dst == nil && n > 0 {
		return make([]T, 0, n)
	}
	return dst
}

func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
