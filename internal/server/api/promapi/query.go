package promapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/httputil"
	"github.com/prometheus/prometheus/util/stats"
)

// maxPoints is how many steps a range query may have: a week by the minute.
const maxPoints = 11000

// query is PromQL at one time.
func (a *API) query(r *http.Request) answer {
	limit, err := limitParam(r)
	if err != nil {
		return badParam("limit", err)
	}
	ts, err := timeParam(r, "time", a.o.Now())
	if err != nil {
		return badParam("time", err)
	}
	return a.evaluate(r, limit, func(ctx context.Context, opts promql.QueryOpts) (promql.Query, error) {
		return a.o.Engine.NewInstantQuery(ctx, a.o.Storage, opts, r.FormValue("query"), ts)
	})
}

// queryRange is PromQL at many times, one step apart.
func (a *API) queryRange(r *http.Request) answer {
	limit, err := limitParam(r)
	if err != nil {
		return badParam("limit", err)
	}
	start, err := parseTime(r.FormValue("start"))
	if err != nil {
		return badParam("start", err)
	}
	end, err := parseTime(r.FormValue("end"))
	if err != nil {
		return badParam("end", err)
	}
	if end.Before(start) {
		return badParam("end", errors.New("end timestamp must not be before start time"))
	}
	step, err := parseDuration(r.FormValue("step"))
	if err != nil {
		return badParam("step", err)
	}
	if step <= 0 {
		return badParam("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if end.Sub(start)/step > maxPoints {
		return fail(BadData, errors.New("exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"))
	}
	return a.evaluate(r, limit, func(ctx context.Context, opts promql.QueryOpts) (promql.Query, error) {
		return a.o.Engine.NewRangeQuery(ctx, a.o.Storage, opts, r.FormValue("query"), start, end, step)
	})
}

// evaluate runs the query that build makes.
func (a *API) evaluate(r *http.Request, limit int, build func(context.Context, promql.QueryOpts) (promql.Query, error)) (ans answer) {
	ctx := r.Context()
	if s := r.FormValue("timeout"); s != "" {
		timeout, err := parseDuration(s)
		if err != nil {
			return badParam("timeout", err)
		}
		if timeout <= 0 {
			return badParam("timeout", fmt.Errorf("timeout must be positive, got %s", timeout))
		}
		// The engine has a deadline of its own; the earlier one counts.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	opts, err := queryOptions(r)
	if err != nil {
		return fail(BadData, err)
	}
	q, err := build(ctx, opts)
	if err != nil {
		return answer{err: buildError(err)}
	}
	// The result belongs to the query until it was sent.
	defer func() {
		if ans.close == nil { // a panic
			q.Close()
		}
	}()
	res := q.Exec(httputil.ContextFromRequest(ctx, r))
	if res.Err != nil {
		return answer{err: QueryError(res.Err), close: q.Close}
	}

	notes := res.Warnings
	value, cut := truncate(res.Value, limit)
	if cut {
		notes = notes.Add(errTruncated)
	}
	show := r.FormValue("stats")
	switch show {
	case "", "true", "all":
	default:
		notes = notes.Add(fmt.Errorf(
			"value %q for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"", show))
	}
	return answer{
		data: func(o *output) {
			o.value(value)
			if show != "" {
				o.b = append(o.b, `,"stats":`...)
				o.b = appendStats(o.b, stats.NewQueryStats(q.Stats()).Builtin())
			}
			o.b = append(o.b, '}')
		},
		warnings: notes,
		close:    q.Close,
	}
}

// queryOptions reads what may differ from the engine's settings.
func queryOptions(r *http.Request) (promql.QueryOpts, error) {
	var lookback time.Duration
	if s := r.FormValue("lookback_delta"); s != "" {
		var err error
		if lookback, err = parseDuration(s); err != nil {
			return nil, fmt.Errorf("error parsing lookback delta duration: %w", err)
		}
	}
	var starts *bool
	if s := r.Header.Get("X-Prometheus-Use-Start-Timestamps"); s != "" {
		b, err := strconv.ParseBool(s)
		if err != nil {
			return nil, fmt.Errorf("error parsing X-Prometheus-Use-Start-Timestamps header: %w", err)
		}
		starts = &b
	}
	return promql.NewPrometheusQueryOpts(r.FormValue("stats") == "all", lookback, starts), nil
}

// truncate keeps the first limit series.
func truncate(v parser.Value, limit int) (parser.Value, bool) {
	switch v := v.(type) {
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			return v[:limit], true
		}
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			return v[:limit], true
		}
	}
	return v, false
}

// value encodes a result, without the closing brace: stats may follow.
func (o *output) value(v parser.Value) {
	o.b = append(o.b, `{"resultType":"`...)
	o.b = append(o.b, v.Type()...)
	o.b = append(o.b, `","result":`...)
	switch v := v.(type) {
	case promql.Vector:
		o.vector(v)
	case promql.Matrix:
		o.matrix(v)
	default: // a scalar or a string
		o.marshal(v)
	}
}

func appendStats(b []byte, s stats.BuiltinStats) []byte {
	b = append(b, `{"timings":{"evalTotalTime":`...)
	b = appendNumber(b, s.Timings.EvalTotalTime)
	b = append(b, `,"resultSortTime":`...)
	b = appendNumber(b, s.Timings.ResultSortTime)
	b = append(b, `,"queryPreparationTime":`...)
	b = appendNumber(b, s.Timings.QueryPreparationTime)
	b = append(b, `,"innerEvalTime":`...)
	b = appendNumber(b, s.Timings.InnerEvalTime)
	b = append(b, `,"execQueueTime":`...)
	b = appendNumber(b, s.Timings.ExecQueueTime)
	b = append(b, `,"execTotalTime":`...)
	b = appendNumber(b, s.Timings.ExecTotalTime)
	b = append(b, '}')
	if s.Samples == nil {
		return append(b, '}')
	}
	b = append(b, `,"samples":{`...)
	if steps := s.Samples.TotalQueryableSamplesPerStep; len(steps) > 0 {
		b = append(b, `"totalQueryableSamplesPerStep":[`...)
		for i, step := range steps {
			b = appendStep(b, i, step.T, step.V)
		}
		b = append(b, "],"...)
	}
	b = append(b, `"totalQueryableSamples":`...)
	b = strconv.AppendInt(b, s.Samples.TotalQueryableSamples, 10)
	if steps := s.Samples.SamplesReadPerStep; len(steps) > 0 {
		b = append(b, `,"samplesReadPerStep":[`...)
		for i, step := range steps {
			b = appendStep(b, i, step.T, step.V)
		}
		b = append(b, ']')
	}
	b = append(b, `,"samplesRead":`...)
	b = strconv.AppendInt(b, s.Samples.SamplesRead, 10)
	b = append(b, `,"seriesTouched":`...)
	b = strconv.AppendInt(b, s.Samples.SeriesTouched, 10)
	b = append(b, `,"peakSamples":`...)
	b = strconv.AppendInt(b, int64(s.Samples.PeakSamples), 10)
	return append(b, "}}"...)
}

func appendStep(b []byte, i int, t, v int64) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = append(b, '[')
	b = appendTimestamp(b, t)
	b = append(b, ',')
	b = strconv.AppendInt(b, v, 10)
	return append(b, ']')
}

// queryExemplars returns the exemplars of all series the query's selectors find.
func (a *API) queryExemplars(r *http.Request) answer {
	start, end, fault := timeRange(r)
	if fault != nil {
		return answer{err: fault}
	}
	if end.Before(start) {
		return fail(BadData, errors.New("end timestamp must not be before start timestamp"))
	}
	expr, err := a.o.Parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return fail(BadData, err)
	}
	selectors := parser.ExtractSelectors(expr)
	if len(selectors) == 0 {
		return answer{}
	}
	q, err := a.o.Exemplars.ExemplarQuerier(r.Context())
	if err != nil {
		return answer{err: QueryError(err)}
	}
	res, err := q.Select(timestamp.FromTime(start), timestamp.FromTime(end), selectors...)
	if err != nil {
		return answer{err: QueryError(err)}
	}
	return answer{data: func(o *output) { o.exemplars(res) }}
}

func (o *output) exemplars(list []exemplar.QueryResult) {
	o.b = append(o.b, '[')
	for i, res := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, `{"seriesLabels":`...)
		o.b = appendLabels(o.b, res.SeriesLabels)
		o.b = append(o.b, `,"exemplars":[`...)
		for j, e := range res.Exemplars {
			if j > 0 {
				o.b = append(o.b, ',')
			}
			o.b = append(o.b, `{"labels":`...)
			o.b = appendLabels(o.b, e.Labels)
			o.b = append(o.b, `,"value":`...)
			o.b = appendFloat(o.b, e.Value)
			o.b = append(o.b, `,"timestamp":`...)
			o.b = appendTimestamp(o.b, e.Ts)
			o.b = append(o.b, '}')
			if !o.spill() {
				return
			}
		}
		o.b = append(o.b, "]}"...)
	}
	o.b = append(o.b, ']')
}
