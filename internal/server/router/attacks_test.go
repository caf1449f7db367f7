package router_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gometheus/gometheus/pkg/signature"
)

// attack is made of what was seen. ok is false if it doesn't apply.
type attack func(b *battle) (p packet, ok bool)

// anyPast and anyWaiting are packets to begin with.
func (b *battle) anyPast() exchange {
	return b.past[b.r.IntN(len(b.past))]
}

func (b *battle) anyWaiting() packet {
	return b.waiting[b.r.IntN(len(b.waiting))].clone()
}

var writeTargets = []string{"/update", "/update/", "/updates", "/updates/", "/update/counter/c/1000", "/update/counter/c/1?x=y", "/update/gauge/g/7"}

// tamper changes one thing of a request that the server doesn't have yet.
func tamper(change func(b *battle, p *packet) bool) attack {
	return func(b *battle) (packet, bool) {
		p := b.anyWaiting()
		ok := change(b, &p)
		return p, ok
	}
}

// header changes a header that is there.
func header(name string, change func(b *battle, old string) string) attack {
	return tamper(func(b *battle, p *packet) bool {
		old := p.header.Get(name)
		if old == "" {
			return false
		}
		changed := change(b, old)
		p.header.Set(name, changed)
		return changed != old
	})
}

// flip changes a character of what is between quotes, colons and so on: none
// that changes only the form.
func flip(b *battle, s string) string {
	i := b.r.IntN(len(s))
	if c := s[i]; c >= '0' && c <= '9' {
		return s[:i] + string('0'+(c-'0'+1)%10) + s[i+1:]
	}
	return s[:i] + "0" + s[i+1:]
}

// commonAttacks are those that fail in every mode.
var commonAttacks = map[string]attack{
	"reflection": func(b *battle) (packet, bool) {
		x := b.anyPast()
		p := packet{method: "POST", target: b.pick(writeTargets...), body: x.answer.body, header: x.answer.header.Clone()}
		return p, p.body != ""
	},
	"reflection of the body and its hash alone": func(b *battle) (packet, bool) {
		x := b.anyPast()
		p := packet{method: "POST", target: b.pick(writeTargets...), body: x.answer.body, header: http.Header{}}
		for _, name := range []string{"Hashsha256", "Content-Encoding"} {
			if v := x.answer.header[name]; v != nil {
				p.header[name] = v
			}
		}
		p.header.Set("Idempotency-Key", fmt.Sprint("mine-", b.r.Uint64()))
		return p, p.body != ""
	},
	"reflection under another encoding": func(b *battle) (packet, bool) {
		x := b.anyPast()
		p := packet{method: "POST", target: b.pick(writeTargets...), body: x.answer.body, header: x.answer.header.Clone()}
		p.header.Set("Content-Encoding", b.pick("gzip", "zstd", "identity"))
		return p, p.body != ""
	},
	"a path under another's signature": func(b *battle) (packet, bool) {
		p := b.anyPast().packet.clone()
		p.method, p.target = "POST", fmt.Sprintf("/update/counter/c/%d", 1000+b.r.IntN(1000))
		p.header.Set("Idempotency-Key", fmt.Sprint("mine-", b.r.Uint64()))
		if b.r.IntN(2) == 0 {
			p.body = ""
		}
		return p, true
	},
	"a path under the signature of nothing": func(b *battle) (packet, bool) {
		h := http.Header{"Hashsha256": {b.keys.HashOfBody(nil)}, "Idempotency-Key": {fmt.Sprint("mine-", b.r.Uint64())}}
		return packet{method: "POST", target: "/update/counter/c/1000", header: h}, true
	},
	"another body": tamper(func(b *battle, p *packet) bool {
		if p.body == "" {
			return false
		}
		p.body = flip(b, p.body)
		return true
	}),
	"another body with its digest": tamper(func(_ *battle, p *packet) bool {
		p.body = `[{"id":"c","type":"counter","delta":1000}]`
		p.header.Del("Content-Encoding")
		p.header.Set("Content-Digest", signature.Digest([]byte(p.body)))
		return !strings.HasPrefix(p.target, "/update/counter/")
	}),
	"another value in the path": tamper(func(b *battle, p *packet) bool {
		rest, ok := strings.CutPrefix(p.target, "/update/counter/c/")
		p.target = "/update/counter/c/1" + rest
		return ok
	}),
	"a label more in the path": tamper(func(_ *battle, p *packet) bool {
		path, _, _ := strings.Cut(p.target, "?")
		p.target = path + "?via=web"
		return strings.HasPrefix(p.target, "/update/counter/")
	}),
	"another hash": tamper(func(b *battle, p *packet) bool {
		p.header.Del("Signature")
		p.header.Del("Signature-Input")
		p.header.Set("Hashsha256", signature.NewKeys([]byte("guess")).HashOfBody([]byte(p.body)))
		return true
	}),
	"no signature": tamper(func(_ *battle, p *packet) bool {
		for _, name := range []string{"Hashsha256", "Signature", "Signature-Input"} {
			p.header.Del(name)
		}
		return true
	}),
	"another secret": func(b *battle) (packet, bool) {
		own := *b
		own.keys = signature.NewKeys([]byte("guess"))
		p := own.write(1000)
		b.number = own.number
		return p, true
	},
}

// messageAttacks are those that fail where the request has a message signature.
var messageAttacks = map[string]attack{
	"cross-path": tamper(func(b *battle, p *packet) bool {
		old := p.target
		p.target = b.pick(writeTargets...)
		return p.target != old
	}),
	"a query more": tamper(func(_ *battle, p *packet) bool {
		p.target += "&x"
		if !strings.Contains(p.target, "?") {
			p.target = strings.TrimSuffix(p.target, "&x") + "?x=y"
		}
		return true
	}),
	"another key": tamper(func(b *battle, p *packet) bool {
		p.header.Set("Idempotency-Key", fmt.Sprint("mine-", b.r.Uint64()))
		return true
	}),
	"a replay with another key": func(b *battle) (packet, bool) {
		p := b.anyPast().packet.clone()
		p.header.Set("Idempotency-Key", fmt.Sprint("mine-", b.r.Uint64()))
		return p, strings.HasPrefix(p.target, "/update")
	},
	"a replay without a key": func(b *battle) (packet, bool) {
		p := b.anyPast().packet.clone()
		p.header.Del("Idempotency-Key")
		return p, strings.HasPrefix(p.target, "/update")
	},
	"another encoding": tamper(func(b *battle, p *packet) bool {
		old := p.header.Get("Content-Encoding")
		p.header.Set("Content-Encoding", b.pick("gzip", "zstd", "identity", "x-gzip"))
		return p.header.Get("Content-Encoding") != old
	}),
	"no encoding": header("Content-Encoding", func(*battle, string) string { return "" }),
	"another type": tamper(func(b *battle, p *packet) bool {
		p.header.Set("Content-Type", "text/plain")
		return true
	}),
	"another digest": header("Content-Digest", func(*battle, string) string { return signature.Digest([]byte("x")) }),
	"a digest more":  header("Content-Digest", func(_ *battle, old string) string { return old + ", sha-512=:AAAA:" }),
	"a flipped signature": header("Signature", func(b *battle, old string) string {
		const tail = len("x=:") // two bits of its last letter mean nothing
		return flip(b, old[:len(old)-tail]) + old[len(old)-tail:]
	}),
	"another time": header("Signature-Input", func(b *battle, old string) string { return strings.Replace(old, "created=1", "created=2", 1) }),
	"a component less": header("Signature-Input", func(b *battle, old string) string {
		return strings.Replace(old, b.pick(`"@path" `, `"@query" `, `"content-digest" `), "", 1)
	}),
	"a second signature": header("Signature-Input", func(_ *battle, old string) string { return old + strings.Replace(", "+old, "gometheus=", "x=", 1) }),
	"the signature of another": tamper(func(b *battle, p *packet) bool {
		x := b.anyPast()
		p.header["Signature"], p.header["Signature-Input"] = x.header["Signature"], x.header["Signature-Input"]
		return true
	}),
	"all headers of another": tamper(func(b *battle, p *packet) bool {
		x := b.anyPast()
		p.header = x.header.Clone()
		return x.body != p.body || x.target != p.target
	}),
}

// pureAttacks fail where nothing but message signatures is taken.
// Else who takes the message signature away, or makes it somebody else's, leaves
// the hash, which says what it says.
var pureAttacks = map[string]attack{
	"a flipped input":       header("Signature-Input", flip),
	"replay":                func(b *battle) (packet, bool) { return b.anyPast().packet, true },
	"replay of another day": func(b *battle) (packet, bool) { return b.past[0].packet, true },
	"the hash": tamper(func(b *battle, p *packet) bool {
		p.header.Del("Signature")
		p.header.Del("Signature-Input")
		p.header.Set("Hashsha256", b.keys.HashOfBody([]byte(p.body)))
		return true
	}),
}
