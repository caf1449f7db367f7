package pages

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
)

// host gathers what the history knows of one machine at one time. The first error
// stands; what is asked after it is empty.
type host struct {
	p        *Pages
	ctx      context.Context
	instance string
	at       time.Time      // when it is looked at: now, or when it was last heard of
	interval time.Duration  // between the samples that rates are taken of
	names    map[string]int // how many series each name has, at that time
	err      error
}

// sel is the matcher of the machine's series.
func (h *host) sel() string { return "instance=" + quote(h.instance) }

// tokens are what is replaced in queries, and the strings that are not looked into:
// a machine may be called SEL.
var tokens = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\bSEL\b|\$window\b`)

// expand puts the machine's matcher in place of SEL, and window in that of $window.
func (h *host) expand(query, window string) string {
	return tokens.ReplaceAllStringFunc(query, func(token string) string {
		switch token {
		case "SEL":
			return h.sel()
		case "$window":
			return window
		default:
			return token
		}
	})
}

// ask is the value of a query about the machine, at h.at. $window is as wide as
// rates need.
func (h *host) ask(query string) promql.Vector {
	if h.err != nil {
		return nil
	}
	window := fmt.Sprintf("%ds", int(max(time.Minute, 4*h.interval).Seconds()))
	var v promql.Vector
	v, h.err = h.p.instant(h.ctx, h.expand(query, window), h.at)
	return v
}

// one is the value of a query that has one, NaN if it has none.
func (h *host) one(query string) float64 {
	v := h.ask(query)
	if len(v) == 0 {
		return math.NaN()
	}
	return v[0].F
}

// has tells whether there is one of these names.
func (h *host) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return h.names[n] > 0 })
}

// telling are series that a machine has one of as long as it is heard of.
const telling = "node_load1|node_time_seconds|node_boot_time_seconds|gometheus_agent_info|up|PollCount|TotalMemory"

// look finds when the machine was last heard of, how often its values come, and the
// names of its series then. known is false if the history has nothing of it.
func (h *host) look(now time.Time) (seen time.Time, known bool, err error) {
	h.at, h.interval = now, usualInterval
	seen, apart, err := h.lastSample(now.Add(-stateFresh), now)
	if err != nil {
		return seen, false, err
	}
	if seen.IsZero() {
		if seen, _, err = h.lastSample(now.Add(-h.p.o.Retention), now); err != nil || seen.IsZero() {
			return seen, false, err
		}
		h.at = seen
	} else if apart > 0 {
		h.interval = max(time.Second, apart.Round(time.Second))
	}
	h.names = map[string]int{}
	for _, s := range h.ask(`count by (__name__) ({SEL})`) {
		h.names[s.Metric.Get(model.MetricNameLabel)] = int(s.F)
	}
	return seen, true, h.err
}

// lastSample looks for the machine's newest sample, the zero time if there is none,
// and how far apart samples are on the average, 0 if that can't be told: those of
// collectors, if there are some, and not what an agent sends of itself every few
// seconds. It looks at few series, those that tell best.
func (h *host) lastSample(from, to time.Time) (seen time.Time, apart time.Duration, err error) {
	const few = 20
	q, err := h.p.o.Storage.Querier(from.UnixMilli(), to.UnixMilli())
	if err != nil {
		return seen, 0, fmt.Errorf("look for the last sample: %w", err)
	}
	defer q.Close() //nolint:errcheck // it has been read
	instance := labels.MustNewMatcher(labels.MatchEqual, "instance", h.instance)
	tells := labels.MustNewMatcher(labels.MatchRegexp, model.MetricNameLabel, telling)
	for _, matchers := range [][]*labels.Matcher{{instance, tells}, {instance}} {
		set := q.Select(h.ctx, false, &promstorage.SelectHints{Start: from.UnixMilli(), End: to.UnixMilli()}, matchers...)
		var it chunkenc.Iterator
		byCollectors := false
		for n := 0; n < few && set.Next(); n++ {
			collected := ofCollector(set.At().Labels())
			it = set.At().Iterator(it)
			var samples, first, last int64
			for ; it.Next() != chunkenc.ValNone; samples++ {
				last = it.AtT()
				if samples == 0 {
					first = last
				}
			}
			if samples > 0 && time.UnixMilli(last).After(seen) {
				seen = time.UnixMilli(last)
			}
			if samples > 1 {
				d := time.Duration((last-first)/(samples-1)) * time.Millisecond
				if apart == 0 || collected && !byCollectors || collected == byCollectors && d < apart {
					apart, byCollectors = d, collected
				}
			}
			if err := it.Err(); err != nil {
				return seen, 0, fmt.Errorf("read the last sample: %w", err)
			}
		}
		if err := set.Err(); err != nil {
			return seen, 0, fmt.Errorf("look for the last sample: %w", err)
		}
		if !seen.IsZero() {
			break
		}
	}
	return seen, apart, nil
}

// ofCollector tells whether a series comes as often as an agent's collectors run.
func ofCollector(ls labels.Labels) bool {
	name := ls.Get(model.MetricNameLabel)
	return strings.HasPrefix(name, "node_") || name == "up" && ls.Get("job") != ""
}

// by puts the values of a vector by a label.
func by(v promql.Vector, label string) map[string]float64 {
	out := make(map[string]float64, len(v))
	for _, s := range v {
		out[s.Metric.Get(label)] = s.F
	}
	return out
}

// top are the n keys of the largest values, largest first.
func top(values map[string]float64, n int) []string {
	keys := make([]string, 0, len(values))
	for k := range values {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		a, b := values[keys[i]], values[keys[j]]
		if a == b {
			return keys[i] < keys[j]
		}
		return a > b
	})
	return keys[:min(n, len(keys))]
}

// anyOf is a regular expression of names, quoted.
func anyOf(names []string) string {
	escaped := make([]string, len(names))
	for i, n := range names {
		escaped[i] = regexp.QuoteMeta(n)
	}
	return quote(strings.Join(escaped, "|"))
}
