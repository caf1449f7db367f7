//go:build unix

package promapi_test

import (
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/promapi"
)

// cpu is the time that the process has computed, however busy the machine is.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ask sends the same request again and again.
func ask(b *testing.B, h http.Handler, target string) (perOp time.Duration) {
	b.Helper()
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		w := sink{header: http.Header{}, before: func() {}}
		h.ServeHTTP(&w, httptest.NewRequest(http.MethodGet, target, nil))
		b.SetBytes(int64(w.bytes))
	}
	perOp = (cpu(b) - before) / time.Duration(b.N)
	b.ReportMetric(float64(perOp.Nanoseconds()), "cpu-ns/op")
	return perOp
}

// BenchmarkInstant is a query of one series through the whole handler.
func BenchmarkInstant(b *testing.B) {
	o, _ := options(b, script)
	ask(b, handler(o), `/api/v1/query?query=gauge%7Bjob%3D%22b%22%7D&time=1800`)
}

// BenchmarkMatrix is the encoding of a range query's result alone.
func BenchmarkMatrix(b *testing.B) {
	const series, points = 20, 5000
	closed := 0
	o, _ := options(b, script)
	o.Engine = fixed{result: large(series, points), closed: &closed}
	perOp := ask(b, promapi.New(o), "/api/v1/query_range?query=x&start=0&end=1&step=1")
	b.ReportMetric(float64(perOp.Nanoseconds())/(series*points), "cpu-ns/point")
}
