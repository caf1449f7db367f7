package promapi

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/prometheus/prometheus/model/timestamp"
)

var errAdminDisabled = errors.New("admin APIs disabled")

// deleteSeries marks samples as deleted.
func (a *API) deleteSeries(r *http.Request) answer {
	if !a.o.EnableAdmin {
		return fail(Unavailable, errAdminDisabled)
	}
	if err := r.ParseForm(); err != nil {
		return fail(BadData, fmt.Errorf("error parsing form values: %w", err))
	}
	if len(r.Form["match[]"]) == 0 {
		return fail(BadData, errors.New("no match[] parameter provided"))
	}
	start, end, fault := timeRange(r)
	if fault != nil {
		return answer{err: fault}
	}
	for _, s := range r.Form["match[]"] {
		ms, err := a.o.Parser.ParseMetricSelector(s)
		if err != nil {
			return badParam("match[]", err)
		}
		if err := a.o.TSDB.Delete(r.Context(), timestamp.FromTime(start), timestamp.FromTime(end), ms...); err != nil {
			return fail(Internal, err)
		}
	}
	return answer{}
}

// cleanTombstones takes what was deleted from the disk.
func (a *API) cleanTombstones(*http.Request) answer {
	if !a.o.EnableAdmin {
		return fail(Unavailable, errAdminDisabled)
	}
	if err := a.o.TSDB.CleanTombstones(); err != nil {
		return fail(Internal, err)
	}
	return answer{}
}

// snapshot writes all data to a new folder below Dir, and answers its name.
func (a *API) snapshot(r *http.Request) answer {
	if !a.o.EnableAdmin {
		return fail(Unavailable, errAdminDisabled)
	}
	skipHead := false
	if s := r.FormValue("skip_head"); s != "" {
		var err error
		if skipHead, err = strconv.ParseBool(s); err != nil {
			return badParam("skip_head", fmt.Errorf("unable to parse boolean: %w", err))
		}
	}
	var suffix [8]byte
	rand.Read(suffix[:]) // never fails
	name := a.o.Now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(suffix[:])
	dir := filepath.Join(a.o.Dir, "snapshots", name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fail(Internal, fmt.Errorf("create snapshot directory: %w", err))
	}
	if err := a.o.TSDB.Snapshot(dir, !skipHead); err != nil {
		return fail(Internal, fmt.Errorf("create snapshot: %w", err))
	}
	return answer{data: func(o *output) {
		o.field(`{"name":`, name)
		o.b = append(o.b, '}')
	}}
}
