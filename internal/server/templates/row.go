package templates

import (
	"html/template"
	"io"
	"iter"
	"time"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Row is one series of the table. All of it is text: what in it looks like HTML
// is shown as such.
type Row struct {
	Kind, Name string
	Labels     []Label // sorted by name
	Value      string
	Time       time.Time // of the value
}

// Label is one name=value of a series.
type Label = metric.Label

const (
	// chunkRows is how many rows share a tbody. A browser lays out only the
	// chunks near the screen (content-visibility in overview.css).
	chunkRows = 100
	// flushBytes is how much is written at once.
	flushBytes = 32 << 10
)

// writeRows writes the rows in chunks. Everything that comes from a metric goes
// through the standard library's escaper, so it is safe as text and within a
// quoted attribute.
func writeRows(w io.Writer, l Layout, rows iter.Seq[Row]) error {
	buf := make([]byte, 0, flushBytes+4<<10)
	n := 0
	for r := range rows {
		if n%chunkRows == 0 {
			if n > 0 {
				buf = append(buf, "</tbody>\n"...)
			}
			buf = append(buf, "<tbody>\n"...)
		}
		n++
		buf = appendRow(buf, l, &r)
		if len(buf) >= flushBytes {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	if n > 0 {
		buf = append(buf, "</tbody>\n"...)
	}
	_, err := w.Write(buf)
	return err
}

func appendRow(dst []byte, l Layout, r *Row) []byte {
	dst = append(dst, `<tr><td class="`...)
	dst = appendText(dst, r.Kind)
	dst = append(dst, `"><span>`...)
	dst = appendText(dst, r.Kind)
	dst = append(dst, `</span></td><th scope="row"><a href="`...)
	dst = appendText(dst, l.MetricURL(r.Name))
	dst = append(dst, `">`...)
	dst = appendText(dst, r.Name)
	dst = append(dst, `</a></th><td>`...)
	for i := range r.Labels {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, `<span><i>`...)
		dst = appendText(dst, r.Labels[i].Name)
		dst = append(dst, `=</i>`...)
		dst = appendText(dst, r.Labels[i].Value)
		dst = append(dst, `</span>`...)
	}
	dst = append(dst, `</td><td>`...)
	dst = appendText(dst, r.Value)
	dst = append(dst, `</td><td><time datetime="`...)
	t := r.Time.UTC()
	dst = t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	dst = append(dst, `">`...)
	dst = t.AppendFormat(dst, "2006-01-02 15:04:05 UTC")
	return append(dst, "</time></td></tr>\n"...)
}

func appendText(dst []byte, s string) []byte {
	return append(dst, template.HTMLEscapeString(s)...)
}
