package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
	year = 365 * day
)

// Span is a long time from lo to hi: a number of days, weeks or years such as
// 15d, 2w or 1y, or what Seconds takes.
func Span(def, lo, hi time.Duration) Var[time.Duration] {
	return span(def, lo, hi, false)
}

// SpanOrZero is Span that may be 0 too.
func SpanOrZero(def, lo, hi time.Duration) Var[time.Duration] {
	return span(def, lo, hi, true)
}

func span(def, lo, hi time.Duration, zero bool) Var[time.Duration] {
	allowed := fmt.Sprintf("a time such as 15d, 2w, 36h or a number of seconds, from %s to %s", formatSpan(lo), formatSpan(hi))
	if zero {
		allowed += ", or 0"
	}
	return Var[time.Duration]{
		def,
		func(s string) (time.Duration, error) {
			d, isZero, ok := parseSpan(s)
			if !ok || isZero && !zero || !isZero && (d < lo || d > hi) {
				return 0, errNotAllowed
			}
			return d, nil
		},
		formatSpan,
		spec{kind: "time", allowed: allowed},
	}
}

func parseSpan(s string) (d time.Duration, isZero, ok bool) {
	for suffix, unit := range map[string]time.Duration{"d": day, "w": week, "y": year} {
		number, found := strings.CutSuffix(s, suffix)
		if !found || strings.Trim(number, "0123456789.") != "" {
			continue
		}
		f, err := strconv.ParseFloat(number, 64)
		nanos := math.Round(f * float64(unit))
		if err != nil || nanos >= math.MaxInt64 {
			return 0, false, false
		}
		return time.Duration(nanos), f == 0, true
	}
	return parseSeconds(s)
}

// formatSpan is in days when it is whole.
func formatSpan(d time.Duration) string {
	if d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return shortDuration(d)
}
