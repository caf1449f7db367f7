package templates

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// groupDigits is n as people read it: 4,711.
func groupDigits(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// FormatBytes is a size as people read it: 1.5 GiB. format.js does the same.
func FormatBytes(n float64) string { return scaled(n, 1024, " KMGTPE", "iB", "B") }

// FormatNumber is a number with three digits: 12.3 k.
func FormatNumber(n float64) string {
	if n != 0 && math.Abs(n) < 1e-3 {
		return strconv.FormatFloat(n, 'e', 2, 64)
	}
	return strings.TrimSuffix(scaled(n, 1000, " kMGTPE", "", ""), "\u00a0")
}

// FormatPercent is a percentage: 7.25 %.
func FormatPercent(n float64) string { return significant(n) + "\u00a0%" }

func scaled(n, base float64, prefixes, unit, plain string) string {
	if math.IsInf(n, 0) || math.IsNaN(n) {
		return strconv.FormatFloat(n, 'g', -1, 64)
	}
	i := 0
	for i < len(prefixes)-1 && math.Abs(n) >= base-0.5 {
		n /= base
		i++
	}
	if i == 0 {
		return significant(n) + "\u00a0" + plain
	}
	return significant(n) + "\u00a0" + prefixes[i:i+1] + unit
}

// significant is n with three digits and without needless zeros, but never less
// than the whole number.
func significant(n float64) string {
	if abs := math.Abs(n); abs >= 100 {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	s := strconv.FormatFloat(n, 'g', 3, 64)
	if strings.ContainsAny(s, "eIN") { // an exponent, Inf, NaN
		s = strconv.FormatFloat(n, 'f', 5, 64)
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// FormatSpan is a duration by its two largest units: 3 d 4 h.
func FormatSpan(d time.Duration) string {
	d = max(0, d)
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return strconv.Itoa(int(d/day)) + " d " + strconv.Itoa(int(d%day/time.Hour)) + " h"
	case d >= time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h " + strconv.Itoa(int(d%time.Hour/time.Minute)) + " min"
	case d >= time.Minute:
		return strconv.Itoa(int(d/time.Minute)) + " min"
	}
	return strconv.Itoa(int(d/time.Second)) + " s"
}
