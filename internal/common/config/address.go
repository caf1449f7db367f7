package config

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"github.com/gometheus/gometheus/internal/common/logger"
)

// HostPort is an address to listen on: "localhost:8080", "[::1]:8080", ":8080"
// for every address of the machine. Port 0 lets the system choose one.
func HostPort(def string) Var[string] {
	return Var[string]{
		def,
		func(s string) (string, error) { return s, checkHostPort(s, 0) },
		same,
		spec{kind: "host:port", allowed: "host:port, port from 0 to 65535", mask: maskUser},
	}
}

// Server is an address to connect to: host:port, or an http or https URL,
// which may have a path but no query. A slash at its end is dropped. A URL may
// hold a user and password; SplitUser takes them out, because addresses are logged.
func Server(def string) Var[string] {
	return Var[string]{
		def,
		func(s string) (string, error) {
			if strings.Contains(s, "://") {
				return parseServerURL(s)
			}
			return s, checkHostPort(s, 1)
		},
		same,
		spec{kind: "address", allowed: "host:port, port from 1 to 65535, or an http:// or https:// URL", mask: maskUser},
	}
}

func checkHostPort(s string, minPort uint64) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil || !validPort(port, minPort) {
		return errNotAllowed
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if strings.HasPrefix(s, "[") || !validHost(host) {
		return errNotAllowed
	}
	return nil
}

func parseServerURL(s string) (string, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https":
		return "", errNotAllowed
	case strings.ContainsAny(s, "?#"):
		return "", reason("a query or fragment is not taken")
	}
	port := u.Port()
	if port == "" && strings.HasSuffix(u.Host, ":") || port != "" && !validPort(port, 1) {
		return "", errNotAllowed
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil && (u.Hostname() == "" || !validHost(u.Hostname())) {
		return "", errNotAllowed
	}
	return strings.TrimRight(s, "/"), nil
}

// SplitUser is an address of Server without its user and password.
func SplitUser(address string) (without string, user *url.Userinfo) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil || !strings.Contains(address, "://") {
		return address, nil
	}
	user, u.User = u.User, nil
	return u.String(), user
}

func validPort(s string, lowest uint64) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n >= lowest
}

// validHost leaves it to the resolver whether the name exists; it catches what
// can't be one.
func validHost(s string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r) || r == unicode.ReplacementChar {
			return false
		}
	}
	return true
}

// maskUser hides user:password in a URL, or in what should have been one.
func maskUser(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return s
	}
	start := 0
	if i := strings.Index(s[:at], "://"); i >= 0 {
		start = i + len("://")
	}
	return s[:start] + logger.Secret(s[start:at]).String() + s[at:]
}
