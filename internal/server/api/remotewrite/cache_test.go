package remotewrite

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func (c *cache) add(hash uint64, key string, ref uint64, minute int64) *series {
	s := &series{key: key, hash: hash}
	s.ref.Store(ref)
	s.used.Store(minute)
	c.put(s)
	return s
}

// TestCacheCollision: series whose hash is the same stay apart.
func TestCacheCollision(t *testing.T) {
	c := newCache(1000)
	for i := range 5 {
		c.add(7, fmt.Sprint("key", i), uint64(i+1), 0)
	}
	for i := range 5 {
		require.Equal(t, uint64(i+1), c.find(7, fmt.Append(nil, "key", i), 0).ref.Load())
	}
	require.Nil(t, c.find(7, []byte("key5"), 0))
	require.Nil(t, c.find(8, []byte("key1"), 0))
	c.add(7, "key3", 99, 0)
	require.Equal(t, uint64(99), c.find(7, []byte("key3"), 0).ref.Load())
	require.Equal(t, 5, c.len())
}

// TestCacheBound: it never holds more than it may, and what is in use tends to
// stay.
func TestCacheBound(t *testing.T) {
	c := newCache(shards * 10)
	const hot = 1 << 40 // all in one shard
	for i := range 1000 {
		c.add(uint64(i), fmt.Sprint(i), 1, int64(i))
		require.LessOrEqual(t, c.len(), 10)
		c.find(0, []byte("0"), int64(i)+1)
	}
	require.Equal(t, 10, c.len())
	for i := range 10_000 {
		c.add(uint64(i)*0x9e3779b97f4a7c15, fmt.Sprint("spread", i), 1, hot)
	}
	require.LessOrEqual(t, c.len(), shards*10)
	require.Greater(t, c.len(), shards*9)
}

// TestCacheIdle: what nobody asks for is gone after some hours, what somebody
// asks for stays.
func TestCacheIdle(t *testing.T) {
	c := newCache(100_000)
	for i := range 1000 {
		c.add(uint64(i)*0x9e3779b97f4a7c15, fmt.Sprint(i), 1, 0)
	}
	for minute := int64(1); minute <= idle+2*shards; minute++ {
		for range 3 { // more than once a minute does nothing more
			c.sweep(minute)
		}
		c.find(0, []byte("0"), minute)
		if minute < idle {
			require.Equal(t, 1000, c.len())
		}
	}
	require.Equal(t, 1, c.len())
	require.NotNil(t, c.find(0, []byte("0"), 0))
}

// request is a batch with symbols, for the table.
func symbolsOf(minute int64, symbols ...string) *batch {
	b := &batch{minute: minute, ids: make([]uint64, len(symbols))}
	for _, s := range symbols {
		start := uint32(len(b.plain))
		b.plain = append(b.plain, s...)
		b.symbols = append(b.symbols, symbolAt{start, uint32(len(b.plain))})
	}
	return b
}

// TestSymbolTable: a number is never given to two strings; what is in use keeps
// its number, what isn't is forgotten.
func TestSymbolTable(t *testing.T) {
	table := newSymbolTable(10)
	b := symbolsOf(0, "", "a", "b")
	table.resolve(b)
	require.Equal(t, []uint64{0, 0, 0}, b.ids)
	a := table.intern("a", 0)
	require.Equal(t, a, table.intern("a", 0))
	given := map[uint64]string{a: "a"}
	for i := range 100 {
		s := fmt.Sprint("s", i)
		id := table.intern(s, 0)
		require.NotContains(t, given, id)
		given[id] = s
		b := symbolsOf(0, "a", s, "b")
		table.resolve(b)
		require.Equal(t, []uint64{a, id, 0}, b.ids)
		require.LessOrEqual(t, table.len(), 20)
	}
	id := table.intern("s0", 0) // forgotten long ago
	require.NotContains(t, given, id)

	// With time.
	table = newSymbolTable(1000)
	a = table.intern("a", 0)
	table.intern("b", 0)
	for minute := range int64(3 * idle) {
		b := symbolsOf(minute, "a")
		table.resolve(b)
		require.Equal(t, a, b.ids[0])
	}
	require.Equal(t, 1, len(table.young))
	b = symbolsOf(3*idle, "b")
	table.resolve(b)
	require.Zero(t, b.ids[0])
}
