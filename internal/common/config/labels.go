package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gometheus/gometheus/internal/common/metric"
)

// Labels is name=value pairs between commas, or empty for none. Spaces around
// names and values are dropped. A value that holds a comma, a quote or outer
// spaces is written as a Go string in double quotes: `site="Berlin, Mitte"`. A
// label with an empty value is no label, as everywhere in gometheus.
func Labels(def map[string]string) Var[map[string]string] {
	return Var[map[string]string]{
		def,
		parseLabels,
		formatLabels,
		spec{kind: "name=value,…", allowed: "name=value pairs with commas between, or empty", empty: true},
	}
}

func parseLabels(s string) (map[string]string, error) {
	labels := make(map[string]string)
	seen := make(map[string]bool)
	limits := metric.DefaultLimits()
	rest := strings.TrimSpace(s)
	for more := rest != ""; more; {
		name, value, tail, err := cutLabel(rest)
		if err != nil {
			return nil, err
		}
		if err := metric.ValidateLabel(name, value, &limits); err != nil {
			return nil, reason(err.Error())
		}
		if seen[name] {
			return nil, reason(fmt.Sprintf("label %s stands twice", quote(name)))
		}
		seen[name] = true
		if value != "" {
			labels[name] = value
		}
		rest, more = strings.CutPrefix(tail, ",")
	}
	if len(labels) > limits.Labels {
		return nil, reason(fmt.Sprintf("%d labels: at most %d are allowed", len(labels), limits.Labels))
	}
	return labels, nil
}

// cutLabel takes the first pair off s; tail is empty or starts with a comma.
func cutLabel(s string) (name, value, tail string, err error) {
	name, s, ok := strings.Cut(s, "=")
	if !ok || strings.Contains(name, ",") {
		return "", "", "", errNotAllowed
	}
	name, s = strings.TrimSpace(name), strings.TrimSpace(s)
	if quoted, err := strconv.QuotedPrefix(s); err == nil && s[0] == '"' {
		value, _ = strconv.Unquote(quoted)
		tail = strings.TrimLeft(s[len(quoted):], " ")
	} else {
		end := strings.IndexByte(s, ',')
		if end < 0 {
			end = len(s)
		}
		value, tail = strings.TrimSpace(s[:end]), s[end:]
		if strings.Contains(value, `"`) {
			return "", "", "", reason(fmt.Sprintf("label %s: a quote stands alone", quote(name)))
		}
	}
	if tail != "" && tail[0] != ',' {
		return "", "", "", reason(fmt.Sprintf("label %s: text after the closing quote", quote(name)))
	}
	if !utf8.ValidString(value) {
		return "", "", "", reason(fmt.Sprintf("label %s is not UTF-8", quote(name)))
	}
	return name, value, tail, nil
}

func formatLabels(labels map[string]string) string {
	pairs := make([]string, 0, len(labels))
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		value := labels[name]
		if q := strconv.Quote(value); q != `"`+value+`"` || strings.ContainsRune(value, ',') || strings.TrimSpace(value) != value {
			value = q
		}
		pairs = append(pairs, name+"="+value)
	}
	return strings.Join(pairs, ",")
}
