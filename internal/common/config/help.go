package config

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

const helpNotes = `Every setting is a flag and an environment variable. The flag wins, then the
variable, then the default. An empty variable counts as not set, unless the
setting takes empty text.
`

// helpText shows the settings group by group, in the order of the struct.
func helpText(p Program, fields []*field) string {
	flagWidth, envWidth := 0, 0
	for _, f := range fields {
		flagWidth = max(flagWidth, utf8.RuneCountInString(f.usage()))
		envWidth = max(envWidth, len(f.Env))
	}

	var b strings.Builder
	command := ""
	if len(p.Commands) > 0 {
		command = " [command]"
	}
	fmt.Fprintf(&b, "Usage: %s%s [flags]\n\n", p.Name, command)
	if p.About != "" {
		fmt.Fprintf(&b, "%s\n\n", p.About)
	}
	b.WriteString(helpNotes)
	for i, c := range p.Commands {
		if i == 0 {
			b.WriteString("\nCommands:\n")
		}
		fmt.Fprintf(&b, "  %s\n", c.Name)
		wrap(&b, c.About)
	}
	group := ""
	for i, f := range fields {
		if i == 0 || f.Group != group {
			group = f.Group
			fmt.Fprintf(&b, "\n%s\n", heading(group))
		}
		def := "no default"
		if f.Default != "" {
			def = "default " + f.Default
		}
		fmt.Fprintf(&b, "  %-*s  %-*s  %s\n", flagWidth, f.usage(), envWidth, f.Env, def)
		wrap(&b, f.Help+" Takes "+f.Allowed+".")
	}
	fmt.Fprintf(&b, "\n%s\n", heading("Other"))
	fmt.Fprintf(&b, "  %-*s  Print this and exit.\n", flagWidth, "-h, --"+helpFlag)
	fmt.Fprintf(&b, "  %-*s  Print version, commit and date, and exit.\n", flagWidth, "    --"+versionFlag)
	return b.String()
}

// wrap writes text in lines of at most 80 columns, indented.
func wrap(b *strings.Builder, text string) {
	const indent, width = "        ", 80
	column := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			b.WriteString(indent)
			column = len(indent)
		case column+1+n > width:
			b.WriteString("\n" + indent)
			column = len(indent)
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}

func heading(group string) string {
	if group == "" {
		group = "Settings"
	}
	return group + ":"
}

// usage is "-a, --address host:port".
func (s *Setting) usage() string {
	short := "    "
	if s.Short != "" {
		short = "-" + s.Short + ", "
	}
	return fmt.Sprintf("%s--%s %s", short, s.Flag, s.Kind)
}
