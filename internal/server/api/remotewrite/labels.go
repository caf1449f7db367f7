package remotewrite

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/gometheus/gometheus/internal/server/api/remotewrite/wire"
)

// A key is the bytes by which a series is known. In 1.0 it is its label fields
// as they stand on the wire, first byte 0x0A. In 2.0, where labels are numbers
// that mean something within one request only, it is keyV2 and then the number
// of every name and value in the symbol table of the Handler, 8 bytes each.
const keyV2 = 0x00

// fields cuts labels of 1.0 as on the wire, appended to dst, and stops when these
// are more than most. Their strings share the memory.
func fields(dst []labels.Label, key []byte, most int) ([]labels.Label, error) {
	m := wire.Walk(key)
	for len(dst) <= most && m.Next() {
		l, err := wire.DecodeLabel(m.Bytes)
		if err != nil {
			return dst, err
		}
		dst = append(dst, labels.Label{Name: view(l.Name), Value: view(l.Value)})
	}
	return dst, m.Err()
}

// nameLabel is the label that is the metric's name.
const nameLabel = "__name__"

// fault is what is wrong with the labels of a series; the zero value is nothing.
type fault struct {
	reason Reason
	err    error
}

func (f fault) found() bool { return f.err != nil }

// view is b as a string, without a copy: valid as long as b is not changed.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

var (
	errNoName    = errors.New("no metric name: the label __name__ is missing")
	errNotUTF8   = errors.New("labels are not valid UTF-8")
	errNoLabel   = errors.New("a label without a name")
	errOddRefs   = errors.New("an odd number of label references")
	errRange     = errors.New("a reference outside of the symbols")
	errRangeMeta = errors.New("a reference of the metadata outside of the symbols")
)

// check sorts labels and says what is wrong with them as those of a series.
func (l *Limits) check(ls []labels.Label) error {
	if err := l.checkEach(ls); err != nil {
		return err
	}
	i, ok := slices.BinarySearchFunc(ls, nameLabel, func(l labels.Label, name string) int { return strings.Compare(l.Name, name) })
	if !ok || ls[i].Value == "" {
		return errNoName
	}
	return nil
}

// checkEach sorts labels and says what is wrong with one of them.
func (l *Limits) checkEach(ls []labels.Label) error {
	if len(ls) > l.Labels {
		return l.tooMany()
	}
	// Lengths first: symbols of megabytes may stand in every series, and must not be
	// looked through each time.
	for _, lb := range ls {
		switch {
		case len(lb.Name) > l.LabelName:
			return fmt.Errorf("label %s: a name of %d bytes, at most %d are allowed", short(lb.Name), len(lb.Name), l.LabelName)
		case len(lb.Value) > l.LabelValue:
			return fmt.Errorf("label %s: a value of %d bytes, at most %d are allowed", short(lb.Name), len(lb.Value), l.LabelValue)
		}
	}
	byName := func(a, b labels.Label) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(ls, byName) {
		slices.SortFunc(ls, byName)
	}
	for i, lb := range ls {
		switch {
		case lb.Name == "":
			return errNoLabel
		case !utf8.ValidString(lb.Name) || !utf8.ValidString(lb.Value):
			return errNotUTF8
		case i > 0 && lb.Name == ls[i-1].Name:
			return fmt.Errorf("label %s stands twice", short(lb.Name))
		}
	}
	return nil
}

func (l *Limits) tooMany() error { return fmt.Errorf("more than %d labels", l.Labels) }

// build makes the TSDB's form of checked labels, in memory of its own. Labels
// with an empty value are as good as not there.
func build(b *labels.ScratchBuilder, ls []labels.Label) labels.Labels {
	b.Reset()
	for _, l := range ls {
		if l.Value != "" {
			b.Add(l.Name, l.Value)
		}
	}
	return b.Labels()
}

// short quotes what a sender sent, for messages.
func short(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%q…", s[:most])
	}
	return fmt.Sprintf("%q", s)
}

// describe shows a series in a message, whatever its labels are.
func describe(ls []labels.Label) string {
	const most = 300
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range ls {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > most {
			b.WriteString("…")
			break
		}
		b.WriteString(strings.Trim(short(l.Name), `"`))
		b.WriteByte('=')
		b.WriteString(short(l.Value))
	}
	b.WriteByte('}')
	return b.String()
}
