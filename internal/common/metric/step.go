package metric

// Step is what one metric of a batch did to its series.
type Step struct {
	// Stored tells that the state has the series. It may lack one only of a replay:
	// when the sender put another batch under the same mark.
	Stored bool
	// Series is a small number, from 1, that names the series while the storage is
	// open; 0 if the storage has no such names.
	Series uint32
	// Key is the key of the series if Series names one; it may be kept.
	Key string
	// Created tells that the batch made the series. Of several batches that the
	// storage applies together each may say so.
	Created bool
	// Time is a gauge's own time, or the newest of a counter. Unix milliseconds.
	Time int64
	// Value is what a gauge was set to, or, in a replay, should have been set to
	// then. Total is what a counter has come to.
	Value float64
	Total int64
}

// Trace makes the steps of a batch that is about to be applied, in the memory of
// dst.
func Trace(dst []Step, ms []Metric) []Step {
	dst = dst[:0]
	for i := range ms {
		dst = append(dst, Step{Time: ms[i].Timestamp, Value: ms[i].Value})
	}
	return dst
}
