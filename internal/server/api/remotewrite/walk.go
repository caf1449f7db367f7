package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/wire"
)

// walkV1 walks a prometheus.WriteRequest.
func (b *batch) walkV1(ctx context.Context) error {
	m := wire.Walk(b.plain)
	for m.Next() {
		switch m.Tag {
		case 1<<3 | wire.Bytes:
			if err := b.cutV1(m.Bytes); err != nil {
				return err
			}
			if err := b.series(ctx); err != nil {
				return err
			}
		case 3<<3 | wire.Bytes:
			if err := b.metadataV1(m.Bytes); err != nil {
				return err
			}
		default:
			if n := m.Number(); n == 1 || n == 3 {
				m.Fail()
			}
		}
	}
	return m.Err()
}

// next makes room for the next series.
func (b *batch) next() *current {
	c := &b.cur
	c.key, c.bad, c.nrefs, c.foreign, c.meta = nil, fault{}, 0, false, wire.Metadata2{}
	c.samples, c.histograms, c.exemplars = c.samples[:0], c.histograms[:0], c.exemplars[:0]
	return c
}

// cutV1 cuts a TimeSeries of 1.0 into its parts.
func (b *batch) cutV1(p []byte) error {
	c := b.next()
	m := wire.Walk(p)
	for m.Next() {
		switch m.Tag {
		case 1<<3 | wire.Bytes:
			run := m.Run()
			if c.key == nil {
				c.key = run
				continue
			}
			// Something stands between the labels.
			b.keyBuf = append(append(b.keyBuf[:0], c.key...), run...)
			c.key = b.keyBuf
		case 2<<3 | wire.Bytes:
			if err := b.cutSample(m.Bytes); err != nil {
				return err
			}
		case 3<<3 | wire.Bytes:
			if err := b.spend(); err != nil {
				return err
			}
			c.exemplars = append(c.exemplars, m.Bytes)
		case 4<<3 | wire.Bytes:
			if err := b.spend(); err != nil {
				return err
			}
			c.histograms = append(c.histograms, m.Bytes)
		default:
			if m.Number() <= 4 {
				m.Fail()
			}
		}
	}
	return m.Err()
}

func (b *batch) cutSample(p []byte) error {
	if err := b.spend(); err != nil {
		return err
	}
	s, err := wire.DecodeSample(p, b.v == v2)
	b.cur.samples = append(b.cur.samples, s)
	return err
}

// spend counts one element of the request.
func (b *batch) spend() error {
	if b.elems--; b.elems < 0 {
		return wire.ErrTooMany
	}
	return nil
}

// series appends the current series.
func (b *batch) series(ctx context.Context) error {
	c := &b.cur
	defer func() { c.index++ }()
	ok, err := b.find()
	if err != nil {
		return err
	}
	switch n := len(c.samples) + len(c.histograms); {
	case !ok:
		b.refuse.series(b, c.bad.reason, n, c.bad.err)
		return b.validate()
	case n == 0 && len(c.exemplars) == 0:
		if b.v == v2 {
			b.refuse.series(b, Nothing, 1, errors.New("no sample, histogram or exemplar"))
		}
		return nil
	}
	if b.app == nil {
		b.open(ctx)
	}
	for i := range c.samples {
		s := &c.samples[i]
		ok, err := b.append(s.Start, s.Time, s.Value, nil, nil)
		if err != nil {
			return err
		}
		if ok {
			b.wrote.samples++
		}
	}
	for _, p := range c.histograms {
		if err := b.histogram(p); err != nil {
			return err
		}
	}
	if len(c.exemplars) > 0 {
		if err := b.appendExemplars(); err != nil {
			return err
		}
	}
	if b.v == v2 {
		b.metadataV2()
	}
	return nil
}

// validate reads what of a refused series was not read yet: a malformed message
// is one in whatever series it stands.
func (b *batch) validate() error {
	for _, p := range b.cur.histograms {
		if _, err := wire.DecodeHistogram(p, b.v == v2, &b.buckets); err != nil {
			return err
		}
	}
	for _, p := range b.cur.exemplars {
		if _, err := b.exemplarOf(p); err != nil && !errors.Is(err, errExemplar) {
			return err
		}
	}
	return nil
}

func (b *batch) histogram(p []byte) error {
	h, err := wire.DecodeHistogram(p, b.v == v2, &b.buckets)
	if err != nil {
		return err
	}
	if err := reduce(h.Int, h.Float); err != nil {
		b.refuse.add(b, Malformed, h.Time, err)
		return nil
	}
	ok, err := b.append(h.Start, h.Time, 0, h.Int, h.Float)
	if ok {
		b.wrote.histograms++
	}
	return err
}

// reduce brings a resolution that the TSDB doesn't know to the highest one that
// it does.
func reduce(h *histogram.Histogram, fh *histogram.FloatHistogram) error {
	most := histogram.ExponentialSchemaMax
	higher := func(schema int32) bool { return schema > most && histogram.IsExponentialSchemaReserved(schema) }
	switch {
	case h != nil && higher(h.Schema):
		return h.ReduceResolution(most)
	case fh != nil && higher(fh.Schema):
		return fh.ReduceResolution(most)
	}
	return nil
}

// errExemplar is wrapped by what is wrong with the labels of an exemplar.
var errExemplar = errors.New("exemplar")

// exemplarOf reads an exemplar. An error that wraps errExemplar is about this
// one alone.
func (b *batch) exemplarOf(p []byte) (e exemplar.Exemplar, err error) {
	x := &b.exemplar
	if b.refs, err = wire.DecodeExemplar(p, b.v == v2, b.h.o.Limits.Labels, b.refs, x); err != nil {
		return e, err
	}
	ls := b.exLabels[:0]
	for _, field := range x.Labels {
		l, err := wire.DecodeLabel(field)
		if err != nil {
			return e, err
		}
		ls = append(ls, labels.Label{Name: view(l.Name), Value: view(l.Value)})
	}
	if len(b.refs)%2 != 0 {
		return e, fmt.Errorf("%w: %w", errExemplar, errOddRefs)
	}
	for i := 0; i < len(b.refs); i += 2 {
		name, ok1 := b.symbol(b.refs[i])
		value, ok2 := b.symbol(b.refs[i+1])
		if !ok1 || !ok2 {
			return e, fmt.Errorf("%w: %w", errExemplar, errRange)
		}
		ls = append(ls, labels.Label{Name: name, Value: value})
	}
	b.exLabels = ls
	if err := b.h.o.Limits.checkEach(ls); err != nil {
		return e, fmt.Errorf("%w: %w", errExemplar, err)
	}
	return exemplar.Exemplar{Labels: build(&b.builder, ls), Value: x.Value, Ts: x.Time, HasTs: x.Time != 0}, nil
}

// appendExemplars appends those of the current series. In 1.0 nothing that is
// wrong with them fails the request; in 2.0 what the sender could do better does.
func (b *batch) appendExemplars() error {
	c := &b.cur
	list := b.exemplars[:0]
	for _, p := range c.exemplars {
		e, err := b.exemplarOf(p)
		switch {
		case errors.Is(err, errExemplar):
			b.refuseExemplar(err, true)
		case err != nil:
			return err
		case e.Ts > b.latest:
			b.refuseExemplar(errFuture, false)
		default:
			list = append(list, e)
		}
	}
	b.exemplars = list
	defer clear(list)
	if len(list) == 0 {
		return nil
	}
	if b.exApp == nil {
		b.refuse.count(Exemplars, len(list))
		return nil
	}
	slices.SortFunc(list, exemplar.Compare)
	_, err := b.exApp.AppendExemplars(c.ref, c.set, list)
	if errors.Is(err, storage.ErrNotFound) && c.known != nil && c.set.IsEmpty() {
		if err := b.rebuild(); err != nil {
			return err
		}
		_, err = b.exApp.AppendExemplars(0, c.set, list)
	}
	var partial *storage.AppendPartialError
	switch {
	case err == nil:
		b.wrote.exemplars += len(list)
	case errors.As(err, &partial):
		for i := range partial.ExemplarErrors {
			b.refuseExemplar(partial.ExemplarErrors[i], errors.Is(partial.ExemplarErrors[i], storage.ErrOutOfOrderExemplar))
		}
		b.wrote.exemplars += max(0, len(list)-len(partial.ExemplarErrors))
	default:
		// The series isn't there: its samples were refused, or there were none.
		b.refuse.count(Exemplars, len(list))
		if b.v == v2 && len(c.samples)+len(c.histograms) == 0 {
			b.refuse.say(func() string { return "series " + b.describe() + ": exemplars of a series that does not exist" })
		}
	}
	return nil
}

func (b *batch) refuseExemplar(err error, fault bool) {
	if b.v == v2 && fault {
		b.refuse.series(b, Exemplars, 1, err)
		return
	}
	b.refuse.count(Exemplars, 1)
}

// types names the metric types, whose numbers both versions share.
var types = [...]string{"unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"}

func typeName(n uint64) string {
	if n < uint64(len(types)) {
		return types[n]
	}
	return types[0]
}

func (b *batch) metadataV1(p []byte) error {
	d, err := wire.DecodeMetadata1(p)
	if err != nil {
		return err
	}
	if err := b.spend(); err != nil {
		return err
	}
	b.keepMetadata(family{name: view(d.Family), typ: typeName(d.Type), help: view(d.Help), unit: view(d.Unit)})
	return nil
}

// keepMetadata keeps f until the commit. What is wrong with it doesn't fail the
// request.
func (b *batch) keepMetadata(f family) {
	most := b.h.o.Limits.LabelValue
	for _, s := range []string{f.name, f.help, f.unit} {
		if len(s) > most || !utf8.ValidString(s) {
			b.refuse.count(Meta, 1)
			return
		}
	}
	if f.name == "" {
		b.refuse.count(Meta, 1)
		return
	}
	b.metas = append(b.metas, f)
}
