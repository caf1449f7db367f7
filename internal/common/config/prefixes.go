package config

import (
	"net/netip"
	"strings"
)

// Prefixes is a list of networks such as 10.0.0.0/8 and fd00::/8, and of single
// addresses, with commas between them; empty by default.
func Prefixes() Var[[]netip.Prefix] {
	return Var[[]netip.Prefix]{
		parse: parsePrefixes,
		format: func(list []netip.Prefix) string {
			texts := make([]string, len(list))
			for i, p := range list {
				texts[i] = p.String()
			}
			return strings.Join(texts, ",")
		},
		spec: spec{kind: "networks", allowed: "networks such as 10.0.0.0/8,fd00::/8 or addresses, or empty", empty: true},
	}
}

func parsePrefixes(s string) ([]netip.Prefix, error) {
	if s == "" {
		return nil, nil
	}
	var list []netip.Prefix
	for part := range strings.SplitSeq(s, ",") {
		p, ok := parsePrefix(strings.TrimSpace(part))
		if !ok {
			return nil, errNotAllowed
		}
		list = append(list, p)
	}
	return list, nil
}

// parsePrefix returns IPv4 networks that are written in IPv6 (::ffff:10.0.0.0/104)
// as what they are.
func parsePrefix(s string) (netip.Prefix, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), addr.Zone() == ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, false
	}
	if addr := p.Addr(); addr.Is4In6() {
		if p.Bits() < 96 {
			return netip.Prefix{}, false // neither all of IPv4 nor a part of IPv6
		}
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	return p.Masked(), true
}
