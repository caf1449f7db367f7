package signature

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/dunglas/httpsfv"
)

// Digest is the value of Content-Digest (RFC 9530) for a body as it is on the
// wire.
func Digest(body []byte) string {
	d := sha256.Sum256(body)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(d[:]) + ":"
}

var errDigest = errors.New("header Content-Digest does not match the body")

// digests are those of a Content-Digest header that are understood; nil where
// there is none.
type digests struct{ sha256, sha512 []byte }

// parseDigest reads a Content-Digest header. Algorithms that nobody should trust
// any more, or that nobody knows yet, are passed over.
func parseDigest(header []string) (digests, error) {
	var d digests
	dict, err := httpsfv.UnmarshalDictionary(header)
	if err != nil {
		return d, fmt.Errorf("header Content-Digest: %w", err)
	}
	for name, field := range map[string]*[]byte{"sha-256": &d.sha256, "sha-512": &d.sha512} {
		member, ok := dict.Get(name)
		if !ok {
			continue
		}
		item, _ := member.(httpsfv.Item) // zero when it is a list
		if *field, ok = item.Value.([]byte); !ok {
			return d, fmt.Errorf("header Content-Digest: %s is not a byte sequence", name)
		}
	}
	if d.sha256 == nil && d.sha512 == nil {
		return d, errors.New("header Content-Digest has neither sha-256 nor sha-512")
	}
	return d, nil
}

// check demands that all of them are the body's.
func (d digests) check(body []byte) error {
	ok := 1
	if d.sha256 != nil {
		s := sha256.Sum256(body)
		ok &= subtle.ConstantTimeCompare(s[:], d.sha256)
	}
	if d.sha512 != nil {
		s := sha512.Sum512(body)
		ok &= subtle.ConstantTimeCompare(s[:], d.sha512)
	}
	if ok != 1 {
		return errDigest
	}
	return nil
}
