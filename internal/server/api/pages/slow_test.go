package pages_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/promql"
	promstorage "github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/browsertest"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

// busy is an engine whose queries take until they are given up, but for those that
// hold one of the words.
type busy struct {
	promql.QueryEngine
	but []string
}

func (b busy) NewInstantQuery(ctx context.Context, q promstorage.Queryable, o promql.QueryOpts, text string, at time.Time) (promql.Query, error) {
	query, err := b.QueryEngine.NewInstantQuery(ctx, q, o, text, at)
	for _, word := range b.but {
		if strings.Contains(text, word) {
			return query, err
		}
	}
	return busyQuery{query}, err
}

type busyQuery struct{ promql.Query }

func (busyQuery) Exec(ctx context.Context) *promql.Result {
	<-ctx.Done()
	if errors.Is(ctx.Err(), context.Canceled) {
		return &promql.Result{Err: promql.ErrQueryCanceled("query")}
	}
	return &promql.Result{Err: promql.ErrQueryTimeout("query")}
}

// While the history is busy the page of a machine shows what it has, and says so.
func TestHostOfBusyHistory(t *testing.T) {
	m := browsertest.Machine{Instance: "web-1"}
	db := openDB(t, m.Series(now.Add(-5*time.Minute), now, browsertest.Interval))
	for _, tt := range []struct {
		but, has, not []string
	}{
		{nil, []string{"did not give in time", "reporting", "Pushed values"}, []string{`id="cpu"`}},
		{[]string{"count by (__name__)", "uname"}, []string{"did not give in time", `id="cpu"`, "Debian"}, []string{"NaN", "Fullest disk"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			o := pages.Options{State: state{gauge("Alloc", "web-1", 1, time.Second)}}
			withHistory(&o, db)
			o.Engine = busy{o.Engine, tt.but}
			start := time.Now()
			w, err := get(o, "/host/web-1")
			require.NoError(t, err)
			require.Equal(t, 10*time.Second, time.Since(start))
			contains(t, w.Body.String(), tt.has...)
			for _, not := range tt.not {
				require.NotContains(t, w.Body.String(), not)
			}
		})
	}
}

// Who leaves is no failure of the server's.
func TestHostOfNobody(t *testing.T) {
	m := browsertest.Machine{Instance: "web-1"}
	var o pages.Options
	withHistory(&o, openDB(t, m.Series(now.Add(-5*time.Minute), now, browsertest.Interval)))
	o.Engine, o.State, o.Now = busy{o.Engine, nil}, state{}, func() time.Time { return now }
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	leave, left := context.WithCancel(context.Background())
	defer left()
	context.AfterFunc(ctx, left)
	r := httptest.NewRequestWithContext(leave, http.MethodGet, "/host/web-1", nil)
	err := pages.New(o).Host(httptest.NewRecorder(), r)
	require.ErrorIs(t, err, context.Canceled)
	require.NotEqual(t, codes.Unavailable, codes.CodeOf(err))
}
