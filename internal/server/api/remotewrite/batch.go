package remotewrite

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strings"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/wire"
)

// counts is what was written.
type counts struct{ samples, histograms, exemplars int }

// batch is one request under way, and the memory it works in. It is used again
// for the next one.
type batch struct {
	h       *Handler
	v       version
	latest  int64 // a sample may be that new
	minute  int64 // now, for the cache
	elems   int   // samples, histograms and exemplars that may still come
	buckets int   // spans, buckets and bounds that may still come

	wire, plain               []byte // the body, as sent and unpacked
	releaseWire, releasePlain func()

	app    storage.AppenderV2         // nil: nothing to append so far
	exApp  storage.ExemplarAppenderV2 // app, or nil if it can't
	born   []*series                  // into the cache when committed
	moved  []moved                    // to be told when committed
	births bool                       // h.births is held
	metas  []family                   // to be told when committed
	wrote  counts
	refuse refusals

	cur  current
	last *series // the one before cur, if the cache has it

	// Of a request of 2.0: where its symbols stand, and the numbers of those that
	// have one in the table of the Handler.
	symbols []symbolAt
	ids     []uint64

	keyBuf    []byte   // the key, where it can't be a piece of plain
	labelRefs []uint32 // of the current series of 2.0; c.nrefs of them
	labels    []labels.Label
	exLabels  []labels.Label
	refs      []uint32
	builder   labels.ScratchBuilder
	exemplar  wire.Exemplar
	exemplars []exemplar.Exemplar
}

func newBatch(h *Handler) *batch {
	refs := 2 * h.o.Limits.Labels
	return &batch{h: h, labelRefs: make([]uint32, refs), keyBuf: make([]byte, 0, 1+8*refs)}
}

// current is the series under way.
type current struct {
	index      int // in the request
	key        []byte
	hash       uint64
	known      *series // nil: not in the cache
	ref        storage.SeriesRef
	set        labels.Labels // empty for a known series
	samples    []wire.Sample
	histograms [][]byte
	exemplars  [][]byte
	meta       wire.Metadata2
	bad        fault // what is wrong with its labels
	nrefs      int   // of its labels, in 2.0
	foreign    bool  // some of these have no number in the Handler's table
}

// moved is a series that the TSDB has anew, under another reference.
type moved struct {
	s   *series
	ref storage.SeriesRef
}

// family is what is known of a metric family. It shares the memory of the body.
type family struct {
	name, typ, help, unit string

	of   *series // who is to remember that it was told; nil: nobody
	hash uint64
}

// write walks the body and commits what is valid in it.
func (b *batch) write(ctx context.Context, v version) (counts, *failure) {
	now := b.h.o.Now().UnixMilli()
	b.v, b.latest, b.minute = v, now+maxAhead, now/60_000
	b.elems, b.buckets = b.h.o.Limits.Samples, b.h.o.Limits.Buckets
	b.h.cache.sweep(b.minute)
	defer b.unlock() // last, and after a panic too
	defer b.rollback()
	walk := b.walkV1
	if v == v2 {
		walk = b.walkV2
	}
	if err := walk(ctx); err != nil {
		return counts{}, b.failed(err)
	}
	if app := b.app; app != nil {
		b.app = nil
		if err := app.Commit(); err != nil {
			return counts{}, b.failed(fmt.Errorf("commit: %w", err))
		}
	}
	for _, s := range b.born {
		b.h.cache.put(s)
	}
	for _, m := range b.moved {
		m.s.ref.Store(uint64(m.ref))
	}
	b.unlock()
	b.tell()
	return b.wrote, b.refuse.failure(b.h)
}

// failed maps what ended the walk to an answer.
func (b *batch) failed(err error) *failure {
	switch {
	case errors.Is(err, wire.ErrMalformed):
		return &failure{status: http.StatusBadRequest, text: "the body is not a protobuf message of remote write " + b.v.String()}
	case errors.Is(err, wire.ErrTooMany):
		l := b.h.o.Limits
		return &failure{
			status: http.StatusRequestEntityTooLarge,
			text: fmt.Sprintf("more than %d samples or %d buckets of histograms in one request: send smaller ones",
				l.Samples, l.Buckets),
		}
	}
	if f, ok := errors.AsType[*requestError](err); ok {
		return &failure{status: http.StatusBadRequest, text: f.text}
	}
	return &failure{status: http.StatusInternalServerError, text: "not written because of an internal error: try again", cause: err}
}

// requestError is an error of a whole request.
type requestError struct{ text string }

func (e *requestError) Error() string { return e.text }

// tell hands on the metadata.
func (b *batch) tell() {
	if b.h.o.Metadata == nil {
		return
	}
	for _, f := range b.metas {
		// typ is a constant; the rest goes with the body.
		b.h.o.Metadata.SetMetadata(strings.Clone(f.name), f.typ, strings.Clone(f.help), strings.Clone(f.unit))
		if f.of != nil {
			f.of.meta.Store(f.hash)
		}
	}
}

func (b *batch) rollback() {
	if b.app == nil {
		return
	}
	if err := b.app.Rollback(); err != nil {
		b.h.o.Log.Error("roll back a remote write", zap.Error(err))
	}
	b.app = nil
}

func (b *batch) lock() {
	if !b.births {
		b.h.births.Lock()
		b.births = true
	}
}

func (b *batch) unlock() {
	if b.births {
		b.births = false
		b.h.births.Unlock()
	}
}

// free makes b ready for the next request and gives it back. It lets go of all
// that shares memory with something.
func (b *batch) free() {
	if !b.freeBody() {
		*b = *newBatch(b.h) // much of it shares memory with the body
	}
	clear(b.born)
	clear(b.moved)
	clear(b.metas)
	b.born, b.moved, b.metas = b.born[:0], b.moved[:0], b.metas[:0]
	b.app, b.exApp, b.wrote, b.refuse, b.last = nil, nil, counts{}, refusals{}, nil
	b.symbols, b.ids = shrink(b.symbols), shrink(b.ids)
	b.cur = current{
		samples:    shrink(b.cur.samples),
		histograms: shrink(b.cur.histograms),
		exemplars:  shrink(b.cur.exemplars),
	}
	b.labels, b.exLabels, b.refs = shrink(b.labels), shrink(b.exLabels), shrink(b.refs)
	b.exemplars = shrink(b.exemplars)
	b.born, b.moved, b.metas = shrink(b.born), shrink(b.moved), shrink(b.metas)
	b.h.pool.Put(b)
}

// shrink empties s for the next request; one request alone must not make it
// large for ever.
func shrink[T any](s []T) []T {
	const most = 16 << 10
	if cap(s) > most {
		return nil
	}
	return s[:0]
}

// find looks up the current series by its key. It is false if its labels are
// refused; an error ends the request.
func (b *batch) find() (ok bool, err error) {
	c := &b.cur
	c.known, c.ref, c.set = nil, 0, labels.EmptyLabels()
	if len(c.key) == 0 || c.bad.found() {
		return false, b.parse()
	}
	if !c.foreign && b.known() {
		return true, nil
	}
	if err := b.parse(); err != nil {
		return false, err
	}
	if c.bad.found() {
		return false, nil
	}
	if waited := !b.births; waited || c.foreign {
		b.lock()
		if b.v == v2 {
			b.intern()
		}
		if b.known() { // born while we waited
			return true, nil
		}
	}
	c.set = build(&b.builder, b.labels)
	return true, nil
}

// known finds the current series by its key, if the cache has it. Senders mostly
// send their series in the same order, so it looks first at the one that came
// after the one before.
func (b *batch) known() bool {
	c := &b.cur
	before := b.last
	if c.known = before.successor(c.key, b.minute); c.known == nil {
		c.hash = maphash.Bytes(b.h.seed, c.key)
		if c.known = b.h.cache.find(c.hash, c.key, b.minute); c.known == nil {
			b.last = nil
			return false
		}
		before.follow(c.known)
	}
	b.last = c.known
	c.ref = storage.SeriesRef(c.known.ref.Load())
	return true
}

// parse reads the labels of the current series into b.labels and checks them;
// what is wrong is in c.bad. An error ends the request.
func (b *batch) parse() (err error) {
	c := &b.cur
	if c.bad.found() {
		return nil
	}
	if b.labels, err = b.appendLabels(b.labels[:0]); err != nil {
		return err
	}
	if err := b.h.o.Limits.check(b.labels); err != nil {
		c.bad = fault{Labels, err}
	}
	return nil
}

// appendLabels reads the labels of the current series. They share the memory of
// the body.
func (b *batch) appendLabels(dst []labels.Label) ([]labels.Label, error) {
	c := &b.cur
	if b.v == v1 {
		return fields(dst, c.key, b.h.o.Limits.Labels)
	}
	for i := 0; i+1 < c.nrefs; i += 2 {
		name, _ := b.symbol(b.labelRefs[i])
		value, _ := b.symbol(b.labelRefs[i+1])
		dst = append(dst, labels.Label{Name: name, Value: value})
	}
	return dst, nil
}

// describe shows the current series in a message.
func (b *batch) describe() string {
	if bad := b.cur.bad; bad.found() && (bad.err == errRange || bad.err == errOddRefs) { //nolint:errorlint // they are never wrapped here
		return "{}"
	}
	ls, err := b.appendLabels(nil)
	if err != nil {
		return "{}"
	}
	return describe(ls)
}

// open opens the appender.
func (b *batch) open(ctx context.Context) {
	b.app = b.h.o.Appendable.AppenderV2(ctx)
	b.exApp, _ = b.app.(storage.ExemplarAppenderV2)
}

// append appends one sample of the current series; false if it is refused. An
// error ends the request.
func (b *batch) append(st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram) (bool, error) {
	c := &b.cur
	if t > b.latest {
		b.refuse.add(b, Future, t, errFuture)
		return false, nil
	}
	ref, err := b.app.Append(c.ref, c.set, st, t, v, h, fh, storage.AOptions{})
	if err != nil && c.known != nil && c.set.IsEmpty() && errors.Is(err, tsdb.ErrInvalidSample) {
		// The TSDB has forgotten the series since.
		if err := b.rebuild(); err != nil {
			return false, err
		}
		ref, err = b.app.Append(0, c.set, st, t, v, h, fh, storage.AOptions{})
	}
	if err != nil && !errors.Is(err, (*storage.AppendPartialError)(nil)) {
		reason, ok := reasonOf(err)
		if !ok {
			return false, fmt.Errorf("append: %w", err)
		}
		b.refuse.add(b, reason, t, err)
		return false, nil
	}
	if ref == c.ref {
		return true, nil
	}
	c.ref = ref
	if c.known != nil {
		b.moved = append(b.moved, moved{c.known, ref})
		return true, nil
	}
	c.known = &series{key: string(c.key), hash: c.hash}
	c.known.ref.Store(uint64(ref))
	c.known.used.Store(b.minute)
	b.born = append(b.born, c.known)
	return true, nil
}

// rebuild makes the labels of a known series again.
func (b *batch) rebuild() error {
	if err := b.parse(); err != nil {
		return err
	}
	if b.cur.bad.found() {
		return fmt.Errorf("labels of a known series: %w", b.cur.bad.err)
	}
	b.lock()
	b.cur.set = build(&b.builder, b.labels)
	return nil
}

var errFuture = errors.New("more than 10 minutes ahead of the server's clock")

// reasonOf tells what is the sender's fault, and not worth trying again.
func reasonOf(err error) (Reason, bool) {
	var malformed histogram.Error
	switch {
	case errors.Is(err, storage.ErrOutOfOrderSample):
		return OutOfOrder, true
	case errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrTooOldSample):
		return TooOld, true
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		return Duplicate, true
	case errors.As(err, &malformed):
		return Malformed, true
	}
	return "", false
}
