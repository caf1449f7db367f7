package metric

import (
	"fmt"
	"slices"
	"strings"
)

// Label is one name=value of a series.
type Label struct {
	Name, Value string
}

// Labels is a set of labels sorted by name. A label with an empty value is the
// same as no label, as in Prometheus, so the set never holds one.
type Labels []Label

// NewLabels builds the sorted set of name and value pairs: NewLabels("a", "1",
// "b", "2"). Pairs with empty values are left out. It panics on an odd number of
// arguments or a doubled name, which only a programmer can give.
func NewLabels(pairs ...string) Labels {
	if len(pairs)%2 != 0 {
		panic("metric: NewLabels needs pairs")
	}
	ls := make(Labels, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		ls = append(ls, Label{pairs[i], pairs[i+1]})
	}
	ls, err := ls.Normalize()
	if err != nil {
		panic("metric: " + err.Error())
	}
	return ls
}

// Sort sorts ls in place by name. A name that stands twice is an error. Labels
// with empty values stay: in a selector they ask for series without that label.
func (ls Labels) Sort() error {
	// Insertion sort: sets are small, usually sorted already, and this allocates
	// nothing.
	for i := 1; i < len(ls); i++ {
		for j := i; j > 0 && ls[j].Name < ls[j-1].Name; j-- {
			ls[j], ls[j-1] = ls[j-1], ls[j]
		}
	}
	for i := 1; i < len(ls); i++ {
		if ls[i].Name == ls[i-1].Name {
			return fmt.Errorf("label %s stands twice", quote(ls[i].Name))
		}
	}
	return nil
}

// Normalize makes a set of ls in place: sorted, without empty values. A name
// that stands twice is an error.
func (ls Labels) Normalize() (Labels, error) {
	if err := ls.Sort(); err != nil {
		return nil, err
	}
	for i := range ls {
		if ls[i].Value == "" {
			return slices.DeleteFunc(ls, func(l Label) bool { return l.Value == "" }), nil
		}
	}
	return ls, nil
}

// Get is the value of the label, or "" when there is none.
func (ls Labels) Get(name string) string {
	for i := range ls {
		if ls[i].Name == name {
			return ls[i].Value
		}
	}
	return ""
}

// Matches reports whether ls has every label of want with the same value. A
// wanted empty value matches a missing label.
func (ls Labels) Matches(want []Label) bool {
	for i := range want {
		if ls.Get(want[i].Name) != want[i].Value {
			return false
		}
	}
	return true
}

// Compare orders label sets by their first different label.
func (ls Labels) Compare(other Labels) int {
	return slices.CompareFunc(ls, other, func(a, b Label) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Value, b.Value)
	})
}

// String is the set as PromQL writes it: {a="1",b="2"}.
func (ls Labels) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for i, l := range ls {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s=%q", l.Name, l.Value)
	}
	b.WriteByte('}')
	return b.String()
}

// Validate reports the first thing wrong with the labels.
func (ls Labels) Validate(lim *Limits) error {
	if len(ls) > lim.Labels {
		return tooManyLabels(len(ls), lim)
	}
	for i := range ls {
		if err := ValidateLabel(ls[i].Name, ls[i].Value, lim); err != nil {
			return err
		}
	}
	return nil
}

func tooManyLabels(n int, lim *Limits) error {
	return fmt.Errorf("%d labels: at most %d are allowed", n, lim.Labels)
}

// ValidateLabel reports what is wrong with one label. Names starting with "__"
// belong to the query engine.
func ValidateLabel(name, value string, lim *Limits) error {
	if !validLabelName(name) {
		return fmt.Errorf("label name %s: must match [a-zA-Z_][a-zA-Z0-9_]* and not start with __", quote(name))
	}
	if len(name) > lim.LabelName {
		return fmt.Errorf("label name of %d bytes: at most %d are allowed", len(name), lim.LabelName)
	}
	if len(value) > lim.LabelValue {
		return fmt.Errorf("label %s of %d bytes: at most %d are allowed", quote(name), len(value), lim.LabelValue)
	}
	if strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("label %s holds a NUL byte", quote(name))
	}
	return nil
}

func validLabelName(s string) bool {
	if s == "" || len(s) >= 2 && s[0] == '_' && s[1] == '_' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || i > 0 && '0' <= c && c <= '9') {
			return false
		}
	}
	return true
}
