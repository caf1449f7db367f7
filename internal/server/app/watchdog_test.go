package app

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAnswers: any answer is a sign of life, even that the database is away; that
// none comes is none.
func TestAnswers(t *testing.T) {
	var asked []string
	away := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		_, bounded := r.Context().Deadline()
		if !bounded {
			t.Error("the request has no bound")
		}
		http.Error(w, "away", http.StatusInternalServerError)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 1<<40)
	defer cancel()
	require.NoError(t, answers(ctx, away))
	require.Equal(t, []string{"/ping", "/value/gauge/gometheus_watchdog", "/federate"}, asked)

	locked, done := make(chan struct{}), make(chan error, 1)
	go func() {
		done <- answers(ctx, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-locked }))
	}()
	select {
	case err := <-done:
		t.Fatal("it answers for a handler that hangs", err)
	default:
	}
	close(locked)
	require.NoError(t, <-done)
}
