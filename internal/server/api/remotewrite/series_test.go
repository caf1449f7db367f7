package remotewrite_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/prompb"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
	"github.com/gometheus/gometheus/internal/server/api/remotewrite/writetest"
)

// post2 sends a hand-made request of 2.0.
func (r *receiver) post2(t *testing.T, m *writev2.Request) (status int, text string) {
	t.Helper()
	plain, err := m.Marshal()
	require.NoError(t, err)
	w := writetest.Send(t, r, "2.0", s2.EncodeSnappy(nil, plain))
	return w.Code, strings.TrimSpace(w.Body.String())
}

// TestReferences: what is wrong with symbols and references, and whose fault it
// is: the request's or the series'.
func TestReferences(t *testing.T) {
	request := func(now int64, refs ...uint32) *writev2.Request {
		samples := []writev2.Sample{{Value: 1, Timestamp: now}}
		return &writev2.Request{
			Symbols: []string{"", "__name__", "a", "b"},
			Timeseries: []writev2.TimeSeries{
				{LabelsRefs: refs, Samples: samples},
				{LabelsRefs: []uint32{1, 3}, Samples: samples},
			},
		}
	}
	for _, c := range []struct {
		name   string
		refs   []uint32
		change func(*writev2.Request)
		status int
		text   string
		series int
	}{
		{"good", []uint32{1, 2}, nil, 204, "", 2},
		{"odd", []uint32{1, 2, 3}, nil, 400, "series 0 {}: an odd number of label references", 1},
		{"out of range", []uint32{1, 2, 3, 4}, nil, 400, "series 0 {}: a reference outside of the symbols", 1},
		{"far out of range", []uint32{1, 1<<32 - 1}, nil, 400, "series 0 {}: a reference outside of the symbols", 1},
		{"no references", nil, nil, 400, "series 0 {}: no metric name: the label __name__ is missing", 1},
		{"metadata", []uint32{1, 2}, func(m *writev2.Request) { m.Timeseries[0].Metadata.HelpRef = 4 }, 400, `series 0 {__name__="a"}: a reference of the metadata outside of the symbols`, 1},
		{"unit", []uint32{1, 2}, func(m *writev2.Request) { m.Timeseries[0].Metadata.UnitRef = 4 }, 400, `series 0 {__name__="a"}: a reference of the metadata outside of the symbols`, 1},
		{"first symbol", []uint32{1, 2}, func(m *writev2.Request) { m.Symbols[0] = "x" }, 400, "the first symbol must be the empty string", 0},
		{"no symbols", []uint32{1, 2}, func(m *writev2.Request) { m.Symbols = nil }, 400, "the first symbol must be the empty string", 0},
		{"nothing at all", []uint32{1, 2}, func(m *writev2.Request) { *m = writev2.Request{} }, 204, "", 0},
		{"no samples", []uint32{1, 2}, func(m *writev2.Request) { m.Timeseries[0].Samples = nil }, 400, `series 0 {__name__="a"}: no sample, histogram or exemplar`, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiver(t)
			for range 2 { // unknown and known
				m := request(r.now, c.refs...)
				if c.change != nil {
					c.change(m)
				}
				status, text := r.post2(t, m)
				require.Equal(t, c.status, status)
				require.Equal(t, c.text, text)
				require.Len(t, r.series(t), c.series)
			}
		})
	}
}

// TestSymbolsAreOfOneRequest: the same numbers mean other labels in the next
// request.
func TestSymbolsAreOfOneRequest(t *testing.T) {
	r := newReceiver(t)
	for i := range 50 {
		samples := []writev2.Sample{{Value: float64(i % 15), Timestamp: r.now + int64(i)}}
		m := &writev2.Request{
			Symbols: []string{"", "__name__", fmt.Sprint("m", i%5), "l", fmt.Sprint("v", i%3), fmt.Sprint("n", i%5), fmt.Sprint("w", i%3)},
			Timeseries: []writev2.TimeSeries{
				{LabelsRefs: []uint32{1, 2, 3, 4}, Samples: samples},
				{LabelsRefs: []uint32{1, 5, 3, 6}, Samples: samples},
			},
		}
		status, text := r.post2(t, m)
		require.Equal(t, 204, status, text)
	}
	got := r.series(t)
	require.Len(t, got, 30)
	for key, points := range got {
		for _, p := range points {
			i := int(p.T - r.now)
			require.Contains(t, []string{
				fmt.Sprintf(`{__name__="m%d", l="v%d"}`, i%5, i%3),
				fmt.Sprintf(`{__name__="n%d", l="w%d"}`, i%5, i%3),
			}, key)
		}
	}
	require.Equal(t, 30, r.Series())
}

// TestFieldOrder: protobuf lets fields stand in any order, lists be in pieces,
// packed or not, and unknown fields be anywhere.
func TestFieldOrder(t *testing.T) {
	r := newReceiver(t)
	label := func(name, value string) []byte {
		b, err := (&prompb.Label{Name: name, Value: value}).Marshal()
		require.NoError(t, err)
		return field(1, b)
	}
	sample, err := (&prompb.Sample{Value: 1, Timestamp: r.now}).Marshal()
	require.NoError(t, err)
	unknown := []byte{0x9a, 0x3f, 3, 'a', 'b', 'c', 0xa3, 0x3f, 0x08, 1, 0xa4, 0x3f, 0xad, 0x3f, 1, 2, 3, 4} // bytes, a group, fixed32
	v1 := field(1, join(label("b", "1"), field(2, sample), unknown, label("__name__", "first"), label("c", ""), unknown))
	w := writetest.Send(t, r, "1.0", s2.EncodeSnappy(nil, join(unknown, v1, unknown)))
	require.Equal(t, 204, w.Code, w.Body)

	series := field(5, join(field(2, sample), []byte{0x08, 1}, field(1, []byte{2, 3}), unknown, []byte{0x08, 0x84, 0x80, 0x00}))
	symbols := join(field(4, nil), field(4, []byte("__name__")), field(4, []byte("second")), field(4, []byte("b")), field(4, []byte("2")))
	w = writetest.Send(t, r, "2.0", s2.EncodeSnappy(nil, join(unknown, series, symbols, unknown)))
	require.Equal(t, 204, w.Code, w.Body)
	want := []writetest.Point{point(r.now, 1)}
	require.Equal(t, map[string][]writetest.Point{
		`{__name__="first", b="1"}`: want, `{__name__="second", b="2"}`: want,
	}, r.series(t))

	w = writetest.Send(t, r, "2.0", s2.EncodeSnappy(nil, v1))
	require.Equal(t, 400, w.Code)
	require.Contains(t, w.Body.String(), "its fields are those of 1.0")
}

// field is a length-delimited field.
func field(n byte, content []byte) []byte {
	return append([]byte{n<<3 | 2, byte(len(content))}, content...)
}

func join(parts ...[]byte) (out []byte) {
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// TestMalformed: what follows the valid part of a body is damaged: nothing is
// written.
func TestMalformed(t *testing.T) {
	for _, version := range versions {
		r := newReceiver(t)
		plain := writetest.Marshal(t, version, []writetest.Series{gauge("a", r.now, 1), gauge("b", r.now, 1)})
		for name, tail := range map[string][]byte{
			"a cut tag":      {0x80},
			"no field":       {0x00},
			"a cut length":   {0x2a, 0x80},
			"too long":       {0x2a, 0x05, 1},
			"huge":           {0x2a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
			"an endless int": {0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01},
			"a group's end":  {0x3c},
			"an open group":  {0x3b, 0x08, 0x01},
			"no wire type":   {0x3e},
			"cut fixed32":    {0x3d, 1, 2},
			"cut fixed64":    {0x39, 1, 2},
			"wrong type":     {map[string]byte{"1.0": 0x08, "2.0": 0x28}[version], 1},
		} {
			t.Run(version+" "+name, func(t *testing.T) {
				w := writetest.Send(t, r, version, s2.EncodeSnappy(nil, append(slices.Clip(plain), tail...)))
				require.Equal(t, 400, w.Code)
				require.Contains(t, w.Body.String(), "not a protobuf message of remote write "+version)
				require.Empty(t, r.series(t))
				require.Zero(t, r.Series())
			})
		}
		require.Equal(t, 204, r.post(t, version, gauge("a", r.now, 1)).Code)
	}
}

func TestMetadata(t *testing.T) {
	r := newReceiver(t)
	told := 0
	meta := func(name string, typ int32, help, unit string) writetest.Series {
		s := gauge(name, r.now, 1)
		s.Meta = writetest.Meta{Type: typ, Help: help, Unit: unit}
		return s
	}
	require.Equal(t, 204, r.post(t, "1.0", meta("v1", 2, "help of 1.0", "s"), meta("bad", 2, "\xff", ""), meta("odd", 99, "x", "")).Code)
	require.Equal(t, map[string][3]string{"v1": {"gauge", "help of 1.0", "s"}, "odd": {"unknown", "x", ""}}, r.families.All())
	require.Equal(t, 1, r.refused[remotewrite.Meta])

	counted := newReceiver(t, func(o *remotewrite.Options) {
		o.Metadata = counting{&r.families, &told}
	})
	for _, help := range []string{"one", "one", "two", "two"} {
		require.Equal(t, 204, counted.post(t, "2.0",
			meta("c_total", 1, help, ""),
			meta("h_bucket", 3, help, "s"), meta("h_count", 3, help, "s"), meta("g_gsum", 4, help, ""),
			meta("q_sum", 5, help, ""), meta("i_info", 6, help, ""), meta("set", 7, help, ""),
			meta("none", 0, "", ""),
		).Code)
		counted.now++
	}
	got := r.families.All()
	require.Equal(t, [3]string{"counter", "two", ""}, got["c_total"])
	require.Equal(t, [3]string{"histogram", "two", "s"}, got["h"])
	require.Equal(t, [3]string{"gaugehistogram", "two", ""}, got["g"])
	require.Equal(t, [3]string{"summary", "two", ""}, got["q"])
	require.Equal(t, [3]string{"info", "two", ""}, got["i_info"])
	require.Equal(t, [3]string{"stateset", "two", ""}, got["set"])
	require.NotContains(t, got, "none")
	require.Equal(t, 14, told, "each series once for each change")
}

type counting struct {
	*writetest.Families
	n *int
}

func (c counting) SetMetadata(family, typ, help, unit string) {
	*c.n++
	c.Families.SetMetadata(family, typ, help, unit)
}

func TestExemplars(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			r := newReceiver(t)
			exemplar := func(name string, at int64, id string) writetest.Series {
				s := gauge(name, 0, 0)
				s.Samples, s.Exemplars = nil, []writetest.Exemplar{{Labels: []string{"trace_id", id}, T: at, V: 1}}
				return s
			}
			fault := func(name string, s writetest.Series, text string) {
				t.Helper()
				w := r.post(t, version, s)
				if version == "1.0" {
					require.Equal(t, 204, w.Code, "%s: %s", name, w.Body)
					return
				}
				require.Equal(t, 400, w.Code, name)
				require.Contains(t, w.Body.String(), text)
			}
			fault("of no series", exemplar("a", r.now, "1"), "exemplars of a series that does not exist")
			require.Equal(t, 204, r.post(t, version, gauge("a", r.now, 1)).Code)
			w := r.post(t, version, exemplar("a", r.now, "2"))
			require.Equal(t, 204, w.Code, w.Body)
			if version == "2.0" {
				require.Equal(t, [3]string{"0", "0", "1"}, written(w))
			}
			fault("older", exemplar("a", r.now-2*3600_000, "3"), "out of order exemplar")
			fault("not utf-8", exemplar("a", r.now, "\xff"), "not valid UTF-8")
			doubled := exemplar("a", r.now+1, "4")
			doubled.Exemplars[0].Labels = append(doubled.Exemplars[0].Labels, "trace_id", "5")
			fault("doubled", doubled, "stands twice")
			// These are left out without a word, as by Prometheus.
			require.Equal(t, 204, r.post(t, version, exemplar("a", r.now+11*60_000, "6")).Code)
			require.Equal(t, 204, r.post(t, version, exemplar("a", r.now+2, strings.Repeat("x", 200))).Code)
			require.Equal(t, 6, r.refused[remotewrite.Exemplars])
			require.Len(t, writetest.Contents(t, r.db).Exemplars[`{__name__="a", instance="web-1"}`], 1)
		})
	}
}

// TestForgotten: series that the TSDB has dropped from memory since are made
// again, by samples and by exemplars.
func TestForgotten(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			r := newReceiver(t)
			at := r.now - 3600_000
			require.Equal(t, 204, r.post(t, version, gauge("a", at, 1), gauge("b", at, 1), gauge("keep", r.now, 1)).Code)
			require.NoError(t, r.db.Head().Truncate(r.now-1000))
			require.Equal(t, uint64(1), r.db.Head().NumSeries())
			require.Equal(t, 3, r.Series())
			w := r.post(t, version, gauge("a", r.now, 2))
			require.Equal(t, 204, w.Code, w.Body)
			require.Equal(t, 204, r.post(t, version, gauge("a", r.now+1, 3)).Code)
			require.Equal(t, []writetest.Point{point(r.now, 2), point(r.now+1, 3)}, r.series(t)[`{__name__="a", instance="web-1"}`])
			require.Equal(t, uint64(2), r.db.Head().NumSeries())

			s := gauge("b", 0, 0)
			s.Samples, s.Exemplars = nil, []writetest.Exemplar{{Labels: []string{"id", "x"}, T: r.now, V: 1}}
			w = r.post(t, version, s)
			require.Equal(t, version == "2.0", w.Code == 400)
			require.Equal(t, 3, r.Series())
		})
	}
}

// appendable makes appenders that do as a test wants.
type appendable struct {
	storage.AppendableV2
	append func() error
	commit func() error
	roll   func()
}

type appender struct {
	storage.ExemplarAppenderV2
	of *appendable
}

func (a *appendable) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &appender{a.AppendableV2.AppenderV2(ctx).(storage.ExemplarAppenderV2), a}
}

func (a *appender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, o storage.AOptions) (storage.SeriesRef, error) {
	if a.of.append != nil {
		if err := a.of.append(); err != nil {
			return 0, err
		}
	}
	return a.ExemplarAppenderV2.Append(ref, ls, st, t, v, h, fh, o)
}

func (a *appender) Commit() error {
	if a.of.commit != nil {
		if err := a.of.commit(); err != nil {
			_ = a.ExemplarAppenderV2.Rollback()
			return err
		}
	}
	return a.ExemplarAppenderV2.Commit()
}

func (a *appender) Rollback() error {
	if a.of.roll != nil {
		a.of.roll()
	}
	return a.ExemplarAppenderV2.Rollback()
}

// TestRetryable: trouble of the TSDB is a 5xx, writes nothing, and sending again
// helps.
func TestRetryable(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			var a appendable
			r := newReceiver(t, func(o *remotewrite.Options) {
				a.AppendableV2 = o.Appendable
				o.Appendable = &a
			})
			trouble := errors.New("no space left on /secret")
			n, rolled := 0, 0
			a.roll = func() { rolled++ }
			a.commit = func() error { return trouble }
			s := gauge("a", r.now, 1)
			s.Meta = writetest.Meta{Type: 2, Help: "help"}
			check := func() {
				t.Helper()
				w := r.post(t, version, s, gauge("b", r.now, 1))
				require.Equal(t, http.StatusInternalServerError, w.Code)
				require.NotContains(t, w.Body.String(), "secret")
				if version == "2.0" {
					require.Equal(t, [3]string{"0", "0", "0"}, written(w))
				}
				require.Empty(t, r.series(t))
				require.Zero(t, r.Series())
				require.Equal(t, [3]int{}, r.written)
				require.Empty(t, r.families.All())
			}
			check()
			a.commit = nil
			a.append = func() error {
				if n++; n == 2 {
					return trouble
				}
				return nil
			}
			check()
			require.Equal(t, 1, rolled)
			require.Equal(t, 204, r.post(t, version, s, gauge("b", r.now, 1)).Code)
			require.Len(t, r.series(t), 2)
			require.Len(t, r.families.All(), 1)

			// A panic gives back what was held.
			a.append = func() error { panic("test") }
			require.Panics(t, func() { r.post(t, version, gauge("c", r.now, 1)) })
			require.Equal(t, 2, rolled)
			a.append = nil
			require.Equal(t, 204, r.post(t, version, gauge("c", r.now, 1)).Code)
		})
	}
}

// TestBirths: while a request that makes a series has not committed, no other
// commits samples of that series: the write-ahead log must name it first. Series
// that are known already don't wait.
func TestBirths(t *testing.T) {
	for _, version := range versions {
		t.Run(version, func(t *testing.T) {
			a := &appendable{}
			r := newReceiver(t, func(o *remotewrite.Options) {
				a.AppendableV2 = o.Appendable
				o.Appendable = a
			})
			require.Equal(t, 204, r.post(t, version, gauge("known", r.now, 1)).Code)

			committing, may := make(chan struct{}, 2), make(chan struct{})
			a.commit = func() error {
				committing <- struct{}{}
				<-may
				return nil
			}
			done := make(chan int, 3)
			post := func(s ...writetest.Series) {
				body := writetest.Encode(t, version, s)
				go func() { done <- writetest.Send(t, r, version, body).Code }()
			}
			post(gauge("new", r.now, 1))
			<-committing
			post(gauge("known", r.now+1, 2), gauge("new", r.now+1, 2))
			select {
			case <-committing:
				t.Error("committed before the series was born")
			case <-time.After(100 * time.Millisecond):
			}
			post(gauge("known", r.now+2, 3)) // must not wait
			<-committing
			close(may)
			for range 3 {
				require.Equal(t, 204, <-done)
			}
			require.Len(t, r.series(t)[`{__name__="new", instance="web-1"}`], 2)
			require.Len(t, r.series(t)[`{__name__="known", instance="web-1"}`], 3)
		})
	}
}

// TestConcurrent: many requests with the same series at once, in both versions.
func TestConcurrent(t *testing.T) {
	r := newReceiver(t, func(o *remotewrite.Options) { o.Limits.Series = 640 })
	const senders, rounds, series = 8, 20, 50
	var wg sync.WaitGroup
	for sender := range senders {
		wg.Go(func() {
			for round := range rounds {
				list := make([]writetest.Series, series)
				for i := range list {
					// Every sample is sent by two senders.
					at := r.now - 60_000 + int64(round*senders/2+sender/2)
					list[i] = gauge("m"+strconv.Itoa(i), at, float64(at+int64(i)))
					list[i].Meta = writetest.Meta{Type: 2, Help: "help " + strconv.Itoa(round)}
					list[i].Exemplars = []writetest.Exemplar{{Labels: []string{"id", strconv.Itoa(i)}, T: at, V: 1}}
				}
				version := versions[sender%2]
				body := writetest.Encode(t, version, list)
				if code := writetest.Send(t, r, version, body).Code; version == "1.0" && code != 204 {
					t.Errorf("%d", code) // exemplars of 2.0 may be out of order
				}
			}
		})
	}
	wg.Wait()
	got := r.series(t)
	require.Len(t, got, series)
	for key, points := range got {
		require.Len(t, points, rounds*senders/2, key)
		i, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(key, `{__name__="m`), `", instance="web-1"}`))
		require.NoError(t, err)
		for n, p := range points {
			at := r.now - 60_000 + int64(n)
			require.Equal(t, point(at, float64(at+int64(i))), p)
		}
	}
}
