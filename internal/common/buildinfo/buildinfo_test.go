package buildinfo_test

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gometheus/gometheus/internal/common/buildinfo"
)

const revision = "abc1234def5678abc1234def5678abc1234def56"

func stamped(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
	return &debug.BuildInfo{
		GoVersion: "go1.26.8",
		Main:      debug.Module{Version: version},
		Settings:  settings,
	}
}

func TestMerge(t *testing.T) {
	checkout := []debug.BuildSetting{
		{Key: "vcs.revision", Value: revision},
		{Key: "vcs.time", Value: "2026-11-24T10:00:00Z"},
	}
	changed := append(checkout[:2:2], debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	linked := buildinfo.Info{Version: "v0.2.0", Commit: "0123456789", Date: "2026-12-01"}

	for name, tt := range map[string]struct {
		linked  buildinfo.Info
		stamped *debug.BuildInfo
		want    buildinfo.Info
		text    string
	}{
		"linker wins": {
			linked, stamped("v0.1.0", checkout...),
			buildinfo.Info{Version: "0.2.0", Commit: "0123456789", Date: "2026-12-01", Go: "go1.26.8"},
			"0.2.0 (commit 0123456, built 2026-12-01, go1.26.8)",
		},
		"linker sets the version only": {
			buildinfo.Info{Version: "0.2.0"},
			stamped("v0.1.0", checkout...),
			buildinfo.Info{Version: "0.2.0", Commit: revision, Date: "2026-11-24T10:00:00Z", Go: "go1.26.8"},
			"0.2.0 (commit abc1234, built 2026-11-24T10:00:00Z, go1.26.8)",
		},
		"go install": {
			buildinfo.Info{},
			stamped("v0.1.0"),
			buildinfo.Info{Version: "0.1.0", Commit: "unknown", Date: "unknown", Go: "go1.26.8"},
			"0.1.0 (commit unknown, built unknown, go1.26.8)",
		},
		"changed checkout": {
			buildinfo.Info{},
			stamped("(devel)", changed...),
			buildinfo.Info{Version: "dev", Commit: revision + "-dirty", Date: "2026-11-24T10:00:00Z", Go: "go1.26.8"},
			"dev (commit abc1234-dirty, built 2026-11-24T10:00:00Z, go1.26.8)",
		},
		"nothing known": {
			buildinfo.Info{},
			nil,
			buildinfo.Info{Version: "dev", Commit: "unknown", Date: "unknown", Go: runtime.Version()},
			"dev (commit unknown, built unknown, " + runtime.Version() + ")",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := buildinfo.Merge(tt.linked, tt.stamped)
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.text, got.String())
		})
	}
}

func TestReadIsWhatTheLinkerSet(t *testing.T) {
	const pkg = "github.com/gometheus/gometheus/internal/common/buildinfo"
	bin := filepath.Join(t.TempDir(), "show")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", bin, "-ldflags",
		"-X "+pkg+".version=0.1.0 -X "+pkg+".commit="+revision+" -X "+pkg+".date=2026-11-24T10:00:00Z",
		"./testdata/show")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	out, err = exec.CommandContext(t.Context(), bin).Output()
	require.NoError(t, err)
	require.Equal(t, "show 0.1.0 (commit abc1234, built 2026-11-24T10:00:00Z, "+runtime.Version()+")\n", string(out))
}

func TestReadIsNeverEmpty(t *testing.T) {
	got := buildinfo.Read()
	require.NotEmpty(t, got.Version)
	require.NotEmpty(t, got.Commit)
	require.NotEmpty(t, got.Date)
	require.Equal(t, runtime.Version(), got.Go)
}
