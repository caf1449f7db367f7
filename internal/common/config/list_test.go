package config_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/config"
)

func TestList(t *testing.T) {
	type lists struct {
		URLs  config.Var[[]string] `flag:"url" env:"URLS" help:"Some."`
		Words config.Var[[]string] `flag:"word" env:"WORDS" help:"Some."`
		Bind  config.Var[string]   `flag:"bind" env:"BIND" help:"Where."`
	}
	parse := func(vars map[string]string, args ...string) (*lists, error) {
		l := &lists{
			URLs: config.List("url,…", "URLs", nil, func(s string) error {
				if !strings.HasPrefix(s, "http") {
					return errors.New("no URL\nat all")
				}
				return nil
			}),
			Words: config.Words("color", []string{"red", "green"}, "red", "green", "blue"),
			Bind:  config.HostPortOrEmpty("127.0.0.1:8125"),
		}
		return l, config.Parse(program, l, args, lookup(vars), &strings.Builder{})
	}

	l, err := parse(nil)
	require.NoError(t, err)
	require.Empty(t, l.URLs.Value())
	require.Equal(t, []string{"red", "green"}, l.Words.Value())
	require.Empty(t, l.Bind.Value())

	l, err = parse(map[string]string{"WORDS": "blue", "URLS": "x"}, "--url", "http://a, http://b", "--url=http://c,http://a", "--bind")
	require.NoError(t, err, "the variable of a setting whose flag is given is not looked at")
	require.Equal(t, []string{"http://a", "http://b", "http://c"}, l.URLs.Value())
	require.Equal(t, []string{"blue"}, l.Words.Value(), "what is set is instead of the default")
	require.Equal(t, "127.0.0.1:8125", l.Bind.Value())

	l, err = parse(map[string]string{"WORDS": "", "BIND": "true"}, "--url=http://a", "--url=")
	require.NoError(t, err)
	require.Empty(t, l.URLs.Value())
	require.Empty(t, l.Words.Value())
	require.Equal(t, "127.0.0.1:8125", l.Bind.Value())

	l, err = parse(nil, "--bind", "[::]:99")
	require.NoError(t, err)
	require.Equal(t, "[::]:99", l.Bind.Value())

	for _, tt := range []struct{ args, want string }{
		{"--word=red,pink", `--word "red,pink": there is no "pink": want some of red, green, blue with commas between, or empty`},
		{"--url=http://user:hunter2@a,ftp", `--url "http://***@a,ftp": no URL at all: want URLs with commas between, or empty`},
		{"--bind=nowhere", `--bind "nowhere": want host:port, true for 127.0.0.1:8125, or empty`},
	} {
		_, err = parse(nil, tt.args)
		require.EqualError(t, err, tt.want)
	}
}

func TestCommands(t *testing.T) {
	p := config.Program{Name: "demo", Commands: []config.Command{{Name: "status"}, {Name: "--once"}}}
	for _, tt := range []struct{ args, command, rest string }{
		{"", "", ""},
		{"status -a x", "status", "-a x"},
		{"-a x status", "", "-a x status"},
		{"--once", "--once", ""},
		{"-a x --once -b", "--once", "-a x -b"},
		{"-a x -- --once", "", "-a x -- --once"},
		{"--once=1", "", "--once=1"},
	} {
		args := strings.Fields(tt.args)
		command, rest := p.CutCommand(args)
		require.Equal(t, tt.command, command)
		require.Equal(t, tt.rest, strings.Join(rest, " "))
		require.Equal(t, tt.args, strings.Join(args, " "), "the caller's stays")
	}
}
