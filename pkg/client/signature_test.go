package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/signature"
)

// keeper is a server that verifies and signs messages, with a clock of its own,
// and does to each answer what spoil says before it is signed or after.
type keeper struct {
	*httptest.Server
	keys  *signature.Keys
	ahead time.Duration // of this machine

	mu     sync.Mutex
	log    []string // "POST /updates/ 204"
	status func(i int) int
	spoil  func(i int, h http.Header) // of the i-th write, from 0
	writes int
}

func newKeeper(t *testing.T, key string) *keeper {
	k := &keeper{keys: signature.NewKeys([]byte(key)), status: func(int) int { return 204 }, spoil: func(int, http.Header) {}}
	k.Server = httptest.NewServer(k)
	t.Cleanup(k.Close)
	return k
}

func (k *keeper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	now := time.Now().Add(k.ahead)
	req := signature.RequestOf(r)
	write := r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/update")
	status, said := 200, ""
	if write {
		status = k.status(k.writes)
	}
	v, err := k.keys.VerifyRequest(req)
	if err == nil {
		if err = v.CheckBody(body); err != nil {
			v = nil
		}
	}
	if err == nil {
		err = v.CheckTime(now)
	}
	switch {
	case errors.Is(err, signature.ErrStale):
		status, said = 400, `{"code":"stale","status":400}`
	case err != nil:
		status, said = 400, `{"code":"invalid","status":400,"detail":"`+strings.ReplaceAll(err.Error(), `"`, "'")+`"}`
	case status >= 400:
		said = `{"code":"invalid","status":400,"detail":"no"}`
	case r.URL.Path == "/value/":
		said = `{"id":"c","type":"counter","delta":3,"timestamp":1}`
	}
	h := w.Header()
	if said != "" {
		h.Set("Content-Type", "application/problem+json")
	}
	if err := k.keys.SignResponse(signature.Response{Status: status, Header: h, Request: req}, []byte(said), now, v); err != nil {
		panic(err)
	}
	if write {
		k.spoil(k.writes, h)
		k.writes++
	}
	k.log = append(k.log, r.Method+" "+r.URL.Path+" "+http.StatusText(status))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, said)
}

func (k *keeper) client(t *testing.T, o ...client.Option) *client.Client {
	return newClient(t, k.URL, append([]client.Option{client.WithKey([]byte("k")), client.WithSignature(signature.Message)}, o...)...)
}

func unsign(h http.Header) { h.Del("Signature-Input"); h.Del("Signature") }

const (
	pinged = "GET /ping OK"
	taken  = "POST /updates/ No Content"
)

func TestMessageSignatures(t *testing.T) {
	k := newKeeper(t, "k")
	c := k.client(t)
	require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
	require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
	m, err := c.Value(t.Context(), request.TypeCounter, "c", nil)
	require.NoError(t, err)
	require.Equal(t, int64(3), *m.Delta)
	require.NoError(t, c.Ping(t.Context()))
	require.WithinDuration(t, time.Now(), c.Date(t.Context()), 5*time.Second)
	require.Equal(t, []string{pinged, taken, taken, "POST /value/ OK", pinged, pinged}, k.log, "the time is asked for once")

	// The path is signed as it goes over the wire.
	c = newClient(t, k.URL+"/a%2Fb%20c/", client.WithKey([]byte("k")), client.WithSignature(signature.Message))
	require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
	require.Equal(t, "POST /a/b c/updates/ OK", k.log[len(k.log)-1])
}

// TestWrongClock: a machine whose clock is wrong delivers, and never signs a
// write by its own clock: such a signature would be good when nobody remembers
// the batch any more.
func TestWrongClock(t *testing.T) {
	for _, ahead := range []time.Duration{time.Hour, -time.Hour, 30 * 24 * time.Hour} {
		for _, mode := range []signature.Mode{signature.Message, signature.Both} {
			k := newKeeper(t, "k")
			wall := func() time.Time { return time.Now().Add(ahead) }
			c := k.client(t, client.WithSignature(mode), client.WithClock(wall))
			require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
			require.Equal(t, []string{"GET /ping Bad Request", taken}, k.log)
		}
	}
}

// TestClockThatJumps: the server's clock is set, or this machine slept, while the
// client runs. Once more is enough, and is no try of its own.
func TestClockThatJumps(t *testing.T) {
	k := newKeeper(t, "k")
	c := k.client(t)
	require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
	k.ahead = time.Hour
	b, err := c.NewBatch([]request.Metric{request.Counter("c", 1)})
	require.NoError(t, err)
	res, err := c.Try(t.Context(), b)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), res.Date, 5*time.Second)
	require.Equal(t, []string{pinged, taken, "POST /updates/ Bad Request", taken}, k.log)

	_, err = c.Value(t.Context(), request.TypeCounter, "c", nil)
	require.NoError(t, err)
	k.ahead = -time.Hour
	_, err = c.Value(t.Context(), request.TypeCounter, "c", nil)
	require.NoError(t, err)
}

// TestAlwaysStale: a batch is not given up for the sake of clocks.
func TestAlwaysStale(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ int) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(400)
		_, _ = io.WriteString(w, `{"code":"stale","status":400}`)
	})
	c := newClient(t, s.URL, client.WithKey([]byte("k")))
	_, err := c.Try(t.Context(), client.Batch{Key: `"a/1"`, Body: []byte("[]")})
	e, ok := errors.AsType[*client.Error](err)
	require.True(t, ok)
	require.False(t, e.Permanent())
	require.Len(t, s.requests(), 2)
}

// TestUnbelievableAnswers: an answer to a write that isn't signed as it must be
// decides nothing, whatever it says: the same batch is sent again.
func TestUnbelievableAnswers(t *testing.T) {
	var first http.Header
	for name, spoil := range map[string]func(h http.Header){
		"unsigned":       unsign,
		"a wrong digest": func(h http.Header) { h.Set("Content-Digest", signature.Digest([]byte("x"))) },
		"another date":   func(h http.Header) { h.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)) },
		"a wait more":    func(h http.Header) { h.Set("Retry-After", "3600") },
		"flipped":        func(h http.Header) { h.Set("Signature", strings.Replace(h.Get("Signature"), "=:", "=:A", 1)) },
		"a stale replay": func(h http.Header) {
			unsign(h)
			h["Signature"], h["Signature-Input"] = first["Signature"], first["Signature-Input"]
		},
		"only a hash": func(h http.Header) { unsign(h); h.Set("HashSHA256", sign("k", nil)) },
	} {
		for _, status := range []int{204, 400} {
			k := newKeeper(t, "k")
			k.status = func(i int) int { return []int{204, status, 204}[i] }
			k.spoil = func(i int, h http.Header) {
				switch i {
				case 0:
					first = h.Clone()
				case 1:
					spoil(h)
				}
			}
			c := k.client(t)
			require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
			b, err := c.NewBatch([]request.Metric{request.Counter("c", 1)})
			require.NoError(t, err)
			_, err = c.Try(t.Context(), b)
			require.ErrorIs(t, err, client.ErrSignature, "%s %d", name, status)
			_, isAnswer := errors.AsType[*client.Error](err)
			require.False(t, isAnswer, "it must not look like the server's decision")
			_, err = c.Send(t.Context(), b)
			require.NoError(t, err, name)
		}
	}
}

// TestBelievableRefusal: a 4xx that is signed is a decision.
func TestBelievableRefusal(t *testing.T) {
	k := newKeeper(t, "k")
	k.status = func(int) int { return 400 }
	err := k.client(t).Push(t.Context(), request.Counter("c", 1))
	e, ok := errors.AsType[*client.Error](err)
	require.True(t, ok, "%v", err)
	require.True(t, e.Permanent())
	require.Equal(t, 1, k.writes)
}

// TestOtherKey: the error says what the server said, and who might be wrong.
func TestOtherKey(t *testing.T) {
	k := newKeeper(t, "other")
	err := k.client(t).Push(t.Context(), request.Counter("c", 1))
	require.ErrorIs(t, err, client.ErrSignature)
	require.ErrorContains(t, err, "the message signature is of another key")
	require.ErrorContains(t, err, "KEY must be the same on both sides")
	require.Zero(t, k.writes, "nothing is sent to who can't tell the time")
}

// TestBothWithoutMessages: a server that knows the hash only is taken as it is.
func TestBothWithoutMessages(t *testing.T) {
	for _, ping := range []int{200, 404} {
		var mu sync.Mutex
		var log []string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, r.Method+" "+r.URL.Path)
			body, _ := io.ReadAll(r.Body)
			if r.Method == http.MethodGet {
				w.WriteHeader(ping)
				return
			}
			if r.Header.Get(request.HeaderHash) != sign("k", body) || r.Header.Get("Signature") == "" {
				w.WriteHeader(500)
				return
			}
			w.WriteHeader(204)
		}))
		t.Cleanup(s.Close)
		c := newClient(t, s.URL, client.WithKey([]byte("k")), client.WithSignature(signature.Both))
		require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
		require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
		require.Equal(t, []string{"GET /ping", "POST /updates/", "POST /updates/"}, log)
	}
}

// TestManyAskOnce: at the start the time is asked for once, and whoever waits for
// that stops when told.
func TestManyAskOnce(t *testing.T) {
	k := newKeeper(t, "k")
	c := k.client(t)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := c.Push(t.Context(), request.Counter("c", 1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 20, k.writes)
	require.Equal(t, pinged, k.log[0])
	require.Len(t, k.log, 21)

	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	c = newClient(t, silent.URL, client.WithKey([]byte("k")), client.WithSignature(signature.Message))
	for range 3 {
		all.Go(func() {
			if err := c.Push(ctx, request.Counter("c", 1)); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	cancel()
	all.Wait()
}

func TestSignatureNeedsKey(t *testing.T) {
	_, err := client.New("localhost:1", client.WithSignature(signature.Both))
	require.EqualError(t, err, "signature both: needs a key")
}
