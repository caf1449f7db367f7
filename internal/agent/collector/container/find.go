package container

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gometheus/gometheus/internal/agent/hostfile"
)

const (
	// maxFolders is how many cgroups are looked at.
	maxFolders = 10_000
	// maxDepth is how deep they may lie: of rootless Kubernetes about 12.
	maxDepth = 20
	idLength = 64
	// shortID is how much of an id engines show.
	shortID = 12
)

// identity is what the path of a container's cgroup tells.
type identity struct {
	engine string // docker, libpod, cri-containerd, crio, lxc, nspawn, …; empty: not told
	id     string // 64 hex digits (ECS: 32 and more); empty where there are only names
	given  string // the name, where there is one
}

func (i identity) defaultName() string {
	if i.id == "" {
		return clean(i.given)
	}
	return i.id[:min(shortID, len(i.id))]
}

// identify says whether the cgroup is a container.
func identify(cgroup string) (identity, bool) {
	dir, base := path.Split(cgroup)
	parent := path.Base(dir)
	if base == "" {
		return identity{}, false
	}

	// podman run --cgroups=split, and what systemd's scopes are called.
	stem := strings.TrimSuffix(base, ".scope")
	if len(stem) >= idLength {
		prefix, id := stem[:len(stem)-idLength], stem[len(stem)-idLength:]
		if isHex(id) {
			return identifyID(prefix, id, parent)
		}
	}
	if id, task, ok := strings.Cut(base, "-"); ok && len(id) == 32 && isHex(id) && isDigits(task) {
		return identity{engine: "ecs", id: base}, true
	}
	if name, ok := strings.CutPrefix(base, "lxc.payload."); ok && name != "" {
		return identity{engine: "lxc", given: name}, true
	}
	if (parent == "lxc" || parent == "lxc.payload") && !strings.HasPrefix(base, "lxc.") {
		return identity{engine: "lxc", given: base}, true
	}
	if parent == "machine.slice" {
		return identifyMachine(base)
	}
	return identity{}, false
}

// identifyID looks at what stands before an id of 64 digits.
func identifyID(prefix, id, parent string) (identity, bool) {
	if prefix == "" {
		if parent == "docker" {
			return identity{engine: "docker", id: id}, true
		}
		return identity{id: id}, true
	}
	separator := prefix[len(prefix)-1]
	prefix = prefix[:len(prefix)-1]
	switch {
	case separator == ':': // kubepods-burstable-pod….slice:cri-containerd:<id>
		return identity{engine: prefix[strings.LastIndexByte(prefix, ':')+1:], id: id}, true
	case separator != '-' || strings.HasSuffix(prefix, "conmon"): // a monitor of podman or CRI-O
		return identity{}, false
	case strings.HasPrefix(prefix, "libpod"): // and libpod-payload
		return identity{engine: "libpod", id: id}, true
	}
	return identity{engine: prefix, id: id}, true
}

// identifyMachine tells what systemd-machined registered.
func identifyMachine(base string) (identity, bool) {
	name, ok := strings.CutPrefix(base, "systemd-nspawn@")
	if ok {
		name, ok = strings.CutSuffix(name, ".service")
	} else if name, ok = strings.CutPrefix(base, "machine-"); ok {
		name, ok = strings.CutSuffix(name, ".scope")
	}
	name = unescape(name)
	if !ok || name == "" || strings.HasPrefix(name, "qemu-") {
		return identity{}, false
	}
	return identity{engine: "nspawn", given: name}, true
}

// unescape turns \x2d in the name of a unit into what it stands for.
func unescape(s string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(s, `\x`)
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		if n, err := strconv.ParseUint(rest[:min(2, len(rest))], 16, 8); err == nil && len(rest) >= 2 {
			b.WriteByte(byte(n))
			s = rest[2:]
		} else {
			b.WriteString(`\x`)
			s = rest
		}
	}
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdef") == ""
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// hierarchy is where cgroups are: one tree (v2) or one for each controller (v1).
type hierarchy struct {
	unified bool
	// roots are folders by controller. In v2 all are the same.
	roots map[string]string
}

// controllers are those that are read, and under which names they are mounted in v1.
var controllers = map[string][]string{
	"cpu":     {"cpu", "cpu,cpuacct", "cpuacct,cpu"},
	"cpuacct": {"cpuacct", "cpu,cpuacct", "cpuacct,cpu"},
	"memory":  {"memory"},
	"blkio":   {"blkio"},
	"pids":    {"pids"},
	"systemd": {"systemd"},
}

// findHierarchy returns nil when there are no cgroups below the folder.
func findHierarchy(dir string) *hierarchy {
	h := &hierarchy{roots: make(map[string]string, len(controllers))}
	if _, err := os.Stat(dir + "/cgroup.controllers"); err == nil {
		h.unified = true
		for controller := range controllers {
			h.roots[controller] = dir
		}
		return h
	}
	for controller, names := range controllers {
		for _, name := range names {
			if _, err := os.Stat(dir + "/" + name + "/cgroup.procs"); err == nil {
				h.roots[controller] = filepath.Join(dir, name)
				break
			}
		}
	}
	if len(h.roots) == 0 {
		return nil
	}
	return h
}

// find returns the containers by the paths of their cgroups, and whether it saw all.
// In v1 a container is in each tree under the same path; where one lacks a controller
// it may be missing, so two trees are looked through.
func (h *hierarchy) find() (found map[string]identity, complete bool) {
	w := walker{found: make(map[string]identity), left: maxFolders}
	done := make(map[string]bool)
	for _, controller := range []string{"memory", "cpuacct", "pids", "systemd"} {
		root := h.roots[controller]
		if root == "" || done[root] || len(done) == 2 {
			continue
		}
		done[root] = true
		w.walk(root, "", maxDepth)
	}
	return w.found, w.left > 0
}

// walker looks for containers in a tree.
type walker struct {
	found map[string]identity
	left  int // folders
}

func (w *walker) walk(root, cgroup string, depth int) {
	for _, name := range folders(root + cgroup) {
		if w.left--; w.left <= 0 {
			return
		}
		child := cgroup + "/" + name
		if id, ok := identify(child); ok {
			w.found[child] = id
		} else if depth > 0 {
			w.walk(root, child, depth-1)
		}
	}
}

// folders lists the folders in a folder. Most cgroups have none, which their number
// of links tells without listing their fifty files.
func folders(dir string) (names []string) {
	if _, links, _, err := hostfile.Stat(dir); err != nil || links == 2 {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	entries, err := f.ReadDir(-1)
	if err = errors.Join(err, f.Close()); err != nil && len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}
