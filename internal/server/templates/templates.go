// Package templates is the pages and the files they load.
//
// A page is a struct with a Layout, a template of its own between the head and the
// tail of layout.html, and a function Render… that makes a frame: what the page
// loads beside app.css and app.js. All texts of pages come from html/template;
// there is no inline script or style, for the policy allows none.
//
// The pages work without JavaScript as far as they can: searching and sorting are
// links and a form that the server answers. The scripts add charts, filtering while
// typing, the viewer's local time, and refreshes. They are modules without a build
// step; static/lib has what is not ours (make vendor-assets).
//
// The overview's rows, of series and machines, come from a writer of our own (row.go,
// machinerow.go), which needs a twentieth of the time that html/template would
// (BenchmarkRender).
package templates

import "embed"

// ContentSecurityPolicy is what the page needs and no more. Whoever serves the
// page sets it as the header of that name.
const ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

//go:embed *.html
var files embed.FS
