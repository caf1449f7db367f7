package templates

import (
	"bytes"
	"cmp"
	"iter"
	"math"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// By names a column to sort by. It is the value of the parameter sort.
type By string

// The columns that rows can be sorted by. ByName is the default.
const (
	ByName    By = "name"
	ByKind    By = "kind"
	ByValue   By = "value"
	ByUpdated By = "updated"
)

// Sort is the order of the rows: by one column, then by name, kind and labels.
// The zero Sort is by name.
type Sort struct {
	By   By
	Desc bool
}

// ParseSort makes a Sort of the request's parameters sort and order. What it
// does not know it leaves at the default: a page is better than a complaint.
func ParseSort(sort, order string) Sort {
	return Sort{By: By(sort), Desc: order == "desc"}.normal()
}

func (s Sort) normal() Sort {
	switch s.By {
	case ByName, ByKind, ByValue, ByUpdated:
		return s
	default:
		return Sort{By: ByName}
	}
}

// Compare orders two metrics.
func (s Sort) Compare(a, b *metric.Metric) int {
	var c int
	switch s.By {
	case ByKind:
		c = strings.Compare(a.Kind.String(), b.Kind.String())
	case ByValue:
		c = compareValues(a, b)
	case ByUpdated:
		c = cmp.Compare(a.Timestamp, b.Timestamp)
	default:
		c = strings.Compare(a.Name, b.Name)
	}
	if s.Desc {
		c = -c
	}
	if c != 0 {
		return c
	}
	return cmp.Or(
		strings.Compare(a.Name, b.Name),
		strings.Compare(a.Kind.String(), b.Kind.String()),
		a.Labels.Compare(b.Labels),
	)
}

// compareValues compares as floats first and as integers where those are equal:
// counters beyond 2⁵³ differ by less than a float64 can tell.
func compareValues(a, b *metric.Metric) int {
	af, ai := number(a)
	bf, bi := number(b)
	return cmp.Or(cmp.Compare(af, bf), cmp.Compare(ai, bi))
}

func number(m *metric.Metric) (float64, int64) {
	switch {
	case m.Kind == metric.Counter:
		return float64(m.Delta), m.Delta
	case m.Value >= math.MaxInt64:
		return m.Value, math.MaxInt64
	case m.Value <= math.MinInt64:
		return m.Value, math.MinInt64
	default:
		return m.Value, int64(m.Value)
	}
}

// Select makes a page of the metrics that match the query, in their order. It works in
// the memory of ms, and what it returns is there.
//
// A metric matches if each word of the query stands somewhere in its kind, its
// name or one of its labels as name=value, whatever the case. The script filters
// by the same rule.
func Select(ms []metric.Metric, query string, s Sort, page, size int) Page {
	p := Page{Query: query, Sort: s.normal(), Total: len(ms)}
	if words := strings.Fields(strings.ToLower(query)); len(words) > 0 {
		var text []byte
		ms = slices.DeleteFunc(ms, func(m metric.Metric) bool {
			text = appendSearched(text[:0], &m)
			return !containsAll(text, words)
		})
	}
	p.Found = len(ms)
	p.Number, p.Pages = pageOf(page, p.Found, size)
	from, to := (p.Number-1)*size, min(p.Number*size, p.Found)
	SortPart(ms, from, to, p.Sort.Compare)
	p.Rows = Rows(ms[from:to])
	return p
}

// SortPart puts those at from to to, by compare, where they are when all of s is
// sorted. The others are on their side of them, in any order, for to sort 100,000 to
// show a hundred is most of the work of a page.
func SortPart[T any](s []T, from, to int, compare func(a, b *T) int) {
	const few = 64
	rounds := 4 * bits.Len(uint(len(s))) // more are a sign of an order that is bad for us
	for len(s) > few && rounds > 0 && (from > 0 || to < len(s)) {
		rounds--
		n := partition(s, compare)
		switch {
		case to <= n:
			s = s[:n]
		case from > n:
			s, from, to = s[n+1:], from-n-1, to-n-1
		default: // the pivot is among them
			SortPart(s[:n], min(from, n), n, compare)
			s, from, to = s[n+1:], 0, max(0, to-n-1)
		}
	}
	if from < to {
		slices.SortFunc(s, func(a, b T) int { return compare(&a, &b) })
	}
}

// partition moves what is less than a pivot before it, the rest behind it, and
// returns where it is.
func partition[T any](s []T, compare func(a, b *T) int) int {
	last := len(s) - 1
	mid := last / 2
	// The median of three is the pivot, at the end.
	if compare(&s[mid], &s[0]) < 0 {
		s[mid], s[0] = s[0], s[mid]
	}
	if compare(&s[last], &s[0]) < 0 {
		s[last], s[0] = s[0], s[last]
	}
	if compare(&s[mid], &s[last]) < 0 {
		s[mid], s[last] = s[last], s[mid]
	}
	n := 0
	for i := range last {
		if compare(&s[i], &s[last]) < 0 {
			s[i], s[n] = s[n], s[i]
			n++
		}
	}
	s[n], s[last] = s[last], s[n]
	return n
}

// appendSearched appends what a metric is searched by, in lower case. The parts are
// separated by what no word has.
func appendSearched(dst []byte, m *metric.Metric) []byte {
	dst = append(dst, m.Name...)
	dst = append(append(dst, '\n'), m.Kind.String()...)
	for i := range m.Labels {
		dst = append(append(dst, '\n'), m.Labels[i].Name...)
		dst = append(append(dst, '='), m.Labels[i].Value...)
	}
	for i, c := range dst {
		switch {
		case 'A' <= c && c <= 'Z':
			dst[i] = c + 'a' - 'A'
		case c >= utf8.RuneSelf:
			return bytes.ToLower(dst)
		}
	}
	return dst
}

func containsAll(text []byte, words []string) bool {
	for _, w := range words {
		if !bytes.Contains(text, []byte(w)) {
			return false
		}
	}
	return true
}

// labelsMatch tells whether a word stands in one of the labels as name=value.
func labelsMatch(ls metric.Labels, word string) bool {
	return slices.ContainsFunc(ls, func(l metric.Label) bool {
		return strings.Contains(strings.ToLower(l.Name+"="+l.Value), word)
	})
}

// Rows yields the metrics as rows, made one at a time.
func Rows(ms []metric.Metric) iter.Seq[Row] {
	return func(yield func(Row) bool) {
		var value []byte
		for i := range ms {
			m := &ms[i]
			value = m.AppendValue(value[:0])
			row := Row{
				Kind:   m.Kind.String(),
				Name:   m.Name,
				Labels: m.Labels,
				Value:  string(value),
				Time:   time.UnixMilli(m.Timestamp),
			}
			if !yield(row) {
				return
			}
		}
	}
}
