package signature

import "encoding/hex"

// HashOfBody is the hash of a body as it is on the wire, in hexadecimal.
func (k *Keys) HashOfBody(body []byte) string {
	s := k.secret.of(body)
	return hex.EncodeToString(s[:])
}

// HashOfTarget is the hash of a request whose meaning is in its path: of the
// method, a space, and the request target as it stands in the request line. No
// JSON begins that way, and nothing compressed, so it is never the hash of a
// body that is taken for something.
func (k *Keys) HashOfTarget(method, target string) string {
	s := k.secret.of([]byte(method + " " + target))
	return hex.EncodeToString(s[:])
}

// VerifyBody reports whether given is HashOfBody, in either case of letters.
func (k *Keys) VerifyBody(given string, body []byte) bool {
	b, err := hex.DecodeString(given)
	return err == nil && k.secret.verify(b, body)
}

// VerifyTarget reports whether given is HashOfTarget, in either case of letters.
func (k *Keys) VerifyTarget(given, method, target string) bool {
	b, err := hex.DecodeString(given)
	return err == nil && k.secret.verify(b, []byte(method+" "+target))
}
