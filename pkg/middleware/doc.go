// Package middleware holds the parts of an HTTP server that know nothing of
// metrics: Decompress for request bodies, Compress for answers, RequestLog.
//
// Each is a func(http.Handler) http.Handler. RequestLog belongs outermost;
// whatever looks at bytes as they are on the wire (signatures) stands outside
// of Compress and Decompress. Their wrappers are pooled: a handler must not use
// its ResponseWriter or body after it returned.
package middleware
