package templates

import (
	"html/template"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
)

// Layout is what every page needs of the request and of the server.
type Layout struct {
	// Base is the relative address of the root, from the page: "" for /status,
	// "../" for /host/web-1. The pages have no absolute addresses, so that they work
	// behind a proxy that adds a prefix.
	Base string
	// Host is the authority the viewer used, for commands to be copied:
	// "localhost:8080". TLS tells that it was reached over TLS.
	Host string
	TLS  bool
	// Now is the server's clock when the page was made.
	Now time.Time
	// Retention is how far the history goes back; 0: there is none.
	Retention time.Duration
}

// BaseOf is the Base of a page with this path, as it is escaped in the address.
func BaseOf(escapedPath string) string {
	return strings.Repeat("../", max(0, strings.Count(escapedPath, "/")-1))
}

// frame is a Layout with what its page loads. The template layout.html shows it.
type frame struct {
	Layout
	Nav   string // overview, host, explore, metric, status: the class of the body
	Title string
	// Styles, Libraries and Scripts are loaded in this order; Scripts are modules,
	// and Modules what these import, so that all of it is asked for at once.
	Styles, Libraries, Scripts, Modules []string
}

// withCharts adds what draws charts.
func (f frame) withCharts() frame {
	f.Styles = append([]string{"lib/uplot/uPlot.min.css", "chart.css"}, f.Styles...)
	f.Libraries = append(f.Libraries, "lib/uplot/uPlot.iife.min.js")
	f.Modules = append(f.Modules, "api.js", "chart.js", "format.js", "range.js", "time.js")
	return f
}

// Static is the address of a file of static, from this page.
func (l Layout) Static(name string) (string, error) {
	u, err := staticURL(name)
	return l.Base + u, err
}

// Home is the address of the overview, from this page.
func (l Layout) Home() string {
	if l.Base == "" {
		return "./"
	}
	return l.Base
}

// HostURL is the address of a machine's page, from this page.
func (l Layout) HostURL(instance string) string { return l.Base + "host/" + segment(instance) }

// MetricURL is the address of a metric's page, from this page.
func (l Layout) MetricURL(name string) string { return l.Base + "metric/" + segment(name) }

// segment is a name as one segment of a path. Browsers take segments of dots out
// of a path, escaped or not, so those stand in the query: host/?name=..
func segment(name string) string {
	switch name {
	case "", ".", "..":
		return "?name=" + url.QueryEscape(name)
	}
	return url.PathEscape(name)
}

// Version is the server's.
func (l Layout) Version() string { return version() }

var version = sync.OnceValue(func() string { return buildinfo.Read().Version })

// Address is the host if it can stand in a command line as it is; who invents a
// Host header gets the default instead.
func (l Layout) Address() string {
	for i := range len(l.Host) {
		switch c := l.Host[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '.', c == '-', c == ':', c == '[', c == ']':
		default:
			return "localhost:8080"
		}
	}
	if l.Host == "" {
		return "localhost:8080"
	}
	return l.Host
}

// URL is the address of this server, for curl.
func (l Layout) URL() string {
	if l.TLS {
		return "https://" + l.Address()
	}
	return "http://" + l.Address()
}

var pages = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("").Funcs(template.FuncMap{
		"count":   groupDigits,
		"span":    FormatSpan,
		"percent": func(share float64) string { return FormatPercent(100 * share) },
	}).ParseFS(files, "*.html"))
})
