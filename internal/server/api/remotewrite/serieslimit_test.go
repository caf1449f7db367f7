package remotewrite_test

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite"
)

// TestLimitSeries: at the limit new series are refused, by name, and those that
// exist are taken, known by reference or by labels.
func TestLimitSeries(t *testing.T) {
	db, err := tsdb.Open(t.TempDir(), nil, nil, tsdb.DefaultOptions(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	limited := remotewrite.LimitSeries(db, db.Head().NumSeries, 2)
	app := limited.AppenderV2(t.Context())
	appendTo := func(ref storage.SeriesRef, name string, at int64) (storage.SeriesRef, error) {
		ls := labels.EmptyLabels()
		if name != "" {
			ls = labels.FromStrings("__name__", name)
		}
		return app.Append(ref, ls, 0, at, 1, nil, nil, storage.AOptions{})
	}
	a, err := appendTo(0, "a", 1)
	require.NoError(t, err)
	_, err = appendTo(0, "b", 1)
	require.NoError(t, err)
	for at := range int64(3) {
		_, err = appendTo(0, "c", 2+at)
		require.ErrorContains(t, err, "LIMIT_SERIES")
		same, err := appendTo(a, "", 2+at)
		require.NoError(t, err)
		require.Equal(t, a, same)
		_, err = appendTo(0, "b", 2+at)
		require.NoError(t, err)
		require.NoError(t, app.Commit())
		app = limited.AppenderV2(t.Context()) // a new one knows them too
	}
	require.NoError(t, app.Rollback())
	require.EqualValues(t, 2, db.Head().NumSeries())
}
