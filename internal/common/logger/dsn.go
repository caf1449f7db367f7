package logger

import (
	"net/url"
	"regexp"
	"strings"
)

var (
	schemeRE = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*://`)
	keyRE    = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.-]*$`)
	portRE   = regexp.MustCompile(`^[0-9]*$`)
)

// RedactDSN returns dsn, in the form of a URL or of key=value pairs, with ***
// in place of its passwords and the rest untouched. A DSN that can't be read, or
// in which it isn't sure where a password ends (an unescaped @, / or # in it, say),
// comes back as *** alone: rather nothing than half a password.
func RedactDSN(dsn string) string {
	if strings.TrimSpace(dsn) == "" {
		return ""
	}
	redact := redactPairs
	if schemeRE.MatchString(dsn) {
		redact = redactURL
	}
	if out, ok := redact(dsn); ok {
		return out
	}
	return redacted
}

// isSecretKey knows password, sslpassword, oauth_client_secret and their like.
func isSecretKey(key string) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"pass", "pwd", "secret", "token"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

// redactURL cuts by hand: net/url refuses the lists of hosts that PostgreSQL takes,
// and prints what it has parsed in its own way.
func redactURL(dsn string) (string, bool) {
	if strings.ContainsFunc(dsn, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return "", false
	}
	scheme, rest, _ := strings.Cut(dsn, "://")
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	// No DSN has a fragment, and an @ there is escaped: either is the rest of a
	// password that broke the authority in two.
	if strings.ContainsAny(tail, "#@") {
		return "", false
	}
	authority, ok := redactAuthority(authority)
	if !ok {
		return "", false
	}
	path, query, hasQuery := strings.Cut(tail, "?")
	out := scheme + "://" + authority + path
	if !hasQuery {
		return out, true
	}
	query, ok = redactQuery(query)
	return out + "?" + query, ok
}

func redactAuthority(authority string) (string, bool) {
	hosts, user := authority, ""
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, hosts = authority[:i], authority[i+1:]
		if _, err := url.PathUnescape(user); err != nil {
			return "", false
		}
		name, _, hasPassword := strings.Cut(user, ":")
		if strings.Contains(name, "@") {
			return "", false
		}
		user = name
		if hasPassword {
			user += ":" + redacted
		}
		user += "@"
	}
	// user:password without a host looks like host:port.
	for host := range strings.SplitSeq(hosts, ",") {
		_, port, _ := strings.Cut(host[strings.LastIndexByte(host, ']')+1:], ":")
		if !portRE.MatchString(port) {
			return "", false
		}
	}
	return user + hosts, true
}

func redactQuery(query string) (string, bool) {
	params := strings.Split(query, "&")
	for i, p := range params {
		if p == "" {
			continue
		}
		raw, _, hasValue := strings.Cut(p, "=")
		key, err := url.QueryUnescape(raw)
		if err != nil || !hasValue || !keyRE.MatchString(key) {
			return "", false
		}
		if isSecretKey(key) {
			params[i] = raw + "=" + redacted
		}
	}
	return strings.Join(params, "&"), true
}

const blanks = " \t\n\r\f\v"

// redactPairs reads key = value as libpq does: blanks around the = may be there,
// a value with blanks is in single quotes, a backslash takes the next character as
// it is. It is stricter in one thing: after a closing quote there is a blank.
func redactPairs(dsn string) (string, bool) {
	var out strings.Builder
	rest := dsn
	for {
		trimmed := strings.TrimLeft(rest, blanks)
		out.WriteString(rest[:len(rest)-len(trimmed)])
		if rest = trimmed; rest == "" {
			return out.String(), true
		}
		eq := strings.IndexByte(rest, '=')
		if eq < 0 {
			return "", false
		}
		key := strings.TrimRight(rest[:eq], blanks)
		if !keyRE.MatchString(key) {
			return "", false
		}
		start := len(rest) - len(strings.TrimLeft(rest[eq+1:], blanks))
		end, ok := valueEnd(rest[start:])
		if !ok {
			return "", false
		}
		end += start
		out.WriteString(rest[:start])
		if isSecretKey(key) {
			out.WriteString(redacted)
		} else {
			out.WriteString(rest[start:end])
		}
		rest = rest[end:]
	}
}

// valueEnd returns the length of the value at the start of s, quotes included.
func valueEnd(s string) (int, bool) {
	quoted := strings.HasPrefix(s, "'")
	i := 0
	if quoted {
		i = 1
	}
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case quoted && c == '\'':
			end := i + 1
			return end, end == len(s) || strings.IndexByte(blanks, s[end]) >= 0
		case !quoted && strings.IndexByte(blanks, c) >= 0:
			return i, true
		}
	}
	// A backslash at the very end escapes nothing.
	return len(s), !quoted && i == len(s)
}
