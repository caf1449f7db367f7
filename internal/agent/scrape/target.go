package scrape

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	writev2 "github.com/prometheus/prometheus/prompb/io/prometheus/write/v2"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/agent/scrape/remotewrite"
)

// target is a Target and what is known of it.
type target struct {
	Target
	cache  *cache
	reader reader
	log    *zap.Logger

	// report has the series of the scrape itself, in the order of reports.
	report [len(reports)]*series

	failing, partial, doubled, early trouble
	// aligned is when the last scrape was due, in the clock of samples.
	aligned time.Time
}

// reports are the series that each scrape has beside what was scraped.
var reports = [...]struct{ name, help string }{
	{"up", "Whether the last scrape of the target succeeded."},
	{"scrape_duration_seconds", "How long the last scrape of the target took."},
	{"scrape_samples_scraped", "How many samples the target exposed."},
	{"scrape_samples_post_metric_relabeling", "How many of the samples were kept."},
	{"scrape_series_added", "About how many series were new in the last scrape."},
}

func newTarget(t Target, o *Options) *target {
	c := newCache()
	r := &target{Target: t, cache: c, reader: reader{
		cache: c, limits: o.Limits, builder: labels.NewBuilder(labels.EmptyLabels()),
	}}
	r.failing.what = "scrape fails"
	r.partial.what = "gathering fails in part"
	r.doubled.what = "the target exposes series twice; the first counts"
	r.early.what = "samples are more than 10 minutes ahead of the clock and left out"
	for _, l := range []labels.Label{{Name: model.JobLabel, Value: t.Job}, {Name: model.InstanceLabel, Value: t.Instance}} {
		if l.Value != "" {
			r.reader.target = append(r.reader.target, l)
		}
	}
	for _, l := range o.External {
		r.reader.external = append(r.reader.external, labels.Label{Name: l.Name, Value: l.Value})
	}
	r.log = o.Log.With(zap.String("job", t.Job), zap.String("instance", t.Instance), zap.Stringer("target", t.Source))
	for i, what := range reports {
		b := labels.NewBuilder(labels.EmptyLabels())
		for _, l := range r.reader.external {
			b.Set(l.Name, l.Value)
		}
		for _, l := range r.reader.target {
			b.Set(l.Name, l.Value)
		}
		f := &family{name: what.name, typ: model.MetricTypeGauge, Metadata: remotewrite.Metadata{
			Type: writev2.Metadata_METRIC_TYPE_GAUGE, Help: what.help,
		}}
		r.report[i] = &series{labels: b.Set(model.MetricNameLabel, what.name).Labels(), family: f, meta: f}
		c.pin(r.report[i])
	}
	return r
}

// output is a sink for a whole scrape.
type output interface {
	sink
	// reset forgets the samples of the present scrape.
	reset()
}

// fetch asks the source, whatever happens in it.
func (t *target) fetch(ctx context.Context, o *Options, client *http.Client, b *bytes.Buffer) (r Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	return t.Source.Fetch(ctx, Request{
		Client: client, UserAgent: o.UserAgent, Timeout: o.Timeout, MaxBody: o.Limits.Body,
	}, b)
}

// take gives what was fetched to out: samples, markers, and the report. began is
// when the scrape did, now what its samples are stamped with. failed is why the
// scrape failed; err is why out doesn't take it.
func (t *target) take(body []byte, r Result, fetchErr error, began, now time.Time, out output) (failed, err error) {
	ms := now.UnixMilli()
	var (
		n   counts
		bad error // of out
	)
	t.cache.begin()
	t.claim()
	failed = fetchErr
	if failed == nil {
		n, failed = t.read(body, r.ContentType, ms, out)
	}
	gone := func(s *series) {
		if bad == nil {
			bad = out.add(marker(s, ms))
		}
	}
	up := 1.0
	if failed != nil {
		up = 0
		out.reset()
		t.cache.abort(gone)
	} else {
		t.cache.commit(gone)
	}
	if failed == nil {
		t.partial.note(t.log, r.Partial)
		t.doubled.note(t.log, some(n.duplicates, n.doubled))
		t.early.note(t.log, some(n.ahead, n.early))
	}
	t.failing.note(t.log, failed)
	for i, v := range [...]float64{
		up, time.Since(began).Seconds(), float64(n.samples), float64(n.passed), float64(n.added),
	} {
		if bad == nil {
			bad = out.add(&sample{series: t.report[i], t: ms, v: v})
		}
	}
	return failed, bad
}

// claim takes the names of the report, so that what the target exposes under them
// is a series that was there before.
func (t *target) claim() {
	for _, s := range t.report {
		s.seen = t.cache.gen
	}
}

// read is reader.read, whatever happens in the parser.
func (t *target) read(body []byte, contentType string, ms int64, out sink) (n counts, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked(v)
		}
	}()
	return t.reader.read(body, contentType, ms, out)
}

// stamp is now, or when the scrape was due if that is as good as the same: a TSDB
// packs equal distances well.
func (t *target) stamp(now time.Time, interval time.Duration) time.Time {
	now = now.Round(0)
	if t.aligned.IsZero() || interval <= 0 {
		t.aligned = now
		return now
	}
	due := t.aligned.Add(now.Sub(t.aligned).Round(interval))
	if now.Sub(due).Abs() > min(interval/100, 2*time.Millisecond) || due.Equal(t.aligned) {
		due = now
	}
	t.aligned = due
	return due
}

// errOutput is that samples could not be encoded.
func errOutput(err error) error { return fmt.Errorf("encode the samples: %w", err) }

// marker is what a series gets when it goes: of the same kind as its samples.
func marker(s *series, ms int64) *sample {
	m := &sample{series: s, t: ms}
	nan := math.Float64frombits(value.StaleNaN)
	switch s.kind {
	case intHistogram:
		m.h = &histogram.Histogram{Sum: nan}
	case floatHistogram:
		m.fh = &histogram.FloatHistogram{Sum: nan}
	default:
		m.v = nan
	}
	return m
}
