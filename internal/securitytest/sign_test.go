package securitytest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
)

// hash is the header HashSHA256 of a body.
func hash(key string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
