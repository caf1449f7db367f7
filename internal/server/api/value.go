package api

import (
	"net/http"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/storage"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

// ValuePath answers GET /value/{type}/{name}?label=value…: the bare value.
func (a *API) ValuePath(w http.ResponseWriter, r *http.Request) error {
	kindName, name, rest, err := splitPath(r, "/value/")
	if err != nil {
		return err
	}
	if rest != "" {
		return errNoPage
	}
	kind, err := metric.ParseKind(kindName)
	if err != nil { // there is no metric of such a type
		return codes.New(codes.NotFound, "%s", err.Error())
	}
	labels, err := a.queryLabels(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := labels.Validate(&a.limits); err != nil {
		return codes.New(codes.Invalid, "%s", err.Error())
	}
	m, err := a.manager.Value(r.Context(), storage.Selector{Kind: kind, Name: name, Labels: labels})
	if err != nil {
		return err
	}
	s := a.take()
	defer a.give(s)
	s.out = m.AppendValue(s.out)
	w.Header()["Content-Type"] = textType
	w.Write(s.out) //nolint:errcheck // the client is gone: nobody to tell
	return nil
}

// ValueJSON answers POST /value with {"id", "type", "labels"?}: the metric.
func (a *API) ValueJSON(w http.ResponseWriter, r *http.Request) error {
	s := a.take()
	defer a.give(s)
	if err := s.readBody(r); err != nil {
		return err
	}
	asked, err := metric.DecodeQuery(s.body, &a.limits)
	if err != nil {
		return err
	}
	m, err := a.manager.Value(r.Context(), storage.Selector{Kind: asked.Kind, Name: asked.Name, Labels: asked.Labels})
	if err != nil {
		return err
	}
	s.out = m.AppendJSON(s.out)
	s.writeJSON(w)
	return nil
}
