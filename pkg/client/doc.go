// Package client is the Go client of gometheus' push API: it sends gauges and
// increments of counters, each counted exactly once, and reads values back.
//
// A program that counts something needs three lines:
//
//	c, err := client.New("localhost:8080")
//	defer c.Close()
//	err = c.Push(ctx, request.Counter("jobs_done", 1), request.Gauge("queue_length", 12))
//
// # Exactly once
//
// A batch is what one request carries; the server applies it whole or not at
// all. [Client.NewBatch] gives it its Idempotency-Key and its exact bytes, once.
// [Client.Send] may then be called with it as often as it takes: the server
// applies a key once and answers the repetition with [Result].Replayed. So an
// answer that got lost costs nothing. What must not be done is to put the same
// increments into a second batch.
//
// A [Batch] is plain data: a program that must not lose increments when it is
// killed writes it to disk before it sends it, and sends it again after a
// restart, from any client. One that keeps many of them there numbers them
// itself, with [Client.Encode] and [Key].
//
// The server remembers [MaxAhead] batches of a producer. A client therefore
// never gives out a key that far ahead of its oldest batch that is neither
// accepted nor refused nor given up by [Client.Discard]; NewBatch returns
// [ErrWindowFull] instead. Two clients must not share a producer id.
//
// # Retries
//
// Send, Push and Value retry network errors, timeouts, 408, 425, 429 and every
// other status that doesn't say the request is wrong, with jittered exponential
// backoff, at least as long apart as a Retry-After asks. Final is what the server
// says of the batch itself: an [*Error] whose Permanent method tells true. A write
// that was denied (a wrong password, certificate or address, see [Error.Denied]) is
// tried again too, at least 30 seconds later, until its context ends: the batch may
// be all right. A read that was denied ends. [Client.Try] is one try for programs
// that bring their own loop. Redirects are not followed.
//
// # Signatures
//
// With [WithKey] every body is signed as it goes over the wire, at the time of
// sending. Answers to reads must be signed with the same key, else the error is
// [ErrSignature]. Answers to writes are not checked: the status alone says that
// the batch was accepted, and usually (204) there is no body to sign.
//
// That is the hash. With [WithSignature] and signature.Message every request has
// a message signature, and every answer that decides something must have one that
// is tied to that request; else the error is [ErrSignature], which of a write
// means what a lost answer means: send the batch again, with the key it has. With
// signature.Both a request has both forms, and an answer's message signature must
// be right if there is one.
//
// Message signatures are good for five minutes by the server's clock. So the
// first thing such a client does is to ask for the time (GET /ping); it goes by
// signed answers alone, and never by the clock of its machine when it writes.
// # TLS and passwords
//
// https:// addresses need nothing if the system trusts the server's certificate;
// else, and to show a certificate, see [WithTLS]. A user and password stand in the
// address (https://user:password@host) or come with [WithBasicAuth]; no error and
// no log holds them.
//
// # Compatibility
//
// Exported names stay until the next major version of the module.
package client
