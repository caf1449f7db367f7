package templates

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"path"
	"sync"
	"time"
)

//go:embed static
var staticFiles embed.FS

// asset is one file of the page. Its version is a hash of its bytes.
type asset struct {
	body                 []byte
	contentType, version string
}

var assets = sync.OnceValue(func() map[string]asset {
	types := map[string]string{
		".css": "text/css; charset=utf-8",
		".js":  "text/javascript; charset=utf-8",
		".svg": "image/svg+xml",
	}
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(fmt.Sprintf("templates: %v", err))
	}
	as := make(map[string]asset, len(entries))
	for _, e := range entries {
		name := "static/" + e.Name()
		body, err := staticFiles.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("templates: %v", err))
		}
		sum := sha256.Sum256(body)
		as["/"+name] = asset{
			body:        body,
			contentType: types[path.Ext(name)],
			version:     base64.RawURLEncoding.EncodeToString(sum[:9]),
		}
	}
	return as
})

// staticURL is the relative address of a file with its version, so that browsers
// keep it for as long as it is the same, and no longer.
func staticURL(name string) (string, error) {
	a, ok := assets()["/static/"+name]
	if !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return "static/" + name + "?v=" + a.version, nil
}

// Static serves the files of the page, GET and HEAD, under their full paths:
// /static/app.css, /static/app.js, /static/favicon.svg. Asked with their version
// (?v=…) they may be kept forever, without it they are asked for again by ETag.
// What is not there notFound answers.
func Static(notFound http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := assets()[r.URL.Path]
		if !ok {
			notFound.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", `"`+a.version+`"`)
		if r.URL.Query().Get("v") == a.version {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			h.Set("Cache-Control", "no-cache")
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	})
}
