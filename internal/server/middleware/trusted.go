package middleware

import (
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gometheus/gometheus/internal/server/problem"
)

// Trusted says which addresses may use the server.
type Trusted struct {
	// Subnets are where clients are. Empty: everywhere.
	Subnets []netip.Prefix
	// Proxies are those whose word is taken about whom they speak for.
	Proxies []netip.Prefix
}

// errAddress is the answer to who may not use the server. It doesn't say which
// address was seen: that is in the log.
var errAddress = &problem.Error{Status: http.StatusForbidden, Detail: "this address may not use the server (TRUSTED_SUBNET)"}

// Middleware answers 403 to requests from elsewhere, before anything of them but
// the header is looked at. /ping is open to all, for those who watch the server.
//
// A request's address is its peer's. If that is a proxy of the list, the
// forwarding headers count, read from the right, where each proxy adds whom it
// heard from: the first address that is not a proxy of the list is the client;
// what stands left of it anybody may have invented. A header that can't be read
// up to there, or two that don't agree, are nobody's word.
func (t Trusted) Middleware(p problem.Writer) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		if len(t.Subnets) == 0 {
			return next
		}
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/ping" && r.URL.Path != "/ping/" {
				if addr, err := t.client(r); err != nil || !contains(t.Subnets, addr) {
					p.Write(w, r, errAddress)
					return
				}
			}
			next.ServeHTTP(w, r)
		})
	}
}

var (
	errPeer  = errors.New("the peer has no IP address")
	errWords = errors.New("the forwarding headers say nothing, or different things")
)

// client is the address of the one who asks.
func (t Trusted) client(r *http.Request) (netip.Addr, error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, errPeer
	}
	addr := plain(peer.Addr())
	if !contains(t.Proxies, addr) {
		return addr, nil
	}
	found := false
	for _, source := range []struct {
		header string
		read   func(string) (list []string, ok bool)
	}{
		{"X-Forwarded-For", splitList},
		{"X-Real-Ip", splitList},
		{"Forwarded", splitForwarded},
	} {
		lines := r.Header[source.header]
		if len(lines) == 0 {
			continue
		}
		list, ok := source.read(strings.Join(lines, ","))
		said, walked := t.walk(list)
		if !ok || !walked || found && said != addr {
			return netip.Addr{}, errWords
		}
		addr, found = said, true
	}
	return addr, nil // without a header, the proxy speaks for itself
}

// walk goes from the right to the first address that is no proxy, or, if all of
// them are, to the left end.
func (t Trusted) walk(list []string) (addr netip.Addr, ok bool) {
	for _, node := range slices.Backward(list) {
		if addr, ok = parseNode(node); !ok || !contains(t.Proxies, addr) {
			return addr, ok
		}
	}
	return addr, ok
}

func contains(list []netip.Prefix, addr netip.Addr) bool {
	for _, p := range list {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// plain is addr as prefixes know it: IPv4 as such and no zone, which only means
// something on this machine.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

// parseNode reads an address, which may have a port.
func parseNode(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		bracketed := strings.HasPrefix(s, "[")
		return plain(addr), bracketed == strings.HasSuffix(s, "]") && (!bracketed || addr.Is6())
	}
	both, err := netip.ParseAddrPort(s)
	return plain(both.Addr()), err == nil
}

func splitList(s string) (list []string, ok bool) {
	for part := range strings.SplitSeq(s, ",") {
		list = append(list, strings.Trim(part, " \t"))
	}
	return list, true
}

// splitForwarded reads the for= of each element of a Forwarded header (RFC 7239).
// An element without one stands for somebody unknown.
func splitForwarded(s string) (list []string, ok bool) {
	for {
		node, pairs := "", 0
		for {
			s = strings.TrimLeft(s, " \t")
			name, rest, hasValue := strings.Cut(s, "=")
			if !hasValue || name == "" || strings.ContainsAny(name, " \t\",;") {
				return nil, false
			}
			value, rest, ok := cutValue(rest)
			if !ok {
				return nil, false
			}
			if strings.EqualFold(name, "for") {
				if pairs++; pairs > 1 {
					return nil, false
				}
				node = value
			}
			if s = strings.TrimLeft(rest, " \t"); !strings.HasPrefix(s, ";") {
				break
			}
			s = s[1:]
		}
		list = append(list, node)
		if s == "" {
			return list, true
		}
		if s[0] != ',' {
			return nil, false
		}
		s = s[1:]
	}
}

// cutValue takes a token or a quoted string off the front.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, " \t\",;")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], end > 0
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}
