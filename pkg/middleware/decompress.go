package middleware

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	codes "github.com/gometheus/gometheus/pkg/errors"
	"github.com/gometheus/gometheus/pkg/semaphore"
)

// ErrorFunc answers a request that a middleware refused.
type ErrorFunc func(w http.ResponseWriter, r *http.Request, err error)

// BodyLimits bounds a request body, in bytes.
type BodyLimits struct {
	Wire  int64 // as sent
	Plain int64 // after decompression
	// Memory bounds, by its size in bytes, what the windows of zstd bodies take at
	// once; nil: nothing does. A body that finds no room fails with an error of code
	// Unavailable.
	Memory *semaphore.Semaphore
}

// ErrEncoding is wrapped by the error for a Content-Encoding that is not
// understood.
var ErrEncoding = errors.New("unsupported Content-Encoding")

// ErrCut is returned by a body whose connection ended within it: the sender may
// well have had more to say, and may say it again.
var ErrCut = errors.New("the connection ended within the body")

// WholeBody returns body with ErrCut in place of io.ErrUnexpectedEOF, so that it
// can't be taken for compressed data that ends too early.
func WholeBody(body io.ReadCloser) io.ReadCloser { return wholeBody{body} }

type wholeBody struct{ io.ReadCloser }

func (b wholeBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = ErrCut
	}
	return n, err
}

// Decompress lets handlers read the plain body of requests sent with
// Content-Encoding gzip or zstd, and removes that header. Both limits hold while
// reading, so that a small body can't unpack into much memory: a read beyond a
// limit fails with *http.MaxBytesError, damaged data with an error of code
// Invalid, and where the connection ended with ErrCut. An encoding that is neither answers through onError with ErrEncoding
// before the handler runs.
func Decompress(lim BodyLimits, onError ErrorFunc) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding")))
			if len(r.Header["Content-Encoding"]) > 1 {
				encoding = strings.Join(r.Header["Content-Encoding"], ", ")
			}
			var pool *sync.Pool
			switch encoding {
			case "", "identity":
				if r.Body != http.NoBody {
					r.Body = http.MaxBytesReader(w, WholeBody(r.Body), min(lim.Wire, lim.Plain))
				}
				next.ServeHTTP(w, r)
				return
			case "gzip", "x-gzip":
				pool = &gzipReaders
			case "zstd":
				if lim.Memory != nil {
					// A frame decides how large its window is, and may come at any time.
					release, ok := lim.Memory.TryAcquire(zstdWindow)
					if !ok {
						onError(w, r, codes.New(codes.Unavailable, "too many large requests at once"))
						return
					}
					defer release()
				}
				pool = &zstdReaders
			default:
				w.Header().Set("Accept-Encoding", "gzip, zstd")
				onError(w, r, fmt.Errorf("%w %q: allowed are gzip, zstd", ErrEncoding, encoding))
				return
			}
			body := pool.Get().(*plainBody)
			body.reset(http.MaxBytesReader(w, WholeBody(r.Body), lim.Wire), encoding, lim)
			r.Body = body
			r.Header.Del("Content-Encoding")
			r.ContentLength = -1
			defer func() {
				body.release()
				pool.Put(body)
			}()
			next.ServeHTTP(w, r)
		})
	}
}

var (
	gzipReaders = sync.Pool{New: func() any { return &plainBody{z: &gzipReader{}} }}
	zstdReaders = sync.Pool{New: func() any { return &plainBody{z: &zstdReader{}} }}
)

// plainBody is a request body that is decompressed while it is read.
type plainBody struct {
	body     io.Closer
	wire     replayed
	buffered *bufio.Reader
	memory   *semaphore.Semaphore // of windows; nil: unbounded
	z        decompressor
	encoding string
	limit    int64
	left     int64
	ahead    int64 // when so much is left it is looked ahead; < 0: it was, or need not be
	err      error // sticky
	started  bool
}

type decompressor interface {
	io.Reader
	Reset(r *bufio.Reader) error
	Release()
}

func (b *plainBody) reset(wire io.ReadCloser, encoding string, lim BodyLimits) {
	before := lim.Plain / aheadPart
	b.wire.reset(wire, int(before/aheadRatio))
	if b.buffered == nil {
		b.buffered = bufio.NewReaderSize(&b.wire, 4096)
	} else {
		b.buffered.Reset(&b.wire)
	}
	b.body, b.memory, b.encoding = wire, lim.Memory, encoding
	b.limit, b.left, b.ahead = lim.Plain, lim.Plain, lim.Plain-before
	b.err, b.started = nil, false
}

func (b *plainBody) release() {
	if b.limit-b.left > keptPlain {
		b.z = b.other() // it may have grown large
	}
	b.z.Release()
	b.buffered.Reset(nil)
	b.wire.reset(nil, 0)
	b.body, b.memory, b.err = nil, nil, http.ErrBodyReadAfterClose
}

// keptPlain is how much a decompressor may have unpacked to be used again.
const keptPlain = 1 << 20

// other is a new decompressor of the same kind.
func (b *plainBody) other() decompressor {
	if b.encoding == "zstd" {
		return &zstdReader{}
	}
	return &gzipReader{}
}

func (b *plainBody) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if !b.started {
		b.started = true
		if err := b.z.Reset(b.buffered); err != nil {
			b.err = b.wrap(err)
			return 0, b.err
		}
	}
	if b.left == b.ahead {
		b.ahead = -1
		if b.wire.most > 0 {
			if err := b.lookAhead(); err != nil {
				b.err = err
				return 0, err
			}
		}
	}
	if b.ahead >= 0 {
		p = p[:min(int64(len(p)), b.left-b.ahead)]
	}
	// One byte more than what is left tells a body of exactly the limit from a
	// larger one.
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.z.Read(p)
	if int64(n) > b.left {
		n, b.left = int(b.left), 0
		b.err = &http.MaxBytesError{Limit: b.limit}
		return n, b.err
	}
	b.left -= int64(n)
	if err != nil {
		b.err = b.wrap(err)
	}
	return n, b.err
}

func (b *plainBody) Close() error {
	b.err = http.ErrBodyReadAfterClose
	return b.body.Close()
}

func (b *plainBody) wrap(err error) error {
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case errors.As(err, &large), errors.Is(err, ErrCut), errors.Is(err, os.ErrDeadlineExceeded): // not of what is in it
		return err
	}
	return codes.Wrap(codes.Invalid, err, "the body is not valid "+b.encoding)
}

type gzipReader struct{ gzip.Reader }

func (z *gzipReader) Reset(r *bufio.Reader) error {
	err := z.Reader.Reset(r)
	if errors.Is(err, io.EOF) { // no body at all is no gzip either
		return io.ErrUnexpectedEOF
	}
	return err
}

func (z *gzipReader) Release() {}

// zstdWindow bounds what a frame can make the decoder allocate.
const zstdWindow = 8 << 20

type zstdReader struct{ d *zstd.Decoder }

func (z *zstdReader) Reset(r *bufio.Reader) error {
	if z.d != nil {
		return z.d.Reset(r)
	}
	// Concurrency 1 decodes in the caller's goroutine and starts none.
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow))
	z.d = d
	return err
}

func (z *zstdReader) Read(p []byte) (int, error) { return z.d.Read(p) }

func (z *zstdReader) Release() {
	if z.d != nil {
		z.d.Reset(nil) //nolint:errcheck // detaches the source; the next Reset reports
	}
}
