package signature

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"
)

// Headers of a message signature, in the form of http.Header's keys.
const (
	HeaderInput     = "Signature-Input"
	HeaderSignature = "Signature"
	HeaderDigest    = "Content-Digest"
)

const (
	// tag marks the signatures that are meant here among those that others have
	// put on a message.
	tag = "gometheus"
	// label names a signature that this package makes.
	label     = "gometheus"
	algorithm = "hmac-sha256"
	// maxComponents bounds the work a signature makes. Ours cover 7 at most.
	maxComponents = 32
)

// ErrMissing: the message has no signature that is meant here.
var ErrMissing = errors.New("there is no message signature (RFC 9421) with tag=\"" + tag + "\"")

// Request is what a signature can cover of a request.
type Request struct {
	Method    string
	Authority string // host and port; covered if the signer wants it
	Target    string // path and query as in the request line
	Header    http.Header
}

// Response is what a signature can cover of an answer.
type Response struct {
	Status  int
	Header  http.Header
	Request Request // which it answers
}

// RequestOf is a request as it came in.
func RequestOf(r *http.Request) Request {
	return Request{Method: r.Method, Authority: r.Host, Target: targetOf(r), Header: r.Header}
}

// targetOf is the target in the form with a path, whatever form was sent.
func targetOf(r *http.Request) string {
	target := r.RequestURI
	if _, rest, ok := strings.Cut(target, "://"); ok && !strings.HasPrefix(target, "/") {
		// As a proxy gets it.
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		} else {
			target = ""
		}
	}
	switch {
	case r.RequestURI == "": // made by hand, in tests
		return r.URL.RequestURI()
	case target == "" || target[0] == '?':
		return "/" + target
	}
	return target
}

// component is what one line of the signature base is of.
type component struct {
	name string
	req  bool   // of the request, in an answer's signature
	key  string // of a member of the dictionary that the field is
}

// id is the component as it stands in Signature-Input.
func (c component) id() string {
	id := strconv.Quote(c.name) // names are of plain characters
	if c.req {
		id += ";req"
	}
	if c.key != "" {
		id += ";key=" + strconv.Quote(c.key)
	}
	return id
}

// message is where the values of components come from.
type message struct {
	request  Request
	response *Response // nil for the signature of a request
}

// value is the component's value in the signature base.
func (m message) value(c component) (string, error) {
	header := m.request.Header
	if m.response != nil && !c.req {
		header = m.response.Header
	}
	switch {
	case c.key != "":
		return memberOf(header, c)
	case !strings.HasPrefix(c.name, "@"):
		return fieldOf(header, c.name)
	case c.name == "@status" && m.response != nil && !c.req:
		return strconv.Itoa(m.response.Status), nil
	case m.response != nil && !c.req:
		return "", fmt.Errorf("an answer has no %s", c.id())
	}
	path, query, _ := strings.Cut(m.request.Target, "?")
	switch c.name {
	case "@method":
		return m.request.Method, nil
	case "@authority":
		return strings.ToLower(m.request.Authority), nil
	case "@request-target":
		return m.request.Target, nil
	case "@path":
		return path, nil
	case "@query":
		return "?" + query, nil
	}
	return "", fmt.Errorf("component %s is not supported", c.id())
}

func fieldOf(header http.Header, name string) (string, error) {
	values := header[http.CanonicalHeaderKey(name)]
	if len(values) == 0 {
		return "", fmt.Errorf("header %s is covered by the signature and missing", name)
	}
	var b strings.Builder
	for i, v := range values {
		if strings.ContainsAny(v, "\r\n") { // net/http takes and sends none
			return "", fmt.Errorf("header %s has a line break", name)
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strings.Trim(v, " \t"))
	}
	return b.String(), nil
}

func memberOf(header http.Header, c component) (string, error) {
	dict, err := httpsfv.UnmarshalDictionary(header[http.CanonicalHeaderKey(c.name)])
	if err != nil {
		return "", fmt.Errorf("header %s: %w", c.name, err)
	}
	member, ok := dict.Get(c.key)
	if !ok {
		return "", fmt.Errorf("component %s is covered by the signature and missing", c.id())
	}
	return httpsfv.Marshal(member)
}

// base is the text that is signed: a line for each component, and params, the
// member of Signature-Input.
func (m message) base(components []component, params string) ([]byte, error) {
	b := make([]byte, 0, 512+len(params))
	for _, c := range components {
		v, err := m.value(c)
		if err != nil {
			return nil, err
		}
		b = append(b, c.id()...)
		b = append(b, ": "...)
		b = append(b, v...)
		b = append(b, '\n')
	}
	b = append(b, `"@signature-params": `...)
	return append(b, params...), nil
}

// input is a member of Signature-Input with its signature.
type input struct {
	label      string
	components []component
	params     string // as it is signed
	signature  []byte

	created, expires int64 // Unix seconds
	hasExpires       bool
	keyID            string // empty: not told
}

// parseInput reads the one signature of a message that is meant here.
func parseInput(header http.Header) (*input, error) {
	fields, err := httpsfv.UnmarshalDictionary(header[HeaderInput])
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", HeaderInput, err)
	}
	var list httpsfv.InnerList
	in := &input{}
	for _, name := range fields.Names() {
		member, _ := fields.Get(name)
		l, ok := member.(httpsfv.InnerList)
		if !ok {
			continue
		}
		if t, _ := l.Params.Get("tag"); t != tag {
			continue
		}
		if in.label != "" {
			return nil, fmt.Errorf("header %s has more than one signature with tag=%q", HeaderInput, tag)
		}
		in.label, list = name, l
	}
	if in.label == "" {
		return nil, ErrMissing
	}
	if err := in.read(list); err != nil {
		return nil, fmt.Errorf("header %s: %w", HeaderInput, err)
	}
	signatures, err := httpsfv.UnmarshalDictionary(header[HeaderSignature])
	if err != nil {
		return nil, fmt.Errorf("header %s: %w", HeaderSignature, err)
	}
	member, _ := signatures.Get(in.label)
	item, _ := member.(httpsfv.Item)
	var ok bool
	if in.signature, ok = item.Value.([]byte); !ok {
		return nil, fmt.Errorf("header %s has no byte sequence %q", HeaderSignature, in.label)
	}
	return in, nil
}

func (in *input) read(list httpsfv.InnerList) (err error) {
	if len(list.Items) > maxComponents {
		return fmt.Errorf("%d components: at most %d are allowed", len(list.Items), maxComponents)
	}
	for _, item := range list.Items {
		c, err := componentOf(item)
		if err != nil {
			return err
		}
		if slices.Contains(in.components, c) {
			return fmt.Errorf("component %s stands twice", c.id())
		}
		in.components = append(in.components, c)
	}
	if in.params, err = httpsfv.Marshal(list); err != nil {
		return err
	}
	for _, name := range list.Params.Names() {
		v, _ := list.Params.Get(name)
		ok := true
		switch name {
		case "created":
			in.created, ok = v.(int64)
		case "expires":
			in.expires, ok = v.(int64)
			in.hasExpires = true
		case "alg":
			ok = v == algorithm
		case "keyid":
			in.keyID, ok = v.(string)
		case "nonce":
			_, ok = v.(string)
		}
		if !ok {
			return fmt.Errorf("parameter %s: %v is not allowed", name, v)
		}
	}
	if _, ok := list.Params.Get("created"); !ok {
		return errors.New("parameter created is missing")
	}
	return nil
}

// componentOf takes what stands in Signature-Input for a component.
func componentOf(item httpsfv.Item) (component, error) {
	name, ok := item.Value.(string)
	if !ok || name == "" || strings.Trim(name, nameChars) != "" {
		return component{}, fmt.Errorf("%v is not the name of a component", item.Value)
	}
	c := component{name: name}
	for _, p := range item.Params.Names() {
		v, _ := item.Params.Get(p)
		flag, _ := v.(bool)
		key, isText := v.(string)
		switch {
		case p == "req" && flag:
			c.req = true
		// Only of this field is a member ever needed.
		case p == "key" && isText && name == "signature" && key != "" && strings.Trim(key, nameChars) == "":
			c.key = key
		default:
			return c, fmt.Errorf("component %q: parameter %s is not supported", name, p)
		}
	}
	return c, nil
}

// nameChars are those of header fields in lower case, of derived components, and
// of keys of dictionaries.
const nameChars = "@abcdefghijklmnopqrstuvwxyz0123456789-_.*"
