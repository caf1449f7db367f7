package config

import (
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

const (
	helpFlag    = "help"
	versionFlag = "version"
)

// commandLine reads the arguments. The flags are a pflag.FlagSet; its Parse is
// not used, because it can't tell "-r false" from "-r" and an argument, reads
// "-f=" as -f with the value "=", skips "-test.x" in silence, repeats a secret
// in "unknown shorthand flag: 'K' in -Ksecret", and takes the word after a
// flag for its value even when it is a flag itself.
type commandLine struct {
	flags  *pflag.FlagSet
	fields map[*pflag.Flag]*field // all but help and version
}

func newCommandLine(p Program, fields []*field) *commandLine {
	c := &commandLine{pflag.NewFlagSet(p.Name, pflag.ContinueOnError), make(map[*pflag.Flag]*field)}
	for _, f := range fields {
		flag := c.flags.VarPF(f.value, f.Flag, f.Short, f.Help)
		flag.NoOptDefVal = f.spec.bare
		c.fields[flag] = f
	}
	c.flags.BoolP(helpFlag, "h", false, "")
	c.flags.Bool(versionFlag, false, "")
	return c
}

// given reports whether a flag has set f.
func (c *commandLine) given(f *field) bool { return c.flags.Changed(f.Flag) }

// parse sets the flags in args. asked is helpFlag or versionFlag, whichever
// comes first, and then err does not matter. It reads on after a mistake, so
// that it finds them, but returns the first.
func (c *commandLine) parse(args []string) (asked string, err error) {
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	hidden := false // after a secret: what follows may be a part of it that lacks quotes
	for len(args) > 0 {
		word := args[0]
		if word == "--" {
			if len(args) > 1 {
				keep(stray(args[1], hidden))
			}
			break
		}
		if len(word) < 2 || word[0] != '-' {
			keep(stray(word, hidden))
			args = args[1:]
			continue
		}
		g, rest, e := c.next(args)
		args = rest
		if e != nil {
			keep(e)
			continue
		}
		f := c.fields[g.flag]
		if f == nil {
			return g.flag.Name, nil
		}
		hidden = f.Secret
		if e := c.flags.Set(f.Flag, g.value); e != nil {
			keep(f.badValue(g.name, g.value, e))
		}
	}
	return "", err
}

func stray(word string, hidden bool) *Error {
	return &Error{
		Setting: "argument",
		Value:   (&spec{secret: hidden}).show(word),
		Valued:  true,
		Allowed: "nothing but flags, which --help shows",
	}
}

// givenFlag is one flag of the command line.
type givenFlag struct {
	name  string // as the user wrote it
	flag  *pflag.Flag
	value string
}

// next takes the first flag, and its value if that is a word of its own, off
// args. rest is right even with an error.
func (c *commandLine) next(args []string) (g givenFlag, rest []string, err error) {
	word, rest := args[0], args[1:]
	name, value, attached := cutFlag(word)
	flag, err := c.lookup(word, name)
	if err != nil {
		return givenFlag{}, rest, err
	}
	f := c.fields[flag]
	switch {
	case f == nil && attached:
		return givenFlag{}, rest, &Error{Setting: name, Reason: "takes no value", Allowed: name + " alone"}
	case f == nil:
	case attached && f.spec.bare != "" && !strings.Contains(word, "="):
		return givenFlag{}, rest, &Error{Setting: word, Reason: "short flags don't cluster", Allowed: name + " or " + name + "=value"}
	case attached:
	case len(rest) > 0 && c.isValue(rest[0], f.spec.bare != ""):
		value, rest = rest[0], rest[1:]
	case flag.NoOptDefVal != "":
		value = flag.NoOptDefVal
	default:
		return givenFlag{}, rest, &Error{Setting: name, Reason: "no value", Allowed: f.Allowed}
	}
	return givenFlag{name, flag, value}, rest, nil
}

// cutFlag splits --name=value, -n=value and -nvalue.
func cutFlag(word string) (name, value string, attached bool) {
	if strings.HasPrefix(word, "--") {
		return strings.Cut(word, "=")
	}
	_, size := utf8.DecodeRuneInString(word[1:])
	name, value = word[:1+size], word[1+size:]
	attached = value != ""
	return name, strings.TrimPrefix(value, "="), attached
}

// lookup finds the flag called name, with its dashes, that begins word.
func (c *commandLine) lookup(word, name string) (*pflag.Flag, error) {
	if long, ok := strings.CutPrefix(name, "--"); ok {
		if flag := c.flags.Lookup(long); flag != nil {
			return flag, nil
		}
	} else {
		// As package flag of the standard library has it. Taking -key=x for -k
		// with the value "ey=x" would be a mistake nobody notices.
		long, _, _ := strings.Cut(word[1:], "=")
		if len(long) > 1 && c.flags.Lookup(long) != nil {
			return nil, &Error{Setting: "-" + long, Reason: "unknown flag", Allowed: "--" + long}
		}
		if flag := c.short(name); flag != nil {
			return flag, nil
		}
	}
	return nil, &Error{Setting: name, Reason: "unknown flag", Allowed: "a flag that --help shows"}
}

// short finds the flag with the short name "-x".
func (c *commandLine) short(name string) *pflag.Flag {
	if len(name) != len("-x") { // ShorthandLookup panics on longer ones
		return nil
	}
	return c.flags.ShorthandLookup(name[1:])
}

// isValue reports whether word, after a flag, is its value. optional: the flag
// may stand alone, and its values never start with a dash.
func (c *commandLine) isValue(word string, optional bool) bool {
	if len(word) < 2 || word[0] != '-' {
		return true
	}
	if optional || word == "--" {
		return false
	}
	name, _, attached := cutFlag(word)
	if strings.HasPrefix(name, "--") {
		return c.flags.Lookup(name[2:]) == nil
	}
	return c.short(name) == nil || attached && word[2] != '='
}
