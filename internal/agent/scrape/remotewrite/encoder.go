// Package remotewrite makes requests of Prometheus' remote write 2.0
// (io.prometheus.write.v2.Request, snappy in its block format).
package remotewrite

import (
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
)

// The headers of a request.
const (
	ContentType     = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
	ContentEncoding = "snappy"
	Version         = "2.0.0" // of X-Prometheus-Remote-Write-Version
)

const (
	// MaxSamples is what one request holds at most: what Prometheus sends at once.
	MaxSamples = 2000
	// maxBytes is about how large a request may become, unpacked, whatever labels
	// and histograms its samples have: receivers take some ten MiB.
	maxBytes = 4 << 20
)

// Payload is one request.
type Payload struct {
	// Body is compressed, and the receiver's to keep.
	Body []byte
	// Samples counts floats and histograms.
	Samples int
}

// Metadata says what a metric is. Its zero value says nothing.
type Metadata struct {
	Type       writev2.Metadata_MetricType
	Help, Unit string
}

// Sample is one of a series: V, or H, or FH. Times are Unix milliseconds.
// Strings and histograms must stay as they are until the request they are part of
// is made, by Finish at the latest.
type Sample struct {
	Labels    labels.Labels
	Meta      *Metadata // nil: nothing is known
	ST, T     int64     // ST, the start, is 0 if it isn't known
	V         float64
	H         *histogram.Histogram
	FH        *histogram.FloatHistogram
	Exemplars []exemplar.Exemplar
}

// Encoder collects samples and makes requests of them. It keeps its memory for
// the next time. It is for one goroutine at a time; the zero value is not ready,
// see New.
type Encoder struct {
	table writev2.SymbolsTable
	req   writev2.Request
	// What the series of req hold. They grow by append: what was cut out of an
	// array that was left behind for a larger one stays valid.
	refs      []uint32
	samples   []writev2.Sample
	exemplars []writev2.Exemplar

	bytes       int // about how large req is
	plain, wire []byte
	done        []Payload
}

// New returns an empty Encoder.
func New() *Encoder { return &Encoder{table: writev2.NewSymbolTable()} }

// Add puts a sample into the current request.
func (e *Encoder) Add(s *Sample) error {
	ts := writev2.TimeSeries{LabelsRefs: e.labels(s.Labels)}
	switch {
	case s.H != nil:
		ts.Histograms = []writev2.Histogram{writev2.FromIntHistogram(s.ST, s.T, s.H)}
		e.bytes += 64 + 10*(len(s.H.PositiveBuckets)+len(s.H.NegativeBuckets)+len(s.H.PositiveSpans)+len(s.H.NegativeSpans)+len(s.H.CustomValues))
	case s.FH != nil:
		ts.Histograms = []writev2.Histogram{writev2.FromFloatHistogram(s.ST, s.T, s.FH)}
		e.bytes += 64 + 10*(len(s.FH.PositiveBuckets)+len(s.FH.NegativeBuckets)+len(s.FH.PositiveSpans)+len(s.FH.NegativeSpans)+len(s.FH.CustomValues))
	default:
		e.samples = append(e.samples, writev2.Sample{Value: s.V, Timestamp: s.T, StartTimestamp: s.ST})
		ts.Samples = last(e.samples, 1)
		e.bytes += 32
	}
	if len(s.Exemplars) > 0 {
		for _, x := range s.Exemplars {
			e.exemplars = append(e.exemplars, writev2.Exemplar{LabelsRefs: e.labels(x.Labels), Value: x.Value, Timestamp: x.Ts})
			e.bytes += 32
		}
		ts.Exemplars = last(e.exemplars, len(s.Exemplars))
	}
	if m := s.Meta; m != nil {
		ts.Metadata = writev2.Metadata{Type: m.Type, HelpRef: e.symbol(m.Help), UnitRef: e.symbol(m.Unit)}
		e.bytes += 8
	}
	e.req.Timeseries = append(e.req.Timeseries, ts)
	if len(e.req.Timeseries) >= MaxSamples || e.bytes >= maxBytes {
		return e.seal()
	}
	return nil
}

// Finish returns the requests that hold all that was added, in this order, and
// begins anew.
func (e *Encoder) Finish() ([]Payload, error) {
	err := e.seal()
	done := e.done
	e.Reset()
	if err != nil {
		return nil, err
	}
	return done, nil
}

// Reset forgets all that was added since the last Finish.
func (e *Encoder) Reset() {
	e.clear()
	e.done = nil
}

func (e *Encoder) clear() {
	e.table.Reset()
	clear(e.req.Timeseries)
	e.req.Timeseries, e.refs, e.samples, e.exemplars = e.req.Timeseries[:0], e.refs[:0], e.samples[:0], e.exemplars[:0]
	e.bytes = 0
}

// seal makes a request of what was added since the last one.
func (e *Encoder) seal() error {
	n := len(e.req.Timeseries)
	if n == 0 {
		return nil
	}
	e.req.Symbols = e.table.Symbols()
	plain, err := e.req.OptimizedMarshal(e.plain)
	e.req.Symbols = nil
	if err != nil {
		return fmt.Errorf("encode remote write: %w", err)
	}
	wire := s2.EncodeSnappy(e.wire[:cap(e.wire)], plain)
	// A queue may keep many of them, so they are no longer than they must be.
	e.done = append(e.done, Payload{Body: append(make([]byte, 0, len(wire)), wire...), Samples: n})
	e.plain, e.wire = keep(plain), keep(wire)
	e.clear()
	return nil
}

func (e *Encoder) labels(ls labels.Labels) []uint32 {
	n := len(e.refs)
	ls.Range(func(l labels.Label) { e.refs = append(e.refs, e.symbol(l.Name), e.symbol(l.Value)) })
	e.bytes += 2 * (len(e.refs) - n)
	return last(e.refs, len(e.refs)-n)
}

func (e *Encoder) symbol(s string) uint32 {
	before := len(e.table.Symbols())
	ref := e.table.Symbolize(s)
	if int(ref) == before {
		e.bytes += len(s) + 4
	}
	return ref
}

// last are the last n of s, which others may append to.
func last[T any](s []T, n int) []T { return s[len(s)-n : len(s) : len(s)] }

// keep is b for the next time, unless it is so large that it isn't worth it.
func keep(b []byte) []byte {
	if cap(b) > 1<<20 {
		return nil
	}
	return b
}
