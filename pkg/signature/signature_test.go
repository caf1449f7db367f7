package signature_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/signature"
)

const body = `[{"id":"c","type":"counter","delta":1}]`

var now = time.Unix(1_800_000_000, 0)

func keys() *signature.Keys { return signature.NewKeys([]byte("correct horse")) }

// signed is a request with a message signature made at now.
func signed(t testing.TB) signature.Request {
	t.Helper()
	r := signature.Request{
		Method: http.MethodPost, Authority: "h:1", Target: "/updates/?a=b",
		Header: http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {`"p/1"`}},
	}
	require.NoError(t, keys().SignRequest(r, []byte(body), now))
	return r
}

// accept is what a server does, in its order.
func accept(k *signature.Keys, r signature.Request, body string, at time.Time) error {
	v, err := k.VerifyRequest(r)
	if err != nil {
		return err
	}
	if err := v.CheckTime(at); err != nil {
		return err
	}
	return v.CheckBody([]byte(body))
}

func TestRequest(t *testing.T) {
	r := signed(t)
	require.NoError(t, accept(keys(), r, body, now))
	input := r.Header.Get("Signature-Input")
	require.Regexp(t, `^gometheus=\("@method" "@path" "@query" "content-digest" "content-type" "idempotency-key"\)`+
		`;created=1800000000;keyid="[0-9a-f]{16}";alg="hmac-sha256";tag="gometheus";nonce="[A-Z2-7]+"$`, input)
	require.NotEqual(t, input, signed(t).Header.Get("Signature-Input"), "a nonce of its own")

	// What others put on the message besides is theirs.
	r.Header["Signature-Input"] = []string{`proxy=("@method");created=1;tag="other"`, input, `x=1`}
	r.Header.Add("Signature", `proxy=:AAAA:`)
	require.NoError(t, accept(keys(), r, body, now))
}

// replace changes a header.
func replace(name, from, to string) func(*signature.Request) {
	return func(r *signature.Request) {
		v := r.Header.Get(name)
		if !strings.Contains(v, from) {
			panic("signature_test: no " + from + " in " + v)
		}
		r.Header.Set(name, strings.Replace(v, from, to, 1))
	}
}

func set(name, value string) func(*signature.Request) {
	return func(r *signature.Request) { r.Header.Set(name, value) }
}

// TestRefusedRequests are each a right request with one thing changed.
func TestRefusedRequests(t *testing.T) {
	const in = "Signature-Input"
	for _, tt := range []struct {
		name   string
		change func(*signature.Request)
		says   string
	}{
		{"another method", func(r *signature.Request) { r.Method = "PUT" }, "is wrong"},
		{"another path", func(r *signature.Request) { r.Target = "/update/?a=b" }, "is wrong"},
		{"without the slash", func(r *signature.Request) { r.Target = "/updates?a=b" }, "is wrong"},
		{"another query", func(r *signature.Request) { r.Target = "/updates/?a=c" }, "is wrong"},
		{"no query", func(r *signature.Request) { r.Target = "/updates/" }, "is wrong"},
		{"another type", set("Content-Type", "text/plain"), "is wrong"},
		{"no type", func(r *signature.Request) { r.Header.Del("Content-Type") }, "content-type is covered by the signature and missing"},
		{"another key", set("Idempotency-Key", `"p/2"`), "is wrong"},
		{"a key more", func(r *signature.Request) { r.Header.Add("Idempotency-Key", `"p/2"`) }, "is wrong"},
		{"an encoding more", set("Content-Encoding", "gzip"), `does not cover "content-encoding"`},
		{"another digest", set("Content-Digest", signature.Digest(nil)), "is wrong"},
		{"no signature at all", func(r *signature.Request) { r.Header.Del(in); r.Header.Del("Signature") }, "there is no message signature"},
		{"no input", func(r *signature.Request) { r.Header.Del(in) }, "there is no message signature"},
		{"no signature", func(r *signature.Request) { r.Header.Del("Signature") }, `no byte sequence "gometheus"`},
		{"another label", replace("Signature", "gometheus", "other"), `no byte sequence "gometheus"`},
		{"a text for a signature", set("Signature", `gometheus="x"`), "no byte sequence"},
		{"an empty signature", set("Signature", `gometheus=::`), "is wrong"},
		{"a short signature", set("Signature", `gometheus=:AAAA:`), "is wrong"},
		{"another tag", replace(in, `tag="gometheus"`, `tag="other"`), "there is no message signature"},
		{"a token for a tag", replace(in, `tag="gometheus"`, `tag=gometheus`), "there is no message signature"},
		{"two of the tag", func(r *signature.Request) {
			r.Header.Add(in, strings.Replace(r.Header.Get(in), "gometheus=", "second=", 1))
		}, "more than one signature"},
		{"no created", replace(in, ";created=1800000000", ""), "created is missing"},
		{"created later", replace(in, ";created=1800000000", ";created=1800000001"), "is wrong"},
		{"created twice", replace(in, ";created=1800000000", ";created=1800000000;created=1800000009"), "is wrong"},
		{"a text for created", replace(in, "=1800000000", `="1800000000"`), "parameter created"},
		{"an expiry more", replace(in, ";keyid", ";expires=1900000000;keyid"), "is wrong"},
		{"another algorithm", replace(in, "hmac-sha256", "ed25519"), "parameter alg"},
		{"another key id", replace(in, `keyid="`, `keyid="0`), "of another key"},
		{"no key id", func(r *signature.Request) {
			id := keys().ID()
			replace(in, `;keyid="`+id+`"`, "")(r)
		}, "is wrong"},
		{"not covering the method", replace(in, `"@method" `, ""), `does not cover "@method"`},
		{"not covering the path", replace(in, `"@path" `, ""), `does not cover "@path"`},
		{"not covering the query", replace(in, `"@query" `, ""), `does not cover "@query"`},
		{"not covering the digest", replace(in, `"content-digest" `, ""), `does not cover "content-digest"`},
		{"not covering the type", replace(in, ` "content-type"`, ""), `does not cover "content-type"`},
		{"not covering the key", replace(in, ` "idempotency-key"`, ""), `does not cover "idempotency-key"`},
		{"in another order", replace(in, `"@method" "@path"`, `"@path" "@method"`), "is wrong"},
		{"a component twice", replace(in, `"@method"`, `"@method" "@method"`), "stands twice"},
		{"a component more", replace(in, `"@method"`, `"@method" "@authority"`), "is wrong"},
		{"a component of the request", replace(in, `"@method"`, `"@method";req`), `does not cover "@method"`},
		{"an unknown parameter of a component", replace(in, `"@path"`, `"@path";sf`), "parameter sf is not supported"},
		{"an unknown component", replace(in, `"@method"`, `"@method" "@target-uri"`), `component "@target-uri" is not supported`},
		{"upper case", replace(in, `"content-type"`, `"Content-Type"`), "not the name of a component"},
		{"a token for a component", replace(in, `"@method"`, `method`), "not the name of a component"},
		{"too many components", replace(in, `"@method"`, `"@method"`+strings.Repeat(` "x"`, 40)), "at most 32"},
		{"broken", set(in, `gometheus=("@method`), "header Signature-Input"},
		{"a broken signature", set("Signature", `gometheus=:A`), "header Signature"},
		{"a line break", set("Content-Type", "a\nb"), "line break"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := signed(t)
			tt.change(&r)
			require.ErrorContains(t, accept(keys(), r, body, now), tt.says)
		})
	}
	require.ErrorContains(t, accept(keys(), signed(t), body+" ", now), "does not match the body")
	require.ErrorContains(t, accept(signature.NewKeys([]byte("wrong horse")), signed(t), body, now), "of another key")
}

func TestTime(t *testing.T) {
	for d, ok := range map[time.Duration]bool{
		0: true, 300 * time.Second: true, -300 * time.Second: true, 301 * time.Second: false, -301 * time.Second: false, 1e6 * time.Hour: false,
	} {
		err := accept(keys(), signed(t), body, now.Add(d))
		if ok {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, signature.ErrStale)
		}
	}
}

// answer is a signed answer to r.
func answer(t *testing.T, r signature.Request, said string, believe bool) signature.Response {
	t.Helper()
	var v *signature.Verified
	if believe {
		var err error
		v, err = keys().VerifyRequest(r)
		require.NoError(t, err)
	}
	res := signature.Response{Status: 200, Header: http.Header{"Content-Type": {"application/json"}, "Vary": {"x"}}, Request: r}
	require.NoError(t, keys().SignResponse(res, []byte(said), now, v))
	return res
}

func TestResponse(t *testing.T) {
	const said = `[]`
	r := signed(t)
	res := answer(t, r, said, true)
	require.NoError(t, keys().VerifyResponse(res, []byte(said)))
	require.Equal(t, "Fri, 15 Jan 2027 08:00:00 GMT", res.Header.Get("Date"))
	require.Contains(t, res.Header.Get("Signature-Input"),
		`("@status" "content-digest" "date" "content-type" "signature";req;key="gometheus")`)

	for name, change := range map[string]func(*signature.Response, *string){
		"another status":          func(res *signature.Response, _ *string) { res.Status = 204 },
		"another body":            func(_ *signature.Response, said *string) { *said = "{}" },
		"another date":            func(res *signature.Response, _ *string) { res.Header.Set("Date", "Fri, 15 Jan 2027 08:00:01 GMT") },
		"no date":                 func(res *signature.Response, _ *string) { res.Header.Del("Date") },
		"another type":            func(res *signature.Response, _ *string) { res.Header.Set("Content-Type", "text/html") },
		"an encoding more":        func(res *signature.Response, _ *string) { res.Header.Set("Content-Encoding", "gzip") },
		"a wait more":             func(res *signature.Response, _ *string) { res.Header.Set("Retry-After", "9") },
		"a replay more":           func(res *signature.Response, _ *string) { res.Header.Set("Idempotency-Replayed", "true") },
		"no signature":            func(res *signature.Response, _ *string) { res.Header.Del("Signature-Input") },
		"to another request":      func(res *signature.Response, _ *string) { res.Request = signed(t) },
		"to a request not signed": func(res *signature.Response, _ *string) { res.Request = signature.Request{Header: http.Header{}} },
		"not believed":            func(res *signature.Response, said *string) { *res = answer(t, r, *said, false) },
	} {
		res, said := answer(t, r, said, true), said
		change(&res, &said)
		require.Error(t, keys().VerifyResponse(res, []byte(said)), name)
	}
	other := signature.NewKeys([]byte("wrong horse"))
	require.Error(t, other.VerifyResponse(res, []byte(said)))
}

// TestUsesAreApart: what is signed for one use is no signature for another.
func TestUsesAreApart(t *testing.T) {
	r := signed(t)
	res := answer(t, r, body, true)
	asRequest := signature.Request{Method: "POST", Target: "/updates/", Header: res.Header}
	_, err := keys().VerifyRequest(asRequest)
	require.Error(t, err)
	require.Error(t, keys().VerifyResponse(signature.Response{Status: 200, Header: r.Header, Request: r}, []byte(body)))

	require.False(t, keys().VerifyTarget(keys().HashOfBody(nil), "POST", "/update/counter/x/1"))
	require.False(t, keys().VerifyBody(keys().HashOfTarget("POST", "/update/counter/x/1"), nil))
}

func TestHash(t *testing.T) {
	// printf 'POST /update/counter/x/1' | openssl dgst -sha256 -hmac 'correct horse'
	const want = "b621e7867a1e533a8516afcbdec81b22566bb4b59f08aa054572c99be9b93c56"
	k := keys()
	require.True(t, k.VerifyBody(k.HashOfBody([]byte(body)), []byte(body)))
	require.True(t, k.VerifyBody(strings.ToUpper(k.HashOfBody([]byte(body))), []byte(body)))
	require.Equal(t, k.HashOfBody([]byte("POST /a?b")), k.HashOfTarget("POST", "/a?b"))
	require.True(t, k.VerifyTarget(k.HashOfTarget("POST", "/a?b"), "POST", "/a?b"))
	for _, bad := range []string{"", "00", "zz", k.HashOfBody(nil), k.HashOfBody([]byte(body)) + "00"} {
		require.False(t, k.VerifyBody(bad, []byte(body)))
		require.False(t, k.VerifyTarget(bad, "POST", "/a?b"))
	}
	require.Equal(t, want, k.HashOfTarget("POST", "/update/counter/x/1"))
}

func TestMode(t *testing.T) {
	for _, m := range []signature.Mode{signature.Hash, signature.Both, signature.Message} {
		got, err := signature.ParseMode(m.String())
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	_, err := signature.ParseMode("none")
	require.EqualError(t, err, `signature mode "none": allowed are hash, both, message`)
	require.Equal(t, "Mode(9)", signature.Mode(9).String())
	require.PanicsWithValue(t, "signature: the secret is empty", func() { signature.NewKeys(nil) })
}

// FuzzSignatureInput puts anything into the headers of a right request. It must
// not pass unless it means what was signed: the same text once it is parsed.
func FuzzSignatureInput(f *testing.F) {
	// That of one request, as it must verify for as long as agents of today send to
	// servers of tomorrow.
	const (
		in     = `gometheus=("@method" "@path" "@query" "content-digest" "content-type" "idempotency-key");created=1800000000;keyid="9b46f6f36b5dc87c";alg="hmac-sha256";tag="gometheus";nonce="4Q3ZK5DKE23O2DCTYFA6ZXIVAH"`
		sig    = `gometheus=:A3L/r09HOvlNhdTTq3vFYhERc9l1aCpHSHcMP5qStTw=:`
		digest = `sha-256=:+EAA92MHfWJCIJITsyROSh5AUDqOP7zDAJssbqPJk8A=:`
	)
	f.Add(in, sig, digest)
	f.Add(strings.ReplaceAll(in, ";", " ; "), sig, digest)
	f.Add(in+`, x=("@status";req "signature";req;key="a");created=1.5;tag=?0`, sig+", x=::", digest+", md5=:AA==:")
	f.Add(`gometheus=();created=@1;tag="gometheus";alg=%"f%c3%bc"`, `gometheus=:////:;x`, "sha-512=::")
	// meant is what an input says, without the liberties its form allows and the
	// label, which is not signed.
	meant := func(t *testing.T, input string) (all []string) {
		dict, err := httpsfv.UnmarshalDictionary([]string{input})
		require.NoError(t, err)
		for _, name := range dict.Names() {
			member, _ := dict.Get(name)
			text, err := httpsfv.Marshal(member)
			require.NoError(t, err)
			all = append(all, text)
		}
		return all
	}
	f.Fuzz(func(t *testing.T, input, signs, digests string) {
		r := signed(t)
		require.Equal(t, digest, r.Header.Get("Content-Digest"))
		r.Header["Signature-Input"], r.Header["Signature"] = []string{input}, []string{signs}
		r.Header["Content-Digest"] = []string{digests}
		err := accept(keys(), r, body, now)
		if err != nil {
			if input == in && signs == sig && digests == digest {
				t.Fatal(err)
			}
			return
		}
		if strings.TrimSpace(digests) != digest {
			t.Fatalf("digest %q passed for %q", digests, digest)
		}
		require.Contains(t, meant(t, input), meant(t, in)[0])
	})
}
