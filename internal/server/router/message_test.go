package router_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/signature"
)

// TestSignatureModes: which of the two forms each mode takes, alone and together,
// right and wrong.
func TestSignatureModes(t *testing.T) {
	type form string
	const none, right, wrong form = "no", "a right", "a wrong"
	const (
		missingHash    = "header HashSHA256 is missing"
		missingMessage = "there is no message signature (RFC 9421)"
		wrongHash      = "header HashSHA256 does not match"
		wrongMessage   = "the message signature is wrong"
	)
	for _, tt := range []struct {
		mode          signature.Mode
		hash, message form
		says          string // "": accepted
	}{
		{signature.Hash, none, none, missingHash},
		{signature.Hash, right, none, ""},
		{signature.Hash, wrong, none, wrongHash},
		{signature.Hash, none, right, missingHash},
		{signature.Hash, right, wrong, ""}, // it knows nothing of it
		{signature.Both, none, none, missingHash},
		{signature.Both, right, none, ""},
		{signature.Both, none, right, ""},
		{signature.Both, right, right, ""},
		{signature.Both, wrong, none, wrongHash},
		{signature.Both, wrong, right, wrongHash},
		{signature.Both, none, wrong, wrongMessage},
		{signature.Both, right, wrong, wrongMessage},
		{signature.Message, none, none, missingMessage},
		{signature.Message, right, none, missingMessage},
		{signature.Message, none, right, ""},
		{signature.Message, right, right, ""},
		{signature.Message, wrong, right, ""}, // nor this one of the hash
		{signature.Message, none, wrong, wrongMessage},
		{signature.Message, right, wrong, wrongMessage},
	} {
		for _, target := range []string{"/updates", "/update/counter/c/1"} {
			t.Run(tt.mode.String()+": "+string(tt.hash)+" hash, "+string(tt.message)+" message, "+target, func(t *testing.T) {
				b := newBattle(t, tt.mode)
				p := packet{method: "POST", target: target, header: http.Header{"Idempotency-Key": {`"p/1"`}}}
				hash := b.keys.HashOfTarget("POST", target)
				if target == "/updates" {
					p.body = `[{"id":"c","type":"counter","delta":1}]`
					hash = b.keys.HashOfBody([]byte(p.body))
				}
				switch tt.hash {
				case none:
				case right:
					p.header.Set("HashSHA256", hash)
				case wrong:
					p.header.Set("HashSHA256", strings.Repeat("0", 64))
				}
				if tt.message != none {
					r := signature.Request{Method: p.method, Target: p.target, Header: p.header}
					require.NoError(t, b.keys.SignRequest(r, []byte(p.body), b.clock))
				}
				if tt.message == wrong {
					p.header.Set("Signature", "gometheus=:AAAA:")
				}
				before := b.state()
				got := b.send(p)
				if tt.says == "" {
					require.Equal(t, 200, got.status, got.body)
					require.NotEqual(t, before, b.state())
					return
				}
				require.Contains(t, requireProblem(t, got, 400).Detail, tt.says)
				require.Equal(t, before, b.state())
			})
		}
	}
}

// TestMessageAnswers: every answer is signed, and tied to the request's signature
// if that is right.
func TestMessageAnswers(t *testing.T) {
	for _, mode := range []signature.Mode{signature.Both, signature.Message} {
		b := newBattle(t, mode)
		const one = `{"id":"c","type":"counter","delta":1}`
		for _, tt := range []struct {
			method, target, body string
			status               int
			header               []string
		}{
			{"POST", "/update", one, 200, []string{"Idempotency-Key", `"p/1"`}},
			{"POST", "/update", one, 200, []string{"Idempotency-Key", `"p/1"`}}, // replayed
			{"POST", "/updates/", "[" + one + "]", 204, []string{"Idempotency-Key", `"p/2"`, "Prefer", "return=minimal"}},
			{"POST", "/updates/", gz("[" + one + "]"), 200, []string{"Idempotency-Key", `"p/3"`, "Content-Encoding", "gzip", "Accept-Encoding", "gzip"}},
			{"POST", "/update/counter/c/1", "", 200, []string{"Idempotency-Key", `"p/4"`}},
			{"POST", "/updates", "[{]", 400, []string{"Idempotency-Key", `"p/5"`}},
			{"POST", "/updates", one, 400, []string{"Idempotency-Key", ""}},
			{"POST", "/updates", "[]", 400, nil}, // no key
			{"POST", "/value", `{"id":"c","type":"counter"}`, 200, nil},
			{"POST", "/value/", `{"id":"d","type":"counter"}`, 404, nil},
			{"GET", "/value/counter/c", "", 200, nil},
			{"HEAD", "/value/counter/c", "", 200, nil},
			{"GET", "/?q=c", "", 200, []string{"Accept-Encoding", "gzip"}},
			{"GET", "/static/app.js", "", 200, nil},
			{"GET", "/static/nope", "", 404, nil},
			{"GET", "/ping", "", 200, nil},
		} {
			t.Run(mode.String()+" "+tt.method+" "+tt.target, func(t *testing.T) {
				p := packet{method: tt.method, target: tt.target, body: tt.body, header: http.Header{}}
				for i := 0; i < len(tt.header); i += 2 {
					p.header.Set(tt.header[i], tt.header[i+1])
				}
				verify := func(sent packet, got answer) error {
					r := signature.Request{Method: p.method, Target: p.target, Header: sent.header}
					body := got.body
					if p.method == "HEAD" { // the recorder has what a connection has not
						body = ""
					}
					return b.keys.VerifyResponse(signature.Response{Status: got.status, Header: got.header, Request: r}, []byte(body))
				}
				if mode == signature.Message { // else the hash would have to be of a path
					b.sign(p)
				} else {
					r := signature.Request{Method: p.method, Target: p.target, Header: p.header}
					require.NoError(t, b.keys.SignRequest(r, []byte(p.body), b.clock))
				}
				got := b.send(p)
				require.Equal(t, tt.status, got.status, got.body)
				require.NoError(t, verify(p, got))
				require.Equal(t, mode == signature.Both && got.body != "" && p.method != "HEAD", got.header.Get("HashSHA256") != "")

				// It is no answer to another request, not even of the same bytes.
				again := p.clone()
				b.sign(again)
				require.Error(t, verify(again, got))

				// And an answer to a request that is not right says nothing about it.
				broken := p.clone()
				broken.header.Set("Signature", "gometheus=:AAAA:")
				got = b.send(broken)
				require.Error(t, verify(broken, got))
				require.Error(t, verify(p, got))
				broken = p.clone()
				broken.body += " "
				got = b.send(broken)
				require.Error(t, verify(broken, got))
				require.Error(t, verify(p, got))
			})
		}
	}
}

// TestStale: the answer to a signature of another time is worth believing, and
// tells the time.
func TestStale(t *testing.T) {
	for _, off := range []time.Duration{301 * time.Second, -301 * time.Second, 1000 * time.Hour} {
		b := newBattle(t, signature.Message)
		p := b.write(1)
		b.clock = b.clock.Add(off)
		got := b.send(p)
		require.Equal(t, "stale", requireProblem(t, got, 400).Code)
		r := signature.Request{Method: p.method, Target: p.target, Header: p.header}
		require.NoError(t, b.keys.VerifyResponse(signature.Response{Status: got.status, Header: got.header, Request: r}, []byte(got.body)))
		require.Equal(t, b.clock.UTC().Format(http.TimeFormat), got.header.Get("Date"))
		b.sign(p)
		b.deliver(p)
	}
}

// TestNoBodyWithoutKey: nobody without the key makes the server read a body to
// verify a message signature.
func TestNoBodyWithoutKey(t *testing.T) {
	b := newBattle(t, signature.Message)
	for name, change := range map[string]func(packet){
		"none":  func(p packet) { p.header.Del("Signature-Input"); p.header.Del("Signature") },
		"wrong": func(p packet) { p.header.Set("Content-Digest", signature.Digest([]byte("x"))) },
	} {
		p := packet{method: "POST", target: "/updates", header: http.Header{"Idempotency-Key": {"x"}}}
		b.sign(p)
		change(p)
		r := httptest.NewRequest("POST", "/updates", unreadable{t})
		r.Header = p.header
		w := httptest.NewRecorder()
		b.h.ServeHTTP(w, r)
		require.Equal(t, 400, w.Code, name)
	}
}

type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, errors.New("no body")
}

// TestAnswersAreStillJSON: the mark of answers is white space, and is there only
// where a request could have the same hash.
func TestAnswersAreStillJSON(t *testing.T) {
	for mode, want := range map[signature.Mode]string{signature.Hash: "[] \t\r\n", signature.Both: "[] \t\r\n", signature.Message: "[]"} {
		b := newBattle(t, mode)
		p := packet{method: "POST", target: "/updates", body: "[]", header: http.Header{"Idempotency-Key": {"x"}}}
		b.sign(p)
		got := b.send(p)
		require.Equal(t, want, got.body)
		require.Equal(t, []string{"application/json"}, got.header["Content-Type"])
		require.Equal(t, len(want), len(got.body))
	}
}
