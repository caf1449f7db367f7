package config_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/config"
	"github.com/gometheus/gometheus/internal/common/logger"
)

var update = flag.Bool("update", false, "write the golden files")

// demo has a setting of every kind.
type demo struct {
	Listen config.Var[string]            `group:"Net" flag:"listen" short:"a" env:"LISTEN" help:"Where to listen."`
	Target config.Var[string]            `group:"Net" flag:"target" short:"t" env:"TARGET" help:"Whom to call."`
	Level  config.Var[string]            `group:"Text" flag:"level" short:"l" env:"LEVEL" help:"The level."`
	Color  config.Var[string]            `group:"Text" flag:"color" env:"COLOR" help:"The color."`
	Path   config.Var[string]            `group:"Text" flag:"path" short:"p" env:"DEMO_PATH" help:"A path that must be."`
	File   config.Var[string]            `group:"Text" flag:"file" short:"f" env:"FILE" help:"A path that may be empty, and a help text that is too long for one line."`
	Key    config.Var[logger.Secret]     `group:"Text" flag:"key" short:"k" env:"KEY" help:"The key."`
	Labels config.Var[map[string]string] `group:"Text" flag:"labels" env:"LABELS" default:"host=<name>" help:"The labels."`
	On     config.Var[bool]              `group:"Numbers" flag:"on" short:"r" env:"ON" help:"Whether it is on."`
	Count  config.Var[int]               `group:"Numbers" flag:"count" short:"c" env:"COUNT" help:"How many."`
	Every  config.Var[time.Duration]     `group:"Numbers" flag:"every" short:"i" env:"EVERY" help:"How often."`
	Sync   config.Var[time.Duration]     `group:"Numbers" flag:"sync" env:"SYNC" help:"How often, or always."`
	config.Profiling
}

func newDemo() *demo {
	return &demo{
		Listen:    config.HostPort("localhost:8080"),
		Target:    config.Server("localhost:8080"),
		Level:     config.Level("info"),
		Color:     config.Choice("color", "red", "red", "green"),
		Path:      config.Path("./x"),
		File:      config.PathOrEmpty("/tmp/x"),
		Key:       config.Secret(),
		Labels:    config.Labels(map[string]string{"host": "here"}),
		On:        config.Bool(true),
		Count:     config.Int(7, 1, 100),
		Every:     config.Seconds(10*time.Second, time.Millisecond, 24*time.Hour),
		Sync:      config.SecondsOrZero(5*time.Minute, time.Millisecond, 24*time.Hour),
		Profiling: config.DefaultProfiling(),
	}
}

var program = config.Program{Name: "demo", About: "Shows every kind of setting."}

func lookup(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
}

func parse(vars map[string]string, args ...string) (*demo, error) {
	d := newDemo()
	return d, config.Parse(program, d, args, lookup(vars), io.Discard)
}

// requireLine checks what every *Error must be.
func requireLine(t *testing.T, err error) {
	t.Helper()
	var bad *config.Error
	require.ErrorAs(t, err, &bad)
	for _, r := range err.Error() {
		require.True(t, r >= ' ' && r != 0x7f, "%q is not one line", err.Error())
	}
	require.Contains(t, err.Error(), ": want ")
}

func TestFlagForms(t *testing.T) {
	for _, args := range [][]string{
		{"--file", "/a", "--on", "false", "--count", "3"},
		{"--file=/a", "--on=false", "--count=3"},
		{"-f", "/a", "-r", "false", "-c", "3"},
		{"-f=/a", "-r=false", "-c=3"},
		{"-f/a", "-r", "0", "-c3"},
		{"--count", "3", "-f", "/b", "--on=F", "-f", "/a"},
		{"-c", "3", "-f=/a", "-r=FALSE", "--"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			d, err := parse(nil, args...)
			require.NoError(t, err)
			require.Equal(t, "/a", d.File.Value())
			require.False(t, d.On.Value())
			require.Equal(t, 3, d.Count.Value())
		})
	}
}

func TestFlagForTrueStandsAlone(t *testing.T) {
	off := map[string]string{"ON": "false"}
	for _, args := range [][]string{
		{"-r"}, {"--on"}, {"-r", "--count", "3"}, {"--on", "-c", "3"}, {"-r", "--"}, {"-r", "1"}, {"-r", "false", "-r"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			d, err := parse(off, args...)
			require.NoError(t, err)
			require.True(t, d.On.Value())
		})
	}
}

func TestFlagValueMayStartWithDash(t *testing.T) {
	for _, args := range [][]string{{"-k", "-secret"}, {"--key", "-secret"}, {"-k=-secret"}, {"-k-secret"}} {
		d, err := parse(nil, args...)
		require.NoError(t, err)
		require.Equal(t, "-secret", d.Key.Value().Reveal())
	}
	d, err := parse(nil, "-f=--on", "-k=-r", "-p", "-")
	require.NoError(t, err)
	require.Equal(t, "--on", d.File.Value())
	require.Equal(t, "-r", d.Key.Value().Reveal())
	require.Equal(t, "-", d.Path.Value())
}

func TestEmpty(t *testing.T) {
	t.Run("variable", func(t *testing.T) {
		vars := make(map[string]string)
		for _, s := range config.Settings(newDemo()) {
			vars[s.Env] = ""
		}
		d, err := parse(vars)
		require.NoError(t, err)
		require.Empty(t, d.File.Value())
		require.Empty(t, d.Labels.Value())
		require.Empty(t, d.Key.Value())
		want := newDemo()
		require.Equal(t, want.Listen.Value(), d.Listen.Value())
		require.Equal(t, want.Target.Value(), d.Target.Value())
		require.Equal(t, want.Level.Value(), d.Level.Value())
		require.Equal(t, want.Path.Value(), d.Path.Value())
		require.Equal(t, want.On.Value(), d.On.Value())
		require.Equal(t, want.Count.Value(), d.Count.Value())
		require.Equal(t, want.Every.Value(), d.Every.Value())
		require.Equal(t, want.CPUProfileFile.Value(), d.CPUProfileFile.Value())
	})
	t.Run("flag", func(t *testing.T) {
		for _, args := range [][]string{{"--file="}, {"-f="}, {"-f", ""}} {
			d, err := parse(map[string]string{"FILE": "/b"}, args...)
			require.NoError(t, err)
			require.Empty(t, d.File.Value())
		}
		for _, s := range config.Settings(newDemo()) {
			_, err := parse(nil, "--"+s.Flag+"=")
			if strings.HasSuffix(s.Allowed, "or empty") {
				require.NoError(t, err)
				continue
			}
			requireLine(t, err)
			require.Equal(t, "--"+s.Flag+` "": want `+s.Allowed, err.Error())
		}
	})
}

func TestFlagWinsOverBadVariable(t *testing.T) {
	d, err := parse(map[string]string{"COUNT": "many"}, "-c", "3")
	require.NoError(t, err)
	require.Equal(t, 3, d.Count.Value())
}

func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		vars map[string]string
		args []string
		want string
	}{
		"long flag":       {nil, []string{"--count=0"}, `--count "0": want a whole number from 1 to 100`},
		"short flag":      {nil, []string{"-c", "1.5"}, `-c "1.5": want a whole number from 1 to 100`},
		"attached":        {nil, []string{"-cx"}, `-c "x": want a whole number from 1 to 100`},
		"variable":        {map[string]string{"COUNT": "101"}, nil, `COUNT "101": want a whole number from 1 to 100`},
		"lines":           {map[string]string{"COUNT": "1\r\n2"}, nil, `COUNT "1\r\n2": want a whole number from 1 to 100`},
		"embedded":        {map[string]string{"CPU_PROFILE_DURATION": "30"}, nil, `CPU_PROFILE_DURATION "30": want a duration such as 1m30s, from 1ms to 24h`},
		"first flag":      {nil, []string{"--on=2", "--count=0"}, `--on "2": want true or false`},
		"first variable":  {map[string]string{"ON": "2", "COUNT": "0"}, nil, `ON "2": want true or false`},
		"flag first":      {map[string]string{"ON": "2"}, []string{"--count=0"}, `--count "0": want a whole number from 1 to 100`},
		"every flag":      {nil, []string{"-c", "0", "-c", "3"}, `-c "0": want a whole number from 1 to 100`},
		"bool and word":   {nil, []string{"-r", "no"}, `-r "no": want true or false`},
		"bool cluster":    {nil, []string{"-rf"}, `-rf: short flags don't cluster: want -r or -r=value`},
		"missing":         {nil, []string{"--level"}, `--level: no value: want debug, info, warn or error`},
		"missing short":   {nil, []string{"-l", "-c", "3"}, `-l: no value: want debug, info, warn or error`},
		"missing before":  {nil, []string{"--key", "--on=false"}, `--key: no value: want text, or empty`},
		"missing at --":   {nil, []string{"-f", "--"}, `-f: no value: want a path, or empty`},
		"unknown":         {nil, []string{"--colour=red"}, `--colour: unknown flag: want a flag that --help shows`},
		"unknown short":   {nil, []string{"-x"}, `-x: unknown flag: want a flag that --help shows`},
		"unknown letter":  {nil, []string{"-é"}, `-é: unknown flag: want a flag that --help shows`},
		"unknown lines":   {nil, []string{"--a\nb"}, `"--a\nb": unknown flag: want a flag that --help shows`},
		"go test flag":    {nil, []string{"-test.v"}, `-t "est.v": want host:port, port from 1 to 65535, or an http:// or https:// URL`},
		"no name":         {nil, []string{"--=3"}, `--: unknown flag: want a flag that --help shows`},
		"one dash":        {nil, []string{"-count=3"}, `-count: unknown flag: want --count`},
		"one dash, key":   {nil, []string{"-key=hunter2"}, `-key: unknown flag: want --key`},
		"help with value": {nil, []string{"--help=no"}, `--help: takes no value: want --help alone`},
		"argument":        {nil, []string{"start"}, `argument "start": want nothing but flags, which --help shows`},
		"argument after":  {nil, []string{"-c", "3", "4"}, `argument "4": want nothing but flags, which --help shows`},
		"argument empty":  {nil, []string{""}, `argument "": want nothing but flags, which --help shows`},
		"argument dash":   {nil, []string{"-"}, `argument "-": want nothing but flags, which --help shows`},
		"argument at --":  {nil, []string{"--", "--help"}, `argument "--help": want nothing but flags, which --help shows`},
		"label name":      {nil, []string{"--labels", "1a=b"}, `--labels "1a=b": label name "1a": must match [a-zA-Z_][a-zA-Z0-9_]* and not start with __: want name=value pairs with commas between, or empty`},
		"URL with query":  {map[string]string{"TARGET": "http://h/?a"}, nil, `TARGET "http://h/?a": a query or fragment is not taken: want host:port, port from 1 to 65535, or an http:// or https:// URL`},
		"choice":          {nil, []string{"--color", "blue"}, `--color "blue": want red or green`},
		"long value":      {nil, []string{"-c", strings.Repeat("é", 200)}, `-c "` + strings.Repeat("é", 100) + `"…: want a whole number from 1 to 100`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tt.vars, tt.args...)
			require.EqualError(t, err, tt.want)
			requireLine(t, err)
		})
	}
}

func TestErrorsKeepSecrets(t *testing.T) {
	const secret = "hunter2"
	for name, args := range map[string][]string{
		"after a key without quotes": {"--key", "my", secret},
		"words later":                {"-k=my", "other", secret},
		"after -- ":                  {"-kmy", "--", secret},
		"unknown short flag":         {"-K" + secret},
		"unknown long flag":          {"--Key=" + secret},
		"one dash":                   {"-key=" + secret},
		"URL":                        {"-t", "http://user:" + secret + "@host?x"},
		"not a URL":                  {"-a", "user:" + secret + "@host:80"},
		"URL in the wrong place":     {"-a", "postgres://user:p@" + secret + "@host/db"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(nil, args...)
			requireLine(t, err)
			require.NotContains(t, err.Error(), secret)
		})
	}
}

func TestHelp(t *testing.T) {
	golden, err := os.ReadFile("testdata/help.txt")
	if !*update {
		require.NoError(t, err)
	}
	for _, args := range [][]string{
		{"--help"}, {"-h"}, {"-c", "0", "--help"}, {"--nonsense", "-h"}, {"word", "--help"}, {"--key", "--help"}, {"-h", "--version"},
	} {
		var out bytes.Buffer
		bad := map[string]string{"COUNT": "many", "KEY": "hunter2"}
		err := config.Parse(program, newDemo(), args, lookup(bad), &out)
		require.ErrorIs(t, err, config.ErrHelp)
		if *update {
			require.NoError(t, os.WriteFile("testdata/help.txt", out.Bytes(), 0o644))
			continue
		}
		require.Equal(t, string(golden), out.String(), "go test -update writes it")
	}
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"-c", "0", "--version"}, {"--version", "--help"}} {
		var out bytes.Buffer
		err := config.Parse(program, newDemo(), args, lookup(map[string]string{"COUNT": "many"}), &out)
		require.ErrorIs(t, err, config.ErrVersion)
		require.Regexp(t, `^demo \S+ \(commit \S+, built \S+, go\S+\)\n$`, out.String())
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("pipe is closed") }

func TestHelpThatCannotBePrinted(t *testing.T) {
	err := config.Parse(program, newDemo(), []string{"-h"}, lookup(nil), broken{})
	require.EqualError(t, err, "print: pipe is closed")
}

func TestSettings(t *testing.T) {
	list := config.Settings(newDemo())
	require.Len(t, list, 15)
	require.Equal(t, config.Setting{
		Group: "Net", Flag: "listen", Short: "a", Env: "LISTEN", Kind: "host:port",
		Allowed: "host:port, port from 0 to 65535", Default: "localhost:8080", Help: "Where to listen.",
	}, list[0])
	for _, s := range list {
		switch s.Flag {
		case "key":
			require.True(t, s.Secret)
			require.Empty(t, s.Default)
		case "labels":
			require.Equal(t, "host=<name>", s.Default)
		case "sync":
			require.Equal(t, "300", s.Default)
		case "mem-profile-file":
			require.Equal(t, "./mem.pprof", s.Default)
		}
	}
}

func TestWrongDeclarationPanics(t *testing.T) {
	require.Panics(t, func() { config.Settings(&struct{ A string }{}) })
	require.Panics(t, func() {
		config.Settings(&struct {
			A config.Var[int] `flag:"a"`
		}{})
	})
}
