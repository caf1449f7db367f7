package promapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// checkEvery is after how many series it is looked whether the client is gone.
const checkEvery = 128

// labelNames lists the names of labels.
func (a *API) labelNames(r *http.Request) answer {
	return a.list(r, func(ctx context.Context, q storage.Querier, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, hints, ms...)
	})
}

// labelValues lists the values of one label.
func (a *API) labelValues(r *http.Request, name string) answer {
	if strings.HasPrefix(name, "U__") { // a name that couldn't stand in a path
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return fail(BadData, fmt.Errorf("invalid label name: %q", name))
	}
	return a.list(r, func(ctx context.Context, q storage.Querier, hints *storage.LabelHints, ms ...*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, hints, ms...)
	})
}

// lookup asks a querier for names or values.
type lookup func(context.Context, storage.Querier, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error)

// list answers with the sorted union of what look finds for each match[].
func (a *API) list(r *http.Request, look lookup) answer {
	limit, err := limitParam(r)
	if err != nil {
		return badParam("limit", err)
	}
	start, end, fault := timeRange(r)
	if fault != nil {
		return answer{err: fault}
	}
	sets, err := a.matchers(r)
	if err != nil {
		return fail(BadData, err)
	}
	if len(sets) == 0 {
		sets = [][]*labels.Matcher{nil}
	}
	q, err := a.o.Storage.Querier(timestamp.FromTime(start), timestamp.FromTime(end))
	if err != nil {
		return answer{err: QueryError(err)}
	}
	// Strings may lie in the querier's memory.
	closer := func() { a.closeQuerier(q) }

	var (
		found []string
		notes annotations.Annotations
	)
	for _, set := range sets {
		list, more, err := look(r.Context(), q, &storage.LabelHints{Limit: hint(limit)}, set...)
		if err != nil {
			return answer{err: QueryError(err), close: closer}
		}
		notes = notes.Merge(more)
		found = append(found, list...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if limit > 0 && len(found) > limit {
		found = found[:limit]
		notes = notes.Add(errTruncated)
	}
	return answer{data: func(o *output) { o.texts(found) }, warnings: notes, close: closer}
}

func (o *output) texts(list []string) {
	o.b = append(o.b, '[')
	for i, s := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendText(o.b, s)
		if !o.spill() {
			return
		}
	}
	o.b = append(o.b, ']')
}

// series lists the series that match any match[].
func (a *API) series(r *http.Request) (ans answer) {
	if err := r.ParseForm(); err != nil {
		return fail(BadData, fmt.Errorf("error parsing form values: %w", err))
	}
	if len(r.Form["match[]"]) == 0 {
		return fail(BadData, errors.New("no match[] parameter provided"))
	}
	limit, err := limitParam(r)
	if err != nil {
		return badParam("limit", err)
	}
	start, end, fault := timeRange(r)
	if fault != nil {
		return answer{err: fault}
	}
	sets, err := a.matchers(r)
	if err != nil {
		return badParam("match[]", err)
	}
	mint, maxt := timestamp.FromTime(start), timestamp.FromTime(end)
	q, err := a.o.Storage.Querier(mint, maxt)
	if err != nil {
		return answer{err: QueryError(err)}
	}
	defer func() {
		if ans.close == nil { // a panic
			a.closeQuerier(q)
		}
	}()
	ctx := r.Context()
	found := selectSeries(ctx, q, &storage.SelectHints{
		Start: mint, End: maxt,
		Func:  "series", // tells the storage that no sample will be read
		Limit: hint(limit),
	}, sets)

	ans.close = func() { a.closeQuerier(q) }
	list := []labels.Labels{}
	for found.Next() {
		if len(list)%checkEvery == checkEvery-1 && ctx.Err() != nil {
			ans.err = QueryError(ctx.Err())
			return ans
		}
		list = append(list, found.At().Labels())
		if limit > 0 && len(list) > limit {
			break
		}
	}
	if err := found.Err(); err != nil {
		ans.err = QueryError(err)
		return ans
	}
	ans.warnings = found.Warnings()
	if limit > 0 && len(list) > limit {
		list = list[:limit]
		ans.warnings = ans.warnings.Add(errTruncated)
	}
	ans.data = func(o *output) { o.labelSets(list) }
	return ans
}

// selectSeries merges what each matcher set finds, so that none comes twice.
func selectSeries(ctx context.Context, q storage.Querier, hints *storage.SelectHints, sets [][]*labels.Matcher) storage.SeriesSet {
	if len(sets) == 1 {
		return q.Select(ctx, false, hints, sets[0]...)
	}
	found := make([]storage.SeriesSet, 0, len(sets))
	for _, set := range sets {
		found = append(found, q.Select(ctx, true, hints, set...))
	}
	return storage.NewMergeSeriesSet(found, 0, storage.ChainedSeriesMerge)
}

func (o *output) labelSets(list []labels.Labels) {
	o.b = append(o.b, '[')
	for i, ls := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendLabels(o.b, ls)
		if !o.spill() {
			return
		}
	}
	o.b = append(o.b, ']')
}
