package api

import (
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/problem"
	codes "github.com/gometheus/gometheus/pkg/errors"
)

var errBusy = codes.New(codes.Unavailable, "the server has more to do than it can")

// UpdateMany answers POST /updates: a JSON array of metrics.
func (a *API) UpdateMany(w http.ResponseWriter, r *http.Request) error {
	return a.updateJSON(w, r, (*metric.Batch).DecodeArray, func(dst []byte, ms []metric.Metric) []byte {
		return metric.AppendJSONArray(dst, ms)
	})
}

// UpdateOne answers POST /update with one JSON metric.
func (a *API) UpdateOne(w http.ResponseWriter, r *http.Request) error {
	return a.updateJSON(w, r, (*metric.Batch).DecodeOne, func(dst []byte, ms []metric.Metric) []byte {
		return ms[0].AppendJSON(dst)
	})
}

func (a *API) updateJSON(w http.ResponseWriter, r *http.Request,
	decode func(*metric.Batch, []byte, *metric.Limits, int64) error,
	encode func([]byte, []metric.Metric) []byte,
) error {
	s := a.take()
	defer a.give(s)
	if err := s.readBody(r); err != nil {
		return err
	}
	leave, ok := a.gate.Enter(r.Context(), len(s.body))
	if !ok {
		return errBusy
	}
	defer leave()
	if err := decode(&s.batch, s.body, &a.limits, s.now); err != nil {
		return err
	}
	if err := s.prepare(r); err != nil {
		return err
	}
	replayed, err := a.manager.Update(r.Context(), &s.write, s.every)
	if err != nil {
		return err
	}
	if answer(w, &s.write, replayed) {
		return nil
	}
	s.out = encode(s.out, s.write.Metrics)
	s.writeJSON(w)
	return nil
}

// UpdatePath answers POST /update/{type}/{name}/{value}?label=value…, without a
// body.
func (a *API) UpdatePath(w http.ResponseWriter, r *http.Request) error {
	kind, name, value, err := splitPath(r, "/update/")
	if err != nil {
		return err
	}
	leave, ok := a.gate.Enter(r.Context(), 0)
	if !ok {
		return errBusy
	}
	defer leave()
	s := a.take()
	defer a.give(s)
	s.batch.Reset()
	s.batch.Metrics = append(s.batch.Metrics, metric.Metric{Name: name, Timestamp: s.now})
	m := &s.batch.Metrics[0]
	if err := a.fillPath(m, r.URL.RawQuery, kind, value, s.now); err != nil {
		return codes.New(codes.Invalid, "%s", err.Error())
	}
	if err := s.prepare(r); err != nil {
		return err
	}
	replayed, err := a.manager.Update(r.Context(), &s.write, s.every)
	if err != nil {
		return err
	}
	if !answer(w, &s.write, replayed) {
		w.Header()["Content-Type"] = textType
	}
	return nil
}

func (a *API) fillPath(m *metric.Metric, query, kind, value string, now int64) (err error) {
	if m.Kind, err = metric.ParseKind(kind); err != nil {
		return err
	}
	if err = m.SetValue(value); err != nil {
		return err
	}
	if m.Labels, err = a.queryLabels(query); err != nil {
		return err
	}
	// Labels with empty values go, but what stands for their names must be one.
	if err = m.Labels.Validate(&a.limits); err != nil {
		return err
	}
	if m.Labels, err = m.Labels.Normalize(); err != nil {
		return err
	}
	return m.Validate(&a.limits, now)
}

var errNoPage = &problem.Error{Status: http.StatusNotFound, Detail: "no such path"}

// splitPath takes "{type}/{name}/{value}" from the path behind prefix; the value
// may be missing, and a slash may follow. A name may hold an escaped slash, so
// the path is cut before it is unescaped. No name is 404, and so is more.
func splitPath(r *http.Request, prefix string) (kind, name, value string, err error) {
	// As it was sent: EscapedPath makes a new one, in which an escaped slash is a
	// plain one, when there is a byte that should have been escaped as well.
	path := r.URL.RawPath
	if path == "" {
		path = r.URL.EscapedPath()
	}
	kind, path, _ = strings.Cut(strings.TrimPrefix(path, prefix), "/")
	name, path, _ = strings.Cut(path, "/")
	value, path, _ = strings.Cut(path, "/")
	if path != "" {
		return "", "", "", errNoPage
	}
	if name == "" {
		return "", "", "", &problem.Error{Status: http.StatusNotFound, Detail: "no name: the path is " + prefix + "{type}/{name}…"}
	}
	for _, part := range []*string{&kind, &name, &value} {
		if strings.IndexByte(*part, '%') < 0 {
			continue
		}
		if *part, err = url.PathUnescape(*part); err != nil {
			return "", "", "", codes.New(codes.Invalid, "path: %s", err.Error())
		}
	}
	if !utf8.ValidString(name) {
		return "", "", "", codes.New(codes.Invalid, "name %q: invalid UTF-8", name)
	}
	return kind, name, value, nil
}

// queryLabels reads ?label=value… in the order of the names.
func (a *API) queryLabels(query string) (metric.Labels, error) {
	if query == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, codes.New(codes.Invalid, "query: %s", err.Error())
	}
	if len(values) > a.limits.Labels {
		return nil, codes.New(codes.Invalid, "%d labels: at most %d are allowed", len(values), a.limits.Labels)
	}
	labels := make(metric.Labels, 0, len(values))
	for name, all := range values {
		if len(all) > 1 {
			return nil, codes.New(codes.Invalid, "label %q stands %d times", name, len(all))
		}
		if !utf8.ValidString(all[0]) {
			return nil, codes.New(codes.Invalid, "label %q: invalid UTF-8", name)
		}
		labels = append(labels, metric.Label{Name: name, Value: all[0]})
	}
	return labels, labels.Sort()
}
