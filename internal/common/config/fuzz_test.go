package config_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/config"
)

// FuzzParse takes arguments and variables, one a line.
func FuzzParse(f *testing.F) {
	f.Add("--listen\n:80\n-r\nfalse\n-i\n0.5", "COUNT=3\nFILE=")
	f.Add("--labels=a=\"x,y\",b=1\n-c3\n--sync=0\n-kx", "TARGET=https://host/a")
	f.Add("-h", "")
	f.Add("--\nx", "LABELS=a=b")
	f.Add("-rf\n-=\n--=\n---\n-é", "EVERY=1e-12")
	f.Add("--level=WARN\n--color\ngreen\n-t=http://u:p@h", "SYNC=1h0.5s\nON=t")
	f.Fuzz(func(t *testing.T, args, vars string) {
		environment := make(map[string]string)
		for line := range strings.Lines(vars) {
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
			environment[name] = value
		}
		d := newDemo()
		err := config.Parse(program, d, strings.Split(args, "\n"), lookup(environment), io.Discard)
		switch {
		case errors.Is(err, config.ErrHelp), errors.Is(err, config.ErrVersion):
			return
		case err != nil:
			requireLine(t, err)
			return
		}

		// What every setting prints, as flags, gives the same settings.
		again := newDemo()
		require.NoError(t, config.Parse(program, again, []string{
			"--listen=" + d.Listen.String(), "--target=" + d.Target.String(), "--level=" + d.Level.String(),
			"--color=" + d.Color.String(), "--path=" + d.Path.String(), "--file=" + d.File.String(),
			"--labels=" + d.Labels.String(), "--on=" + d.On.String(), "--count=" + d.Count.String(),
			"--every=" + d.Every.String(), "--sync=" + d.Sync.String(), "--cpu-profile-file=" + d.CPUProfileFile.String(),
			"--cpu-profile-duration=" + d.CPUProfileDuration.String(), "--mem-profile-file=" + d.MemProfileFile.String(),
			"--key=" + d.Key.Value().Reveal(),
		}, lookup(nil), io.Discard))
		for i, want := range values(d) {
			require.Equal(t, want, values(again)[i])
		}
	})
}

func values(d *demo) []any {
	return []any{
		d.Listen.Value(), d.Target.Value(), d.Level.Value(), d.Color.Value(), d.Path.Value(), d.File.Value(), d.Labels.Value(),
		d.On.Value(), d.Count.Value(), d.Every.Value(), d.Sync.Value(), d.CPUProfileFile.Value(), d.CPUProfileDuration.Value(),
		d.MemProfileFile.Value(), d.Key.Value(),
	}
}
