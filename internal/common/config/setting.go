package config

import (
	"fmt"
	"reflect"
)

// Setting describes a setting to people.
type Setting struct {
	Group   string
	Flag    string // without dashes
	Short   string // one letter, or empty
	Env     string
	Kind    string // what it takes, in a word: "seconds"
	Allowed string // what it takes: "a whole number from 1 to 1024"
	Default string // in the form the setting takes; empty: none
	Help    string // a sentence or two
	Secret  bool
}

// Settings lists what is declared in settings, a pointer to a struct of Var
// fields. The tag default, if there is one, stands for a default that is known
// only at run time: `default:"instance=<hostname>"`.
func Settings(settings any) []Setting {
	fields := fieldsOf(settings)
	list := make([]Setting, len(fields))
	for i, f := range fields {
		list[i] = f.Setting
	}
	return list
}

// field is a setting with its variable in the program's struct.
type field struct {
	Setting
	name  string // of the Go field
	value variable
	spec  *spec
}

// fieldsOf panics when settings is not declared right.
func fieldsOf(settings any) []*field {
	s := reflect.ValueOf(settings).Elem()
	var fields []*field
	for _, sf := range reflect.VisibleFields(s.Type()) {
		if sf.Anonymous {
			continue // its fields follow
		}
		value, ok := reflect.TypeAssert[variable](s.FieldByIndex(sf.Index).Addr())
		if !ok || sf.Tag.Get("flag") == "" || sf.Tag.Get("env") == "" {
			panic(fmt.Sprintf("config: field %s of %s: want a Var with the tags flag and env", sf.Name, s.Type()))
		}
		spec := value.about()
		f := &field{name: sf.Name, value: value, spec: spec, Setting: Setting{
			Group:   sf.Tag.Get("group"),
			Flag:    sf.Tag.Get("flag"),
			Short:   sf.Tag.Get("short"),
			Env:     sf.Tag.Get("env"),
			Kind:    spec.kind,
			Allowed: spec.allowed,
			Default: value.String(),
			Help:    sf.Tag.Get("help"),
			Secret:  spec.secret,
		}}
		if def, ok := sf.Tag.Lookup("default"); ok {
			f.Default = def
		}
		fields = append(fields, f)
	}
	return fields
}

// Shown is what the settings are now, by flag, for people to see: secrets are
// hidden.
func Shown(settings any) map[string]string {
	shown := map[string]string{}
	for _, f := range fieldsOf(settings) {
		shown[f.Flag] = f.value.String()
	}
	return shown
}
