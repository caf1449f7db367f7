package middleware_test

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// TestHeldAnswersAreBounded: answers that are held until they are signed take of
// the memory that there is for large requests, and give it back.
func TestHeldAnswersAreBounded(t *testing.T) {
	memory := semaphore.New(20 << 20)
	signer := middleware.NewSigner("k", middleware.WithMemory(memory))
	var failed error
	piece := bytes.Repeat([]byte("x"), 1<<20)
	answer := func(pieces int) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		failed = nil
		signer.Sign(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for range pieces {
				if _, err := w.Write(piece); err != nil {
					failed = errors.Join(failed, err)
				}
			}
		})).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w
	}
	for range 3 {
		w := answer(7)
		require.Equal(t, http.StatusOK, w.Code)
		require.Equal(t, 7<<20, w.Body.Len())
		require.NotEmpty(t, w.Header().Get(request.HeaderHash))
		require.NoError(t, failed)

		w = answer(30)
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Equal(t, "1", w.Header().Get("Retry-After"))
		require.NotEmpty(t, w.Header().Get(request.HeaderHash))
		require.Error(t, failed, "who writes hears that it is of no use")
	}
}
