package templates

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed static
var staticFiles embed.FS

// asset is one file of the pages. Its version is a hash of its bytes.
type asset struct {
	body                 []byte
	contentType, version string
}

// assetSet is all files by their path below static, and a version of them all.
type assetSet struct {
	files   map[string]asset
	version string
}

var assets = sync.OnceValue(func() assetSet {
	types := map[string]string{
		".css": "text/css; charset=utf-8",
		".js":  "text/javascript; charset=utf-8",
		".svg": "image/svg+xml",
		"":     "text/plain; charset=utf-8", // licences
	}
	set := assetSet{files: map[string]asset{}}
	all := sha256.New()
	err := fs.WalkDir(staticFiles, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := staticFiles.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(body)
		all.Write(sum[:])
		set.files[strings.TrimPrefix(name, "static/")] = asset{
			body:        body,
			contentType: types[path.Ext(name)],
			version:     base64.RawURLEncoding.EncodeToString(sum[:9]),
		}
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("templates: %v", err)) // the files are in the program
	}
	set.version = versionPrefix + base64.RawURLEncoding.EncodeToString(all.Sum(nil)[:9])
	return set
})

// versionPrefix starts the first segment of a path with a version.
const versionPrefix = "v-"

// staticURL is the address of a file relative to the root. The version of all files
// stands in the path and not in the query, so that what a module imports by its
// relative address has it too.
func staticURL(name string) (string, error) {
	set := assets()
	if _, ok := set.files[name]; !ok {
		return "", fmt.Errorf("no static file %q", name)
	}
	return "static/" + set.version + "/" + name, nil
}

// Static serves the files of the pages, GET and HEAD, under their full paths:
// /static/app.css, and /static/v-…/app.css. Asked with the present version they may
// be kept for ever, with another or none they are asked for again by ETag: who has
// an older page gets the newer file. What is not there notFound answers.
func Static(notFound http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := assets()
		name, _ := strings.CutPrefix(r.URL.Path, "/static/")
		version := ""
		if strings.HasPrefix(name, versionPrefix) {
			version, name, _ = strings.Cut(name, "/")
		}
		a, ok := set.files[name]
		if !ok || !strings.HasPrefix(r.URL.Path, "/static/") {
			notFound.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Type", a.contentType)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("ETag", `"`+a.version+`"`)
		if version == set.version {
			h.Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			h.Set("Cache-Control", "no-cache")
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	})
}
