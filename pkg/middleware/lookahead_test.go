package middleware_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// TestLookAhead: bodies that unpack to much, in whatever shape and order, reach
// their reader whole if they are within the limit, and end with the limit's error
// if not.
func TestLookAhead(t *testing.T) {
	const limit = 1 << 20
	lim := middleware.BodyLimits{Wire: limit, Plain: limit}
	rng := rand.New(rand.NewPCG(3, 4))
	noise := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		return string(b)
	}
	alike := func(n int) string { return strings.Repeat("abcdefghij", n/10) + strings.Repeat("x", n%10) }
	bodies := map[string]string{
		"alike, then noise":  alike(limit/2) + noise(limit/2),
		"noise, then alike":  noise(limit/2) + alike(limit/2),
		"alike, noise twice": alike(limit/4) + noise(limit/4) + alike(limit/4) + noise(limit/4),
	}
	for _, n := range []int{0, 1, limit/8 - 1, limit / 8, limit/8 + 1, limit / 2, limit - 1, limit} {
		bodies[fmt.Sprintf("alike, %d bytes", n)] = alike(n)
	}
	for name, plain := range bodies {
		for _, over := range []string{"", alike(1), alike(limit)} {
			whole := plain + over
			for encoding, body := range map[string]string{
				"gzip": gzipped(t, whole), "zstd": zstded(t, whole),
				// In pieces.
				"gzip ": gzipped(t, plain) + gzipped(t, over), "zstd ": zstded(t, plain) + zstded(t, over),
			} {
				got, refused := decompress(t, lim, body, encoding)
				require.NoError(t, refused)
				if len(whole) <= limit {
					require.NoError(t, got.err, "%s %s", encoding, name)
					require.True(t, got.body == whole, "%s %s", encoding, name)
					continue
				}
				var large *http.MaxBytesError
				require.ErrorAs(t, got.err, &large, "%s %s", encoding, name)
				require.True(t, strings.HasPrefix(whole, got.body))
			}
		}
	}
}

// TestLookAheadDamage: looking ahead changes nothing about what is damaged or cut
// off: the reader gets all before, then the error.
func TestLookAheadDamage(t *testing.T) {
	const limit = 1 << 20
	plain := strings.Repeat("abcdefghij", limit/20)
	for encoding, body := range map[string]string{"gzip": gzipped(t, plain), "zstd": zstded(t, plain)} {
		for _, tt := range []struct{ name, body string }{
			{"cut", body[:len(body)-1]},
			{"garbage", body + "garbage"},
			{"changed", body[:len(body)-2] + "\xff\xff"},
		} {
			got, _ := decompress(t, middleware.BodyLimits{Wire: limit, Plain: limit}, tt.body, encoding)
			require.Equal(t, codes.Invalid, codes.CodeOf(got.err), "%s %s: %v", encoding, tt.name, got.err)
			require.Greater(t, len(got.body), limit/8)
			require.True(t, strings.HasPrefix(plain, got.body))
		}
		// Beyond the limit as sent, within it as unpacked.
		got, _ := decompress(t, middleware.BodyLimits{Wire: int64(len(body) - 1), Plain: limit}, body, encoding)
		var large *http.MaxBytesError
		require.ErrorAs(t, got.err, &large)
		require.EqualValues(t, len(body)-1, large.Limit)
	}
}

// TestLookAheadWindow: the second window of a zstd body needs room too.
func TestLookAheadWindow(t *testing.T) {
	body := zstded(t, strings.Repeat("abcdefghij", 50_000))
	memory := semaphore.New(12 << 20)
	lim := middleware.BodyLimits{Wire: 1 << 20, Plain: 1 << 20, Memory: memory}
	got, refused := decompress(t, lim, body, "zstd")
	require.NoError(t, refused)
	require.Equal(t, codes.Unavailable, codes.CodeOf(got.err))
	require.Zero(t, memory.InUse())
	lim.Memory = semaphore.New(16 << 20)
	got, _ = decompress(t, lim, body, "zstd")
	require.NoError(t, got.err)
	require.Len(t, got.body, 500_000)
}
