package config

import (
	"regexp"
	"slices"
	"strings"
)

// List is texts with commas between them, or empty for none, each of which check
// takes; nil: any. A flag that is given several times adds to it. What stands
// before the @ of a URL is hidden in errors. The errors of check must hold no
// secret.
func List(kind, allowed string, def []string, check func(string) error) Var[[]string] {
	return Var[[]string]{
		def,
		func(s string) ([]string, error) {
			var list []string
			for text := range strings.SplitSeq(s, ",") {
				text = strings.TrimSpace(text)
				if text == "" || slices.Contains(list, text) {
					continue
				}
				if check != nil {
					if err := check(text); err != nil {
						return nil, reason(strings.Join(strings.Fields(err.Error()), " ")) // one line
					}
				}
				list = append(list, text)
			}
			return list, nil
		},
		func(list []string) string { return maskURLs(strings.Join(list, ",")) },
		spec{
			kind: kind, allowed: allowed + " with commas between, or empty", empty: true, adds: true, mask: maskURLs,
		},
	}
}

// Words is a List of some of words.
func Words(kind string, def []string, words ...string) Var[[]string] {
	allowed := "some of " + strings.Join(words, ", ")
	return List(kind, allowed, def, func(s string) error {
		if !slices.Contains(words, s) {
			return reason("there is no " + quote(s))
		}
		return nil
	})
}

// credentials are the users and passwords of URLs, with what stands around them.
// A password may hold whatever separates.
var credentials = regexp.MustCompile(`//.*@`)

func maskURLs(s string) string { return credentials.ReplaceAllString(s, "//***@") }

// HostPortOrEmpty is a HostPort that is empty by default. The flag alone, and the
// text true, mean def; false means empty.
func HostPortOrEmpty(def string) Var[string] {
	return Var[string]{
		parse: func(s string) (string, error) {
			switch strings.ToLower(s) {
			case "", "false":
				return "", nil
			case "true":
				return def, nil
			}
			return s, checkHostPort(s, 0)
		},
		format: same,
		spec: spec{
			kind: "host:port", allowed: "host:port, true for " + def + ", or empty", bare: "true", empty: true,
		},
	}
}
