package remotewrite

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

var errSeriesLimit = errors.New("as many series as are allowed are in memory (LIMIT_SERIES)")

// LimitSeries lets a through, but for new series while there are most of them:
// those are refused, one by one. have is how many there are. The appenders of a
// must implement storage.GetRef, as those of a TSDB do.
//
// It is not exact to the last one if others append beside: whether a series is
// new is asked, and then it is appended.
func LimitSeries(a storage.AppendableV2, have func() uint64, most int) storage.AppendableV2 {
	return seriesLimit{a, have, uint64(most)}
}

type seriesLimit struct {
	storage.AppendableV2
	have func() uint64
	most uint64
}

func (l seriesLimit) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return limitedAppender{l.AppendableV2.AppenderV2(ctx), l}
}

type limitedAppender struct {
	storage.AppenderV2
	limit seriesLimit
}

func (a limitedAppender) Append(ref storage.SeriesRef, ls labels.Labels, st, t int64, v float64,
	h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions,
) (storage.SeriesRef, error) {
	// With a reference, and no labels, nothing new can come of it.
	if !ls.IsEmpty() && a.limit.have() >= a.limit.most {
		known, ok := a.AppenderV2.(storage.GetRef)
		if !ok {
			return 0, fmt.Errorf("%T can't be asked for a series", a.AppenderV2)
		}
		if have, _ := known.GetRef(ls, ls.Hash()); have == 0 {
			return 0, errSeriesLimit
		}
	}
	return a.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
}

// AppendExemplars implements storage.ExemplarAppenderV2.
func (a limitedAppender) AppendExemplars(ref storage.SeriesRef, ls labels.Labels, es []exemplar.Exemplar) (storage.SeriesRef, error) {
	if app, ok := a.AppenderV2.(storage.ExemplarAppenderV2); ok {
		return app.AppendExemplars(ref, ls, es)
	}
	return ref, nil
}
