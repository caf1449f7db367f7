package promapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/index"
	"github.com/prometheus/prometheus/util/features"
)

// PrometheusVersion is the release whose API this is. Clients choose by it what
// they ask and how.
const PrometheusVersion = "3.16.0"

// BuildInfo is what was built. Version is how much of Prometheus' API there is,
// PrometheusVersion if empty; Server is this server's own version.
type BuildInfo struct {
	Version, Revision, Branch, BuildUser, BuildDate, GoVersion string
	Server                                                     string
}

// RuntimeInfo is how the process runs.
type RuntimeInfo struct {
	StartTime           time.Time
	CWD                 string
	Hostname            string
	ServerTime          time.Time
	ReloadConfigSuccess bool
	LastConfigTime      time.Time
	CorruptionCount     int64
	GoroutineCount      int
	GOMAXPROCS          int
	GOMEMLIMIT          int64
	GOGC                string
	GODEBUG             string
	StorageRetention    string
}

// WALReplay is how far the WAL was read at start, in numbers of segments.
type WALReplay struct {
	Min, Max, Current int
}

func (a *API) buildInfo(*http.Request) answer {
	b := a.o.Build
	if b.Version == "" {
		b.Version = PrometheusVersion
	}
	return answer{data: func(o *output) {
		o.field(`{"version":`, b.Version)
		o.field(`,"revision":`, b.Revision)
		o.field(`,"branch":`, b.Branch)
		o.field(`,"buildUser":`, b.BuildUser)
		o.field(`,"buildDate":`, b.BuildDate)
		o.field(`,"goVersion":`, b.GoVersion)
		if b.Server != "" {
			o.field(`,"gometheusVersion":`, b.Server)
		}
		o.b = append(o.b, '}')
	}}
}

func (a *API) config(*http.Request) answer {
	return answer{data: func(o *output) {
		o.field(`{"yaml":`, a.o.Config)
		o.b = append(o.b, '}')
	}}
}

func (a *API) flags(*http.Request) answer {
	return answer{data: func(o *output) {
		sep := "{"
		for _, name := range slices.Sorted(maps.Keys(a.o.Flags)) {
			o.b = append(o.b, sep...)
			sep = ","
			o.b = appendText(o.b, name)
			o.field(":", a.o.Flags[name])
		}
		if sep == "{" {
			o.b = append(o.b, '{')
		}
		o.b = append(o.b, '}')
	}}
}

func (a *API) runtimeInfo(*http.Request) answer {
	info, err := a.o.Runtime()
	ans := answer{data: func(o *output) {
		o.b = append(o.b, `{"startTime":`...)
		o.b = appendTime(o.b, info.StartTime)
		o.field(`,"CWD":`, info.CWD)
		o.field(`,"hostname":`, info.Hostname)
		o.b = append(o.b, `,"serverTime":`...)
		o.b = appendTime(o.b, info.ServerTime)
		o.b = append(o.b, `,"reloadConfigSuccess":`...)
		o.b = strconv.AppendBool(o.b, info.ReloadConfigSuccess)
		o.b = append(o.b, `,"lastConfigTime":`...)
		o.b = appendTime(o.b, info.LastConfigTime)
		o.int(`,"corruptionCount":`, info.CorruptionCount)
		o.int(`,"goroutineCount":`, int64(info.GoroutineCount))
		o.int(`,"GOMAXPROCS":`, int64(info.GOMAXPROCS))
		o.int(`,"GOMEMLIMIT":`, info.GOMEMLIMIT)
		o.field(`,"GOGC":`, info.GOGC)
		o.field(`,"GODEBUG":`, info.GODEBUG)
		o.field(`,"storageRetention":`, info.StorageRetention)
		o.b = append(o.b, '}')
	}}
	if err != nil {
		ans.err = &Error{Internal, err}
	}
	return ans
}

// field appends key, which comes with its punctuation, and a text.
func (o *output) field(key, s string) {
	o.b = append(o.b, key...)
	o.b = appendText(o.b, s)
}

func (o *output) int(key string, v int64) {
	o.b = append(o.b, key...)
	o.b = strconv.AppendInt(o.b, v, 10)
}

// tsdbStatus counts what the head holds, and which labels make it large.
func (a *API) tsdbStatus(r *http.Request) answer {
	const most = 10000
	limit := 10
	if s := r.FormValue("limit"); s != "" {
		var err error
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 {
			return fail(BadData, errors.New("limit must be a positive number"))
		}
		if limit > most {
			return fail(BadData, fmt.Errorf("limit must not exceed %d", most))
		}
	}
	s, err := a.o.TSDB.Stats(model.MetricNameLabel, limit)
	if err != nil {
		return fail(Internal, err)
	}
	chunks, err := a.o.TSDB.HeadChunks()
	if err != nil {
		return fail(Internal, err)
	}
	return answer{data: func(o *output) {
		p := s.IndexPostingStats
		o.b = append(o.b, `{"headStats":{"numSeries":`...)
		o.b = strconv.AppendUint(o.b, s.NumSeries, 10)
		o.int(`,"numLabelPairs":`, int64(p.NumLabelPairs))
		o.int(`,"chunkCount":`, chunks)
		o.int(`,"minTime":`, s.MinTime)
		o.int(`,"maxTime":`, s.MaxTime)
		o.counts(`},"seriesCountByMetricName":`, p.CardinalityMetricsStats)
		o.counts(`,"labelValueCountByLabelName":`, p.CardinalityLabelStats)
		o.counts(`,"memoryInBytesByLabelName":`, p.LabelValueStats)
		o.counts(`,"seriesCountByLabelValuePair":`, p.LabelValuePairsStats)
		o.b = append(o.b, '}')
	}}
}

func (o *output) counts(key string, list []index.Stat) {
	o.b = append(o.b, key...)
	o.b = append(o.b, '[')
	for i, s := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.field(`{"name":`, s.Name)
		o.b = append(o.b, `,"value":`...)
		o.b = strconv.AppendUint(o.b, s.Count, 10)
		o.b = append(o.b, '}')
	}
	o.b = append(o.b, ']')
}

func (a *API) tsdbBlocks(*http.Request) answer {
	blocks, err := a.o.TSDB.BlockMetas()
	if err != nil {
		return fail(Internal, fmt.Errorf("error getting block metadata: %w", err))
	}
	return answer{data: func(o *output) { o.marshal(map[string][]tsdb.BlockMeta{"blocks": blocks}) }}
}

func (a *API) walReplay(*http.Request) answer {
	w, err := a.o.TSDB.WALReplay()
	if err != nil {
		return fail(Internal, err)
	}
	return answer{data: func(o *output) {
		o.int(`{"min":`, int64(w.Min))
		o.int(`,"max":`, int64(w.Max))
		o.int(`,"current":`, int64(w.Current))
		o.b = append(o.b, '}')
	}}
}

// register tells what the API can do.
func (a *API) register() {
	f := a.o.Features
	if f == nil {
		return
	}
	f.Set(features.API, "admin", a.o.EnableAdmin)
	f.Set(features.API, "remote_write_receiver", a.o.Write != nil)
	for _, missing := range []string{"lifecycle", "otlp_write_receiver", "query_cost", "search"} {
		f.Disable(features.API, missing)
	}
	for _, has := range []string{
		"exclude_alerts", "label_values_match", "query_stats", "query_warnings", "time_range_labels", "time_range_series",
	} {
		f.Enable(features.API, has)
	}
}

func (a *API) features(*http.Request) answer {
	if a.o.Features == nil {
		return fail(Internal, errors.New("feature registry not configured"))
	}
	all := a.o.Features.Get()
	return answer{data: func(o *output) {
		// Escaped as labels are, so that operators such as >= can be read.
		o.b = append(o.b, '{')
		for i, category := range slices.Sorted(maps.Keys(all)) {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = appendLabel(o.b, category)
			o.b = append(o.b, ":{"...)
			for j, name := range slices.Sorted(maps.Keys(all[category])) {
				if j > 0 {
					o.b = append(o.b, ',')
				}
				o.b = appendLabel(o.b, name)
				o.b = append(o.b, ':')
				o.b = strconv.AppendBool(o.b, all[category][name])
			}
			o.b = append(o.b, '}')
		}
		o.b = append(o.b, '}')
	}}
}

// metadata says what metrics are: by family, sorted.
func (a *API) metadata(r *http.Request) answer {
	limit, err := numberParam(r, "limit")
	if err != nil {
		return fail(BadData, err)
	}
	perMetric, err := numberParam(r, "limit_per_metric")
	if err != nil {
		return fail(BadData, err)
	}
	families := map[string][]metadata.Metadata{}
	if a.o.Metadata != nil {
		for name, m := range a.o.Metadata.Metadata(r.Context(), r.FormValue("metric")) {
			known := families[name]
			if (perMetric > 0 && len(known) >= perMetric) || slices.Contains(known, m) {
				continue
			}
			families[name] = append(known, m)
		}
	}
	names := slices.Sorted(maps.Keys(families))
	if limit >= 0 && len(names) > limit {
		names = names[:limit]
	}
	return answer{data: func(o *output) {
		o.b = append(o.b, '{')
		for i, name := range names {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = appendText(o.b, name)
			o.b = append(o.b, ':', '[')
			for j, m := range families[name] {
				if j > 0 {
					o.b = append(o.b, ',')
				}
				o.field(`{"type":`, string(m.Type))
				o.field(`,"unit":`, m.Unit)
				o.field(`,"help":`, m.Help)
				o.b = append(o.b, '}')
			}
			o.b = append(o.b, ']')
			if !o.spill() {
				return
			}
		}
		o.b = append(o.b, '}')
	}}
}
