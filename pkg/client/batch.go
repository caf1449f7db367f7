package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/gometheus/gometheus/pkg/request"
)

// Batch is the metrics of one request as they go over the wire. It is plain
// data, so that it can be stored and sent by another process.
type Batch struct {
	// Key is the value of the Idempotency-Key header, a Structured Field string:
	// "<producer>/<sequence>" with the quotes.
	Key string
	// Body is what ContentType says, encoded as ContentEncoding says. It must not
	// change: the key stands for exactly these bytes.
	Body []byte
	// ContentType is "" for a JSON array of metrics, which goes to the push API, or
	// [RemoteWrite], whose samples go to the history alone.
	ContentType string
	// ContentEncoding is "gzip" or "", and "snappy" for remote write.
	ContentEncoding string
	// Count is how many metrics or samples there are.
	Count int
}

// RemoteWrite is the ContentType of a remote write request, version 2.0.
const RemoteWrite = "application/x-protobuf;proto=io.prometheus.write.v2.Request"

// RemoteWriteBatch is a batch without a key, see [Client.Encode], of an encoded
// request: io.prometheus.write.v2.Request in snappy's block format.
//
// A server that is sent it twice has the samples once: they have times. What it
// refuses of a request it leaves out, and takes the rest; the batch is settled by
// that.
func RemoteWriteBatch(body []byte, samples int) Batch {
	return Batch{Body: body, ContentType: RemoteWrite, ContentEncoding: "snappy", Count: samples}
}

// NewBatch encodes the metrics and gives them the next key of this client. A
// metric without a timestamp gets the time of its arrival at the server.
//
// Errors: [ErrWindowFull] when [MaxAhead] batches wait already, else the first
// metric that is malformed. No key is used up then.
func (c *Client) NewBatch(metrics []request.Metric) (Batch, error) {
	b, err := c.Encode(metrics)
	if err != nil {
		return Batch{}, err
	}
	if err := c.Number(&b); err != nil {
		return Batch{}, err
	}
	return b, nil
}

// Encode is NewBatch without a key. The batch needs one before it is sent: that
// of [Client.Number], or, from a program that numbers its batches itself because
// it keeps them on disk, one of [Key].
func (c *Client) Encode(metrics []request.Metric) (Batch, error) {
	for i := range metrics {
		if err := check(&metrics[i]); err != nil {
			return Batch{}, fmt.Errorf("metric %d: %w", i, err)
		}
	}
	body, err := json.Marshal(metrics)
	if err != nil {
		return Batch{}, fmt.Errorf("encode metrics: %w", err)
	}
	if metrics == nil {
		body = []byte("[]")
	}
	b := Batch{Body: body, Count: len(metrics)}
	if c.gzip {
		if b.Body, err = c.compress(body); err != nil {
			return Batch{}, fmt.Errorf("compress metrics: %w", err)
		}
		b.ContentEncoding = "gzip"
	}
	return b, nil
}

// Number gives a batch the next key of this client. The error is
// [ErrWindowFull] when [MaxAhead] batches wait already; no key is used up then.
func (c *Client) Number(b *Batch) error {
	seq, ok := c.window.take()
	if !ok {
		return ErrWindowFull
	}
	b.Key = c.keyPrefix + strconv.FormatUint(seq, 10) + `"`
	return nil
}

// Key is the key of a producer's batch with a sequence, which must be at least
// 1. Who makes keys this way keeps the promises that a Client keeps otherwise:
// no key stands for two batches, ever, and none is sent that is [MaxAhead] or
// more ahead of the producer's oldest batch that is not settled.
func Key(producer string, sequence uint64) string {
	return `"` + producer + "/" + strconv.FormatUint(sequence, 10) + `"`
}

// Discard tells that the batch will never be sent (again), so that it no longer
// holds up the window. Batches that were accepted or refused need no Discard.
func (c *Client) Discard(b Batch) {
	if seq, ok := c.sequence(b.Key); ok {
		c.window.settle(seq)
	}
}

// sequence is the number in a key that this client gave out.
func (c *Client) sequence(key string) (uint64, bool) {
	s, ok := strings.CutPrefix(key, c.keyPrefix)
	if !ok {
		return 0, false
	}
	s, ok = strings.CutSuffix(s, `"`)
	if !ok {
		return 0, false
	}
	seq, err := strconv.ParseUint(s, 10, 64)
	return seq, err == nil
}

// check finds what would cost the whole batch, where the caller can still tell
// which metric it was. The rest (lengths, label names) is the server's to judge.
func check(m *request.Metric) error {
	switch {
	case m.ID == "":
		return fmt.Errorf("no id: the name of the metric is missing")
	case m.Type == request.TypeGauge && (m.Value == nil || m.Delta != nil):
		return fmt.Errorf("gauge %q: needs a value and no delta", m.ID)
	case m.Type == request.TypeGauge && (math.IsNaN(*m.Value) || math.IsInf(*m.Value, 0)):
		return fmt.Errorf("gauge %q: value %v: needs a finite number", m.ID, *m.Value)
	case m.Type == request.TypeCounter && (m.Delta == nil || m.Value != nil):
		return fmt.Errorf("counter %q: needs a delta and no value", m.ID)
	case m.Type == request.TypeCounter && *m.Delta < 0:
		return fmt.Errorf("counter %q: delta %d: can't be decreased", m.ID, *m.Delta)
	case m.Type != request.TypeGauge && m.Type != request.TypeCounter:
		return fmt.Errorf("%q: unknown type %q", m.ID, m.Type)
	}
	return nil
}

// compress returns body as gzip in bytes of its own.
//
// The writers keep no state between two writes: for batches that costs 2 % in
// size against level 1 and saves 800 KiB of memory for each writer (measured
// with 200 metrics: 21,545 bytes become 2,228 against 2,188).
func (c *Client) compress(body []byte) ([]byte, error) {
	w, ok := c.writers.Get().(*gzip.Writer)
	if !ok {
		var err error
		if w, err = gzip.NewWriterLevel(nil, gzip.StatelessCompression); err != nil {
			return nil, err
		}
	}
	defer c.writers.Put(w)

	var out bytes.Buffer
	w.Reset(&out)
	if _, err := w.Write(body); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(out.Bytes()), nil
}
