// Package signature signs and verifies what goes between a client of the push
// API and its server, with one secret that both have.
//
// There are two forms. The hash is one header with hex(HMAC-SHA256(secret,
// body)), which a shell can make and which says nothing of what the body is for.
// The message signature is RFC 9421 with hmac-sha256 and RFC 9530's
// Content-Digest: it covers the method, path, query, body and the headers that
// give them their meaning, is good for [MaxAge], and an answer is tied to its
// request.
//
// The hash uses the secret itself, message signatures keys that HKDF derives
// from it, one for requests and one for answers, so that nothing signed for one
// use passes for another.
package signature

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"sync"
)

// Mode says which forms are used. The zero value is Hash.
type Mode uint8

const (
	// Hash: a client signs with the hash, a server takes nothing else.
	Hash Mode = iota
	// Both: a client signs both ways, a server takes either.
	Both
	// Message: a client signs messages, a server takes nothing else.
	Message
)

// Modes are the modes' names, by mode.
var modes = [...]string{Hash: "hash", Both: "both", Message: "message"}

// String is the mode's name.
func (m Mode) String() string {
	if int(m) < len(modes) {
		return modes[m]
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// ParseMode is the mode with a name: hash, both or message.
func ParseMode(s string) (Mode, error) {
	for m, name := range modes {
		if s == name {
			return Mode(m), nil
		}
	}
	return Hash, fmt.Errorf("signature mode %q: allowed are %s", s, strings.Join(modes[:], ", "))
}

// What HKDF is told that a key is for. They are part of the protocol:
// docs/signatures.md has them.
const (
	infoRequest  = "gometheus request signature v1"
	infoResponse = "gometheus response signature v1"
	infoID       = "gometheus key id v1"
)

// Keys is what is made of one secret. Its methods may be called at once from
// many goroutines.
type Keys struct {
	secret, request, response macs
	id                        string
}

// NewKeys derives the keys of a secret, which must not be empty.
func NewKeys(secret []byte) *Keys {
	if len(secret) == 0 {
		panic("signature: the secret is empty")
	}
	k := &Keys{id: hex.EncodeToString(derive(secret, infoID, 8))}
	k.secret.init(secret)
	k.request.init(derive(secret, infoRequest, sha256.Size))
	k.response.init(derive(secret, infoResponse, sha256.Size))
	return k
}

// ID tells keys of different secrets apart and is no secret itself.
func (k *Keys) ID() string { return k.id }

func derive(secret []byte, info string, size int) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, info, size)
	if err != nil {
		panic(err) // the size is small enough
	}
	return key
}

// sum is an HMAC-SHA256.
type sum [sha256.Size]byte

// macs makes the sums of one key. Making an HMAC costs more than a small body,
// so they are used again.
type macs struct{ pool sync.Pool }

func (m *macs) init(key []byte) {
	key = append([]byte(nil), key...)
	m.pool.New = func() any { return hmac.New(sha256.New, key) }
}

func (m *macs) of(parts ...[]byte) (s sum) {
	mac := m.pool.Get().(hash.Hash)
	defer m.pool.Put(mac)
	mac.Reset()
	for _, part := range parts {
		mac.Write(part)
	}
	mac.Sum(s[:0])
	return s
}

// verify compares in constant time.
func (m *macs) verify(given []byte, parts ...[]byte) bool {
	want := m.of(parts...)
	return hmac.Equal(given, want[:])
}
