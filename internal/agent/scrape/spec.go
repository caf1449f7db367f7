package scrape

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Spec is a target as it is written in the configuration.
type Spec struct {
	Job, Instance string

	url *url.URL
}

// Target is what the Spec means.
func (s Spec) Target() Target {
	return Target{Job: s.Job, Instance: s.Instance, Source: newEndpoint(s.url)}
}

// String shows the target without secrets.
func (s Spec) String() string { return s.Job + "=" + shown(s.url) }

// ParseTargets reads a list of "URL" and "name=URL".
//
// The name becomes the job, else host and port do. The instance is host and port,
// but the given one for a host that is this machine: else localhost:9187 would be
// the same series on all machines. A URL without a scheme gets http://, one
// without a path /metrics.
func ParseTargets(list []string, instance string) ([]Spec, error) {
	var out []Spec
	for i, entry := range list {
		s, err := parseTarget(strings.TrimSpace(entry), instance)
		if err != nil {
			return nil, fmt.Errorf("target %d, %q: %w", i+1, redact(entry, list[i+1:]), err)
		}
		for _, o := range out {
			if o.Job == s.Job && o.Instance == s.Instance {
				return nil, errSame(o.String(), s.String(), s.Job, s.Instance)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// errSame is that two targets would write the same series.
func errSame(a, b, job, instance string) error {
	return fmt.Errorf("targets %q and %q would both have job=%q, instance=%q: give them different names, as in name=URL", a, b, job, instance)
}

func parseTarget(entry, instance string) (Spec, error) {
	if !utf8.ValidString(entry) {
		return Spec{}, errors.New("it is no UTF-8") // which labels must be
	}
	name, rest, named := strings.Cut(entry, "=")
	if named = named && !strings.ContainsAny(name, ":/?#@[]"); !named {
		rest = entry // the = is one of a query
	}
	name = strings.TrimSpace(name)
	if named && name == "" {
		return Spec{}, errors.New("there is no name before the =")
	}
	u, err := parseURL(rest)
	if err != nil {
		return Spec{}, err
	}
	at := hostPort(u)
	s := Spec{Job: at, Instance: at, url: u}
	if named {
		s.Job = name
	}
	if instance != "" && loopback(u.Hostname()) {
		s.Instance = instance
	}
	return s, nil
}

// parseURL completes a URL. Its errors show nothing of it.
func parseURL(s string) (*url.URL, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, errors.New("there is no URL")
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("it is no valid URL") // err may show a password
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("its scheme must be http or https")
	case u.Hostname() == "":
		return nil, errors.New("it has no host")
	case u.Opaque != "":
		return nil, errors.New("it is no valid URL")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("its port must be 1 to 65535")
		}
	}
	if u.Path == "" {
		u.Path = "/metrics"
	}
	return u, nil
}

// hostPort is what Prometheus takes for the instance.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// loopback is whether a host is this machine, whichever that is.
func loopback(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && (addr.IsLoopback() || addr.IsUnspecified())
}

// redact hides what may be user and password, and the query. A password with a
// comma in it goes on in what comes after.
func redact(entry string, after []string) string {
	if !strings.Contains(entry, "@") && slices.ContainsFunc(after, func(s string) bool { return strings.Contains(s, "@") }) {
		return "***"
	}
	if at := strings.LastIndex(entry, "@"); at >= 0 {
		start := 0
		if i := strings.Index(entry, "://"); i >= 0 && i < at {
			start = i + len("://")
		} else if name, _, ok := strings.Cut(entry[:at], "="); ok && !strings.ContainsAny(name, ":/?#[]") {
			start = len(name) + 1
		}
		entry = entry[:start] + "***" + entry[at:]
	}
	if i := strings.Index(entry, "?"); i >= 0 {
		entry = entry[:i] + "?…"
	}
	return entry
}
