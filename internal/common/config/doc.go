// Package config reads the settings of a program. Every setting is a flag and
// an environment variable; the flag wins, then the variable, then the default.
//
// A program declares its settings once, as a struct of Var fields:
//
//	type settings struct {
//		Address config.Var[string] `group:"General" flag:"address" short:"a" env:"ADDRESS" help:"Where to listen."`
//		Restore config.Var[bool]   `group:"Files" flag:"restore" env:"RESTORE" help:"Load the state at start."`
//	}
//
//	s := settings{Address: config.HostPort("localhost:8080"), Restore: config.Bool(true)}
//	err := config.Parse(config.Program{Name: "demo"}, &s, os.Args[1:], os.LookupEnv, os.Stdout)
//
// Flags, variables, --help and Settings (for documentation) follow from that.
// A struct may embed another one for settings that programs share.
//
// # Flags
//
// "--name value", "--name=value", "-n value", "-n=value" and "-nvalue" all set
// a flag. A flag given twice has its last value, one that is a list all of them. There are no arguments other
// than flags, so the word after a true/false flag is its value: "--restore
// false" and "-r false" work, and "-r" alone means true. Short flags don't
// cluster: "-rf" is refused, because it could mean two things. A word that is one
// of the program's own flags is never taken as the value of another, so a
// forgotten value is noticed; "--name=--other" forces it.
//
// An empty flag ("--name=") is a bad value, unless the setting takes empty text.
//
// # Variables
//
// A variable that is set but empty counts as not set, because docker compose
// and its like pass such; only for settings that take empty text does it mean
// that. The variable of a setting whose flag is given is not looked at, so a
// flag also repairs a bad variable.
//
// # Errors
//
// A bad value gives an *Error, one line that names the setting as the user
// wrote it, the value and what is allowed. Flags are checked before variables,
// and the first mistake is told. --help and --version win over any mistake.
package config
