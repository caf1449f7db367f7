// Package slice has what the standard package slices lacks and a sender or
// keeper of metrics needs: chunks bounded by weight, and a stable partition.
//
// Order is kept everywhere. [ChunkBy] copies nothing, so its chunks are the
// caller's own elements; [Partition] leaves its argument alone. Compared with
// slices.Chunk: that one bounds the count only, and panics on a size below 1.
package slice

import (
	"iter"
	"slices"
)

// ChunkBy yields consecutive parts of s, each as long as it can be with at most
// limit items whose weights add up to at most maxWeight. An item heavier than
// maxWeight stands alone. A limit or maxWeight below 1 is no bound; a negative
// weight counts as 0.
//
// The parts are s itself, cut so that an append to one can't reach the next.
// weigh is called once for each item, in order, and only as far as is iterated.
func ChunkBy[T any](s []T, limit int, weigh func(T) int, maxWeight int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		start, sum := 0, 0
		for i := range s {
			w := max(weigh(s[i]), 0)
			full := limit > 0 && i-start >= limit
			// sum may be above maxWeight already, when one item alone is; the
			// difference doesn't overflow, as a sum of the two could.
			heavy := maxWeight > 0 && w > maxWeight-sum
			if i > start && (full || heavy) {
				if !yield(s[start:i:i]) {
					return
				}
				start, sum = i, 0
			}
			if maxWeight > 0 {
				sum += w
			}
		}
		if start < len(s) {
			yield(s[start:len(s):len(s)])
		}
	}
}

// Partition returns the items for which f is true and the others, both in the
// order they had. s stays as it is: the two share one new array, and an append to
// one can't reach the other.
func Partition[T any](s []T, f func(T) bool) (yes, no []T) {
	buf := make([]T, len(s))
	i, j := 0, len(s)
	for _, v := range s {
		if f(v) {
			buf[i] = v
			i++
		} else {
			j--
			buf[j] = v
		}
	}
	slices.Reverse(buf[j:])
	return buf[:i:i], buf[j:]
}
