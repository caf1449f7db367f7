package router_test

import (
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/gometheus/gometheus/internal/common/metric"
	"github.com/gometheus/gometheus/internal/server/api"
	"github.com/gometheus/gometheus/internal/server/api/pages"
	"github.com/gometheus/gometheus/internal/server/manager"
	"github.com/gometheus/gometheus/internal/server/middleware"
	"github.com/gometheus/gometheus/internal/server/problem"
	"github.com/gometheus/gometheus/internal/server/router"
	"github.com/gometheus/gometheus/internal/server/storage/dump"
	"github.com/gometheus/gometheus/internal/server/templates"
	common "github.com/gometheus/gometheus/pkg/middleware"
	"github.com/gometheus/gometheus/pkg/signature"
)

// packet is a request as somebody on the wire sees it.
type packet struct {
	method, target, body string
	header               http.Header
}

func (p packet) clone() packet {
	p.header = p.header.Clone()
	return p
}

// exchange is a packet that was delivered, with its answer.
type exchange struct {
	packet
	answer answer
}

// battle is a server with its files, somebody who uses it with the key, and
// somebody without the key who sees all that goes over the wire and sends what he
// likes.
type battle struct {
	t     *testing.T
	r     *rand.Rand
	seed  maphash.Seed
	mode  signature.Mode
	keys  *signature.Keys
	clock time.Time // of both sides

	fs    *vfs.MemFS
	store *dump.Store
	h     http.Handler

	past    []exchange // delivered
	waiting []packet   // seen, and held back
	number  int        // of the last batch
	total   int64      // what the counter must show
}

func newBattle(t *testing.T, mode signature.Mode) *battle {
	b := &battle{
		t: t, r: rand.New(rand.NewPCG(6, uint64(mode))), mode: mode, keys: signature.NewKeys([]byte(secret)), seed: maphash.MakeSeed(),
		clock: time.Unix(1_800_000_000, 0), fs: vfs.NewMem(),
	}
	b.open()
	t.Cleanup(func() { require.NoError(t, b.store.Close()) })
	return b
}

// open starts the server over what is on the disk.
func (b *battle) open() {
	var err error
	now := func() time.Time { return b.clock }
	b.store, err = dump.Open(dump.Options{
		FS: b.fs, Path: "db.json", Interval: time.Hour, Restore: true, Now: now, Log: zap.NewNop(),
	})
	require.NoError(b.t, err)
	m := manager.New(b.store, nil, nil)
	b.h = router.New(router.Options{
		API:     api.New(m, metric.DefaultLimits(), now),
		Pages:   pages.New(pages.Options{State: m, Now: now}),
		Static:  templates.Static,
		Problem: problem.Writer{Log: zap.NewNop()},
		Signer:  middleware.NewSigner(secret, middleware.WithMode(b.mode), middleware.WithClock(now)),
		Limits:  common.BodyLimits{Wire: 8 << 20, Plain: 32 << 20},
	})
}

func (b *battle) send(p packet) answer {
	r := httptest.NewRequest(p.method, p.target, strings.NewReader(p.body))
	r.Header = p.header.Clone()
	w := httptest.NewRecorder()
	b.h.ServeHTTP(w, r)
	return answer{w.Code, w.Result().Header, w.Body.String()}
}

// state is all that the server holds: the series, and every byte on its disk,
// where the marks are too.
func (b *battle) state() string {
	var names []string
	var list func(dir string)
	var sum maphash.Hash
	sum.SetSeed(b.seed)
	list = func(dir string) {
		entries, err := b.fs.List(dir)
		require.NoError(b.t, err)
		slices.Sort(entries)
		for _, name := range entries {
			path := b.fs.PathJoin(dir, name)
			info, err := b.fs.Stat(path)
			require.NoError(b.t, err)
			names = append(names, fmt.Sprint(path, info.Size()))
			if info.IsDir() {
				list(path)
				continue
			}
			f, err := b.fs.Open(path)
			require.NoError(b.t, err)
			_, err = io.Copy(&sum, f)
			require.NoError(b.t, err)
			require.NoError(b.t, f.Close())
		}
	}
	list("")
	return fmt.Sprintf("%v\n%v\n%x", everything(b.t, b.store), names, sum.Sum64())
}

func (b *battle) pick(of ...string) string { return of[b.r.IntN(len(of))] }

// write makes a right request that adds delta to the counter.
func (b *battle) write(delta int) packet {
	b.number++
	one := fmt.Sprintf(`{"id":"c","type":"counter","delta":%d}`, delta)
	p := packet{method: "POST", header: http.Header{"Content-Type": {"application/json"}}}
	switch b.r.IntN(4) {
	case 0:
		p.target, p.body = b.pick("/update", "/update/"), one
	case 1:
		p.target = fmt.Sprintf("/update/counter/c/%d%s", delta, b.pick("", "/", "?"))
		p.header = http.Header{}
	default:
		p.target, p.body = b.pick("/updates", "/updates/"), "["+one+b.pick("", `,{"id":"g","type":"gauge","value":1.5}`)+"]"
	}
	switch encoding := b.pick("", "gzip", "zstd"); {
	case p.body == "" || encoding == "":
	case encoding == "gzip":
		p.body = gz(p.body)
		p.header.Set("Content-Encoding", encoding)
	default:
		p.body = zs(p.body)
		p.header.Set("Content-Encoding", encoding)
	}
	p.header.Set("Idempotency-Key", fmt.Sprintf(b.pick(`"p/%d"`, `"single-%d"`), b.number))
	if b.r.IntN(3) == 0 {
		p.header.Set("Accept-Encoding", "gzip")
	}
	b.sign(p)
	return p
}

// sign does what a client with the key does.
func (b *battle) sign(p packet) {
	if b.mode != signature.Message {
		hash := b.keys.HashOfBody([]byte(p.body))
		if strings.HasPrefix(p.target, "/update/counter/") {
			hash = b.keys.HashOfTarget(p.method, p.target)
		}
		p.header.Set("HashSHA256", hash)
	}
	if b.mode != signature.Hash {
		r := signature.Request{Method: p.method, Target: p.target, Header: p.header}
		require.NoError(b.t, b.keys.SignRequest(r, []byte(p.body), b.clock))
	}
}

// deliver sends a right request, which must be accepted.
func (b *battle) deliver(p packet) {
	got := b.send(p)
	require.Equal(b.t, 200, got.status, "%s %s\n%v\n%s", p.method, p.target, p.header, got.body)
	b.past = append(b.past, exchange{p, got})
}

// ask reads: its answers are answers too.
func (b *battle) ask() {
	p := packet{method: "POST", target: "/value", body: `{"id":"c","type":"counter"}`, header: http.Header{}}
	if b.r.IntN(2) == 0 {
		p = packet{method: "GET", target: b.pick("/value/counter/c", "/", "/ping", "/static/app.js"), header: http.Header{}}
	}
	if b.r.IntN(2) == 0 {
		p.header.Set("Accept-Encoding", "gzip")
	}
	if p.method == "POST" || b.mode != signature.Hash {
		b.sign(p)
	}
	b.deliver(p)
}

// TestAttacks: of 10,000 attacks in each mode, of the sorts that the mode is
// there for, none changes a byte of what the server holds, while requests with
// the key are accepted before, between and after.
func TestAttacks(t *testing.T) {
	for _, mode := range []signature.Mode{signature.Hash, signature.Both, signature.Message} {
		t.Run(mode.String(), func(t *testing.T) {
			attacks := maps.Clone(commonAttacks)
			if mode != signature.Hash {
				maps.Copy(attacks, messageAttacks)
			}
			if mode == signature.Message {
				maps.Copy(attacks, pureAttacks)
			}
			newBattle(t, mode).fight(attacks, 10_000)
		})
	}
}

func (b *battle) fight(attacks map[string]attack, n int) {
	names := slices.Sorted(maps.Keys(attacks))
	made := map[string]int{}
	replayed, stale := 0, 0
	for done := 0; done < n; {
		for range 3 {
			delta := 1 + b.r.IntN(9)
			b.deliver(b.write(delta))
			b.total += int64(delta)
		}
		b.ask()
		deltas := []int{1 + b.r.IntN(9), 1 + b.r.IntN(9), 1 + b.r.IntN(9)}
		b.waiting = nil
		for _, delta := range deltas {
			b.waiting = append(b.waiting, b.write(delta))
		}
		// Sometimes what waits has become too old, or the clock was set back.
		late := b.r.IntN(4) == 0
		if late {
			b.clock = b.clock.Add([]time.Duration{301 * time.Second, -301 * time.Second}[b.r.IntN(2)])
		}
		before := b.state()
		for range 200 {
			name := names[b.r.IntN(len(names))]
			p, ok := attacks[name](b)
			if !ok {
				continue
			}
			done++
			made[name]++
			got := b.send(p)
			after := b.state()
			if before != after {
				b.t.Fatalf("%s: %s %s %v\n%q\nis answered %d %s\nand changed the state from\n%s\nto\n%s",
					name, p.method, p.target, p.header, p.body, got.status, got.body, before, after)
			}
			if got.header.Get("Idempotency-Replayed") == "true" {
				replayed++
			} else if got.status < 400 && strings.HasPrefix(p.target, "/update") {
				b.t.Fatalf("%s: %s %s %v\n%q\nis answered %d %s", name, p.method, p.target, p.header, p.body, got.status, got.body)
			}
			if strings.Contains(got.body, `"stale"`) {
				stale++
			}
		}
		if late && b.mode == signature.Message {
			for _, p := range b.waiting { // as they are
				require.Equal(b.t, 400, b.send(p).status)
			}
			require.Equal(b.t, before, b.state())
		} else if !late {
			for i, p := range b.waiting { // nothing but the changes was wrong with them
				b.deliver(p)
				b.total += int64(deltas[i])
			}
		}
		b.clock = b.clock.Add(time.Duration(b.r.IntN(200)) * time.Second)
		if b.r.IntN(5) == 0 {
			require.NoError(b.t, b.store.Close())
			b.open()
		}
	}
	for _, name := range names {
		require.NotZero(b.t, made[name], name)
	}
	got := b.send(packet{method: "GET", target: "/value/counter/c", header: http.Header{}})
	require.Equal(b.t, fmt.Sprint(b.total), got.body)
	if b.mode == signature.Message {
		require.NotZero(b.t, replayed)
		require.NotZero(b.t, stale)
	}
	b.t.Log(made, "replayed:", replayed, "stale:", stale)
}
