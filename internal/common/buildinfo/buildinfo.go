// Package buildinfo says which build of the programs is running.
//
// The linker sets version, commit and date:
//
//	P=github.com/gometheus/gometheus/internal/common/buildinfo
//	go build -ldflags "-X $P.version=0.1.0 -X $P.commit=$(git rev-parse HEAD) -X $P.date=$(date -u +%FT%TZ)" ./cmd/...
//
// What it does not set comes from what the go command stamped: the module's
// version (go install …@v0.1.0), the revision and time of the checkout. What
// neither knows is "dev" for the version and "unknown" for the rest.
package buildinfo

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Only the linker's -X flag writes these.
var version, commit, date string

const (
	unknownVersion = "dev"
	unknown        = "unknown"
	shortCommit    = 7
	dirty          = "-dirty"
)

// Info is one build.
type Info struct {
	Version string // without the leading v: "0.1.0"
	Commit  string // the whole revision, with "-dirty" when files had changed
	Date    string // as the build gave it; by convention RFC 3339, UTC
	Go      string // "go1.26.8"
}

// Read is the running program's build.
func Read() Info {
	stamped, _ := debug.ReadBuildInfo()
	return merge(Info{Version: version, Commit: commit, Date: date}, stamped)
}

// String is what --version prints after the program's name:
// "0.1.0 (commit abc1234, built 2026-11-24T10:00:00Z, go1.26.8)".
func (i Info) String() string {
	rev, changed := strings.CutSuffix(i.Commit, dirty)
	if len(rev) > shortCommit && rev != unknown {
		rev = rev[:shortCommit]
	}
	if changed {
		rev += dirty
	}
	return fmt.Sprintf("%s (commit %s, built %s, %s)", i.Version, rev, i.Date, i.Go)
}

// merge fills what the linker left out from what the go command stamped, which
// may be nil.
func merge(linked Info, stamped *debug.BuildInfo) Info {
	if stamped == nil {
		stamped = new(debug.BuildInfo)
	}
	vcs := make(map[string]string)
	for _, s := range stamped.Settings {
		vcs[s.Key] = s.Value
	}
	revision := vcs["vcs.revision"]
	if revision != "" && vcs["vcs.modified"] == "true" {
		revision += dirty
	}
	module := stamped.Main.Version
	if module == "(devel)" {
		module = ""
	}
	return Info{
		Version: strings.TrimPrefix(cmp.Or(linked.Version, module, unknownVersion), "v"),
		Commit:  cmp.Or(linked.Commit, revision, unknown),
		Date:    cmp.Or(linked.Date, vcs["vcs.time"], unknown),
		Go:      cmp.Or(stamped.GoVersion, runtime.Version()),
	}
}
