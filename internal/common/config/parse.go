package config

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
)

// Program is what --help and --version say about the program as a whole.
type Program struct {
	Name     string
	About    string // a sentence
	Commands []Command
}

// Command makes the program do something else than its work. It is a word before
// the flags or, if its name begins with dashes, stands anywhere among them.
type Command struct {
	Name  string
	About string // a sentence
}

// CutCommand takes the command off args; without one it is empty.
func (p Program) CutCommand(args []string) (command string, rest []string) {
	for _, c := range p.Commands {
		at := 0
		if strings.HasPrefix(c.Name, "--") {
			// As of any flag of the program's own: never the value of another.
			at = slices.Index(args[:end(args)], c.Name)
		}
		if at >= 0 && len(args) > 0 && args[at] == c.Name {
			return c.Name, slices.Delete(slices.Clone(args), at, at+1)
		}
	}
	return "", args
}

// end is where flags end.
func end(args []string) int {
	if i := slices.Index(args, "--"); i >= 0 {
		return i
	}
	return len(args)
}

// Parse sets the fields of settings, a pointer to a struct of Var fields, from
// args (without the program's name) and from the variables that lookup finds.
// The error is an *Error for a mistake of the user; ErrHelp or ErrVersion when
// out has the text that was asked for; or out's.
func Parse(p Program, settings any, args []string, lookup func(string) (string, bool), out io.Writer) error {
	fields := fieldsOf(settings)
	line := newCommandLine(p, fields)
	asked, err := line.parse(args)
	switch asked {
	case helpFlag:
		return printed(out, ErrHelp, "%s", helpText(p, fields))
	case versionFlag:
		return printed(out, ErrVersion, "%s %s\n", p.Name, buildinfo.Read())
	}
	if err != nil {
		return err
	}
	return readEnv(settings, fields, line.given, lookup)
}

func printed(out io.Writer, done error, format string, args ...any) error {
	if _, err := fmt.Fprintf(out, format, args...); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return done
}

// readEnv sets what no flag has set. The env library takes an empty variable
// for a missing one, so those that mean something are set here.
func readEnv(settings any, fields []*field, given func(*field) bool, lookup func(string) (string, bool)) error {
	environment := make(map[string]string)
	for _, f := range fields {
		if given(f) {
			continue
		}
		value, ok := lookup(f.Env)
		switch {
		case ok && value != "":
			environment[f.Env] = value
		case ok && f.spec.empty:
			if err := f.value.Set(""); err != nil {
				return f.badValue(f.Env, "", err)
			}
		}
	}

	err := env.ParseWithOptions(settings, env.Options{Environment: environment})
	var bad env.ParseError
	if !errors.As(err, &bad) { // the first of an AggregateError
		return err
	}
	for _, f := range fields {
		if f.name == bad.Name {
			return f.badValue(f.Env, environment[f.Env], bad.Err)
		}
	}
	return err
}
