package templates

import (
	"math"
	"strconv"
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

// formatBytes is a size as people read it: 1.5 GiB. format.js does the same.
func formatBytes(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for i < len(units)-1 && math.Abs(n) >= 1023.5 {
		n /= 1024
		i++
	}
	if i == 0 {
		return significant(n, 0) + " B"
	}
	return significant(n, 3) + " " + units[i]
}

// significant is n with as many digits as digits and no more, but never less than
// the whole number.
func significant(n float64, digits int) string {
	whole := len(strconv.FormatFloat(math.Trunc(math.Abs(n)), 'f', 0, 64))
	s := strconv.FormatFloat(n, 'f', max(0, digits-whole), 64)
	return s
}

// formatSpan is a duration by its two largest units: 3 d 4 h.
func formatSpan(d time.Duration) string {
	d = max(0, d)
	day := 24 * time.Hour
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
