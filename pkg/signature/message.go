package signature

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxAge is how far a request's signature may be from the server's clock, on
// both sides.
const MaxAge = 300 * time.Second

var (
	// ErrStale: the signature is right, and was not made within MaxAge of the
	// verifier's clock.
	ErrStale = errors.New("the signature was made at another time than now")
	errWrong = errors.New("the message signature is wrong")
)

// What a request's signature covers, always and where the header is there. All
// that decides what a request does is among them.
var (
	requestAlways  = []component{{name: "@method"}, {name: "@path"}, {name: "@query"}, {name: "content-digest"}}
	requestHeaders = []string{"Content-Encoding", "Content-Type", "Idempotency-Key"}
)

// What an answer's signature covers besides the request, likewise.
var (
	responseAlways  = []component{{name: "@status"}, {name: "content-digest"}, {name: "date"}}
	responseHeaders = []string{"Content-Encoding", "Content-Type", "Idempotency-Replayed", "Retry-After"}
	// bound ties an answer to a signature made here.
	bound = component{name: "signature", req: true, key: label}
)

// covers is always, and of headers those that are there.
func covers(always []component, headers []string, header http.Header) []component {
	out := slices.Clone(always)
	for _, name := range headers {
		if len(header[name]) > 0 {
			out = append(out, component{name: strings.ToLower(name)})
		}
	}
	return out
}

// sign sets the headers of a signature in header, which m reads from.
func (k *Keys) sign(keys *macs, m message, components []component, header http.Header, created time.Time, nonce string) error {
	var b strings.Builder
	b.WriteByte('(')
	for i, c := range components {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(c.id())
	}
	b.WriteString(")" + `;created=` + strconv.FormatInt(created.Unix(), 10) +
		`;keyid="` + k.id + `";alg="` + algorithm + `";tag="` + tag + `"`)
	if nonce != "" {
		b.WriteString(`;nonce="` + nonce + `"`)
	}
	params := b.String()
	base, err := m.base(components, params)
	if err != nil {
		return err
	}
	s := keys.of(base)
	header[HeaderInput] = []string{label + "=" + params}
	header[HeaderSignature] = []string{label + "=:" + base64.StdEncoding.EncodeToString(s[:]) + ":"}
	return nil
}

// SignRequest puts Content-Digest, Signature-Input and Signature into r's
// header, which must be complete otherwise. created is the time by the server's
// clock. A nonce makes the signature, and so the answer that is tied to it, one
// of its kind.
func (k *Keys) SignRequest(r Request, body []byte, created time.Time) error {
	r.Header[HeaderDigest] = []string{Digest(body)}
	return k.sign(&k.request, message{request: r}, covers(requestAlways, requestHeaders, r.Header), r.Header, created, rand.Text())
}

// Verified is a request whose signature is right as far as VerifyRequest looks:
// it is for CheckTime and CheckBody to say whether it counts.
type Verified struct {
	in      *input
	digests digests
}

// VerifyRequest demands a signature of the request key over all that decides what
// the request does. It doesn't need the body, so that nobody without the key can
// make a server read one. ErrMissing if there is no signature.
func (k *Keys) VerifyRequest(r Request) (*Verified, error) {
	in, err := k.verify(&k.request, message{request: r}, r.Header, covers(requestAlways, requestHeaders, r.Header))
	if err != nil {
		return nil, err
	}
	v := &Verified{in: in}
	v.digests, err = parseDigest(r.Header[HeaderDigest])
	return v, err
}

// CheckTime returns ErrStale unless the signature was made within MaxAge of now
// and has not expired.
func (v *Verified) CheckTime(now time.Time) error {
	age := now.Unix() - v.in.created
	if most := int64(MaxAge / time.Second); age > most || age < -most {
		return fmt.Errorf("%w: it was made %d s %s now, and %d s are allowed", ErrStale, max(age, -age), side(age), most)
	}
	if v.in.hasExpires && now.Unix() > v.in.expires {
		return fmt.Errorf("%w: it has expired", ErrStale)
	}
	return nil
}

func side(age int64) string {
	if age < 0 {
		return "after"
	}
	return "before"
}

// CheckBody demands that the body, as on the wire, is the one that was signed.
func (v *Verified) CheckBody(body []byte) error { return v.digests.check(body) }

// verify demands a signature by keys that covers all that is needed.
func (k *Keys) verify(keys *macs, m message, header http.Header, needed []component) (*input, error) {
	in, err := parseInput(header)
	if err != nil {
		return nil, err
	}
	for _, c := range needed {
		if !slices.Contains(in.components, c) {
			return nil, fmt.Errorf("the message signature does not cover %s", c.id())
		}
	}
	if in.keyID != "" && in.keyID != k.id {
		return nil, errors.New("the message signature is of another key")
	}
	base, err := m.base(in.components, in.params)
	if err != nil {
		return nil, err
	}
	if !keys.verify(in.signature, base) {
		return nil, errWrong
	}
	return in, nil
}

// SignResponse puts Content-Digest, Date, Signature-Input and Signature into the
// answer's header, which must be complete otherwise. With to, the answer is tied
// to that request's signature: it decides something about it. Without, it is
// tied to the method and the target only, and no client should believe it.
func (k *Keys) SignResponse(res Response, body []byte, now time.Time, to *Verified) error {
	res.Header[HeaderDigest] = []string{Digest(body)}
	res.Header["Date"] = []string{now.UTC().Format(http.TimeFormat)}
	components := covers(responseAlways, responseHeaders, res.Header)
	if to != nil {
		components = append(components, component{name: "signature", req: true, key: to.in.label})
	} else {
		components = append(components, component{name: "@method", req: true},
			component{name: "@path", req: true}, component{name: "@query", req: true})
	}
	return k.sign(&k.response, message{res.Request, &res}, components, res.Header, now, "")
}

// VerifyResponse demands that the answer is one to a request that SignRequest has
// signed, that the server has found right, and that nobody has changed it.
// ErrMissing if there is no signature.
func (k *Keys) VerifyResponse(res Response, body []byte) error {
	needed := append(covers(responseAlways, responseHeaders, res.Header), bound)
	if _, err := k.verify(&k.response, message{res.Request, &res}, res.Header, needed); err != nil {
		return err
	}
	d, err := parseDigest(res.Header[HeaderDigest])
	if err != nil {
		return err
	}
	return d.check(body)
}
