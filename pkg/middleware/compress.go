package middleware

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// Compress answers with Content-Encoding gzip to whoever accepts it, if the
// answer has one of the media types and is not encoded yet, whatever its size.
// It sets Vary on every answer of these types.
func Compress(types ...string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := compressors.Get().(*compressor)
			*c = compressor{ResponseWriter: w, types: types, accepted: acceptsGzip(r.Header["Accept-Encoding"]) && r.Method != http.MethodHead}
			defer c.release()
			next.ServeHTTP(c, r)
			c.finish()
		})
	}
}

var (
	compressors = sync.Pool{New: func() any { return new(compressor) }}
	gzipWriters = sync.Pool{New: func() any {
		// The fastest level: answers are small or made once.
		zw, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant
		}
		return zw
	}}
)

// varyEncoding is shared by all answers; its capacity is its length, so that
// adding to it copies.
var varyEncoding = []string{"Accept-Encoding"}

// compressor decides at the first byte of the body whether to compress.
type compressor struct {
	http.ResponseWriter
	types    []string
	accepted bool
	status   int // 0: no header yet
	sent     bool
	zw       *gzip.Writer
}

func (c *compressor) WriteHeader(status int) {
	if c.status != 0 {
		return
	}
	if status < 200 { // informational; the real one follows
		c.ResponseWriter.WriteHeader(status)
		return
	}
	c.status = status
	if status == http.StatusNoContent || status == http.StatusNotModified {
		c.send(false)
	}
	// Otherwise the header waits for the first byte: an empty body stays empty.
}

func (c *compressor) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	if !c.sent {
		if h := c.Header(); h.Get("Content-Type") == "" && h.Get("Content-Encoding") == "" {
			c.Header().Set("Content-Type", http.DetectContentType(p))
		}
		c.send(len(p) > 0)
	}
	if c.zw != nil {
		return c.zw.Write(p)
	}
	return c.ResponseWriter.Write(p)
}

// send sends the header.
func (c *compressor) send(body bool) {
	c.sent = true
	h := c.Header()
	// A 304 has no type any more, but the Vary that its 200 had.
	if c.matches(h.Get("Content-Type")) || c.status == http.StatusNotModified {
		if h["Vary"] == nil {
			h["Vary"] = varyEncoding
		} else {
			h.Add("Vary", "Accept-Encoding")
		}
		if body && c.accepted && h.Get("Content-Encoding") == "" && h.Get("Content-Range") == "" {
			h.Set("Content-Encoding", "gzip")
			h.Del("Content-Length")
			// The bytes differ, so a strong validator would lie.
			if tag := h.Get("Etag"); strings.HasPrefix(tag, `"`) {
				h.Set("Etag", "W/"+tag)
			}
			c.zw = gzipWriters.Get().(*gzip.Writer)
			c.zw.Reset(c.ResponseWriter)
		}
	}
	c.ResponseWriter.WriteHeader(c.status)
}

func (c *compressor) matches(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return slices.Contains(c.types, strings.TrimSpace(media))
}

// finish completes an answer of a handler that returned.
func (c *compressor) finish() {
	if !c.sent {
		if c.status == 0 {
			c.status = http.StatusOK
		}
		c.send(false)
	}
	if c.zw != nil {
		c.zw.Close() //nolint:errcheck // the client is gone: nobody to tell
	}
}

func (c *compressor) release() {
	if c.zw != nil {
		c.zw.Reset(nil)
		gzipWriters.Put(c.zw)
	}
	*c = compressor{}
	compressors.Put(c)
}

// Flush sends what was written so far.
func (c *compressor) Flush() {
	if !c.sent {
		if c.status == 0 {
			c.status = http.StatusOK
		}
		c.send(true)
	}
	if c.zw != nil {
		c.zw.Flush() //nolint:errcheck // the client is gone: nobody to tell
	}
	http.NewResponseController(c.ResponseWriter).Flush() //nolint:errcheck // not every writer can
}

// Unwrap is for http.ResponseController.
func (c *compressor) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// acceptsGzip reads Accept-Encoding (RFC 9110, 12.5.3): gzip, or *, not with
// q=0.
func acceptsGzip(headers []string) bool {
	star := false
	for _, header := range headers {
		if header == "gzip" { // what most clients send
			return true
		}
		for item := range strings.SplitSeq(header, ",") {
			coding, params, _ := strings.Cut(item, ";")
			coding = strings.ToLower(strings.TrimSpace(coding))
			if coding != "gzip" && coding != "x-gzip" && coding != "*" {
				continue
			}
			ok := quality(params) > 0
			if coding != "*" {
				return ok
			}
			star = ok
		}
	}
	return star
}

// quality is the q of "q=0.5", 1 if there is none, 0 if it is malformed.
func quality(params string) float64 {
	name, value, found := strings.Cut(strings.TrimSpace(params), "=")
	if !found || strings.ToLower(strings.TrimSpace(name)) != "q" {
		return 1
	}
	q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil {
		return 0
	}
	return q
}
