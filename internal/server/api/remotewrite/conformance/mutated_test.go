package conformance

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/storage/remote"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// recorder is a storage that writes down what is committed. It checks what the
// TSDB checks before it looks at a series.
type recorder struct {
	refs      map[string]storage.SeriesRef
	names     []string // by reference, from 1 on
	committed []string
}

func (r *recorder) AppenderV2(context.Context) storage.AppenderV2 { return &recording{r: r} }

type recording struct {
	r    *recorder
	list []string
}

func (a *recording) series(ref storage.SeriesRef, ls labels.Labels) (storage.SeriesRef, error) {
	if ref > 0 && int(ref) <= len(a.r.names) {
		return ref, nil
	}
	ls = ls.WithoutEmpty()
	if ls.IsEmpty() {
		return 0, fmt.Errorf("empty labelset: %w", tsdb.ErrInvalidSample)
	}
	name := ls.String()
	if ref, ok := a.r.refs[name]; ok {
		return ref, nil
	}
	if a.r.refs == nil {
		a.r.refs = map[string]storage.SeriesRef{}
	}
	a.r.names = append(a.r.names, name)
	a.r.refs[name] = storage.SeriesRef(len(a.r.names))
	return a.r.refs[name], nil
}

func (a *recording) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, _ storage.AOptions) (storage.SeriesRef, error) {
	what := fmt.Sprintf("%x", math.Float64bits(v))
	known := func(hint histogram.CounterResetHint) histogram.CounterResetHint {
		if hint > histogram.GaugeType {
			return histogram.UnknownCounterReset // upstream hands it on; it means nothing
		}
		return hint
	}
	switch {
	case fh != nil:
		if err := fh.Validate(); err != nil {
			return 0, err
		}
		// The bits of what may be NaN, and no difference between nil and empty.
		what = fmt.Sprintf("%d %d %x %x %x %x %v %v %x", known(fh.CounterResetHint), fh.Schema, fh.ZeroThreshold, bits(fh.ZeroCount, fh.Count, fh.Sum),
			bits(fh.PositiveBuckets...), bits(fh.NegativeBuckets...), fh.PositiveSpans, fh.NegativeSpans, bits(fh.CustomValues...))
	case h != nil:
		if err := h.Validate(); err != nil {
			return 0, err
		}
		what = fmt.Sprintf("%d %d %x %d %d %x %v %v %v %v %x", known(h.CounterResetHint), h.Schema, h.ZeroThreshold, h.ZeroCount, h.Count, bits(h.Sum),
			h.PositiveBuckets, h.NegativeBuckets, h.PositiveSpans, h.NegativeSpans, bits(h.CustomValues...))
	}
	ref, err := a.series(ref, ls)
	if err != nil {
		return 0, err
	}
	a.list = append(a.list, fmt.Sprint(a.r.names[ref-1], st, t, what))
	return ref, nil
}

func bits(fs ...float64) (out []uint64) {
	for _, f := range fs {
		out = append(out, math.Float64bits(f))
	}
	return out
}

func (a *recording) AppendExemplars(ref storage.SeriesRef, ls labels.Labels, list []exemplar.Exemplar) (storage.SeriesRef, error) {
	if ref == 0 {
		if ref = a.r.refs[ls.WithoutEmpty().String()]; ref == 0 {
			return 0, storage.ErrNotFound
		}
	}
	for _, e := range list {
		a.list = append(a.list, fmt.Sprint(a.r.names[ref-1], e.Labels.WithoutEmpty(), e.Ts, bits(e.Value)))
	}
	return ref, nil
}

func (a *recording) Commit() error {
	a.r.committed = append(a.r.committed, a.list...)
	return nil
}

func (a *recording) Rollback() error { return nil }

// TestDamagedSameAsUpstream damages requests byte by byte. Nobody panics; what
// upstream finds no message, we don't either; what both take is the same to both.
func TestDamagedSameAsUpstream(t *testing.T) {
	for _, seed := range seeds(t, 4) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			r := newRandom(seed)
			took := map[string]int{}
			for range 1500 {
				version := []string{"1.0", "2.0"}[r.IntN(2)]
				plain := writetest.Marshal(t, version, r.request(false, true)[:1])
				plain = r.damage(plain)
				body := s2.EncodeSnappy(nil, plain)

				var theirs, got recorder
				their := newYardstick(remote.NewWriteHandler, &theirs)
				our := remotewrite.New(remotewrite.Options{Appendable: &got, Now: time.Now, Log: zap.NewNop()})
				tw := writetest.Send(t, their, version, body)
				w := writetest.Send(t, our, version, body)
				took[r.compare(t, version, plain, tw.Code, w.Code, tw.Body.String(), w.Body.String(), theirs.committed, got.committed)]++

				// Once more: the series are known now.
				n := len(got.committed)
				again := writetest.Send(t, our, version, body)
				require.Equal(t, w.Code, again.Code)
				require.Equal(t, w.Body.String(), again.Body.String())
				require.Equal(t, got.committed[:n], got.committed[n:])
			}
			for _, what := range []string{"same", "refused by both", "partly"} {
				require.Positive(t, took[what], took)
			}
			t.Log(took)
		})
	}
}

// compare says how the answers compare.
func (r *random) compare(t *testing.T, version string, plain []byte, theirs, ours int, theirText, ourText string, theirList, ourList []string) string {
	t.Helper()
	explain := fmt.Sprintf("%s %x\ntheirs: %d %s\nours: %d %s", version, plain, theirs, theirText, ours, ourText)
	require.Contains(t, []int{204, 400, 413}, ours, explain)
	malformed := strings.Contains(ourText, "not a protobuf message")
	switch {
	case theirs == http.StatusBadRequest && (strings.Contains(theirText, "proto: ") || strings.Contains(theirText, "unexpected EOF")):
		require.Equal(t, http.StatusBadRequest, ours, explain)
		require.Empty(t, ourList, explain)
		return "refused by both"
	case malformed || ours == 413 || strings.Contains(ourText, "first symbol") || strings.Contains(ourText, "fields are those of 1.0"):
		// We are stricter: lists that end within an element, fields of the other version.
		require.Empty(t, ourList, explain)
		return "refused by us"
	case theirs >= 500:
		return "trouble of theirs"
	case version == "1.0" && theirs == http.StatusBadRequest:
		return "partly" // what we write of it is seen in TestSameAsUpstream
	case version == "1.0" && ours == http.StatusBadRequest:
		require.Equal(t, theirList, ourList, explain)
		return "partly"
	case strings.Contains(ourText, "exemplar") || slices.Equal(theirList, ourList):
		if !strings.Contains(ourText, "exemplar") {
			require.Equal(t, theirs, ours, explain)
		}
		if ours == 204 {
			return "same"
		}
		return "partly"
	case version == "1.0" && len(ourList) < len(theirList):
		// Exemplars whose labels are no labels are left out without a word in 1.0.
		for _, item := range ourList {
			require.Contains(t, theirList, item, explain)
		}
		return "without exemplars"
	}
	require.Equal(t, theirList, ourList, explain)
	return ""
}

// damage changes some bytes.
func (r *random) damage(b []byte) []byte {
	b = bytes.Clone(b)
	for n := 1 + r.IntN(4)/3; n > 0; n-- {
		if len(b) == 0 {
			return b
		}
		at := r.IntN(len(b))
		switch r.IntN(20) {
		default:
			b[at] ^= 1 << r.IntN(8)
		case 0:
			b[at] = byte(r.Uint32())
		case 2:
			b = b[:at]
		case 3:
			b = slices.Insert(b, at, byte(r.Uint32()))
		case 4:
			b = slices.Delete(b, at, min(len(b), at+1+r.IntN(3)))
		case 5:
			b = append(b, b[at:]...)
		}
	}
	return b
}
