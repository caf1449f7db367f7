package conformance

import (
	"fmt"
	"math"

	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

func at(it chunkenc.Iterator, typ chunkenc.ValueType) point {
	switch typ {
	case chunkenc.ValHistogram:
		t, h := it.AtHistogram(nil)
		return point{t: t, bits: math.Float64bits(h.Sum), hist: fmt.Sprintf("int %d %v %v", h.CounterResetHint, h.String(), h.CustomValues)}
	case chunkenc.ValFloatHistogram:
		t, h := it.AtFloatHistogram(nil)
		return point{t: t, bits: math.Float64bits(h.Sum), hist: fmt.Sprintf("float %d %v %v", h.CounterResetHint, h.String(), h.CustomValues)}
	default:
		t, v := it.At()
		return point{t: t, bits: math.Float64bits(v)}
	}
}

func formatExemplar(labels string, t int64, v float64) string {
	return fmt.Sprintf("%s %d %x", labels, t, math.Float64bits(v))
}
