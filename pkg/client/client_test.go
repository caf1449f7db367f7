package client_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/gometheus/gometheus/pkg/client"
	"github.com/gometheus/gometheus/pkg/request"
	"github.com/gometheus/gometheus/pkg/response"
	"github.com/gometheus/gometheus/pkg/retry"
	"github.com/gometheus/gometheus/pkg/signature"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// seen is one request as a server got it.
type seen struct {
	method, path string
	header       http.Header
	body         []byte
}

// server answers the i-th request (from 0) as answer says and keeps all of them.
type server struct {
	*httptest.Server
	mu   sync.Mutex
	seen []seen
}

func serve(t *testing.T, answer func(w http.ResponseWriter, i int)) *server {
	t.Helper()
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		s.mu.Lock()
		i := len(s.seen)
		s.seen = append(s.seen, seen{r.Method, r.URL.Path, r.Header.Clone(), body})
		s.mu.Unlock()
		answer(w, i)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) requests() []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

// status answers as the server would: a 4xx with a problem.
func status(codes ...int) func(http.ResponseWriter, int) {
	return func(w http.ResponseWriter, i int) {
		code := codes[min(i, len(codes)-1)]
		if code < 400 || code >= 500 {
			w.WriteHeader(code)
			return
		}
		w.Header().Set("Content-Type", response.ContentTypeProblem)
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"status":%d,"code":"some_code","detail":"why"}`, code)
	}
}

// fast retries at once, four tries in all.
func fast() client.Option {
	return client.WithRetry(retry.Policy{Delays: []time.Duration{0, 0, 0}})
}

func newClient(t *testing.T, address string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(address, append([]client.Option{fast()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func sign(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func unzip(t *testing.T, b []byte) string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	require.NoError(t, err)
	out, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(out)
}

func TestSendOnTheWire(t *testing.T) {
	const want = `[{"id":"Alloc","type":"gauge","value":1.5,"labels":{"instance":"a"},"timestamp":1795454731960},` +
		`{"id":"PollCount","type":"counter","delta":3}]`
	metrics := []request.Metric{
		request.Gauge("Alloc", 1.5).With(map[string]string{"instance": "a"}).At(time.UnixMilli(1795454731960)),
		request.Counter("PollCount", 3),
	}
	s := serve(t, status(204))
	c := newClient(t, s.URL, client.WithKey([]byte("secret")), client.WithProducer("me"), client.WithUserAgent("ua/1"))
	b, err := c.NewBatch(metrics)
	require.NoError(t, err)
	assert.Equal(t, `"me/1"`, b.Key)
	assert.Equal(t, "gzip", b.ContentEncoding)
	assert.Equal(t, 2, b.Count)

	res, err := c.Send(t.Context(), b)
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now(), res.Date, 5*time.Second)
	assert.Equal(t, client.Result{Attempts: 1, Date: res.Date}, res)
	require.Len(t, s.requests(), 1)
	r := s.requests()[0]
	assert.Equal(t, "POST /updates/", r.method+" "+r.path)
	assert.JSONEq(t, want, unzip(t, r.body))
	assert.Equal(t, b.Body, r.body)
	for name, value := range map[string]string{
		"Content-Type":               "application/json",
		"Content-Encoding":           "gzip",
		"Content-Length":             strconv.Itoa(len(b.Body)),
		"User-Agent":                 "ua/1",
		request.HeaderPrefer:         "return=minimal",
		request.HeaderIdempotencyKey: `"me/1"`,
		request.HeaderHash:           sign("secret", b.Body),
	} {
		assert.Equal(t, value, r.header.Get(name), name)
	}

	plain := newClient(t, s.URL, client.WithGzip(false))
	require.NoError(t, plain.Push(t.Context(), metrics...))
	r = s.requests()[1]
	assert.Equal(t, want, string(r.body))
	assert.Empty(t, r.header.Get("Content-Encoding"))
	assert.Empty(t, r.header.Get(request.HeaderHash), "no key, no signature")
	assert.Regexp(t, `^"[A-Z2-7]{20,}/1"$`, r.header.Get(request.HeaderIdempotencyKey))
}

func TestSendRetries(t *testing.T) {
	tests := []struct {
		name  string
		codes []int
		tries int
		err   string
	}{
		{"500 then 204", []int{500, 204}, 2, ""},
		{"all that may pass", []int{408, 425, 429, 200}, 4, ""},
		{"a redirect is not followed", []int{302, 307, 204}, 3, ""},
		{"503 for ever", []int{503}, 4, "503 Service Unavailable"},
		{"400 is final", []int{400}, 1, "400 Bad Request"},
		{"413 after 502 is final", []int{502, 413}, 2, "413 Request Entity Too Large"},
		{"422 is final", []int{422}, 1, "422 Unprocessable Entity"},
		{"a wrong password is not, nor a wrong path", []int{401, 403, 404, 204}, 4, ""},
		{"401 for ever", []int{401}, 4, "401 Unauthorized"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, i int) {
				w.Header().Set("Location", "/elsewhere")
				status(tt.codes...)(w, i)
			})
			c := newClient(t, s.URL, client.WithMaxRetryAfter(time.Millisecond))
			b, err := c.NewBatch([]request.Metric{request.Counter("c", 1)})
			require.NoError(t, err)
			res, err := c.Send(t.Context(), b)
			assert.Equal(t, tt.tries, res.Attempts)
			require.Len(t, s.requests(), tt.tries)
			for _, r := range s.requests() {
				assert.Equal(t, "/updates/", r.path)
				assert.Equal(t, b.Key, r.header.Get(request.HeaderIdempotencyKey), "every try has the same key")
				assert.Equal(t, b.Body, r.body, "and the same bytes")
			}
			if tt.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.err)
			e, ok := errors.AsType[*client.Error](err)
			require.True(t, ok)
			assert.Equal(t, tt.codes[len(tt.codes)-1], e.Status)
			assert.Equal(t, e.Status < 500 && e.Status != 401, e.Permanent())
			assert.Equal(t, e.Status == 401, e.Denied())
		})
	}
}

// TestLostAnswer cuts the connection after the server has applied the batch.
func TestLostAnswer(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, i int) {
		if i == 0 {
			conn, _, err := http.NewResponseController(w).Hijack()
			assert.NoError(t, err)
			assert.NoError(t, conn.Close())
			return
		}
		w.Header().Set(response.HeaderReplayed, "true")
		w.WriteHeader(http.StatusOK)
	})
	// A transport that doesn't repeat by itself, so that the count is ours alone.
	tr := &http.Transport{DisableKeepAlives: true}
	c := newClient(t, s.URL, client.WithTransport(tr))
	b, err := c.NewBatch([]request.Metric{request.Counter("c", 1)})
	require.NoError(t, err)
	res, err := c.Send(t.Context(), b)
	require.NoError(t, err)
	assert.Equal(t, client.Result{Replayed: true, Attempts: 2, Date: res.Date}, res)
	assert.Equal(t, s.requests()[0].body, s.requests()[1].body)
	assert.Equal(t, b.Key, s.requests()[1].header.Get(request.HeaderIdempotencyKey))
}

func TestServerNotThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())

	c := newClient(t, address)
	err = c.Push(t.Context(), request.Counter("c", 1))
	require.ErrorContains(t, err, "gave up after 4 attempts")
	_, ok := errors.AsType[*client.Error](err)
	assert.False(t, ok)
}

func TestTimeoutIsPerTry(t *testing.T) {
	block := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, i int) {
		if i == 0 {
			<-block
		}
		w.WriteHeader(204)
	})
	defer close(block)
	c := newClient(t, s.URL, client.WithTimeout(50*time.Millisecond))
	b, err := c.NewBatch([]request.Metric{request.Counter("c", 1)})
	require.NoError(t, err)
	res, err := c.Send(t.Context(), b)
	require.NoError(t, err)
	assert.Equal(t, 2, res.Attempts)
}

func TestContextEndsSend(t *testing.T) {
	s := serve(t, status(503))
	ctx, cancel := context.WithCancel(t.Context())
	c, err := client.New(s.URL, client.WithRetry(retry.Policy{
		Initial: time.Hour, Max: time.Hour,
		Notify: func(error, time.Duration) { cancel() },
	}))
	require.NoError(t, err)
	defer c.Close()
	err = c.Push(ctx, request.Counter("c", 1))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "503")
}

func TestRetryAfter(t *testing.T) {
	far := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	tests := []struct {
		name, header string
		low, high    time.Duration
	}{
		{"seconds", "7", 7 * time.Second, 7 * time.Second},
		{"date", time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat), 6 * time.Second, 9 * time.Second},
		{"more than allowed", "3600", 10 * time.Second, 10 * time.Second},
		{"far more", "99999999999999999999", 0, 0},
		{"a date beyond", far, 10 * time.Second, 10 * time.Second},
		{"in the past", "Mon, 02 Jan 2006 15:04:05 GMT", 0, 0},
		{"nonsense", "soon", 0, 0},
		{"none", "", 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ int) {
				w.Header().Set("Retry-After", tt.header)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			var waits []time.Duration
			var answer *client.Error
			ctx, cancel := context.WithCancel(t.Context())
			c := newClient(t, s.URL, client.WithMaxRetryAfter(10*time.Second), client.WithRetry(retry.Policy{
				Initial: time.Nanosecond, Max: time.Nanosecond,
				Notify: func(err error, next time.Duration) {
					if waits = append(waits, next); answer == nil {
						answer, _ = errors.AsType[*client.Error](err)
					}
					cancel()
				},
			}))
			require.Error(t, c.Push(ctx, request.Counter("c", 1)))
			require.NotNil(t, answer)
			assert.GreaterOrEqual(t, answer.RetryAfter, tt.low)
			assert.LessOrEqual(t, answer.RetryAfter, tt.high)
			assert.Equal(t, max(answer.RetryAfter, time.Nanosecond), waits[0], "it is honoured")
		})
	}
}

func TestProblem(t *testing.T) {
	problem := response.Problem{
		Type: "about:blank", Title: "Bad Request", Status: 400, Code: "invalid", Detail: "2 metrics are bad",
		RequestID: "r1", Errors: []response.ElementError{{Index: 3, Reason: "no id"}, {Index: 4, Reason: "no type"}}, ErrorCount: 2,
	}
	s := serve(t, func(w http.ResponseWriter, i int) {
		if i > 0 { // as a proxy would
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<html>forbidden</html>")
			return
		}
		w.Header().Set("Content-Type", response.ContentTypeProblem)
		w.WriteHeader(http.StatusBadRequest)
		assert.NoError(t, json.NewEncoder(w).Encode(problem))
	})
	c := newClient(t, s.URL, client.WithMaxRetryAfter(time.Millisecond))
	err := c.Push(t.Context(), request.Counter("c", 1))
	e, ok := errors.AsType[*client.Error](err)
	require.True(t, ok)
	assert.Equal(t, problem, e.Problem)
	require.ErrorContains(t, err, "400 Bad Request: 2 metrics are bad (metric 3: no id; and 1 more) [request r1]")

	err = c.Push(t.Context(), request.Counter("c", 1))
	e, ok = errors.AsType[*client.Error](err)
	require.True(t, ok)
	assert.False(t, e.Date.IsZero())
	assert.Equal(t, client.Error{Status: 403, Problem: response.Problem{Status: 403}, Date: e.Date}, *e)
}

// TestPushSplits: what is too much for one batch goes in several, in order, and
// all of it.
func TestPushSplits(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ int) { w.WriteHeader(http.StatusNoContent) })
	c := newClient(t, s.URL, client.WithGzip(false))
	var metrics []request.Metric
	for i := range 25_000 {
		metrics = append(metrics, request.Counter(fmt.Sprint("c", i), int64(i)))
	}
	heavy := request.Counter("heavy", 1).With(map[string]string{"a": strings.Repeat("x", 3<<20)})
	require.NoError(t, c.Push(t.Context(), append(metrics, heavy, heavy)...))
	require.NoError(t, c.Push(t.Context()))
	var sizes []int
	next := 0
	for _, r := range s.requests() {
		var got []request.Metric
		require.NoError(t, json.Unmarshal(r.body, &got))
		sizes = append(sizes, len(got))
		for _, m := range got {
			if m.ID != "heavy" {
				require.Equal(t, fmt.Sprint("c", next), m.ID)
				next++
			}
		}
	}
	require.Equal(t, 25_000, next)
	require.Equal(t, []int{10_000, 10_000, 5_001, 1}, sizes)
}

// TestPageIsNoAcknowledgement: a captive portal answers 200 to anything.
func TestPageIsNoAcknowledgement(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, i int) {
		if i < 2 {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<html>please log in</html>")
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	c := newClient(t, s.URL)
	require.NoError(t, c.Push(t.Context(), request.Counter("c", 1)))
	require.Len(t, s.requests(), 3)
}

// TestBareBadRequestIsNotFinal: what net/http answers when the connection let
// only a part of the header through says nothing of the batch.
func TestBareBadRequestIsNotFinal(t *testing.T) {
	require.False(t, (&client.Error{Status: 400}).Permanent())
	require.True(t, (&client.Error{Status: 400, Problem: response.Problem{Code: "invalid"}}).Permanent())
	require.False(t, (&client.Error{Status: 400}).Denied())
}

func TestValue(t *testing.T) {
	const answer = `{"id":"c","type":"counter","delta":42,"labels":{"instance":"a"},"timestamp":17}`
	tests := []struct {
		name   string
		code   int
		body   string
		sig    string
		tries  int
		is     error
		status int
	}{
		{name: "signed", code: 200, body: answer, sig: sign("k", []byte(answer)), tries: 1},
		{name: "wrong signature", code: 200, body: answer, sig: sign("other", []byte(answer)), tries: 1, is: client.ErrSignature},
		{name: "no signature", code: 200, body: answer, tries: 1, is: client.ErrSignature},
		{name: "an unsigned 404 says nothing", code: 404, body: "not here", tries: 1, is: client.ErrSignature},
		{name: "a signed 404", code: 404, body: "x", sig: sign("k", []byte("x")), tries: 1, status: 404},
		{name: "an unsigned 500 is tried again", code: 500, body: "x", tries: 4, status: 500},
		{name: "not JSON", code: 200, body: "hello", sig: sign("k", []byte("hello")), tries: 1, is: client.ErrAnswer},
		{name: "empty", code: 200, tries: 1, is: client.ErrAnswer},
		{name: "endless", code: 200, body: strings.Repeat(" ", 300<<10), tries: 1, is: client.ErrSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ int) {
				w.Header().Set(request.HeaderHash, tt.sig)
				w.WriteHeader(tt.code)
				_, _ = io.WriteString(w, tt.body)
			})
			c := newClient(t, s.URL, client.WithKey([]byte("k")))
			m, err := c.Value(t.Context(), request.TypeCounter, "c", map[string]string{"instance": "a"})
			require.Len(t, s.requests(), tt.tries)
			r := s.requests()[0]
			assert.Equal(t, "POST /value/", r.method+" "+r.path)
			assert.JSONEq(t, `{"id":"c","type":"counter","labels":{"instance":"a"}}`, string(r.body))
			switch {
			case tt.is != nil:
				require.ErrorIs(t, err, tt.is)
				assert.Zero(t, m)
			case tt.status != 0:
				e, ok := errors.AsType[*client.Error](err)
				require.True(t, ok, "%v", err)
				assert.Equal(t, tt.status, e.Status)
			default:
				require.NoError(t, err)
				require.NotNil(t, m.Delta)
				assert.Equal(t, int64(42), *m.Delta)
				assert.Equal(t, int64(17), m.Timestamp)
			}
		})
	}
}

func TestAnUnsignedAnswerToAWriteIsAccepted(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ int) { fmt.Fprint(w, "[]") })
	require.NoError(t, newClient(t, s.URL, client.WithKey([]byte("k"))).Push(t.Context(), request.Counter("c", 1)))
}

func TestPing(t *testing.T) {
	s := serve(t, status(200, 500))
	c := newClient(t, s.URL)
	require.NoError(t, c.Ping(t.Context()))
	require.EqualError(t, c.Ping(t.Context()), "ping: 500 Internal Server Error")
	require.Len(t, s.requests(), 2, "a ping is not retried")
	assert.Equal(t, "GET /ping", s.requests()[0].method+" "+s.requests()[0].path)
}

func TestNewBatchRefuses(t *testing.T) {
	nan, one, delta := math.NaN(), 1.0, int64(1)
	tests := []struct {
		m    request.Metric
		want string
	}{
		{request.Gauge("", 1), "no id"},
		{request.Gauge("g", nan), "needs a finite number"},
		{request.Gauge("g", math.Inf(-1)), "needs a finite number"},
		{request.Counter("c", -1), "can't be decreased"},
		{request.Metric{ID: "g", Type: "gauge"}, "needs a value"},
		{request.Metric{ID: "g", Type: "gauge", Value: &one, Delta: &delta}, "no delta"},
		{request.Metric{ID: "c", Type: "counter", Value: &one}, "needs a delta"},
		{request.Metric{ID: "c", Type: "histogram", Value: &one}, "unknown type"},
	}
	c := newClient(t, "localhost:1", client.WithProducer("p"))
	for _, tt := range tests {
		_, err := c.NewBatch([]request.Metric{request.Gauge("ok", 1), tt.m})
		require.ErrorContains(t, err, "metric 1: ")
		require.ErrorContains(t, err, tt.want)
	}
	b, err := c.NewBatch(nil)
	require.NoError(t, err)
	assert.Equal(t, `"p/1"`, b.Key, "refused batches use up no sequence number")
	assert.Equal(t, "[]", unzip(t, b.Body))
}

func TestWindow(t *testing.T) {
	s := serve(t, status(204))
	c := newClient(t, s.URL, client.WithProducer("p"))
	metrics := []request.Metric{request.Counter("c", 1)}
	var batches []client.Batch
	for i := range client.MaxAhead {
		b, err := c.NewBatch(metrics)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf(`"p/%d"`, i+1), b.Key)
		batches = append(batches, b)
	}
	full := func() {
		t.Helper()
		_, err := c.NewBatch(metrics)
		require.ErrorIs(t, err, client.ErrWindowFull)
	}
	full()
	for _, b := range batches[1:10] {
		_, err := c.Send(t.Context(), b)
		require.NoError(t, err)
	}
	full() // the oldest still waits
	_, err := c.Send(t.Context(), batches[0])
	require.NoError(t, err)
	for i := range 10 {
		b, err := c.NewBatch(metrics)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf(`"p/%d"`, client.MaxAhead+i+1), b.Key)
	}
	full()
	c.Discard(batches[10])
	c.Discard(batches[10])
	c.Discard(client.Batch{Key: `"stranger/11"`})
	_, err = c.NewBatch(metrics)
	require.NoError(t, err)
	full()
}

// TestKeysOfOnesOwn: a batch with a key that the client didn't give out goes over
// the wire as it is and takes no place among the client's own.
func TestKeysOfOnesOwn(t *testing.T) {
	s := serve(t, status(204))
	c := newClient(t, s.URL, client.WithProducer("me"))
	b, err := c.Encode([]request.Metric{request.Counter("c", 1)})
	require.NoError(t, err)
	require.Empty(t, b.Key)
	for i := range client.MaxAhead + 1 {
		b.Key = client.Key("disk-1", uint64(i+1))
		_, err := c.Try(t.Context(), b)
		require.NoError(t, err)
	}
	require.Equal(t, `"disk-1/1025"`, s.requests()[client.MaxAhead].header.Get(request.HeaderIdempotencyKey))
	require.NoError(t, c.Number(&b))
	require.Equal(t, `"me/1"`, b.Key)
}

func TestPushGivesUpItsBatch(t *testing.T) {
	s := serve(t, status(503))
	c := newClient(t, s.URL, client.WithRetry(retry.Policy{Attempts: 1}))
	for range client.MaxAhead + 1 {
		err := c.Push(t.Context(), request.Counter("c", 1))
		require.NotErrorIs(t, err, client.ErrWindowFull)
		require.Error(t, err)
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	s := serve(t, status(204))
	c := newClient(t, s.URL)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				assert.NoError(t, c.Push(t.Context(), request.Counter("c", int64(i))))
			}
		})
	}
	wg.Wait()
	keys := map[string]bool{}
	for _, r := range s.requests() {
		keys[r.header.Get(request.HeaderIdempotencyKey)] = true
		var ms []request.Metric
		require.NoError(t, json.Unmarshal([]byte(unzip(t, r.body)), &ms))
		require.Len(t, ms, 1)
	}
	assert.Len(t, keys, 400)
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		address string
		opt     client.Option
		want    string
	}{
		{"ftp://host", nil, `address "ftp://host": scheme "ftp": allowed are http, https`},
		{"", nil, `address "": no host`},
		{"http://", nil, "no host"},
		{"host:port", nil, `address "host:port": want host:port or a URL`},
		{"http://host?x=1", nil, "no query"},
		{"host", client.WithTimeout(-1), "timeout -1ns: must not be negative"},
		{"host", client.WithProducer(`a"b`), `producer id "a\"b"`},
		{"host", client.WithProducer(strings.Repeat("a", 129)), "1 to 128"},
		{"host", client.WithMaxRetryAfter(-1), "Retry-After"},
	}
	for _, tt := range tests {
		opts := []client.Option{}
		if tt.opt != nil {
			opts = append(opts, tt.opt)
		}
		_, err := client.New(tt.address, opts...)
		require.ErrorContains(t, err, tt.want)
	}
	_, err := client.New("host", client.WithHTTPClient(new(http.Client)), client.WithTransport(new(http.Transport)))
	require.ErrorContains(t, err, "exclude each other")
}

// roundTrip is a transport that makes no connection.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"localhost:8080":            "http://localhost:8080/ping",
		":8080":                     "http://localhost:8080/ping",
		"host":                      "http://host/ping",
		"[::1]:8080":                "http://[::1]:8080/ping",
		"http://host:1/":            "http://host:1/ping",
		"https://host/behind/proxy": "https://host/behind/proxy/ping",
	} {
		var got string
		tr := roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.URL.String()
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		})
		require.NoError(t, newClient(t, address, client.WithTransport(tr)).Ping(t.Context()))
		assert.Equal(t, want, got)

		hc := &http.Client{Transport: tr, Timeout: time.Nanosecond}
		require.NoError(t, newClient(t, address, client.WithHTTPClient(hc)).Ping(t.Context()))
		assert.Nil(t, hc.CheckRedirect, "the caller's HTTP client stays as it was")
	}
}

func BenchmarkNewBatch(b *testing.B) {
	c, err := client.New("localhost:1")
	require.NoError(b, err)
	metrics := make([]request.Metric, 200)
	for i := range metrics {
		metrics[i] = request.Gauge("Metric"+strconv.Itoa(i%33), float64(i*7919)).
			With(map[string]string{"instance": "web-1"}).At(time.UnixMilli(1795454731960))
	}
	b.ReportAllocs()
	for b.Loop() {
		batch, err := c.NewBatch(metrics)
		if err != nil {
			b.Fatal(err)
		}
		c.Discard(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(metrics)), "ns/metric")
}

// TestRemoteWrite: a request of remote write goes to the history's door, with what
// that wants to hear, and signed like the others.
func TestRemoteWrite(t *testing.T) {
	var answer func(w http.ResponseWriter)
	hs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.Equal(t, "/base/api/v1/write", r.URL.Path)
		assert.Equal(t, client.RemoteWrite, r.Header.Get("Content-Type"))
		assert.Equal(t, "snappy", r.Header.Get("Content-Encoding"))
		assert.Equal(t, "2.0.0", r.Header.Get("X-Prometheus-Remote-Write-Version"))
		assert.Equal(t, `"P/1"`, r.Header.Get("Idempotency-Key"))
		assert.Equal(t, signature.NewKeys([]byte("k")).HashOfBody(body), r.Header.Get("HashSHA256"))
		assert.Empty(t, r.Header.Get("Prefer"))
		answer(w)
	}))
	defer hs.Close()
	send := func(status int, contentType, text string) error {
		answer = func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("X-Prometheus-Remote-Write-Samples-Written", "2")
			w.Header().Set("X-Prometheus-Remote-Write-Histograms-Written", "1")
			w.Header().Set("X-Prometheus-Remote-Write-Exemplars-Written", "4")
			w.WriteHeader(status)
			_, err := io.WriteString(w, text)
			assert.NoError(t, err)
		}
		c, err := client.New(hs.URL+"/base", client.WithKey([]byte("k")), client.WithProducer("P"))
		require.NoError(t, err)
		defer c.Close()
		b := client.RemoteWriteBatch([]byte("any bytes"), 3)
		require.NoError(t, c.Number(&b))
		_, err = c.Try(t.Context(), b)
		return err
	}
	require.NoError(t, send(http.StatusNoContent, "", ""))

	const text = "text/plain; charset=utf-8"
	for status, permanent := range map[int]bool{
		400: true, 413: true, 415: true, 401: false, 403: false, 404: false, 408: false, 429: false, 500: false, 503: false,
	} {
		err := send(status, text, "sample 3: too old\nmore")
		e, ok := errors.AsType[*client.Error](err)
		require.True(t, ok, "%d: %v", status, err)
		assert.Equal(t, permanent, e.Permanent(), "%d", status)
		assert.Equal(t, "sample 3: too old", e.Problem.Detail)
		assert.Equal(t, 3, e.Written)
	}
	// Of a proxy, who knows nothing of it.
	e, ok := errors.AsType[*client.Error](send(413, "text/html", "<h1>too large</h1>"))
	require.True(t, ok)
	assert.False(t, e.Permanent())
	// With a key the wrong signature is a problem, as everywhere.
	e, ok = errors.AsType[*client.Error](send(400, "application/problem+json", `{"code":"signature","detail":"wrong"}`))
	require.True(t, ok)
	assert.True(t, e.Denied())
}
